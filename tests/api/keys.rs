//! Keys: what their owner may make of them, and that each does no more than it may, whoever asks
//! and how many at once.

mod budgets;
mod limits;
mod rotation;
mod scopes;

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::schema::api_keys;

use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::{body, sandbox};

const MODEL: &str = crate::support::sse::MODEL;

#[test]
fn a_key_is_made_shown_changed_and_revoked_by_its_owner() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    let limits = json!({
        "models": ["claude-haiku-4-5-20251001"], "monthly_budget": "5",
            "total_budget": "12.000000001",
        "requests_per_minute": 100, "max_streams": 7, "expires_at": "2027-01-31T00:00:00+01:00",
    });
    let limited = app.limited(&account, &limits);
    let shown = app.shown_key(&limited);
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["models"], json!(["claude-haiku-4-5"]), "under its priced id");
    assert_eq!(
        (&shown["monthly_budget"], &shown["total_budget"]),
        (&json!("5.00"), &json!("12.000000001"))
    );
    assert_eq!((&shown["requests_per_minute"], &shown["max_streams"]), (&json!(100), &json!(7)));
    assert_eq!(shown["expires_at"], "2027-01-30T23:00:00.000Z");
    assert_eq!((&shown["spent"], &shown["last_used_at"]), (&json!("0.00"), &Value::Null));
    assert!(shown.get("key").is_none(), "a key is shown once");

    let used = app.messages(&limited, &body(MODEL, false, "text"));
    assert_eq!(used.status, 200, "{}", used.text());
    app.settled(&limited, 1);
    let shown = app.shown_key(&limited);
    assert_eq!(shown["last_used_at"], "2026-11-22T12:00:00.000Z");
    assert_eq!(shown["spent"], shown["month_spent"]);
    assert_ne!(shown["spent"], "0.00");

    let changed = app
        .change_key(&limited, &json!({ "name": "=laptop", "models": null, "total_budget": null }));
    assert_eq!((&changed["name"], &changed["models"]), (&json!("=laptop"), &Value::Null));
    assert_eq!(
        (&changed["total_budget"], &changed["monthly_budget"]),
        (&Value::Null, &json!("5.00"))
    );
    assert_eq!(changed["spent"], shown["spent"], "what was spent stays spent");

    let all = app.as_person(&account, "GET", "/api/v1/keys", None).json();
    let ids: Vec<&str> =
        all["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [account.key_id.as_str(), limited.key_id.as_str()]);

    let path = format!("/api/v1/keys/{}", limited.key_id);
    assert_eq!(app.as_person(&account, "DELETE", &path, None).status, 204);
    assert_eq!(app.as_person(&account, "DELETE", &path, None).status, 204);
    assert_eq!(app.shown_key(&limited)["state"], "revoked");
    app.messages(&limited, &body(MODEL, false, "text")).expect_error(401, "authentication_error");
    let change = json!({ "total_budget": "1" });
    app.as_person(&account, "PATCH", &path, Some(&change)).expect_refusal(409, "key_revoked");
}

#[test]
fn what_no_key_can_have_is_refused_by_name() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let long = "x".repeat(65);
    let many = vec!["claude-haiku-4-5"; 101];
    for (wanted, status, code) in [
        (json!({}), 400, "invalid_body"),
        (json!({ "name": "x", "color": 1 }), 400, "invalid_body"),
        (json!({ "name": "x", "monthly_budget": 5 }), 400, "invalid_body"),
        (json!({ "name": "x", "max_streams": -1 }), 400, "invalid_body"),
        (json!({ "name": "x", "expires_at": "tomorrow" }), 400, "invalid_body"),
        (json!({ "name": "" }), 422, "invalid_name"),
        (json!({ "name": "  " }), 422, "invalid_name"),
        (json!({ "name": "a\nb" }), 422, "invalid_name"),
        (json!({ "name": long }), 422, "invalid_name"),
        (json!({ "name": "x", "models": [] }), 422, "invalid_models"),
        (json!({ "name": "x", "models": many }), 422, "invalid_models"),
        (json!({ "name": "x", "models": ["gpt"] }), 422, "unknown_model"),
        (json!({ "name": "x", "total_budget": "-1" }), 422, "invalid_budget"),
        (json!({ "name": "x", "requests_per_minute": 0 }), 422, "invalid_limit"),
        (json!({ "name": "x", "expires_at": "2026-11-22T12:00:00Z" }), 422, "expires_in_the_past"),
    ] {
        let response = app.as_person(&account, "POST", "/api/v1/keys", Some(&wanted));
        response.expect_refusal(status, code);
    }
    let path = format!("/api/v1/keys/{}", account.key_id);
    for (change, code) in [
        (json!({ "name": "" }), "invalid_name"),
        (json!({ "models": [] }), "invalid_models"),
        (json!({ "max_streams": 0 }), "invalid_limit"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_in_the_past"),
    ] {
        app.as_person(&account, "PATCH", &path, Some(&change)).expect_refusal(422, code);
    }
    assert_eq!(app.shown_key(&account)["state"], "active");
}

#[test]
fn s13_names_have_no_characters_that_are_not_seen_and_those_of_before_are_shown_without() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    let path = format!("/api/v1/keys/{}", account.key_id);
    for hidden in
        ["\u{202e}", "\u{2066}", "\u{200b}", "\u{200f}", "\u{feff}", "\u{2028}", "\u{e000}"]
    {
        let name = json!({ "name": format!("key{hidden}name") });
        app.as_person(&account, "POST", "/api/v1/keys", Some(&name))
            .expect_refusal(422, "invalid_name");
        app.as_person(&account, "PATCH", &path, Some(&name)).expect_refusal(422, "invalid_name");
    }
    app.messages(&account, &body(MODEL, false, "text")).expect_ok();
    let request = app.only_row(&account).id;
    // As an earlier version took it.
    let name = "total\u{202e}yek \u{200b}key";
    let stored = diesel::update(api_keys::table).set(api_keys::name.eq(name));
    assert_eq!(app.db(|conn| stored.execute(conn).unwrap()), 1);
    assert_eq!(app.shown_key(&account)["name"], "totalyek key");
    let receipt = app.api_get(&account, &format!("/api/v1/usage/{request}")).json();
    assert_eq!(receipt["key_name"], "totalyek key", "{receipt}");
    let browser = app.browser(&account);
    for page in ["/keys", &format!("/keys/{}", account.key_id), "/usage", "/usage?by=key"] {
        let text = browser.page(page);
        assert!(text.contains("totalyek key"), "{page}: {text}");
        assert!(!text.contains(['\u{202e}', '\u{200b}']), "{page}");
    }
    // Whoever changes something else of it keeps the name as it is shown.
    let changed = app.change_key(&account, &json!({ "total_budget": "0.000000001" }));
    assert_eq!(changed["name"], "totalyek key");
}

#[test]
fn an_account_has_as_many_keys_as_it_may_and_no_more_at_once() {
    let builder = Builder::new().set("accounts.keys_max_per_account", 5);
    let app = builder.upstream("sandbox", sandbox()).start();
    let account = app.account("0");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let make = || {
            let wanted = json!({ "name": "one of many" });
            app.as_person(&account, "POST", "/api/v1/keys", Some(&wanted)).status
        };
        let all: Vec<_> = (0..20).map(|_| scope.spawn(make)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 4, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 16, "{statuses:?}");
    // A revoked key makes room.
    let path = format!("/api/v1/keys/{}", account.key_id);
    assert_eq!(app.as_person(&account, "DELETE", &path, None).status, 204);
    app.limited(&account, &json!({}));
}

#[test]
fn a_key_is_nobody_elses_business_and_no_business_of_a_keys() {
    let app = TestApp::sandboxed();
    let (account, other) = (app.account("0"), app.account("0"));
    let path = format!("/api/v1/keys/{}", account.key_id);
    let change = json!({ "total_budget": "1" });
    for (method, body) in [("GET", None), ("PATCH", Some(&change)), ("DELETE", None)] {
        app.as_person(&other, method, &path, body).expect_refusal(404, "not_found");
        let request = match body {
            Some(body) => Request::new(method, &path).json(body),
            None => Request::new(method, &path),
        };
        let by_key = app.ask(&request.clone().key(&account.key));
        if method == "GET" {
            assert_eq!(by_key.status, 200, "{}", by_key.text());
        } else {
            by_key.expect_refusal(403, "session_required");
        }
        app.ask(&request).expect_refusal(401, "unauthenticated");
    }
    app.api_post(&account, "/api/v1/keys", &json!({ "name": "x" }))
        .expect_refusal(403, "session_required");
    assert_eq!(app.shown_key(&account)["state"], "active");
    assert_eq!(app.stored_key(&account).limits().total_budget, None);
    let listed = app.as_person(&other, "GET", "/api/v1/keys", None).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}
