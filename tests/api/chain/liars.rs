//! Three providers of which two must agree, and one that lies: crediting goes on, the chain is
//! well, and the operator hears of it.

use ethers_core::types::{H256, U256};
use serde_json::{Value, json};

use crate::support::alerting::Watched;
use crate::support::chain::node::number;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const BLOCK: &str = "eth_getBlockByNumber";

/// A third provider beside alpha and beta; the last to be asked.
fn with_third(lines: &str) -> (Shop, Provider) {
    let mint = Mint::open();
    let gamma = Provider::before(mint.chain.node);
    let third = format!(
        "[[chains.providers]]\nname = \"gamma\"\nurl = \"{}\"\ntraces = true\n\
         requests_per_second = 10000\n",
        gamma.url()
    );
    let toml = mint.toml(lines) + &third;
    (Shop::on(mint, &toml, |builder| builder), gamma)
}

fn pay(shop: &Shop) -> [H256; 2] {
    let paid = [shop.pay_usdc(1, 3 * USDC), shop.pay_coin(1, U256::exp10(16))];
    shop.finalize();
    paid
}

type Lie = (&'static str, fn(&Provider, &Shop));

/// The `number`-th transaction that never was.
fn invented(number: u64) -> Value {
    json!(H256::from_low_u64_be(0x00ab_cdef_0000 + number))
}

const LIES: &[Lie] = &[
    ("status", |gamma, _| {
        gamma.mutate("eth_getTransactionReceipt", |_, receipt| {
            if !receipt.is_null() {
                receipt["status"] = json!("0x0");
                receipt["logs"] = json!([]);
            }
        });
    }),
    ("value", |gamma, _| {
        gamma.mutate("eth_getTransactionByHash", |_, tx| {
            if !tx.is_null() {
                tx["value"] = json!("0xffffffffffffffffffff");
            }
        });
    }),
    ("price", |gamma, shop| {
        gamma.misprice(shop.mint.coin_feed.address);
    }),
];

#[test]
fn one_liar_of_three_is_outvoted_and_told_of() {
    let (shop, gamma) = with_third("");
    let account = shop.holder_of(1);
    for (count, (what, lie)) in (1..).zip(LIES) {
        lie(&gamma, &shop);
        let alerts = shop.alert_count("chain_dissent");
        let watched = Watched::new(shop.app.admin_address);
        for tx in pay(&shop) {
            shop.credited(tx);
        }
        assert_eq!(shop.caught_up().status, "ok", "{what}");
        shop.alerts("chain_dissent", alerts);
        if count == 1 {
            watched.fires(&["SluiceChainDissent"]);
        }
        assert_eq!(shop.available(&account), count * 23_000_000_000, "{what}");
        gamma.heal();
    }
}

/// Lies that keep nothing from being agreed on by the others.
const NUISANCES: &[Lie] = &[
    ("a head far ahead", |gamma, _| {
        gamma.mutate(BLOCK, |params, block| {
            if params[0] == "latest" {
                block["number"] = json!("0xffffff");
            }
        });
    }),
    ("a final block at the head", |gamma, _| {
        gamma.when(BLOCK, |params| (params[0] == "finalized").then(|| Fault::Result(json!({}))));
    }),
    ("parents of blocks", |gamma, _| {
        gamma.mutate(BLOCK, |_, block| {
            if !block.is_null() {
                block["parentHash"] = json!(H256::repeat_byte(9));
            }
        });
    }),
    ("times of blocks", |gamma, _| {
        gamma.mutate(BLOCK, |params, block| {
            if params[1] == true && !block.is_null() {
                block["timestamp"] = json!("0x1");
            }
        });
    }),
    ("too many logs everywhere", |gamma, _| gamma.on("eth_getLogs", Fault::too_many_results())),
    ("nothing at all", |gamma, _| gamma.on("eth_getLogs", Fault::Null)),
    ("far behind", |gamma, _| gamma.set_lag(30)),
];

#[test]
fn one_nuisance_of_three_holds_up_nobody() {
    let (shop, gamma) = with_third("");
    let account = shop.holder_of(1);
    shop.mine(40);
    for (count, (what, lie)) in (1..).zip(NUISANCES) {
        lie(&gamma, &shop);
        for tx in pay(&shop) {
            shop.credited(tx);
        }
        assert_eq!(shop.caught_up().status, "ok", "{what}");
        assert_eq!(shop.available(&account), count * 23_000_000_000, "{what}");
        gamma.heal();
    }
}

#[test]
fn one_that_invents_payments_keeps_nobody_busy() {
    let (shop, gamma) = with_third("");
    let account = shop.holder_of(1);
    shop.caught_up();
    let treasury = json!(shop.mint.treasury);
    // A hundred in each block, each with a receipt when asked.
    gamma.mutate(BLOCK, {
        let treasury = treasury.clone();
        move |params, block| {
            if params[1] != true || block.is_null() {
                return;
            }
            let number = number(&block["number"]);
            let txs = (0..100).map(|place| {
                json!({
                    "hash": invented(number * 1000 + place),
                    "from": format!("0x{}", "22".repeat(20)),
                    "to": treasury,
                    "value": "0xffffffffffffffff",
                })
            });
            block["transactions"].as_array_mut().unwrap().extend(txs);
        }
    });
    let alerts = shop.alert_count("chain_dissent");
    for _ in 0..10 {
        shop.mine(1);
        shop.rounds(1);
    }
    let paid = pay(&shop);
    for tx in paid {
        shop.credited(tx);
    }
    shop.alerts("chain_dissent", alerts);
    assert_eq!(shop.caught_up().status, "ok");
    assert_eq!(shop.available(&account), 23_000_000_000);
    assert!(shop.candidates() <= 8 * 20, "{} candidates", shop.candidates());
    gamma.heal();
    crate::support::wait::eventually("the invented ones to be forgotten", || {
        shop.app.clock.advance(5_000);
        (shop.candidates() == 0).then_some(())
    });
}

#[test]
fn two_that_differ_over_invented_payments_stop_and_go_on() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.caught_up();
    let treasury = json!(shop.mint.treasury);
    shop.mint.beta.mutate(BLOCK, move |params, block| {
        if params[1] == true && !block.is_null() {
            let tx = json!({
                "hash": invented(1),
                "from": format!("0x{}", "22".repeat(20)),
                "to": treasury,
                "value": "0x5",
            });
            block["transactions"].as_array_mut().unwrap().push(tx);
        }
    });
    let paid = pay(&shop);
    for tx in paid {
        // What both know goes on.
        shop.credited(tx);
    }
    assert_eq!(shop.available(&account), 23_000_000_000);
    shop.mint.beta.heal();
    crate::support::wait::eventually("the invented one to be forgotten", || {
        shop.app.clock.advance(1_000);
        (shop.candidates() == 0).then_some(())
    });
    shop.well();
}
