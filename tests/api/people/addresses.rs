//! One mailbox is one account with one limit, however its address is spelled; and who has an
//! account under a spelling that earlier versions took keeps it.

use diesel::prelude::*;
use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::db::schema::accounts;
use sluice::domain::mail::MailKind;

use super::app_for_many_log_ins;
use crate::support::app::{Builder, TestApp};
use crate::support::people::{PASSWORD, Person};
use crate::support::upstream::Upstream;

const SPELLINGS: [&str; 8] = [
    "victim@example.org",
    "  Victim@Example.ORG ",
    "vic\u{ad}tim@example.org",
    "victim@example.org\u{200b}",
    "ｖｉｃｔｉｍ@example.org",
    "ⓥⓘⓒⓣⓘⓜ@ｅｘａｍｐｌｅ.org",
    "victim@example。org",
    "vic\u{2060}tim@exam\u{ad}ple.org",
];

/// Somebody whose account an earlier version has opened.
fn person_at(app: &TestApp, email: &str) -> Person {
    let person = app.person();
    app.db(|conn| {
        let row = accounts::table.find(person.id.0);
        diesel::update(row).set(accounts::email.eq(email)).execute(conn).unwrap();
    });
    Person { email: email.to_owned(), ..person }
}

#[test]
fn p7_eight_spellings_of_a_mailbox_get_no_more_mails_than_one() {
    let app = app_for_many_log_ins();
    let ask = |email: &str| app.post("/api/v1/accounts", &json!({ "email": email })).status;
    let mut accepted = 0;
    for _ in 0..5 {
        accepted += SPELLINGS.iter().filter(|spelling| ask(spelling) == 202).count();
    }
    assert_eq!(accepted, 5);
    app.mails_to("victim@example.org", 5);
    for quoted in ["\"victim\"@example.org", "\"vic\tim\"@example.org", "\"vic\\tim\"@example.org"]
    {
        assert_eq!(ask(quoted), 400, "{quoted}");
    }
}

#[test]
fn all_spellings_of_a_mailbox_are_one_account() {
    let app = app_for_many_log_ins();
    let open = |email: &str| {
        let token = app.link(LinkPurpose::SignUp, None, email);
        app.post("/api/v1/accounts/confirm", &json!({ "token": token, "password": PASSWORD }))
    };
    open("ｖｉｃｔｉｍ@example.org").session();
    for spelling in SPELLINGS {
        assert!(app.has_password(spelling, PASSWORD), "{spelling:?}");
        open(spelling).expect_refusal(409, "email_taken");
    }
}

#[test]
fn p7_all_spellings_of_an_address_are_guessed_at_as_one() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.failed_logins_max", 3)
        .start();
    let person = person_at(&app, "a@bücher.example");
    for spelling in ["a@bücher.example", "A@xn--bcher-kva.example", "ａ@BÜCHER.example "] {
        assert!(!app.has_password(spelling, "wrong password"));
    }
    app.log_in(&person.email, PASSWORD).expect_refusal(429, "too_many_attempts");
    // A session guesses at the same.
    let body = json!({ "password": PASSWORD, "new_password": "another 83 password" });
    app.by_with(&person.token, "PUT", "/api/v1/account/password", &body)
        .expect_refusal(429, "too_many_attempts");
}

#[test]
fn an_account_under_an_earlier_spelling_is_still_its_owners() {
    let app = app_for_many_log_ins();
    for email in ["\"odd,name\"@example.org", "odd@example.org\u{200b}", "ｏdd@example.com"] {
        person_at(&app, email);
        app.log_in(email, PASSWORD).session();
        app.log_in(&format!(" {} ", email.to_uppercase()), PASSWORD).session();
    }
    app.log_in("odd@example.org", PASSWORD).expect_refusal(401, "wrong_credentials");
    let person = person_at(&app, "a@bücher.example");
    for spelling in ["a@bücher.example", "A@BÜCHER.example", "a@xn--bcher-kva.example"] {
        app.log_in(spelling, PASSWORD).session();
    }
    // It is the same mailbox, so that it has an account, and its mail arrives.
    let canonical = "a@xn--bcher-kva.example";
    for path in ["/api/v1/accounts", "/api/v1/password-resets"] {
        assert_eq!(app.post(path, &json!({ "email": "a@bücher.example" })).status, 202);
    }
    let mails = app.mails_to(canonical, 2);
    let tokens = mails.iter().filter(|mail| mail.body.contains("/reset/confirm?token")).count();
    assert_eq!(tokens, 1, "one for a new password, and one that says that there is an account");
    let token = app.link(LinkPurpose::SignUp, None, canonical);
    app.post("/api/v1/accounts/confirm", &json!({ "token": token, "password": PASSWORD }))
        .expect_refusal(409, "email_taken");
    // Its owner may take the form that is in use now, and nobody else.
    let change = |id| {
        let token = app.link(LinkPurpose::Change, Some(id), canonical);
        app.post("/api/v1/account/email/confirm", &json!({ "token": token }))
    };
    change(app.person().id).expect_refusal(409, "email_taken");
    change(person.id).expect_done();
    app.log_in("a@bücher.example", PASSWORD).session();
}

#[test]
fn mail_goes_to_the_host_that_each_mail_server_can_carry() {
    let app = app_for_many_log_ins();
    app.put_mail(MailKind::EmailChanged, "a@bücher.example", None);
    app.mails_to("a@xn--bcher-kva.example", 1);
}
