//! What people are told of trouble and of every state, and what stands in no answer and no log.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::models::deposits;
use sluice::db::schema::deposits as deposits_table;
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositReason, DepositState};

use crate::support::api::hex;
use crate::support::app::{Account, Builder, TestApp, open_account};
use crate::support::client::{Connection, Request, find};
use crate::support::deposit_rows::row;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::process::Process;
use crate::support::rpc::ANY;

/// What stands in a provider's address.
const SECRET: &str = "provider-key-5f1e9c";

fn get(app: &TestApp, account: &Account, path: &str) -> Value {
    let response = app.api_get(account, &format!("/api/v1/deposits{path}"));
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()
}

#[test]
fn trouble_with_a_chain_is_told_without_its_reasons() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 5 * USDC);
    shop.reaches(tx, DepositState::Confirming);
    shop.mint.alpha.die();
    shop.in_trouble("alpha");
    let claim = shop.app.claim(&account, tx).json();
    let options = get(&shop.app, &account, "/options");
    let list = get(&shop.app, &account, "");
    for status in [
        &options["data"][0]["chain_status"],
        &claim["chain_status"],
        &claim["deposits"][0]["chain_status"],
        &list["data"][0]["chain_status"],
    ] {
        assert_eq!(status["status"], "degraded", "{status}");
        assert!(status["detail"].as_str().unwrap().contains("Nothing is lost"), "{status}");
    }
    let told = format!("{options}{claim}{list}");
    let port = shop.mint.alpha.address.port().to_string();
    for secret in ["alpha", "beta", "127.0.0.1", "quorum", &port] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[test]
fn every_state_and_reason_has_words_for_the_person_who_waits() {
    let app = Builder::new().upstream("sandbox", crate::support::sandbox::sandbox()).start();
    let account = app.account("0");
    let states = DepositState::ALL.iter().map(|state| (state.as_str(), None));
    let reasons = DepositReason::ALL.iter().map(|reason| ("held", Some(reason.as_str())));
    for (number, (state, reason)) in (1_u8..).zip(states.chain(reasons)) {
        let row = row(&account, number, state, reason);
        app.db(|conn| deposits::insert(conn, &row).unwrap());
        let told = get(&app, &account, &format!("/{}", row.public_id));
        let message = told["message"].as_str().unwrap();
        assert!(message.len() > 10 && message.ends_with('.'), "{told}");
        assert_eq!((&told["state"], &told["raw_amount"]), (&json!(state), &json!("5000000")));
        assert_eq!(told["value"], "5.50");
    }
    // The books know nothing of them.
    app.db(|conn| diesel::delete(deposits_table::table).execute(conn).unwrap());
    let claims = ClaimState::ALL.iter().map(|state| state.sentence());
    for sentence in claims.chain(ClaimReason::ALL.iter().map(|reason| reason.sentence())) {
        assert!(sentence.len() > 10 && sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn the_addresses_of_providers_are_in_no_log() {
    let mint = Mint::open();
    let mut toml = mint.toml("");
    for provider in [&mint.alpha, &mint.beta] {
        toml = toml.replace(&provider.url(), &format!("{}/v2/{SECRET}", provider.url()));
    }
    let builder =
        Builder::new().upstream("sandbox", crate::support::sandbox::sandbox()).section(&toml);
    let process = Process::start(builder, &[("SLUICE__LOG__FILTER", "trace")]);
    let account = open_account(&mut process.database.connect(), "0");
    mint.alpha.wait_for(5, ANY);
    mint.beta.die();
    let body = json!({ "chain": "base", "tx_hash": hex(&[7; 32]) }).to_string();
    let claim = Request::post("/api/v1/deposits", body).key(&account.key);
    assert_eq!(Connection::open(process.address).ask(&claim).finish().status, 202);
    mint.alpha.forget();
    mint.alpha.wait_for(5, ANY);
    assert!(mint.alpha.posts()[0].line.contains(SECRET), "the provider is asked by it");
    let log = process.log();
    assert!(log.contains("TRACE"), "the log is at its finest: {log:.300}");
    if let Some(at) = find(log.as_bytes(), SECRET.as_bytes()) {
        let (from, to) = (at.saturating_sub(300), (at + 100).min(log.len()));
        panic!("…{}…", String::from_utf8_lossy(&log.as_bytes()[from..to]));
    }
}
