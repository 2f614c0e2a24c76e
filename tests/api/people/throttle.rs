//! P7: how often something may be tried, by account and by client.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;

use crate::support::app::{Builder, TestApp};
use crate::support::client::{Request, Response};
use crate::support::people::{PASSWORD, by};
use crate::support::upstream::Upstream;

fn app_with(key: &str, most: u32) -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).set(key, most).start()
}

#[test]
fn p7_after_some_wrong_passwords_the_right_one_is_not_looked_at() {
    let app = app_with("accounts.failed_logins_max", 3);
    let person = app.person();
    for email in [person.email.as_str(), "nobody@example.org"] {
        for _ in 0..3 {
            app.log_in(email, "wrong password").expect_refusal(401, "wrong_credentials");
        }
        let refused = app.log_in(&email.to_uppercase(), PASSWORD);
        refused.expect_refusal(429, "too_many_attempts");
        assert_eq!(refused.header("retry-after"), Some("900"));
    }
    // Who is logged in already stays so, and another account has nothing to do with it.
    assert!(app.is_logged_in(&person.token));
    assert!(app.has_password(&app.person().email, PASSWORD));
    app.clock.advance(899_999);
    app.log_in(&person.email, PASSWORD).expect_refusal(429, "too_many_attempts");
    app.clock.advance(1);
    assert!(app.has_password(&person.email, PASSWORD));
}

#[test]
fn p7_a_success_starts_the_count_anew() {
    let app = app_with("accounts.failed_logins_max", 3);
    let person = app.person();
    for _ in 0..2 {
        for _ in 0..2 {
            assert!(!app.has_password(&person.email, "wrong password"));
        }
        assert!(app.has_password(&person.email, PASSWORD));
    }
}

#[test]
fn p7_guesses_at_once_are_counted_like_guesses_in_turn() {
    let app = app_with("accounts.failed_logins_max", 3);
    let person = app.person();
    let mut statuses = std::thread::scope(|scope| {
        let guess = |_| scope.spawn(|| app.log_in(&person.email, "wrong password").status);
        let guesses: Vec<_> = (0..12).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect::<Vec<_>>()
    });
    statuses.sort_unstable();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 9, "{statuses:?}");
}

#[test]
fn p7_whoever_holds_a_session_cannot_guess_the_password_either() {
    let app = app_with("accounts.failed_logins_max", 3);
    let person = app.person();
    let body = json!({ "password": "wrong password", "new_password": "another password" });
    for _ in 0..3 {
        app.by_with(&person.token, "PUT", "/api/v1/account/password", &body)
            .expect_refusal(403, "wrong_password");
    }
    app.by_with(&person.token, "PUT", "/api/v1/account/password", &body)
        .expect_refusal(429, "too_many_attempts");
    app.log_in(&person.email, PASSWORD).expect_refusal(429, "too_many_attempts");
}

/// A server behind a proxy, where clients may be anywhere: three guesses of each, so many of all.
fn proxied(from_all: u32) -> TestApp {
    Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("server.behind_tls_proxy", true)
        .set("accounts.failed_logins_max", 3)
        .set("accounts.failed_logins_max_from_all", from_all)
        .start()
}

fn log_in_from(app: &TestApp, client: &str, email: &str, password: &str) -> Response {
    let body = json!({ "email": email, "password": password });
    let request = Request::new("POST", "/api/v1/sessions").json(&body);
    app.ask(&request.header("x-forwarded-for", client))
}

#[test]
fn p7_who_guesses_from_one_place_keeps_nobody_out_who_logs_in_from_another() {
    let app = proxied(100);
    let person = app.person();
    let from = |client: &str, password: &str| log_in_from(&app, client, &person.email, password);
    for _ in 0..3 {
        from("192.0.2.1", "wrong password").expect_refusal(401, "wrong_credentials");
    }
    from("192.0.2.1", PASSWORD).expect_refusal(429, "too_many_attempts");
    from("192.0.2.2", PASSWORD).session();
    // Whoever guesses has gained nothing by it.
    from("192.0.2.1", PASSWORD).expect_refusal(429, "too_many_attempts");
    // A session is no other place.
    let body = json!({ "password": "wrong password", "new_password": "another password" });
    let change = |client: &str| {
        let request = by(&person.token, "PUT", "/api/v1/account/password").json(&body);
        app.ask(&request.header("x-forwarded-for", client))
    };
    change("192.0.2.1").expect_refusal(429, "too_many_attempts");
    change("192.0.2.2").expect_refusal(403, "wrong_password");
}

#[test]
fn p7_guesses_from_everywhere_are_counted_together_and_a_success_takes_back_its_own() {
    let app = proxied(6);
    let (person, other) = (app.person(), app.person());
    let from = |client: &str, password: &str| log_in_from(&app, client, &person.email, password);
    let wrong = |client: &str, count: u32| {
        for _ in 0..count {
            from(client, "wrong password").expect_refusal(401, "wrong_credentials");
        }
    };
    wrong("192.0.2.1", 3);
    wrong("192.0.2.2", 2);
    from("192.0.2.2", PASSWORD).session();
    // Three are left counted: there is room for three more, and not for a fourth.
    wrong("192.0.2.3", 2);
    wrong("192.0.2.4", 1);
    let refused = from("192.0.2.5", PASSWORD);
    refused.expect_refusal(429, "too_many_attempts");
    assert_eq!(refused.header("retry-after"), Some("900"));
    log_in_from(&app, "192.0.2.5", &other.email, PASSWORD).session();
    // A new password leaves nothing to be guessed at.
    let token = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    let reset = json!({ "token": token, "password": "another 83 password" });
    app.post("/api/v1/password-resets/confirm", &reset).expect_done();
    from("192.0.2.5", "another 83 password").session();
}

#[test]
fn p7_guesses_from_everywhere_at_once_are_counted_like_guesses_in_turn() {
    let app = proxied(5);
    let person = app.person();
    let mut statuses = std::thread::scope(|scope| {
        let (app, email) = (&app, person.email.as_str());
        let guess = |client: u8| {
            let client = format!("192.0.2.{}", client / 2);
            scope.spawn(move || log_in_from(app, &client, email, "wrong password").status)
        };
        let guesses: Vec<_> = (0..12).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect::<Vec<_>>()
    });
    statuses.sort_unstable();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 7, "{statuses:?}");
}

#[test]
fn an_address_gets_so_many_mails_whether_or_not_it_has_an_account() {
    let app = app_with("accounts.mails_per_address_max", 2);
    let person = app.person();
    for email in [person.email.as_str(), "nobody@example.org"] {
        for path in ["/api/v1/accounts", "/api/v1/password-resets"] {
            assert_eq!(app.post(path, &json!({ "email": email })).status, 202);
        }
        for path in ["/api/v1/accounts", "/api/v1/password-resets"] {
            let refused = app.post(path, &json!({ "email": email.to_uppercase() }));
            refused.expect_refusal(429, "too_many_attempts");
        }
    }
    assert_eq!(app.post("/api/v1/accounts", &json!({ "email": "a@example.org" })).status, 202);
    app.clock.advance(900_000);
    assert_eq!(app.post("/api/v1/accounts", &json!({ "email": person.email })).status, 202);
}

#[test]
fn an_account_cannot_write_to_the_whole_world() {
    let app = app_with("accounts.mails_per_address_max", 2);
    let person = app.person();
    let change = |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        app.by_with(&person.token, "POST", "/api/v1/account/email", &body)
    };
    assert_eq!(change("one@example.org").status, 202);
    assert_eq!(change("two@example.org").status, 202);
    change("three@example.org").expect_refusal(429, "too_many_attempts");
}

#[test]
fn p7_a_client_may_try_so_often_whatever_it_tries() {
    let app = app_with("accounts.attempts_per_client_max", 4);
    let link = app.link(LinkPurpose::SignUp, None, "new@example.org");
    let empty = json!({ "token": "mail_x", "password": PASSWORD });
    app.post("/api/v1/accounts", &json!({ "email": "new@example.org" }));
    app.post("/api/v1/password-resets", &json!({ "email": "new@example.org" }));
    app.post("/api/v1/accounts/confirm", &empty).expect_refusal(400, "invalid_token");
    app.log_in("nobody@example.org", "wrong password").expect_refusal(401, "wrong_credentials");
    for (path, body) in [
        ("/api/v1/accounts", json!({ "email": "new@example.org" })),
        ("/api/v1/password-resets", json!({ "email": "new@example.org" })),
        ("/api/v1/accounts/confirm", json!({ "token": link, "password": PASSWORD })),
        ("/api/v1/password-resets/confirm", empty),
        ("/api/v1/account/email/confirm", json!({ "token": "mail_x" })),
        ("/api/v1/sessions", json!({ "email": "nobody@example.org", "password": "wrong" })),
    ] {
        app.post(path, &body).expect_refusal(429, "too_many_attempts");
    }
    // Not even by saying that it is somebody else: nobody of ours stands in front.
    let body = json!({ "email": "new@example.org" });
    let forwarded = Request::new("POST", "/api/v1/accounts").json(&body);
    let forwarded = forwarded.header("x-forwarded-for", "192.0.2.1");
    app.ask(&forwarded).expect_refusal(429, "too_many_attempts");
    app.clock.advance(900_000);
    assert_eq!(app.post("/api/v1/accounts", &body).status, 202);
}

#[test]
fn p7_behind_a_proxy_a_client_is_whom_the_proxy_names() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("server.behind_tls_proxy", true)
        .set("accounts.attempts_per_client_max", 3)
        .start();
    let ask = |forwarded: &str| {
        let request = Request::new("POST", "/api/v1/accounts/confirm");
        let body = json!({ "token": "mail_x", "password": PASSWORD });
        app.ask(&request.json(&body).header("x-forwarded-for", forwarded)).status
    };
    for first in ["198.51.100.1", "198.51.100.2", "unknown"] {
        assert_eq!(ask(&format!("{first}, 192.0.2.1")), 400);
    }
    assert_eq!(ask("198.51.100.3, 192.0.2.1"), 429);
    assert_eq!(ask("192.0.2.2"), 400);
    // An IPv6 client has a whole network of addresses to itself.
    for last in 1..=3 {
        assert_eq!(ask(&format!("2001:db8:0:7::{last}")), 400);
    }
    assert_eq!(ask("2001:db8:0:7:ffff::1"), 429);
    assert_eq!(ask("2001:db8:0:8::1"), 400);
}
