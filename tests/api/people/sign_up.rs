//! Opening an account by a mailed link.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;

use crate::support::app::{Builder, TestApp};
use crate::support::people::PASSWORD;
use crate::support::upstream::Upstream;

const CONFIRM: &str = "/api/v1/accounts/confirm";

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

#[test]
fn a_mailed_link_leads_to_an_account_and_a_session() {
    let app = app();
    let asked = app.post("/api/v1/accounts", &json!({ "email": "New.One@Example.org" }));
    assert_eq!(asked.status, 202, "{}", asked.text());
    let token = app.mails_to("new.one@example.org", 1).remove(0).token();
    // Nothing is there before the link was used.
    app.log_in("new.one@example.org", PASSWORD).expect_refusal(401, "wrong_credentials");
    let confirmed = app.post(CONFIRM, &json!({ "token": token, "password": PASSWORD }));
    let session = confirmed.session();
    let account = app.by(&session, "GET", "/api/v1/account").json();
    assert_eq!(account["email"], "new.one@example.org");
    assert_eq!(account["status"], "active");
    assert_eq!(account["available_usd"], "0.00");
    assert_eq!(account["has_totp"], false);
    assert!(app.has_password("NEW.one@example.ORG", PASSWORD));
}

#[test]
fn only_the_mail_says_that_an_address_has_an_account() {
    let app = app();
    let person = app.person();
    let known = app.post("/api/v1/accounts", &json!({ "email": person.email }));
    let unknown = app.post("/api/v1/accounts", &json!({ "email": "nobody@example.org" }));
    assert_eq!((known.status, known.text()), (202, unknown.text()));
    let to_known = app.mails_to(&person.email, 1).remove(0);
    assert!(!to_known.body.contains("?token"), "{}", to_known.body);
    assert!(!app.mails_to("nobody@example.org", 1).remove(0).token().is_empty());
}

#[test]
fn what_is_no_address_is_refused() {
    let app = app();
    let nul = "a\0b@example.org";
    let line = "a@example.org\r\nBcc: b@example.org";
    for email in ["", "a", "a@", "@example.org", "a b@example.org", "a@example..org", nul, line] {
        app.post("/api/v1/accounts", &json!({ "email": email }))
            .expect_refusal(400, "invalid_email");
    }
    app.post("/api/v1/accounts", &json!({ "email": 5 })).expect_refusal(400, "invalid_body");
    app.post("/api/v1/accounts", &json!({ "email": "a@example.org", "x": 1 }))
        .expect_refusal(400, "invalid_body");
    assert_eq!(app.waiting_mails(), 0);
}

#[test]
fn a_password_that_is_not_taken_leaves_the_link_as_it_is() {
    let app = app();
    let token = app.link(LinkPurpose::SignUp, None, "new@example.org");
    let longest = "twelve chars".repeat(6);
    let guessed = ["1234567890", "Basketball1", "new@example.org", "sluice sluice"];
    let unreadable = ["", "nine char", &format!("{longest}x"), &"üß".repeat(19), "ten\0 chars!"];
    for password in unreadable.into_iter().chain(guessed) {
        app.post(CONFIRM, &json!({ "token": token, "password": password }))
            .expect_refusal(400, "invalid_password");
    }
    app.post(CONFIRM, &json!({ "token": token, "password": longest })).session();
    assert!(app.has_password("new@example.org", &longest));
    assert!(!app.has_password("new@example.org", &format!("{longest}x")));
}

#[test]
fn a_link_works_once_for_its_purpose_and_for_a_day() {
    let app = app();
    let person = app.person();
    let refuse = |path: &str, token: &str| {
        app.post(path, &json!({ "token": token, "password": PASSWORD }))
            .expect_refusal(400, "invalid_token");
    };
    let reset = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    let change = app.link(LinkPurpose::Change, Some(person.id), "other@example.org");
    let sign_up = app.link(LinkPurpose::SignUp, None, "new@example.org");
    for token in ["", "mail_", "x", &person.token, &reset, &change, &sign_up.replace("mail_", "")] {
        refuse(CONFIRM, token);
    }
    for token in [&change, &sign_up] {
        refuse("/api/v1/password-resets/confirm", token);
    }
    for token in [&reset, &sign_up] {
        app.post("/api/v1/account/email/confirm", &json!({ "token": token }))
            .expect_refusal(400, "invalid_token");
    }
    // One more for the same address goes when the account is opened.
    let second = app.link(LinkPurpose::SignUp, None, "new@example.org");
    app.clock.advance(86_399_999);
    app.post(CONFIRM, &json!({ "token": sign_up, "password": PASSWORD })).session();
    refuse(CONFIRM, &sign_up);
    refuse(CONFIRM, &second);
    app.clock.advance(1);
    refuse("/api/v1/password-resets/confirm", &reset);
    app.post("/api/v1/account/email/confirm", &json!({ "token": change }))
        .expect_refusal(400, "invalid_token");
}

#[test]
fn a_link_that_is_used_twice_at_once_opens_one_account() {
    let app = app();
    let token = app.link(LinkPurpose::SignUp, None, "new@example.org");
    let body = json!({ "token": token, "password": PASSWORD });
    let mut statuses = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..4).map(|_| scope.spawn(|| app.post(CONFIRM, &body).status)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400, 400, 400]);
}

#[test]
fn two_links_that_are_used_at_once_open_one_account() {
    let app = app();
    let tokens = [0; 2].map(|_| app.link(LinkPurpose::SignUp, None, "new@example.org"));
    let statuses = std::thread::scope(|scope| {
        let ask = |token: &String| {
            let body = json!({ "token": token, "password": PASSWORD });
            let app = &app;
            scope.spawn(move || app.post(CONFIRM, &body).status)
        };
        tokens.each_ref().map(ask).map(|one| one.join().unwrap())
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    let other = statuses.into_iter().find(|status| *status != 201).unwrap();
    assert!(other == 400 || other == 409, "{other}");
}

#[test]
fn where_only_the_operator_opens_accounts_nobody_else_does() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.sign_up_open", false)
        .start();
    app.post("/api/v1/accounts", &json!({ "email": "new@example.org" }))
        .expect_refusal(403, "sign_up_closed");
    let token = app.link(LinkPurpose::SignUp, None, "new@example.org");
    app.post(CONFIRM, &json!({ "token": token, "password": PASSWORD }))
        .expect_refusal(403, "sign_up_closed");
    assert_eq!(app.waiting_mails(), 0);
}
