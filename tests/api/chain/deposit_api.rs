//! `/api/v1/deposits` as people see it: where to pay, what became of a payment, and what nobody
//! else is told.

use std::collections::HashSet;

use diesel::prelude::*;
use ethers_core::types::{Address, H256, U256};
use serde_json::{Value, json};
use sluice::db::schema::{deposit_addresses, deposit_claims};
use sluice::deposits::addresses;
use sluice::domain::deposit::{DepositReason, DepositState};

use crate::support::api::{checksummed, hex};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet, transaction_hash};
use crate::support::client::{Request, Response};
use crate::support::deposits::{Shop, USDC};
use crate::support::wait::eventually;

/// Nano-dollars in one dollar.
const DOLLAR: i64 = 1_000_000_000;

/// A watch-only key of the tests.
const XPUB: &str = "\"xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7\
    V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP\"";

fn get(app: &TestApp, account: &Account, path: &str) -> Value {
    let response = app.api_get(account, &format!("/api/v1/deposits{path}"));
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    response.json()
}

fn claimed(shop: &Shop, account: &Account, tx: H256) -> Value {
    let response = shop.app.claim(account, tx);
    assert_eq!(response.status, 202, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let claim = response.json();
    assert_eq!(claim["tx_hash"], hex(tx.as_bytes()));
    assert!(!claim["message"].as_str().unwrap().is_empty(), "{claim}");
    claim
}

/// Waits until a claim is in a state.
fn reaches(shop: &Shop, account: &Account, claim: &Value, state: &str) -> Value {
    let path = format!("/{}", claim["id"].as_str().unwrap());
    eventually(&format!("a claim that is {state}"), || {
        shop.app.clock.advance(200);
        let claim = get(&shop.app, account, &path);
        (claim["state"] == state).then_some(claim)
    })
}

/// A shop that derives addresses; beyond those of the dev accounts, which come from the same key.
fn deriving() -> Shop {
    let shop = Shop::open_with(|builder| builder.set("deposits.account_xpub", XPUB), "");
    let xpub = shop.app.settings.deposits.account_xpub.as_ref().unwrap();
    let now = shop.app.clock.now();
    shop.app.db(|conn| addresses::advance(conn, xpub, 100, now).unwrap());
    shop
}

fn own_address(app: &TestApp, account: &Account) -> Address {
    let issued = app.api_post(account, "/api/v1/deposits/address", &json!({}));
    assert!([200, 201].contains(&issued.status), "{}", issued.text());
    let own = get(app, account, "/options")["data"][0]["addresses"][0].clone();
    assert_eq!(own["address"], issued.json()["address"]);
    assert_eq!((&own["kind"], &own["needs_wallet_proof"]), (&json!("own"), &json!(false)));
    own["address"].as_str().unwrap().parse().unwrap()
}

#[test]
fn options_name_every_coin_with_a_payment_request() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    shop.well();
    let options = get(&shop.app, &account, "/options");
    let chain = &options["data"][0];
    let (treasury, usdc) = (checksummed(shop.mint.treasury), checksummed(shop.mint.usdc.address));
    assert_eq!((&chain["chain"], &chain["display_name"]), (&json!("base"), &json!("Base")));
    assert_eq!(chain["chain_id"], CHAIN_ID);
    assert_eq!(chain["chain_status"]["status"], "ok");
    assert_eq!(chain["finality"], json!({ "kind": "finalized" }));
    let payee = json!({ "kind": "treasury", "address": treasury, "needs_wallet_proof": true });
    assert_eq!(chain["addresses"], json!([payee]));
    let coin = &chain["assets"][2];
    assert_eq!((&coin["symbol"], &coin["token"]), (&json!("ETH"), &Value::Null));
    assert_eq!(coin["payment_uri"], format!("ethereum:{treasury}@{CHAIN_ID}"));
    assert_eq!(coin["payment_amount"], Value::Null);
    // Its price is the feed's; a token has none, as it counts a dollar.
    let price = &coin["price"];
    assert_eq!((&price["usd"], &price["is_stale"]), (&json!("2000.00"), &json!(false)), "{price}");
    assert_eq!(chain["assets"][0]["price"], Value::Null);
    let token = &chain["assets"][0];
    assert_eq!((&token["token"], &token["decimals"]), (&json!(usdc), &json!(6)));
    assert_eq!(token["minimum"], "1.00");
    let call = format!("ethereum:{usdc}@{CHAIN_ID}/transfer?address={treasury}&uint256=1000000");
    assert_eq!((&token["payment_uri"], &token["payment_amount"]), (&json!(call), &json!("1")));
    // Of 18 decimals, one dollar is another number.
    let uri = chain["assets"][1]["payment_uri"].as_str().unwrap();
    assert!(uri.ends_with(&format!("&uint256=1{}", "0".repeat(18))), "{uri}");
    assert_eq!(chain["assets"].as_array().unwrap().len(), 3);
}

#[test]
fn without_chains_there_is_nowhere_to_pay() {
    let app = Builder::new()
        .upstream("sandbox", crate::support::sandbox::sandbox())
        .set("deposits.account_xpub", XPUB)
        .start();
    let account = app.account("0");
    assert_eq!(get(&app, &account, "/options"), json!({ "data": [], "is_suspended": false }));
    assert_eq!(get(&app, &account, "")["data"], json!([]));
    let issued: i64 = app.db(|conn| deposit_addresses::table.count().get_result(conn).unwrap());
    assert_eq!(issued, 0);
    app.claim(&account, H256::zero()).expect_refusal(404, "unknown_chain");
}

#[test]
fn an_own_address_is_ones_own_for_ever_and_nobody_elses() {
    let shop = deriving();
    let accounts: Vec<Account> = (0..6).map(|_| shop.app.account("0")).collect();
    let asked: Vec<Vec<Address>> = std::thread::scope(|scope| {
        let app = &shop.app;
        let mut threads = Vec::new();
        for _ in 0..5 {
            let ask = |account| scope.spawn(move || own_address(app, account));
            threads.push(accounts.iter().map(ask).collect::<Vec<_>>());
        }
        let join = |round: Vec<std::thread::ScopedJoinHandle<'_, Address>>| {
            round.into_iter().map(|thread| thread.join().unwrap()).collect()
        };
        threads.into_iter().map(join).collect()
    });
    let different: HashSet<Address> = asked[0].iter().copied().collect();
    assert_eq!(different.len(), accounts.len(), "{asked:?}");
    assert!(asked.iter().all(|round| *round == asked[0]), "{asked:?}");

    // Whoever pays there, from wherever, pays for that account.
    let (owner, other) = (&accounts[0], &accounts[1]);
    let from = shop.mint.chain.account(1);
    let tx = shop.mint.chain.pay(from, asked[0][0], U256::exp10(16));
    let foreign = claimed(&shop, other, tx);
    shop.finalize();
    let deposit = shop.credited(tx);
    assert_eq!((shop.available(owner), shop.available(other)), (20 * DOLLAR, 0));
    let path = format!("/api/v1/deposits/{}", deposit.public_id);
    shop.app.api_get(other, &path).expect_refusal(404, "not_found");
    let path = format!("/{}", foreign["id"].as_str().unwrap());
    assert_eq!(get(&shop.app, other, &path)["deposits"], json!([]));

    // What is paid to somebody who is gone is nobody else's either.
    shop.app.db(|conn| {
        diesel::update(deposit_addresses::table)
            .filter(deposit_addresses::account_id.eq(owner.id.0))
            .set(deposit_addresses::account_id.eq(None::<i64>))
            .execute(conn)
            .unwrap()
    });
    let late = shop.mint.chain.pay(from, asked[0][0], U256::exp10(16));
    shop.finalize();
    let held = shop.reaches(late, DepositState::Held).remove(0);
    assert_eq!(held.reason, Some(DepositReason::ErasedAccount));
    let claim = claimed(&shop, other, late);
    assert_eq!((&claim["state"], &claim["deposits"]), (&json!("rejected"), &json!([])));
    assert_eq!(claim["reason"], "other_account");
    let path = format!("/api/v1/deposits/{}", held.public_id);
    shop.app.api_get(other, &path).expect_refusal(404, "not_found");
    assert!(!different.contains(&own_address(&shop.app, owner)));
}

#[test]
fn coins_to_two_accounts_in_one_transaction_are_found_by_a_claim() {
    let shop = deriving();
    let (first, second) = (shop.app.account("0"), shop.app.account("0"));
    let payees = vec![own_address(&shop.app, &first), own_address(&shop.app, &second)];
    shop.caught_up();
    let payer = shop.mint.chain.deploy("Payer", ());
    let amounts = vec![U256::exp10(16), U256::exp10(15) * 5];
    let (from, whole) = (shop.mint.chain.account(1), U256::exp10(15) * 15);
    let tx =
        shop.mint.chain.send_paying(from, &payer, "multiPay", (payees.clone(), amounts), whole);
    shop.finalize();
    shop.caught_up();
    assert!(shop.deposits(tx).is_empty(), "only a trace shows it");
    let claim = claimed(&shop, &second, tx);
    let rows = shop.reaches(tx, DepositState::Credited);
    assert_eq!(rows.iter().map(|row| row.ordinal).collect::<HashSet<_>>().len(), 2);
    assert_eq!((shop.available(&first), shop.available(&second)), (20 * DOLLAR, 10 * DOLLAR));
    // Each is shown its own.
    let claim = reaches(&shop, &second, &claim, "matched");
    assert_eq!(claim["deposits"].as_array().unwrap().len(), 1, "{claim}");
    assert_eq!(claim["deposits"][0]["payee"], checksummed(payees[1]));
    assert_eq!(claim["deposits"][0]["value"], "10.00");
    assert_eq!(get(&shop.app, &first, "")["data"][0]["payee"], checksummed(payees[0]));
}

#[test]
fn a_claim_tells_what_it_waits_for_from_before_the_block_to_the_credit() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let wallet = Wallet::dev(1);
    let raw = wallet.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: shop.mint.chain.nonce(wallet.address()),
        to: shop.mint.usdc.address,
        data: shop.mint.usdc.input("transfer", (shop.mint.treasury, U256::from(25 * USDC))),
        ..Draft::default()
    });
    let tx = transaction_hash(&raw);
    let claim = claimed(&shop, &account, tx);
    assert_eq!((&claim["state"], &claim["deposits"]), (&json!("submitted"), &json!([])));
    shop.mine(1);
    reaches(&shop, &account, &claim, "not_found");

    shop.mint.chain.send_raw(&raw);
    let waiting = reaches(&shop, &account, &claim, "matched");
    let id = waiting["deposits"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/{id}");
    let unproven = eventually("a deposit that waits for a proof", || {
        let deposit = get(&shop.app, &account, &path);
        (deposit["state"] == "unattributed").then_some(deposit)
    });
    let address = checksummed(wallet.address());
    let step = json!({ "action": "prove_wallet", "chain": "base", "address": address });
    assert_eq!(unproven["next_step"], step);
    assert_eq!(get(&shop.app, &account, "")["data"], json!([]), "it is not the account's yet");

    let message = shop.app.challenge(&account, wallet.address());
    let proven = shop.app.prove(&account, &message, &wallet.sign_message(&message));
    assert_eq!(proven.status, 201);
    shop.reaches(tx, DepositState::Confirming);
    let mut seen = Vec::new();
    for _ in 0..3 {
        shop.caught_up();
        let confirmations = get(&shop.app, &account, &path)["confirmations"].clone();
        let (depth, needed) = (&confirmations["seen"], &confirmations["needed"]);
        assert!(depth.as_i64() < needed.as_i64(), "{confirmations}");
        seen.push(depth.as_i64().unwrap());
        shop.mine(1);
    }
    assert!(seen.is_sorted() && seen[0] < seen[2], "{seen:?}");

    shop.finalize();
    shop.credited(tx);
    let done = get(&shop.app, &account, &path);
    assert_eq!((&done["state"], &done["value"]), (&json!("credited"), &json!("25.00")));
    assert_eq!((&done["raw_amount"], &done["amount"]), (&json!("25000000"), &json!("25")));
    assert_eq!((&done["next_step"], &done["confirmations"]), (&Value::Null, &Value::Null));
    let list = get(&shop.app, &account, "");
    assert_eq!((&list["data"], &list["has_more"]), (&json!([done]), &json!(false)));
    assert_eq!(list["claims"][0]["id"], claim["id"]);
}

#[test]
fn a_list_is_read_in_pages_and_shows_nobody_elses() {
    let shop = Shop::open();
    let (account, other) = (shop.holder_of(1), shop.app.account("0"));
    let paid: Vec<H256> = (2..7).map(|dollars| shop.pay_usdc(1, dollars * USDC)).collect();
    shop.finalize();
    let ids: Vec<String> = paid.iter().map(|tx| shop.credited(*tx).public_id).collect();
    let (mut read, mut path) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = get(&shop.app, &account, &path);
        let found = page["data"].as_array().unwrap();
        read.extend(found.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        assert!(found.len() == 2 || page["has_more"] == false, "{page}");
        if page["has_more"] == false {
            break;
        }
        path = format!("?limit=2&before={}", read.last().unwrap());
    }
    read.reverse();
    assert_eq!(read, ids, "newest first, each once");
    let ask = |account: &Account, path: &str| {
        shop.app.api_get(account, &format!("/api/v1/deposits{path}"))
    };
    for path in ["?limit=0", "?limit=201", "?limit=-1", "?limit=x", "?limit=1.5", "?page=2"] {
        ask(&account, path).expect_refusal(400, "invalid_page");
    }
    ask(&account, "?before=dep_nothing").expect_refusal(404, "not_found");
    ask(&account, "/dep_nothing").expect_refusal(404, "not_found");

    // Another account sees none of it, and is not told whose it is.
    let claim = claimed(&shop, &account, paid[0]);
    for id in ids.iter().map(String::as_str).chain(claim["id"].as_str()) {
        assert_eq!(get(&shop.app, &account, &format!("/{id}"))["id"], id);
        ask(&other, &format!("/{id}")).expect_refusal(404, "not_found");
        ask(&other, &format!("?before={id}")).expect_refusal(404, "not_found");
    }
    let foreign = claimed(&shop, &other, paid[0]);
    assert_eq!(
        (&foreign["state"], &foreign["reason"]),
        (&json!("rejected"), &json!("other_account"))
    );
    assert_eq!(foreign["deposits"], json!([]));
    let whole = foreign.to_string();
    assert!(!whole.contains(&account.public_id) && !whole.contains(&ids[0]), "{whole}");
    assert_eq!(get(&shop.app, &other, "")["data"], json!([]));
}

#[test]
fn what_is_not_asked_properly_is_refused_and_repetitions_are_one_claim() {
    let shop = Shop::open();
    let (account, suspended, revoked) =
        (shop.app.account("0"), shop.app.account("0"), shop.app.account("0"));
    let post =
        |body: &str| shop.app.ask(&Request::post("/api/v1/deposits", body).key(&account.key));
    let body =
        |chain: &str, tx_hash: &str| json!({ "chain": chain, "tx_hash": tx_hash }).to_string();
    let elsewhere =
        shop.mint.chain.pay(shop.mint.chain.account(1), Address::repeat_byte(9), U256::one());
    let hash = hex(elsewhere.as_bytes());
    for body in ["", "[]", "{}", "{\"chain\":\"base\",\"tx_hash\":5}"] {
        post(body).expect_refusal(400, "invalid_body");
    }
    post(&format!("{{\"chain\":\"base\",\"tx_hash\":\"{hash}\",\"account\":1}}"))
        .expect_refusal(400, "invalid_body");
    post(&body("solana", &hash)).expect_refusal(404, "unknown_chain");
    let digits = hash.trim_start_matches("0x");
    let long = format!("{hash}0");
    let first = |digits: usize| hash.chars().take(2 + digits).collect::<String>();
    let odd = format!("{}g", first(63));
    assert_eq!(post(&body("base", digits)).status, 202, "without 0x");
    for wrong in [first(63).as_str(), &first(61), &long, &odd, "", "0x", "0x é"] {
        post(&body("base", wrong)).expect_refusal(400, "invalid_tx_hash");
    }
    let short = post(&body("base", &first(61))).text();
    assert!(short.contains("64 hexadecimal digits"), "{short}");
    post(&"x".repeat(65 * 1024)).expect_refusal(413, "body_too_large");
    let keyless = Request::post("/api/v1/deposits", body("base", &hash));
    shop.app.ask(&keyless).expect_refusal(401, "unauthenticated");
    shop.app.revoke(&revoked);
    shop.app.claim(&revoked, elsewhere).expect_refusal(401, "unauthenticated");
    shop.app.set_status(&suspended, "suspended");
    shop.app.claim(&suspended, elsewhere).expect_refusal(403, "account_suspended");
    let put = Request::new("PUT", "/api/v1/deposits").key(&account.key);
    shop.app.ask(&put).expect_refusal(405, "method_not_allowed");

    let claim = claimed(&shop, &account, elsewhere);
    for spelling in [format!("  {hash}\n"), format!("0x{}", digits.to_uppercase())] {
        let again = post(&body("base", &spelling));
        assert_eq!((again.status, &again.json()["id"]), (202, &claim["id"]));
    }
    let count: i64 = shop.app.db(|conn| deposit_claims::table.count().get_result(conn).unwrap());
    assert_eq!(count, 1);
    let refused = reaches(&shop, &account, &claim, "rejected");
    assert_eq!(refused["reason"], "not_our_address");
    // It may be looked at again, and is answered again.
    let again = claimed(&shop, &account, elsewhere);
    assert_eq!((&again["id"], &again["state"]), (&claim["id"], &json!("submitted")));
    reaches(&shop, &account, &claim, "rejected");
}

#[test]
fn p7_claims_are_limited_even_if_they_come_at_once() {
    let limited = |open: u32, hour: u32| {
        Shop::open_with(
            |builder| {
                builder
                    .set("deposits.open_claims_max_per_account", open)
                    .set("deposits.claims_per_hour_per_account", hour)
            },
            "",
        )
    };
    for (open, hour, code) in [(3, 100, "too_many_open_claims"), (100, 3, "too_many_claims")] {
        let shop = limited(open, hour);
        let (account, other) = (shop.app.account("0"), shop.app.account("0"));
        let send = |number: u8| shop.app.claim(&account, H256::repeat_byte(number));
        let answers: Vec<Response> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=8).map(|number| scope.spawn(move || send(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let kept = answers.iter().filter(|answer| answer.status == 202).count();
        assert_eq!(kept, 3, "{code}");
        for refused in answers.iter().filter(|answer| answer.status != 202) {
            refused.expect_refusal(429, code);
            assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        }
        claimed(&shop, &other, H256::repeat_byte(1));
    }
}
