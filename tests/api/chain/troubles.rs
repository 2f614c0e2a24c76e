//! Two providers, and one that misbehaves: nothing is credited without the other's agreement,
//! everybody can read why, and nothing is lost once it is well again.

use ethers_core::types::{H256, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::DepositState;

use crate::support::app::Account;
use crate::support::deposits::{Shop, USDC};
use crate::support::rpc::fault::Fault;
use crate::support::rpc::{ANY, Provider};

/// The largest number of 256 bits.
const MOST: &str = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// A way to misbehave, and what is said of it.
type Trouble = (&'static str, fn(&Provider, &Shop), &'static str);

fn result(provider: &Provider, method: &str, lie: impl Fn(&mut Value) + Send + Sync + 'static) {
    provider.mutate(method, move |_, value| {
        if !value.is_null() {
            lie(value);
        }
    });
}

/// Changes the block that a tag or its absence names.
fn head(provider: &Provider, tag: &'static str, lie: impl Fn(&mut Value) + Send + Sync + 'static) {
    provider.mutate("eth_getBlockByNumber", move |params, block| {
        if params[0] == tag {
            lie(block);
        }
    });
}

const RECEIPT: &str = "eth_getTransactionReceipt";
const TRANSACTION: &str = "eth_getTransactionByHash";
const BLOCK: &str = "eth_getBlockByNumber";

/// What is about one transaction, or about reading.
const LIES: &[Trouble] = &[
    (
        "a status",
        |beta, _| {
            result(beta, RECEIPT, |receipt| {
                receipt["status"] = json!("0x0");
                receipt["logs"] = json!([]);
            });
        },
        "disagree about the transaction",
    ),
    (
        "no status",
        |beta, _| result(beta, RECEIPT, |receipt| receipt["status"] = Value::Null),
        "a receipt without a status",
    ),
    (
        "logs",
        |beta, _| {
            result(beta, RECEIPT, |receipt| {
                for log in receipt["logs"].as_array_mut().unwrap() {
                    log["data"] = json!(MOST);
                }
            });
            result(beta, TRANSACTION, |tx| tx["value"] = json!("0x1"));
        },
        "disagree about the transaction",
    ),
    (
        "a value beyond everything",
        |beta, _| {
            result(beta, TRANSACTION, |tx| tx["value"] = json!(MOST));
        },
        "disagree about the transaction",
    ),
    (
        "a value that is too long",
        |beta, _| result(beta, TRANSACTION, |tx| tx["value"] = json!(format!("{MOST}ff"))),
        "a result of another shape",
    ),
    (
        "a payer",
        |beta, _| {
            result(beta, TRANSACTION, |tx| tx["from"] = json!(format!("0x{}", "11".repeat(20))));
        },
        "disagree about the transaction",
    ),
    (
        "an internal transaction of Arbitrum",
        |beta, _| result(beta, TRANSACTION, |tx| tx["type"] = json!("0x6a")),
        "disagree about the transaction",
    ),
    (
        "a kind that nobody knows, without its fields",
        |beta, _| {
            result(beta, TRANSACTION, |tx| {
                *tx = json!({ "hash": tx["hash"], "type": "0x7f" });
            });
        },
        "a result of another shape",
    ),
    (
        "no transactions",
        |beta, _| beta.on(TRANSACTION, Fault::Null),
        "a receipt of an unknown transaction",
    ),
    (
        "no receipts",
        |beta, _| beta.on(RECEIPT, Fault::Null),
        "too few providers show the transaction",
    ),
    (
        "the hash of a block in receipts",
        |beta, _| {
            let other = json!(H256::repeat_byte(9));
            result(beta, RECEIPT, move |receipt| receipt["blockHash"] = other.clone());
        },
        "contradicts itself",
    ),
    (
        "the height of a receipt",
        |beta, _| result(beta, RECEIPT, |receipt| receipt["blockNumber"] = json!(MOST)),
        "a result of another shape",
    ),
    (
        "a receipt's refusal",
        |beta, _| beta.on(RECEIPT, Fault::error(-32000, "internal error")),
        "refused a call",
    ),
    (
        "the price",
        |beta, shop| {
            beta.misprice(shop.mint.coin_feed.address);
        },
        "do not agree on the price of ETH / USD",
    ),
    (
        "the parents of blocks",
        |beta, _| {
            let other = json!(H256::repeat_byte(9));
            result(beta, BLOCK, move |block| block["parentHash"] = other.clone());
        },
        "disagree about block",
    ),
    (
        "the hashes of blocks",
        |beta, _| {
            let other = json!(H256::repeat_byte(9));
            result(beta, BLOCK, move |block| block["hash"] = other.clone());
        },
        "disagree about block",
    ),
    (
        "no blocks with transactions",
        |beta, _| beta.when(BLOCK, |params| (params[1] == true).then_some(Fault::Null)),
        "too few providers show block",
    ),
    (
        "no logs",
        |beta, _| beta.on("eth_getLogs", Fault::error(-32000, "internal error")),
        "1 providers give logs of the blocks",
    ),
    (
        "too many logs of every block",
        |beta, _| beta.on("eth_getLogs", Fault::too_many_results()),
        "1 providers give logs of the blocks",
    ),
];

/// What is about the head.
const HEADS: &[Trouble] = &[
    (
        "a head far ahead",
        |beta, _| head(beta, "latest", |block| block["number"] = json!("0xffffff")),
        "beta: more than 16 blocks ahead of the others",
    ),
    (
        "a head beyond all numbers",
        |beta, _| head(beta, "latest", |block| block["number"] = json!(MOST)),
        "and 2 are needed",
    ),
    (
        "a head of the future",
        |beta, _| head(beta, "latest", |block| block["timestamp"] = json!("0x7fffffff")),
        "beta: its newest block is of the future",
    ),
    (
        "a head of long ago",
        |beta, _| head(beta, "latest", |block| block["timestamp"] = json!("0x5fffffff")),
        "beta: its newest block is more than 86400 s old",
    ),
    (
        "a final block above the head",
        |beta, _| head(beta, "finalized", |block| block["number"] = json!("0xffffff")),
        "a final block above the newest",
    ),
    (
        "no final block",
        |beta, _| beta.when(BLOCK, |params| (params[0] == "finalized").then_some(Fault::Null)),
        "too few providers tell which block is final",
    ),
    (
        "another chain",
        |beta, shop| {
            beta.on("eth_chainId", Fault::Result(json!("0x1")));
            // It is asked again every five minutes.
            shop.pass(400);
        },
        "beta: speaks for chain 1",
    ),
    ("far behind", |beta, _| beta.set_lag(40), "more than 16 blocks"),
];

/// A payment in each coin, final by the node's own word.
fn pay(shop: &Shop) -> [H256; 2] {
    let paid = [shop.pay_usdc(1, 3 * USDC), shop.pay_coin(1, U256::exp10(16))];
    shop.finalize();
    paid
}

/// Goes through troubles one after the other with the same server.
fn go_through(shop: &Shop, account: &Account, troubles: &[Trouble]) {
    for (count, (what, begin, words)) in (0..).zip(troubles) {
        let credits = || shop.app.entries(account, "deposit").len();
        let before = credits();
        begin(&shop.mint.beta, shop);
        let paid = pay(shop);
        let said = shop.in_trouble(words);
        println!("{what}: {said}");
        shop.rounds(3);
        // About one coin alone the other goes on.
        assert!(credits() <= before + 1, "{what}: {said}");
        assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 0, "{what}");

        shop.mint.beta.heal();
        for tx in paid {
            shop.credited(tx);
        }
        shop.well();
        assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 1, "{what}");
        assert_eq!(shop.app.entries(account, "deposit").len(), 2 * (count + 1), "{what}");
    }
    shop.caught_up();
    assert_eq!(shop.candidates(), 0);
}

#[test]
fn a_lie_about_a_transaction_or_a_block_waits_and_loses_nothing() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    go_through(&shop, &account, LIES);
}

#[test]
fn a_provider_that_stands_elsewhere_waits_and_loses_nothing() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    // So that some blocks can be missing.
    shop.mine(50);
    go_through(&shop, &account, HEADS);
}

#[test]
fn a_provider_that_is_broken_waits_and_loses_nothing() {
    let bodies =
        |body: &str| Fault::Http { status: 500, headers: String::new(), body: body.into() };
    let faults = [
        Fault::Truncated,
        Fault::Cut,
        Fault::Close,
        Fault::WrongId,
        Fault::too_many_requests(Some(1)),
        bodies("<html>Bad gateway</html>"),
        Fault::Result(json!({ "number": MOST })),
    ];
    let shop = Shop::open();
    let account = shop.holder_of(1);
    for (count, fault) in (1..).zip(faults) {
        shop.mint.beta.on(ANY, fault.clone());
        let paid = pay(&shop);
        let said = shop.in_trouble("1 providers make sense and 2 are needed (beta: ");
        println!("{fault:?}: {said}");
        assert_eq!(shop.app.entries(&account, "deposit").len(), 2 * (count - 1), "{fault:?}");
        shop.mint.beta.heal();
        for tx in paid {
            shop.credited(tx);
        }
        shop.well();
        assert_eq!(shop.app.entries(&account, "deposit").len(), 2 * count, "{fault:?}");
    }
}

#[test]
fn one_that_is_dead_is_not_enough_and_neither_is_none() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.mint.beta.die();
    let first = pay(&shop);
    shop.in_trouble("1 providers make sense and 2 are needed (beta: ");
    shop.mint.alpha.die();
    shop.in_trouble("0 providers make sense and 2 are needed (alpha: ");
    // Payments go on meanwhile, and so does the rest of the server.
    let second = pay(&shop);
    assert_eq!(shop.app.models(&account).status, 200);
    shop.mint.alpha.revive();
    shop.in_trouble("1 providers make sense");
    assert_eq!(shop.available(&account), 0);
    shop.mint.beta.revive();
    for tx in first.into_iter().chain(second) {
        shop.credited(tx);
    }
    shop.well();
    assert_eq!(shop.app.entries(&account, "deposit").len(), 4);
}

#[test]
fn both_that_lag_a_little_credit_a_little_later() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let before = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(before);
    shop.caught_up();
    let alerts = shop.alert_count("chain_reorganisation");
    // They fall back behind what was read, which is no reorganisation.
    shop.mint.alpha.set_lag(5);
    shop.mint.beta.set_lag(4);
    shop.rounds(5);
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.rounds(5);
    assert!(shop.deposits(tx).iter().all(|row| row.state != DepositState::Credited));
    shop.mine(3);
    shop.rounds(5);
    assert_eq!(shop.available(&account), 2_000_000_000, "four blocks are missing still");
    shop.mine(2);
    shop.credited(tx);
    assert_eq!(shop.cursor().unwrap().status, "ok");
    assert_eq!(shop.alert_count("chain_reorganisation"), alerts);
    assert!(shop.app.entries(&account, "reversal").is_empty());
}

#[test]
fn what_one_provider_leaves_out_the_other_shows() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.mint.beta.on("eth_getLogs", Fault::Result(json!([])));
    shop.mint.alpha.mutate(BLOCK, |params, block| {
        if params[1] == true && !block.is_null() {
            block["transactions"] = json!([]);
        }
    });
    for tx in pay(&shop) {
        shop.credited(tx);
    }
    // Another kind of transaction than is known hides nothing either.
    shop.mint.beta.mutate(BLOCK, |params, block| {
        for tx in block["transactions"].as_array_mut().into_iter().flatten() {
            if params[1] == true {
                *tx = json!({ "hash": tx["hash"], "type": "0x7e", "from": 7 });
            }
        }
    });
    shop.mint.alpha.heal();
    for tx in pay(&shop) {
        shop.credited(tx);
    }
    assert_eq!(shop.caught_up().status, "ok");
    assert_eq!(shop.app.entries(&account, "deposit").len(), 4);
}

#[test]
fn both_that_speak_for_another_chain_stop_everything_until_they_do_not() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.on("eth_chainId", Fault::Result(json!("0x1")));
    }
    // It is asked again every five minutes.
    shop.pass(400);
    shop.in_trouble("0 providers make sense and 2 are needed (alpha: speaks for chain 1; beta:");
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.rounds(3);
    assert!(shop.all_deposits().is_empty());
    shop.mint.alpha.heal();
    shop.in_trouble("1 providers make sense and 2 are needed (beta: speaks for chain 1)");
    assert_eq!(shop.available(&account), 0);
    shop.mint.beta.heal();
    shop.credited(tx);
    shop.well();
}

#[test]
fn a_reload_asks_another_provider_in_the_place_of_one_that_is_gone() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.mint.beta.on(ANY, Fault::Close);
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.in_trouble("beta");
    let gamma = Provider::before(shop.mint.chain.node);
    let (gone, here) = (shop.mint.beta.url(), gamma.url());
    let reloaded = shop.app.reload(|text| text.replace(&gone, &here).replace("beta", "gamma"));
    assert!(reloaded.expect_ok().text().contains("chains[base].providers[gamma].url"));
    shop.credited(tx);
    shop.well();
    assert_eq!(shop.available(&account), 3_000_000_000);
    assert!(gamma.posts().iter().any(|post| !post.calls.is_empty()));
}
