//! Being logged in: until when, by what, and what others may do meanwhile.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::domain::secret_token::{SecretToken, TokenKind};

use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::people::{PASSWORD, Person, by};
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/sessions";
const HOUR: i64 = 3_600_000;

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

fn ids(app: &TestApp, token: &str) -> Vec<String> {
    let list = app.by(token, "GET", PATH);
    assert_eq!(list.status, 200, "{}", list.text());
    let rows = list.json()["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_ends_with_its_time() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.session_hours", 48)
        .set("accounts.session_idle_hours", 24)
        .start();
    let person = app.person();
    // It is in use all the time, and ends all the same.
    for _ in 0..4 {
        assert!(app.is_logged_in(&person.token));
        app.clock.advance(12 * HOUR - 1);
    }
    app.clock.advance(3);
    assert!(app.is_logged_in(&person.token));
    app.clock.advance(1);
    assert!(!app.is_logged_in(&person.token));
}

#[test]
fn a_session_ends_with_silence() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.session_hours", 8760)
        .set("accounts.session_idle_hours", 24)
        .start();
    let person = app.person();
    let other = app.session_of(person.id);
    app.clock.advance(23 * HOUR);
    assert!(app.is_logged_in(&person.token));
    app.clock.advance(HOUR - 1);
    assert!(app.is_logged_in(&other));
    app.clock.advance(HOUR - 1);
    assert!(app.is_logged_in(&person.token));
    app.clock.advance(24 * HOUR - 1);
    let third = app.session_of(person.id);
    assert!(app.is_logged_in(&person.token));
    assert_eq!(ids(&app, &person.token).len(), 2, "what is over is not listed");
    app.clock.advance(24 * HOUR);
    for token in [&person.token, &other, &third] {
        assert!(!app.is_logged_in(token));
    }
}

#[test]
fn people_see_where_they_are_logged_in_and_log_out_there() {
    let app = app();
    let person = app.person();
    let second = app.session_of(person.id);
    let list = app.by(&second, "GET", PATH).json();
    let [newest, oldest] = [0, 1].map(|index| list["data"][index].clone());
    assert_eq!((&newest["is_current"], &oldest["is_current"]), (&json!(true), &json!(false)));
    assert_eq!(newest["created_at"], "2026-11-22T12:00:00.000Z");
    let known = newest.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(known, ["created_at", "expires_at", "id", "is_current", "last_seen_at"]);
    let path = format!("{PATH}/{}", oldest["id"].as_str().unwrap());
    app.by(&second, "DELETE", &path).expect_done();
    app.by(&second, "DELETE", &path).expect_refusal(404, "not_found");
    assert!(!app.is_logged_in(&person.token) && app.is_logged_in(&second));
    app.by(&second, "DELETE", &format!("{PATH}/current")).expect_done();
    assert!(!app.is_logged_in(&second));
}

#[test]
fn nobody_ends_the_sessions_of_somebody_else() {
    let app = app();
    let (person, other) = (app.person(), app.person());
    let path = format!("{PATH}/{}", ids(&app, &other.token)[0]);
    app.by(&person.token, "DELETE", &path).expect_refusal(404, "not_found");
    app.by(&person.token, "DELETE", PATH).expect_done();
    assert!(!app.is_logged_in(&person.token) && app.is_logged_in(&other.token));
}

#[test]
fn logging_out_everywhere_ends_all_sessions() {
    let app = app();
    let person = app.person();
    let others = [0; 3].map(|_| app.session_of(person.id));
    app.by(&others[1], "DELETE", PATH).expect_done();
    assert!(!app.is_logged_in(&person.token));
    assert!(others.iter().all(|token| !app.is_logged_in(token)));
}

#[test]
fn a_cookie_reads_alone_and_changes_with_the_word_of_our_pages_only() {
    let app = app();
    let person = app.person();
    let token = SecretToken::parse(TokenKind::Session, &person.token).unwrap();
    let wanted = json!({ "low_balance_usd": "1.00", "wants_notices": true });
    let with = |method: &str, cookie: &str, word: Option<&str>| {
        let request = Request::new(method, "/api/v1/preferences");
        let request = request.header("cookie", &format!("a=b; {cookie}={}", person.token));
        let request = if method == "GET" { request } else { request.json(&wanted) };
        app.ask(&match word {
            Some(word) => request.header("x-csrf-token", word),
            None => request,
        })
    };
    assert_eq!(with("GET", "sluice_session", None).status, 200);
    let other = SecretToken::random(TokenKind::Session).unwrap().csrf_token();
    for word in [None, Some(""), Some("x"), Some(other.as_str()), Some(person.token.as_str())] {
        with("PUT", "sluice_session", word).expect_refusal(403, "csrf_token");
    }
    with("PUT", "__Host-sluice_session", Some(&token.csrf_token()))
        .expect_refusal(401, "unauthenticated");
    assert_eq!(with("PUT", "sluice_session", Some(&token.csrf_token())).status, 200);
    assert_eq!(with("GET", "sluice_session", None).json(), wanted);
}

#[test]
fn behind_https_only_the_cookie_that_no_other_host_can_set_counts() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("site.base_url", "\"https://gateway.test\"")
        .set("site.support_email", "\"support@gateway.test\"")
        .start();
    let person = app.person();
    let status = |cookie: &str| {
        let cookie = format!("{cookie}={}", person.token);
        app.ask(&Request::get("/api/v1/account").header("cookie", &cookie)).status
    };
    assert_eq!(status("__Host-sluice_session"), 200);
    assert_eq!(status("sluice_session"), 401);
}

#[test]
fn an_api_key_does_nothing_that_only_a_person_may_do() {
    let app = app();
    let account = app.account("3.00");
    let both = json!({ "password": "x", "code": "x" });
    let wish = json!({ "low_balance_usd": null, "wants_notices": true });
    let session = ids(&app, &account.log_in(&app)).remove(0);
    for (method, path, body) in [
        ("GET", PATH, None),
        ("DELETE", PATH, None),
        ("DELETE", &format!("{PATH}/{session}"), None),
        ("PUT", "/api/v1/account/password", Some(json!({ "password": "x", "new_password": "y" }))),
        ("POST", "/api/v1/account/email", Some(json!({ "email": "a@b.org", "password": "x" }))),
        ("POST", "/api/v1/account/totp", Some(json!({ "password": "x" }))),
        ("PUT", "/api/v1/account/totp", Some(json!({ "code": "123456" }))),
        ("DELETE", "/api/v1/account/totp", Some(both.clone())),
        ("POST", "/api/v1/account/recovery-codes", Some(both)),
        ("GET", "/api/v1/preferences", None),
        ("PUT", "/api/v1/preferences", Some(wish)),
    ] {
        let request = Request::new(method, path).key(&account.key);
        let request = body.iter().fold(request, Request::json);
        app.ask(&request).expect_refusal(403, "session_required");
    }
    let told = app.api_get(&account, "/api/v1/account").json();
    assert_eq!(told["available_usd"], "3.00");
    for personal in [
        "email",
        "has_totp",
        "recovery_codes_left",
        "closing_at",
        "preferences",
        "sessions",
        "wallets",
        "usage_log_days",
    ] {
        assert!(told.get(personal).is_none(), "{told}");
    }
}

/// What an account that is not in force is answered, request by request.
fn assert_standing(app: &TestApp, person: &Person, look: u16, code: &str) {
    let status = |method: &str, path: &str, body: Option<Value>| {
        let request = by(&person.token, method, path);
        let response = app.ask(&body.iter().fold(request, Request::json));
        if response.status >= 400 {
            response.expect_refusal(403, code);
        }
        response.status
    };
    assert_eq!(status("GET", "/api/v1/account", None), 200);
    assert_eq!(status("GET", "/api/v1/preferences", None), look);
    assert_eq!(status("GET", "/api/v1/wallets", None), look);
    assert_eq!(status("GET", "/api/v1/deposits", None), look);
    let wish = json!({ "low_balance_usd": null, "wants_notices": true });
    assert_eq!(status("PUT", "/api/v1/preferences", Some(wish)), 403);
    let password = json!({ "password": PASSWORD });
    assert_eq!(status("POST", "/api/v1/account/totp", Some(password)), 403);
    let change = json!({ "password": PASSWORD, "new_password": "another one" });
    assert_eq!(status("PUT", "/api/v1/account/password", Some(change)), 403);
    let claim = json!({ "chain": "base", "tx_hash": "0x" });
    assert_eq!(status("POST", "/api/v1/deposits", Some(claim)), 403);
    let link = app.link(LinkPurpose::Change, Some(person.id), "other@example.org");
    app.post("/api/v1/account/email/confirm", &json!({ "token": link })).expect_refusal(403, code);
    assert!(app.has_password(&person.email, PASSWORD));
    assert_eq!(status("DELETE", PATH, None), 204);
}

#[test]
fn a_suspended_account_logs_in_and_looks() {
    let app = app();
    let person = app.person();
    set(&app, &person, "status = 'suspended'");
    assert_eq!(app.by(&person.token, "GET", "/api/v1/account").json()["status"], "suspended");
    assert_standing(&app, &person, 200, "account_suspended");
}

#[test]
fn an_account_that_is_being_deleted_only_sees_that() {
    let app = app();
    let person = app.person();
    set(&app, &person, &format!("closing_at = {}", app.clock.now().as_millis()));
    let account = app.by(&person.token, "GET", "/api/v1/account").json();
    assert_eq!(account["status"], "closing");
    assert_eq!(account["closing_at"], "2026-11-22T12:00:00.000Z");
    assert_standing(&app, &person, 403, "account_closing");
}

fn set(app: &TestApp, person: &Person, sql: &str) {
    let sql = format!("UPDATE accounts SET {sql} WHERE id = {}", person.id.0);
    assert_eq!(app.db(|conn| diesel::sql_query(sql).execute(conn).unwrap()), 1);
}
