//! Keys that get another secret, and keys that their owner pauses.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::schema::{api_keys, audit_log};

use super::MODEL;
use crate::support::app::{Account, TestApp};
use crate::support::client::Response;
use crate::support::desk::Cli;
use crate::support::sandbox::body;

const HOUR: i64 = 3_600_000;

fn ask(app: &TestApp, account: &Account) -> Response {
    app.messages(account, &body(MODEL, false, "text;input=100;output=10"))
}

fn rotate(app: &TestApp, account: &Account, wish: &Value) -> Value {
    let path = format!("/api/v1/keys/{}/rotate", account.key_id);
    let rotated = app.as_person(account, "POST", &path, Some(wish));
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    rotated.json()
}

/// The account by the secret that a rotation has answered with.
fn with_secret(account: &Account, rotated: &Value) -> Account {
    let key = rotated["key"].as_str().unwrap().to_owned();
    Account { key, ..account.clone() }
}

#[test]
fn both_secrets_of_a_rotated_key_are_one_key_with_one_budget_until_the_overlap_ends() {
    let app = TestApp::sandboxed();
    let rich = app.account("10");
    let old = app.limited(&rich, &json!({ "total_budget": "5", "max_streams": 7 }));
    let before = app.shown_key(&old);
    assert_eq!(ask(&app, &old).status, 200);
    let rotated = rotate(&app, &old, &json!({ "overlap": "1h" }));
    let new = with_secret(&old, &rotated);
    assert_eq!((&rotated["id"], &rotated["max_streams"]), (&before["id"], &json!(7)));
    assert_eq!(rotated["previous_hint"], before["hint"]);
    assert_eq!(rotated["previous_expires_at"], "2026-11-22T13:00:00.000Z");
    let hint = format!("sluice_\u{2026}{}", new.key_end());
    assert_eq!(rotated["hint"], json!(hint));
    for account in [&old, &new] {
        assert_eq!(ask(&app, account).status, 200);
    }
    app.settled(&old, 3);
    let spent = app.shown_key(&old)["spent"].clone();
    assert_eq!(spent, "0.00045", "of three requests, by both");
    let used_up = app.change_key(&new, &json!({ "total_budget": "0.00045" }));
    assert_eq!(used_up["state"], "paused");
    for account in [&old, &new] {
        ask(&app, account).expect_error(402, "billing_error");
    }
    app.change_key(&new, &json!({ "total_budget": "5" }));

    app.clock.advance(HOUR - 1);
    assert_eq!(ask(&app, &old).status, 200);
    app.clock.advance(1);
    let message = ask(&app, &old).expect_error(401, "authentication_error");
    assert_eq!(message, "This API key has expired.");
    assert_eq!(ask(&app, &new).status, 200);
    assert_eq!(app.shown_key(&new)["previous_hint"], Value::Null);

    // At once: the one that was new is refused.
    let newest = with_secret(&new, &rotate(&app, &new, &json!({ "overlap": "now" })));
    let message = ask(&app, &new).expect_error(401, "authentication_error");
    assert_eq!(message, "invalid x-api-key");
    assert_eq!(ask(&app, &newest).status, 200);
    let path = format!("/api/v1/keys/{}/rotate", new.key_id);
    let wish = json!({ "overlap": "2h" });
    app.as_person(&new, "POST", &path, Some(&wish)).expect_refusal(422, "invalid_overlap");
    // An overlap that is not over ends with the next rotation, and revoking ends both.
    let last = with_secret(&newest, &rotate(&app, &newest, &json!({})));
    assert_eq!(ask(&app, &newest).status, 200);
    let revoke = format!("/api/v1/keys/{}", new.key_id);
    assert_eq!(app.as_person(&new, "DELETE", &revoke, None).status, 204);
    for account in [&newest, &last] {
        ask(&app, account).expect_error(401, "authentication_error");
    }
    app.as_person(&new, "POST", &path, Some(&json!({}))).expect_refusal(409, "key_revoked");
}

#[test]
fn a_leaked_secret_revokes_its_key_as_long_as_it_works_and_no_longer() {
    let app = TestApp::sandboxed();
    let desk = Cli::beside(&app);
    let account = app.account("1");
    let new = with_secret(&account, &rotate(&app, &account, &json!({ "overlap": "1h" })));
    let found = app.folder().join("found.txt");
    std::fs::write(&found, &account.key).unwrap();
    // By the operator's clock, which is not this test's.
    let works_until = |millis: i64| {
        let key = api_keys::table.filter(api_keys::public_id.eq(&account.key_id));
        let ends = diesel::update(key).set(api_keys::previous_expires_at.eq(millis));
        app.db(|conn| ends.execute(conn).unwrap());
    };
    let revoke = || {
        let path = found.display().to_string();
        let said = desk.json(&["key", "revoke", "--leaked", &path]);
        (said["revoked"].clone(), app.shown_key(&new)["state"].clone())
    };
    works_until(1);
    assert_eq!(revoke(), (json!(0), json!("active")));
    works_until(i64::MAX / 2);
    assert_eq!(revoke(), (json!(1), json!("revoked")));
}

#[test]
fn a_key_that_its_owner_has_paused_is_refused_everywhere_until_they_resume_it() {
    let app = TestApp::sandboxed();
    let rich = app.account("10");
    let account = app.limited(&rich, &json!({ "total_budget": "0" }));
    let paused = app.change_key(&account, &json!({ "paused": true, "total_budget": null }));
    assert_eq!((&paused["state"], &paused["paused_by"]), (&json!("paused"), &json!("owner")));
    let message = ask(&app, &account).expect_error(403, "permission_error");
    assert_eq!(message, "This API key is paused. Its owner can resume it.");
    app.models(&account).expect_error(403, "permission_error");
    assert_eq!(ask(&app, &rich).status, 200, "the account's other key");
    let renamed = app.change_key(&account, &json!({ "name": "still" }));
    assert_eq!(renamed["paused_by"], "owner", "another change resumes nothing");
    let resumed = app.change_key(&account, &json!({ "paused": false }));
    assert_eq!((&resumed["state"], &resumed["paused_by"]), (&json!("active"), &Value::Null));
    assert_eq!(ask(&app, &account).status, 200);

    // Behind this node's back: its memory still says that the key may ask.
    app.settled(&account, 2);
    let pause = diesel::update(api_keys::table.filter(api_keys::public_id.eq(&account.key_id)))
        .set(api_keys::paused_at.eq(app.clock.now().as_millis()));
    app.db(|conn| pause.execute(conn).unwrap());
    let message = ask(&app, &account).expect_error(403, "permission_error");
    assert_eq!(message, "This API key is paused. Its owner can resume it.");
}

#[test]
fn an_operator_pauses_resumes_and_rotates_keys_and_the_audit_log_has_it() {
    let app = TestApp::sandboxed();
    let desk = Cli::beside(&app);
    let account = app.account("1");
    let key = account.key_id.as_str();
    assert_eq!(desk.run(&["key", "pause", key]).out.trim(), format!("{key} is paused"));
    ask(&app, &account).expect_error(403, "permission_error");
    let listed = desk.run(&["key", "list", &account.public_id]).out;
    assert!(listed.contains("paused (by its owner)") && listed.contains("sluice_"), "{listed}");
    assert_eq!(desk.run(&["key", "resume", key]).out.trim(), format!("{key} is resumed"));
    let other = app.account("1");
    let rotated = desk.json(&["key", "rotate", &other.key_id, "--overlap", "now"]);
    let new = with_secret(&other, &rotated);
    assert_eq!(ask(&app, &new).status, 200);
    ask(&app, &other).expect_error(401, "authentication_error");
    let decisions: Vec<String> = app.db(|conn| {
        let log = audit_log::table.order(audit_log::id).select(audit_log::action);
        log.load(conn).unwrap()
    });
    assert_eq!(decisions, ["key_paused", "key_resumed", "key_rotated"]);
}

#[test]
fn a_new_key_and_a_rotated_one_are_mailed_about_by_name_and_hint_and_never_in_clear() {
    let app = TestApp::sandboxed();
    let rich = app.account("1");
    let made = app.limited(&rich, &json!({}));
    let rotated = with_secret(&made, &rotate(&app, &made, &json!({ "overlap": "24h" })));
    app.all_mail_is_gone();
    let mails = app.all_mails();
    assert_eq!(mails.len(), 2, "none of what an operator has made");
    for (account, words) in [(&made, "was created"), (&rotated, "2026-11-23T12:00:00Z")] {
        let mut about = mails.iter().filter(|mail| mail.body.contains(account.key_end()));
        let mail = about.next().unwrap();
        assert!(mail.body.contains("limited") && mail.body.contains(words), "{}", mail.body);
        assert!(!mail.body.contains(account.key.get(40..).unwrap()), "{}", mail.body);
    }
}
