//! What nodes really write into transactions and receipts, at both providers: what concerns no
//! money may have any shape, and what enters a credit may not.

use ethers_core::types::{H256, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::DepositState;

use crate::support::deposits::{Shop, USDC};
use crate::support::rpc::Provider;

const TRANSACTION: &str = "eth_getTransactionByHash";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// A name, the method, and what is done to its answers.
type Shape = (&'static str, &'static str, fn(&mut Value));

/// Nothing of it concerns money.
const HARMLESS: &[Shape] = &[
    ("no chainId", TRANSACTION, |tx| tx["chainId"] = Value::Null),
    ("chainId 0", TRANSACTION, |tx| tx["chainId"] = json!("0x0")),
    ("an empty chainId", TRANSACTION, |tx| tx["chainId"] = json!("0x")),
    ("another chain's chainId", TRANSACTION, |tx| tx["chainId"] = json!("0xa4ec")),
    ("chainId as a number", TRANSACTION, |tx| tx["chainId"] = json!(8453)),
    ("type as a number", TRANSACTION, |tx| tx["type"] = json!(2)),
    ("type as a word", TRANSACTION, |tx| tx["type"] = json!("dynamic")),
    ("status as a number", RECEIPT, |receipt| receipt["status"] = json!(1)),
    ("status as true", RECEIPT, |receipt| receipt["status"] = json!(true)),
    ("an anonymous log before ours", RECEIPT, |receipt| {
        let logs = receipt["logs"].as_array_mut().unwrap();
        let address = json!(format!("0x{}", "ab".repeat(20)));
        // Behind it, so that ours keeps its place; the coin's receipt has none.
        logs.push(json!({ "address": address, "topics": null, "data": "0x" }));
    }),
    ("a log of any shape", RECEIPT, |receipt| {
        let logs = receipt["logs"].as_array_mut().unwrap();
        let address = json!(format!("0x{}", "ab".repeat(20)));
        logs.push(json!({ "address": address, "topics": [1, {}], "data": 7, "blockHash": [] }));
    }),
    ("no list of logs where there are none", RECEIPT, |receipt| {
        if receipt["logs"] == json!([]) {
            receipt["logs"] = Value::Null;
        }
    }),
];

/// Without it nobody knows what was paid.
const NEEDED: &[Shape] = &[
    ("no status", RECEIPT, |receipt| receipt["status"] = Value::Null),
    ("a status that is a word", RECEIPT, |receipt| receipt["status"] = json!("success")),
    ("no logs", RECEIPT, |receipt| receipt["logs"] = Value::Null),
    ("a log of the token without topics", RECEIPT, |receipt| {
        for log in receipt["logs"].as_array_mut().unwrap() {
            log["topics"] = Value::Null;
        }
    }),
];

fn both(shop: &Shop, (_, method, change): Shape) {
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        one(provider, method, change);
    }
}

fn one(provider: &Provider, method: &str, change: fn(&mut Value)) {
    provider.mutate(method, move |_, answer| {
        if !answer.is_null() {
            change(answer);
        }
    });
}

fn heal(shop: &Shop) {
    shop.mint.alpha.heal();
    shop.mint.beta.heal();
}

fn pay(shop: &Shop) -> [H256; 2] {
    let paid = [shop.pay_usdc(1, 5 * USDC), shop.pay_coin(1, U256::exp10(16))];
    shop.finalize();
    paid
}

#[test]
fn what_concerns_no_money_is_credited_in_any_shape() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    for (count, shape) in (1..).zip(HARMLESS) {
        both(&shop, *shape);
        for tx in pay(&shop) {
            shop.credited(tx);
        }
        shop.caught_up();
        assert_eq!(shop.cursor().unwrap().status, "ok", "{}", shape.0);
        assert_eq!(shop.app.entries(&account, "deposit").len(), 2 * count, "{}", shape.0);
        heal(&shop);
    }
}

#[test]
fn what_enters_a_credit_is_not_guessed() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    for (count, shape) in (0..).zip(NEEDED) {
        both(&shop, *shape);
        let tx = shop.pay_usdc(1, 5 * USDC);
        shop.finalize();
        println!("{}: {}", shape.0, shop.in_trouble(&format!("{tx:?}")));
        shop.rounds(3);
        assert_eq!(shop.app.entries(&account, "deposit").len(), count, "{}", shape.0);
        heal(&shop);
        shop.credited(tx);
        shop.well();
    }
}

#[test]
fn a_status_that_one_provider_does_not_tell_is_the_others() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    one(&shop.mint.beta, RECEIPT, |receipt| receipt["status"] = Value::Null);
    let tx = shop.pay_usdc(1, 5 * USDC);
    shop.finalize();
    shop.credited(tx);
    // A coin leaves no log that says that it arrived.
    let coin = shop.pay_coin(1, U256::exp10(16));
    shop.finalize();
    shop.in_trouble("a receipt without a status");
    assert!(shop.deposits(coin).iter().all(|row| row.state != DepositState::Credited));
    assert_eq!(shop.app.entries(&account, "deposit").len(), 1);
    heal(&shop);
    shop.credited(coin);
}
