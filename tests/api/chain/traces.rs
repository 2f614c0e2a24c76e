//! Coins that contracts send, as traces of blocks show them: what providers leave out, make up,
//! cannot tell, and in how many forms they tell it.

use diesel::prelude::*;
use ethers_core::types::{Address, H256};
use serde_json::{Value, json};
use sluice::db::schema::deposit_arrivals;

use super::arrivals::{DOLLAR, arrivals, coins, first_told, look, paid_by_a_contract, shop};
use super::payers::address_of;
use crate::support::rpc::fault::Fault;
use crate::support::wait::eventually;

/// Leaves out of a block's traces what they moved.
fn silent(traces: &mut Value) {
    for trace in traces.as_array_mut().unwrap() {
        trace["result"]["calls"] = json!([]);
        trace["result"]["value"] = json!("0x0");
    }
}

#[test]
fn one_provider_that_leaves_a_transaction_out_of_its_traces_does_not_hide_it() {
    for alpha_is_silent in [true, false] {
        let shop = shop(true);
        let account = shop.app.account("0");
        let mine = address_of(&shop, &account);
        let other = if alpha_is_silent { &shop.mint.alpha } else { &shop.mint.beta };
        other.mutate("debug_traceBlockByNumber", |_, traces| silent(traces));
        let tx = paid_by_a_contract(&shop, mine);
        assert_eq!(shop.credited(tx).account_id, Some(account.id));
    }
}

#[test]
fn what_one_provider_makes_up_does_not_end_the_look_at_a_block() {
    /// More than are looked into of what one provider names.
    const MADE_UP: u64 = 60;
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    look(&shop);
    let (alpha, chain) = (&shop.mint.alpha, &shop.mint.chain);
    // It shows each of them as a payment that it has, in the words of another one.
    let like = chain.pay(chain.account(3), Address::repeat_byte(0x61), coins());
    let made_up = |tx: &Value| tx.as_str().is_some_and(|tx| tx.starts_with("0x000000000000"));
    let answers = [
        ("eth_getTransactionByHash", json!(chain.transaction(like)), "hash"),
        ("eth_getTransactionReceipt", json!(chain.receipt(like)), "transactionHash"),
        ("debug_traceTransaction", chain.trace(like), "none"),
    ];
    for (method, answer, name) in answers {
        alpha.when(method, move |params| {
            let mut answer = made_up(&params[0]).then(|| answer.clone())?;
            answer[name] = params[0].clone();
            Some(Fault::Result(answer))
        });
    }
    alpha.on("debug_traceBlockByNumber", Fault::unknown_method());
    alpha.mutate("trace_block", move |_, frames| {
        let action = json!({ "callType": "call", "to": mine, "value": "0x1" });
        let frame = |number| {
            json!({ "action": action, "transactionHash": H256::from_low_u64_be(number),
                "type": "call" })
        };
        // And leaves out what is there, so that only the other one names it.
        *frames = (1..=MADE_UP).map(frame).collect();
    });
    let tx = paid_by_a_contract(&shop, mine);
    assert_eq!(shop.credited(tx).account_id, Some(account.id));
    assert_eq!(shop.available(&account), 20 * DOLLAR);
    let asked = shop.mint.beta.calls("eth_getTransactionReceipt");
    let asked = asked.iter().filter(|params| made_up(&params[0])).count();
    assert!((1..=50).contains(&asked), "{asked} of them looked into");
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn what_cannot_be_read_of_a_block_is_no_sign_that_nothing_is_there() {
    // One trace of a block has no result; single ones are refused from the second on.
    for is_single in [false, true] {
        let shop = shop(true);
        let account = shop.app.account("0");
        let mine = address_of(&shop, &account);
        look(&shop);
        let (payer, from) = (shop.mint.chain.deploy("Payer", ()), shop.mint.chain.account(3));
        let chain = &shop.mint.chain;
        chain.set_automine(false);
        let other = chain.pay(from, Address::repeat_byte(0x61), coins());
        let tx = chain.send_paying(from, &payer, "pay", mine, coins());
        chain.mine(1);
        chain.set_automine(true);
        for provider in [&shop.mint.alpha, &shop.mint.beta] {
            if is_single {
                provider.on("debug_traceBlockByNumber", Fault::unknown_method());
                provider.on("trace_block", Fault::unknown_method());
                provider.when("debug_traceTransaction", move |params| {
                    (params[0] != json!(other)).then(|| Fault::error(-32000, "the node is busy"))
                });
            } else {
                provider.mutate("debug_traceBlockByNumber", move |_, traces| {
                    let mut traces = traces.as_array_mut().unwrap().iter_mut();
                    let meant = traces.find(|trace| trace["txHash"] == json!(tx));
                    let failed = json!({ "txHash": tx, "error": "execution timeout" });
                    *meant.unwrap_or(&mut Value::Null) = failed;
                });
            }
        }
        shop.finalize();
        look(&shop);
        first_told(&shop, &account);
        // As after some looks that found nothing, a day and more apart.
        let again = |tries: i64| {
            shop.app.db(|conn| {
                let soon =
                    (deposit_arrivals::tries.eq(tries), deposit_arrivals::check_at.eq(Some(0_i64)));
                diesel::update(deposit_arrivals::table).set(soon).execute(conn).unwrap();
            });
            look(&shop);
        };
        again(6);
        again(6);
        let told = arrivals(&shop, &account);
        assert!(told[0]["message"].as_str().unwrap().contains("We are looking for"), "{told:?}");
        shop.mint.alpha.heal();
        shop.mint.beta.heal();
        again(6);
        assert_eq!(shop.credited(tx).account_id, Some(account.id));
    }
}

#[test]
fn failures_are_no_tries_and_what_traces_do_not_hold_is_told_so_in_the_end() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    look(&shop);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        for method in ["debug_traceBlockByNumber", "trace_block", "debug_traceTransaction"] {
            provider.on(method, Fault::error(-32000, "the node is busy"));
        }
    }
    let tx = paid_by_a_contract(&shop, mine);
    look(&shop);
    for _ in 0..11 {
        shop.app.clock.advance(3_600_000);
        shop.rounds(3);
    }
    let told = arrivals(&shop, &account);
    assert!(told[0]["message"].as_str().unwrap().contains("We are looking for"), "{told:?}");
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.heal();
        provider.mutate("debug_traceBlockByNumber", |_, traces| silent(traces));
    }
    // As after some looks that found nothing, a day and more apart.
    shop.app.db(|conn| {
        let soon = (deposit_arrivals::tries.eq(6), deposit_arrivals::check_at.eq(Some(0_i64)));
        diesel::update(deposit_arrivals::table).set(soon).execute(conn).unwrap();
    });
    eventually("traces that hold nothing to be the end", || {
        look(&shop);
        let told = arrivals(&shop, &account);
        told[0]["message"].as_str().unwrap().contains("did not find").then_some(())
    });
    assert!(shop.deposits(tx).is_empty());
}

#[test]
fn each_form_in_which_nodes_trace_a_block_leads_to_the_coins() {
    for refused in [&["debug_traceBlockByNumber"][..], &["debug_traceBlockByNumber", "trace_block"]]
    {
        let shop = shop(true);
        let account = shop.app.account("0");
        let mine = address_of(&shop, &account);
        for method in refused {
            shop.mint.alpha.on(method, Fault::unknown_method());
            shop.mint.beta.on(method, Fault::unknown_method());
        }
        let chain = &shop.mint.chain;
        let payer = chain.deploy("Payer", ());
        let from = chain.account(3);
        let paid = [
            chain.send_paying(from, &payer, "pay", mine, coins()),
            chain.send_paying(from, &payer, "payBySelfdestruct", mine, coins()),
        ];
        shop.finalize();
        for tx in paid {
            shop.credited(tx);
        }
        assert_eq!(shop.available(&account), 40 * DOLLAR, "without {refused:?}");
    }
}
