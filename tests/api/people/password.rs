//! New passwords: by a mailed link, and with the old one.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::db::models::credentials;

use crate::support::app::{Builder, TestApp};
use crate::support::people::PASSWORD;
use crate::support::upstream::Upstream;

const NEW: &str = "another 83 password";
const CONFIRM: &str = "/api/v1/password-resets/confirm";

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

#[test]
fn a_mailed_link_sets_a_new_password_and_ends_all_sessions() {
    let app = app();
    let person = app.person();
    let second = app.session_of(person.id);
    let asked = app.post("/api/v1/password-resets", &json!({ "email": person.email }));
    assert_eq!(asked.status, 202, "{}", asked.text());
    let token = app.mails_to(&person.email, 1).remove(0).token();
    let unused = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    app.post(CONFIRM, &json!({ "token": token, "password": "short" }))
        .expect_refusal(400, "invalid_password");
    assert!(app.is_logged_in(&second), "nothing has changed so far");
    app.post(CONFIRM, &json!({ "token": token, "password": NEW })).expect_done();
    assert!(!app.is_logged_in(&person.token) && !app.is_logged_in(&second));
    assert!(!app.has_password(&person.email, PASSWORD));
    assert!(app.has_password(&person.email, NEW));
    for used in [token, unused] {
        app.post(CONFIRM, &json!({ "token": used, "password": PASSWORD }))
            .expect_refusal(400, "invalid_token");
    }
    // The owner is told, whoever it was.
    app.mails_to(&person.email, 2);
}

#[test]
fn of_two_links_that_are_used_at_once_one_sets_the_password() {
    let app = app();
    let person = app.person();
    let words = [NEW, "a third 29 password"];
    let links =
        words.map(|word| (app.link(LinkPurpose::Reset, Some(person.id), &person.email), word));
    let statuses = std::thread::scope(|scope| {
        let ask = |(token, word): &(String, &str)| {
            let body = json!({ "token": token, "password": word });
            let app = &app;
            scope.spawn(move || app.post(CONFIRM, &body).status)
        };
        links.each_ref().map(ask).map(|one| one.join().unwrap())
    });
    assert!(matches!(statuses, [204, 400] | [400, 204]), "{statuses:?}");
    for (word, status) in words.into_iter().zip(statuses) {
        assert_eq!(app.has_password(&person.email, word), status == 204);
    }
}

#[test]
fn asking_for_a_link_does_not_tell_who_has_an_account() {
    let app = app();
    let person = app.person();
    let known = app.post("/api/v1/password-resets", &json!({ "email": person.email }));
    let unknown = app.post("/api/v1/password-resets", &json!({ "email": "nobody@example.org" }));
    assert_eq!((known.status, known.text()), (202, unknown.text()));
    app.mails_to(&person.email, 1);
    app.all_mail_is_gone();
    assert!(app.mails_to("nobody@example.org", 0).is_empty());
}

#[test]
fn an_account_that_an_operator_has_opened_gets_its_first_password_by_a_link() {
    let app = app();
    let account = app.account("5.00");
    let email = app.by(&account.log_in(&app), "GET", "/api/v1/account").json()["email"].clone();
    let email = email.as_str().unwrap();
    app.post("/api/v1/password-resets", &json!({ "email": email }));
    let token = app.mails_to(email, 1).remove(0).token();
    app.post(CONFIRM, &json!({ "token": token, "password": NEW })).expect_done();
    let session = app.log_in(email, NEW).session();
    let document = app.by(&session, "GET", "/api/v1/account").json();
    assert_eq!(document["available_usd"], "5.00");
}

#[test]
fn p7_a_link_unlocks_what_guessing_has_locked() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.failed_logins_max", 3)
        .start();
    let person = app.person();
    for _ in 0..3 {
        assert!(!app.has_password(&person.email, "wrong password"));
    }
    app.log_in(&person.email, PASSWORD).expect_refusal(429, "too_many_attempts");
    let token = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    app.post(CONFIRM, &json!({ "token": token, "password": NEW })).expect_done();
    assert!(app.has_password(&person.email, NEW));
}

#[test]
fn the_second_factor_outlives_a_new_password() {
    let app = app();
    let person = app.person();
    let (authenticator, _) = app.enable_totp(&person);
    let token = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    app.post(CONFIRM, &json!({ "token": token, "password": PASSWORD })).expect_done();
    app.log_in(&person.email, PASSWORD).expect_refusal(401, "code_required");
    app.clock.advance(30_000);
    app.log_in_with(&person.email, &app.code_now(&authenticator)).session();
}

#[test]
fn the_old_password_sets_a_new_one_and_ends_the_other_sessions() {
    let app = app();
    let person = app.person();
    let second = app.session_of(person.id);
    let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    let change = |password: &str, new_password: &str| {
        let body = json!({ "password": password, "new_password": new_password });
        app.by_with(&person.token, "PUT", "/api/v1/account/password", &body)
    };
    change("wrong password", NEW).expect_refusal(403, "wrong_password");
    change(PASSWORD, "short").expect_refusal(400, "invalid_password");
    assert!(app.is_logged_in(&second));
    change(PASSWORD, NEW).expect_done();
    assert!(app.is_logged_in(&person.token), "who has changed it stays");
    assert!(!app.is_logged_in(&second));
    assert!(app.has_password(&person.email, NEW) && !app.has_password(&person.email, PASSWORD));
    app.post(CONFIRM, &json!({ "token": link, "password": PASSWORD }))
        .expect_refusal(400, "invalid_token");
    app.mails_to(&person.email, 1);
}

/// One password: composed, and as macOS types it, with a no-break space.
const SPELLINGS: [&str; 2] = ["Müller's 47 batteries", "Mu\u{308}ller's\u{a0}47 batteries"];

#[test]
fn a_password_is_the_same_on_every_keyboard() {
    let app = app();
    let person = app.person();
    for (set, given) in [(SPELLINGS[1], SPELLINGS[0]), (SPELLINGS[0], SPELLINGS[1])] {
        let token = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
        app.post(CONFIRM, &json!({ "token": token, "password": set })).expect_done();
        assert!(app.has_password(&person.email, given) && app.has_password(&person.email, set));
        let session = app.session_of(person.id);
        let body = json!({ "password": given, "new_password": NEW });
        app.by_with(&session, "PUT", "/api/v1/account/password", &body).expect_done();
    }
}

#[test]
fn a_password_that_was_hashed_as_it_was_typed_counts_in_every_spelling_after_its_next_log_in() {
    let app = app();
    let person = app.person();
    let [composed, decomposed] = SPELLINGS;
    let old = bcrypt::hash(decomposed, 12).unwrap();
    app.db(|conn| credentials::renew_hash(conn, person.id, &old).unwrap());
    assert!(!app.has_password(&person.email, composed));
    assert!(app.has_password(&person.email, decomposed));
    assert!(app.has_password(&person.email, composed));
    assert!(app.is_logged_in(&person.token), "that is no change of the password");
}

#[test]
fn what_is_guessed_first_is_refused_as_a_new_password_with_its_reason() {
    let app = app();
    let person = app.person();
    let local = person.email.split('@').next().unwrap();
    let own = format!("{}1999", local.to_uppercase());
    for (guessed, reason) in [
        ("1234567890", "too simple"),
        ("zzzzzzzzzzzz", "too simple"),
        ("BASKETBALL1", "too common"),
        ("Sluice sluice", "name of this service"),
        (person.email.as_str(), "email address"),
        (own.as_str(), "email address"),
    ] {
        let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
        let by_link = app.post(CONFIRM, &json!({ "token": link, "password": guessed }));
        let body = json!({ "password": PASSWORD, "new_password": guessed });
        let by_old = app.by_with(&person.token, "PUT", "/api/v1/account/password", &body);
        for refused in [by_link, by_old] {
            refused.expect_refusal(400, "invalid_password");
            assert!(refused.text().contains(reason), "{guessed}: {}", refused.text());
        }
    }
    // Who has had one of them so far logs in with it.
    let old = bcrypt::hash("1234567890", 12).unwrap();
    app.db(|conn| credentials::renew_hash(conn, person.id, &old).unwrap());
    assert!(app.has_password(&person.email, "1234567890"));
}
