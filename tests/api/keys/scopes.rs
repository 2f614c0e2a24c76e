//! What a key may be used for: each operation says which scopes it takes, and a key without any of
//! them is told so.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::Binary;
use serde_json::{Value, json};
use sluice::db::models::api_keys;
use sluice::db::schema::accounts;
use sluice::domain::key_scopes::{Scope, Scopes};

use crate::interface::{Operation, filled, operations};
use crate::support::app::{Account, TestApp};
use crate::support::client::{Request, Response};
use crate::support::sandbox::{body, body_with};

const MODEL: &str = crate::support::sse::MODEL;
const OWN: &[&str] = &["inference", "read"];
const ANY: &[&str] = &["billing", "inference", "read"];
const READ: &[&str] = &["read"];
const READ_OR_BILLING: &[&str] = &["billing", "read"];
const BILLING: &[&str] = &["billing"];
/// Only a person may ask.
const SESSION: &[&str] = &[];

/// What each operation takes of a key. Whoever adds an operation decides here as well.
const OPERATIONS: [(&str, &[&str]); 40] = [
    ("list_usage", OWN),
    ("get_usage_series", OWN),
    ("list_refusals", OWN),
    ("get_own_key", ANY),
    ("export_usage", OWN),
    ("get_usage", OWN),
    ("list_keys", OWN),
    ("get_key", OWN),
    ("list_ledger_entries", READ),
    ("export_ledger", READ),
    ("get_account", READ_OR_BILLING),
    ("list_deposits", READ_OR_BILLING),
    ("get_deposit", READ_OR_BILLING),
    ("follow_deposit", READ_OR_BILLING),
    ("follow_deposits", READ_OR_BILLING),
    ("list_wallets", READ_OR_BILLING),
    ("list_deposit_options", BILLING),
    ("claim_deposit", BILLING),
    ("issue_deposit_address", BILLING),
    ("create_wallet_challenge", BILLING),
    ("link_wallet", BILLING),
    // What takes something away from the owner, or leads to that, is for people.
    ("unlink_wallet", SESSION),
    ("create_key", SESSION),
    ("change_key", SESSION),
    ("rotate_key", SESSION),
    ("revoke_key", SESSION),
    ("get_account_archive", SESSION),
    ("close_account", SESSION),
    ("keep_account", SESSION),
    ("list_sessions", SESSION),
    ("log_out_everywhere", SESSION),
    ("log_out", SESSION),
    ("change_password", SESSION),
    ("ask_for_email_change", SESSION),
    ("set_up_totp", SESSION),
    ("enable_totp", SESSION),
    ("disable_totp", SESSION),
    ("renew_recovery_codes", SESSION),
    ("get_preferences", SESSION),
    ("set_preferences", SESSION),
];

fn scoped(app: &TestApp, account: &Account, scopes: &[&str]) -> Account {
    app.limited(account, &json!({ "scopes": scopes }))
}

/// The scopes of which a key needs one; none where only people may ask.
fn taken(operation: &Operation) -> Vec<&str> {
    let required = operation.tree["security"].as_array().unwrap();
    let mut of_keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (scheme, words) in required.iter().flat_map(|one| one.as_object().unwrap()) {
        let words = words.as_array().unwrap();
        if scheme.starts_with("api_key") {
            let [word] = words.as_slice() else { panic!("{scheme}: {words:?}") };
            of_keys.entry(scheme).or_default().push(word.as_str().unwrap());
        } else {
            assert!(words.is_empty(), "{scheme}: a session may do everything");
        }
    }
    let mut schemes = of_keys.into_values().map(|mut scopes| {
        scopes.sort_unstable();
        scopes
    });
    let scopes = schemes.next().unwrap_or_default();
    assert!(schemes.all(|other| other == scopes), "a key is a key in either header");
    scopes
}

fn expect_scope_refusal(response: &Response, scopes: &[&str]) {
    response.expect_refusal(403, "insufficient_scope");
    let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
    for scope in scopes {
        assert!(message.contains(&format!("`{scope}`")), "{message}");
    }
}

#[test]
fn every_operation_takes_the_scopes_that_it_states_and_no_others() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    let keys = Scope::ALL.map(|scope| (scope.as_str(), scoped(&app, &account, &[scope.as_str()])));
    let mut left: BTreeMap<&str, &[&str]> = BTreeMap::from(OPERATIONS);
    for operation in operations(&app) {
        if operation.schemes().is_empty() {
            continue;
        }
        let id = operation.tree["operationId"].as_str().unwrap().to_owned();
        let expected = left.remove(id.as_str()).unwrap_or_else(|| panic!("{id} is in no list"));
        assert_eq!(taken(&operation), expected, "{id}");
        for (scope, key) in &keys {
            let request = operation.request(&filled(&operation.path)).key(&key.key);
            let answer = app.connect().ask(&request);
            if operation.is_stream() && answer.status == 200 {
                // It goes on, so that only its head is looked at.
                assert!(expected.contains(scope), "{id} takes {scope}");
                continue;
            }
            let response = answer.finish();
            if expected.contains(scope) {
                assert!(![401, 403].contains(&response.status), "{id}: {}", response.text());
            } else if expected.is_empty() {
                response.expect_refusal(403, "session_required");
            } else {
                expect_scope_refusal(&response, expected);
            }
        }
    }
    assert!(left.is_empty(), "not offered: {left:?}");
}

#[test]
fn an_inference_key_reads_its_own_usage_and_limits_and_nothing_else() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let key = app.limited(&account, &json!({ "max_streams": 3 }));
    assert_eq!(app.shown_key(&key)["scopes"], json!(["inference"]), "what a new key has");
    for one in [&account, &key] {
        app.messages(one, &body(MODEL, false, "text")).expect_ok();
    }
    app.settled(&account, 2);
    let ids = |asker: &Account, path: &str| -> Vec<String> {
        let page = app.api_get(asker, path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let rows = page.json()["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let (all, own) = (ids(&account, "/api/v1/usage"), ids(&key, "/api/v1/usage"));
    assert_eq!((all.len(), own.len()), (2, 1));
    let other = all.iter().find(|id| !own.contains(id)).unwrap();
    assert_eq!(app.api_get(&key, &format!("/api/v1/usage/{}", own[0])).status, 200);
    for path in [
        format!("/api/v1/usage/{other}"),
        format!("/api/v1/usage?before={other}"),
        format!("/api/v1/usage?key={}", account.key_id),
        format!("/api/v1/usage/export?key={}", account.key_id),
        format!("/api/v1/keys/{}", account.key_id),
    ] {
        app.api_get(&key, &path).expect_refusal(404, "not_found");
    }
    let export = app.api_get(&key, "/api/v1/usage/export?format=jsonl").text();
    assert!(export.contains(&own[0]) && !export.contains(other.as_str()), "{export}");
    let requests = |asker: &Account, by: &str| {
        let series = app.api_get(asker, &format!("/api/v1/usage/series?by={by}")).json();
        let lines = series["lines"].as_array().unwrap().clone();
        lines.iter().map(|line| line["total"]["requests"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for by in ["total", "model", "key"] {
        assert_eq!(requests(&key, by), [1], "{by}");
        assert_eq!(requests(&account, by).iter().sum::<i64>(), 2, "{by}");
    }
    assert_eq!(ids(&key, "/api/v1/keys"), [key.key_id.as_str()]);
    let path = format!("/api/v1/keys/{}", key.key_id);
    assert_eq!(app.api_get(&key, &path).json()["max_streams"], 3);
    assert_eq!(ids(&account, "/api/v1/keys").len(), 2, "with `read` the metadata of all");
    for path in ["/api/v1/account", "/api/v1/deposits", "/api/v1/wallets"] {
        expect_scope_refusal(&app.api_get(&key, path), &["read", "billing"]);
    }
    expect_scope_refusal(&app.api_get(&key, "/api/v1/ledger"), READ);
    expect_scope_refusal(&app.api_get(&key, "/api/v1/deposits/options"), BILLING);
}

#[test]
fn a_key_without_inference_is_refused_at_v1_and_a_change_counts_for_the_next_request() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let key = scoped(&app, &account, &["read", "billing"]);
    let ask = body(MODEL, false, "text");
    let refused = || {
        for response in [
            app.messages(&key, &ask),
            app.ask(&Request::post("/v1/messages/count_tokens", ask.clone()).key(&key.key)),
            app.models(&key),
            app.ask(&Request::get(&format!("/v1/models/{MODEL}")).key(&key.key)),
        ] {
            response.expect_error(403, "permission_error");
            assert!(response.text().contains("`inference`"), "{}", response.text());
        }
    };
    refused();
    assert_eq!(app.api_get(&key, "/api/v1/account").status, 200);
    let changed = app.change_key(&key, &json!({ "scopes": ["inference"] }));
    assert_eq!(changed["scopes"], json!(["inference"]));
    app.messages(&key, &ask).expect_ok();
    expect_scope_refusal(&app.api_get(&key, "/api/v1/account"), &["read", "billing"]);
    let changed = app.change_key(&key, &json!({ "name": "renamed", "scopes": null }));
    assert_eq!(changed["scopes"], json!(["inference"]), "what is not named stays");
    app.change_key(&key, &json!({ "scopes": ["billing", "read", "read"] }));
    refused();
    assert_eq!(app.api_get(&key, "/api/v1/account").status, 200);
    app.settled(&account, 1);
}

#[test]
fn scopes_are_words_of_a_list_and_at_least_one() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let path = format!("/api/v1/keys/{}", account.key_id);
    for scopes in
        [json!([]), json!(["all"]), json!(["inference", "Read"]), json!(["inference read"])]
    {
        let wanted = json!({ "name": "x", "scopes": scopes });
        let made = app.as_person(&account, "POST", "/api/v1/keys", Some(&wanted));
        made.expect_refusal(422, "invalid_scopes");
        let changed = app.as_person(&account, "PATCH", &path, Some(&json!({ "scopes": scopes })));
        changed.expect_refusal(422, "invalid_scopes");
    }
    assert_eq!(app.stored_key(&account).limits().scopes, Scopes::ALL);
}

#[test]
fn a_key_from_before_scopes_does_what_it_did() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let row = app.db(|conn| {
        // As a version that knows no scopes stores a key.
        let insert = "INSERT INTO api_keys (public_id, account_id, name, hash, created_at) \
                      SELECT 'key_before', account_id, name, $1, 0 FROM api_keys";
        diesel::sql_query(insert).bind::<Binary, _>(vec![7; 32]).execute(conn).unwrap();
        api_keys::find(conn, "key_before").unwrap().unwrap()
    });
    assert_eq!(row.limits().scopes, Scopes::ALL);
    let shown = Account { key_id: row.public_id, ..account };
    assert_eq!(
        app.shown_key(&shown)["scopes"],
        Value::from(["inference", "read", "billing"].map(Value::from).to_vec())
    );
}

#[test]
fn a_402_says_what_the_account_has_and_holds_to_keys_alone_that_may_read_it() {
    let app = TestApp::sandboxed();
    let said = |scopes: &[&str], account: &Account, max_tokens: u64| {
        let limits = json!({ "max_tokens": max_tokens });
        let asked = body_with(MODEL, false, "text", &limits);
        app.messages(&scoped(&app, account, scopes), &asked).expect_error(402, "billing_error")
    };
    let (account, none) = (app.account("0.0123"), app.account("-0.0123"));
    // As if another request held it.
    hold(&app, &account, 7_700_000);
    for scopes in [&["inference", "read"], &["inference", "billing"]] {
        let short = said(scopes, &account, 60_000);
        assert!(short.starts_with("Your credit of 0.0123 USD does not cover"), "{short}");
        assert!(short.contains(" 0.0077 USD is on hold for"), "{short}");
        let nothing = said(scopes, &none, 60_000);
        assert!(nothing.starts_with("Your credit of -0.0123 USD does not cover any"), "{nothing}");
    }
    let short = said(&["inference"], &account, 60_000);
    assert!(!short.contains("0.0123") && !short.contains("on hold"), "{short}");
    assert!(short.starts_with("Your credit does not cover what this request may cost:"), "{short}");
    assert!(short.contains(" USD more is needed."), "{short}");
    assert!(short.contains(" Lower max_tokens to "), "{short}");
    assert!(short.ends_with("/deposits"), "{short}");
    let nothing = said(&["inference"], &none, 60_000);
    assert!(nothing.starts_with("Your credit does not cover any request"), "{nothing}");
    assert!(!nothing.contains("0.0123"), "{nothing}");
    hold(&app, &account, 0);
}

fn hold(app: &TestApp, account: &Account, nanos: i64) {
    app.db(|conn| {
        let held = accounts::reserved_nanousd.eq(nanos);
        diesel::update(accounts::table.find(account.id.0)).set(held).execute(conn).unwrap();
    });
}
