//! Requests that were refused here: counted for the owner of a known key, and for nobody else.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts::usage::refusals::{KnownKey, RefusalCounts};
use sluice::db::schema::refused_requests;
use sluice::domain::clock::UtcDay;
use sluice::domain::ids::ApiKeyId;
use sluice::domain::refusal_cause::RefusalCause;

use super::get;
use crate::support::app::{Account, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::body;
use crate::support::sse::MODEL;

fn counts(app: &TestApp, account: &Account) -> Vec<(String, i64)> {
    let document = get(app, account, "/api/v1/usage/refusals");
    let one = |row: &Value| {
        assert_eq!(row["day"], "2026-11-22");
        (row["reason"].as_str().unwrap().to_owned(), row["requests"].as_i64().unwrap())
    };
    let mut counts: Vec<_> = document["data"].as_array().unwrap().iter().map(one).collect();
    counts.sort();
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(document["total"], total);
    counts
}

#[test]
fn what_is_refused_is_counted_by_reason() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    for _ in 0..3 {
        app.messages(&account, &body(MODEL, false, "text")).expect_error(402, "billing_error");
    }
    let rich = app.account("5");
    app.messages(&rich, &body("no-such-model", false, "text")).expect_error(404, "not_found_error");
    let bad = json!({ "model": MODEL, "messages": [] }).to_string();
    app.messages(&rich, &bad).expect_error(400, "invalid_request_error");
    assert_eq!(counts(&app, &account), [("balance".to_owned(), 3)]);
    assert_eq!(counts(&app, &rich), [("model".to_owned(), 1), ("request".to_owned(), 1)]);
}

#[test]
fn counts_are_added_to_those_that_are_stored_and_to_no_other_accounts() {
    let app = TestApp::sandboxed();
    let (account, other) = (app.account("5"), app.account("5"));
    let counts_of = RefusalCounts::default();
    let day = UtcDay::parse("2026-11-22").unwrap();
    let key = KnownKey { account_id: account.id, api_key_id: app.stored_key(&account).id };
    let gone = KnownKey { account_id: account.id, api_key_id: ApiKeyId(999_999) };
    for round in 1..=2 {
        for _ in 0..5 {
            counts_of.count(key, RefusalCause::RateLimit, day);
            counts_of.count(gone, RefusalCause::RateLimit, day);
        }
        app.db(|conn| counts_of.write(conn).unwrap());
        assert_eq!(counts(&app, &account), [("rate_limit".to_owned(), 5 * round)]);
    }
    let bad = json!({ "model": "no-such-model", "max_tokens": 1, "messages": [] }).to_string();
    app.messages(&account, &bad);
    assert_eq!(counts(&app, &account).len(), 2, "what is stored and what is in memory");
    assert_eq!(counts(&app, &other), []);
    let rows: i64 = app.db(|conn| refused_requests::table.count().get_result(conn).unwrap());
    assert_eq!(rows, 1, "one row, and none of a key that is gone");
    for path in ["?key=key_none", &format!("?key={}", other.key_id)] {
        let path = format!("/api/v1/usage/refusals{path}");
        app.api_get(&account, &path).expect_refusal(404, "not_found");
    }
    let bad = app.api_get(&account, "/api/v1/usage/refusals?from=2020-01-01");
    bad.expect_refusal(400, "invalid_query");
}

#[test]
fn a_refused_key_counts_for_its_owner_and_a_stranger_writes_nothing() {
    let app = TestApp::sandboxed();
    let account = app.account("5");
    let other = app.limited(&account, &json!({}));
    app.revoke(&other);
    app.messages(&other, &body(MODEL, false, "text")).expect_error(401, "authentication_error");
    let stranger = Request::post("/v1/messages", body(MODEL, false, "text"))
        .key("sluice_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk");
    assert_eq!(app.ask(&stranger).status, 401);
    assert_eq!(counts(&app, &account), [("key".to_owned(), 1)]);
    // What a request leaves in the usage log is not counted a second time.
    app.messages(&account, &body(MODEL, false, "text")).expect_ok();
    assert_eq!(counts(&app, &account), [("key".to_owned(), 1)]);
}
