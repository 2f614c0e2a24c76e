//! Logging in: what is said, and how long it takes, to those who may and to those who may not.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice::accounts;
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::db::models::credentials;

use super::app_for_many_log_ins;
use crate::support::app::TestApp;
use crate::support::mail::Eml;
use crate::support::people::PASSWORD;

/// Opens an account as an operator does, without a password.
fn without_password(app: &TestApp, email: &str) {
    let now = app.clock.now();
    app.db(|conn| accounts::open(conn, email, now).unwrap());
}

#[test]
fn the_right_password_logs_in_and_any_other_is_refused_in_one_word() {
    let app = app_for_many_log_ins();
    let person = app.person();
    without_password(&app, "passive@example.org");
    let right = app.log_in(&person.email.to_uppercase(), PASSWORD);
    assert!(app.is_logged_in(&right.session()));
    let document = right.json();
    assert!(document["id"].as_str().unwrap().starts_with("session_"));
    assert_eq!(document["expires_at"], "2026-12-22T12:00:00.000Z");
    let wrong = app.log_in(&person.email, &PASSWORD.to_uppercase());
    wrong.expect_refusal(401, "wrong_credentials");
    let long = PASSWORD.repeat(10);
    for (email, password) in [
        (person.email.as_str(), ""),
        (person.email.as_str(), long.as_str()),
        (person.email.as_str(), "\0"),
        ("nobody@example.org", PASSWORD),
        ("passive@example.org", PASSWORD),
        ("passive@example.org", ""),
        ("", PASSWORD),
        ("a\0b@example.org", PASSWORD),
    ] {
        let refused = app.log_in(email, password);
        assert_eq!((refused.status, refused.text()), (401, wrong.text()), "{email} {password}");
    }
    // The public name of an account is no address.
    let name = app.by(&person.token, "GET", "/api/v1/account").json()["id"].clone();
    app.log_in(name.as_str().unwrap(), PASSWORD).expect_refusal(401, "wrong_credentials");
}

#[test]
fn each_log_in_is_mailed_about_but_the_first_with_a_password_that_was_just_reset() {
    let app = app_for_many_log_ins();
    let person = app.person();
    let told = || {
        app.all_mail_is_gone();
        let mails = app.all_mails();
        let of_log_ins = |mail: &&Eml| mail.header("Subject").unwrap().starts_with("New log-in");
        mails.iter().filter(of_log_ins).map(|mail| mail.body.clone()).collect::<Vec<_>>()
    };
    assert!(told().is_empty(), "the first session is of the sign-up");
    app.clock.advance(60_000);
    app.log_in(&person.email, PASSWORD).session();
    let mails = told();
    assert!(mails[0].contains("2026-11-22T12:01:00Z"), "{}", mails[0]);
    let page = format!("{}/account/sessions", app.settings.site.base_url.as_str());
    assert!(mails[0].contains(&page) && mails.len() == 1, "{}", mails[0]);

    let reset = |minutes: i64| {
        let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
        let reset = json!({ "token": link, "password": PASSWORD });
        app.post("/api/v1/password-resets/confirm", &reset).expect_done();
        app.clock.advance(minutes * 60_000);
        app.log_in(&person.email, PASSWORD).session();
    };
    reset(59);
    assert_eq!(told().len(), 1, "it is expected");
    app.log_in(&person.email, PASSWORD).session();
    assert_eq!(told().len(), 2, "the next one is not");
    reset(61);
    assert_eq!(told().len(), 3, "nor is one that comes much later");
}

#[test]
fn each_log_in_gets_a_token_of_its_own() {
    let app = app_for_many_log_ins();
    let person = app.person();
    let (one, two) = (app.log_in(&person.email, PASSWORD), app.log_in(&person.email, PASSWORD));
    assert_ne!(one.session(), two.session());
    assert_ne!(one.json()["id"], two.json()["id"]);
}

#[test]
fn the_time_of_a_refusal_does_not_tell_who_has_an_account() {
    let app = app_for_many_log_ins();
    let person = app.person();
    without_password(&app, "passive@example.org");
    let long = "x".repeat(100);
    let time = |email: &str, password: &str| {
        let began = Instant::now();
        let refused = app.log_in(email, password);
        let took = began.elapsed();
        refused.expect_refusal(401, "wrong_credentials");
        took
    };
    let others = [
        ("nobody@example.org", "wrong password"),
        ("passive@example.org", "wrong password"),
        ("no address", "wrong password"),
        ("nobody@example.org", long.as_str()),
    ];
    // Each beside one to an account that there is, so that whatever else this machine does meets
    // both; and the middle one of several, so that it does not matter when it meets only one.
    let mut ratios = [const { Vec::new() }; 4];
    for _ in 0..9 {
        let known = time(&person.email, "wrong password");
        assert!(known > Duration::from_millis(20), "a password is checked: {known:?}");
        for ((email, password), ratios) in others.iter().zip(&mut ratios) {
            ratios.push(time(email, password).as_secs_f64() / known.as_secs_f64());
        }
    }
    for (case, mut ratios) in others.iter().zip(ratios) {
        ratios.sort_unstable_by(f64::total_cmp);
        assert!((0.55..1.8).contains(&ratios[4]), "{case:?}: {ratios:?}");
    }
}

#[test]
fn a_cost_that_was_set_anew_is_taken_up_at_the_next_log_in() {
    let app = app_for_many_log_ins();
    let person = app.person();
    let cost = || {
        let known = app.db(|conn| credentials::get(conn, person.id).unwrap().unwrap());
        known.password_hash.unwrap().get(..7).unwrap().to_owned()
    };
    let cheap = bcrypt::hash(PASSWORD, 4).unwrap();
    app.db(|conn| credentials::renew_hash(conn, person.id, &cheap).unwrap());
    assert_eq!(cost(), "$2b$04$");
    assert!(app.has_password(&person.email, PASSWORD));
    assert_eq!(cost(), "$2b$12$");
    assert!(app.has_password(&person.email, PASSWORD));
    assert!(app.is_logged_in(&person.token), "it is the same password");
}

#[test]
fn a_body_of_another_shape_is_refused() {
    let app = app_for_many_log_ins();
    for body in [
        json!({}),
        json!({ "email": "a@example.org" }),
        json!({ "email": "a@example.org", "password": 5 }),
        json!({ "email": "a@example.org", "password": "x", "remember": true }),
        json!([]),
    ] {
        app.post("/api/v1/sessions", &body).expect_refusal(400, "invalid_body");
    }
}
