//! The way to an account: signing up and logging in by forms, where one goes from there, and what
//! others may plant.

use sluice::accounts::identity::email_tokens::LinkPurpose;

use super::{app, builder};
use crate::support::forms::{Browser, form_to};
use crate::support::people::PASSWORD;

#[test]
fn somebody_signs_up_by_the_link_in_the_mail() {
    let app = app();
    let mut browser = Browser::new(&app);
    let form = browser.form("/sign-up", "/sign-up");
    let refused = browser.send(&form.clone().with("email", "nobody"));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("value=\"nobody\""), "what was typed is still there");
    let sent = browser.send(&form.with("email", "Ada@example.org"));
    assert_eq!((sent.status, sent.header("location")), (303, Some("/sign-up?sent")));
    let mail = app.mails_to("ada@example.org", 1).remove(0);
    let confirm = format!("/sign-up/confirm?token={}", mail.token());
    // Programs that read mail open links; that uses nothing up.
    for _ in 0..2 {
        assert_eq!(browser.get(&confirm).status, 200);
    }
    let form = browser.form(&confirm, "/sign-up/confirm");
    let short = browser.send(&form.clone().with("password", "short pw"));
    assert_eq!(short.status, 400, "{}", short.text());
    assert!(!short.text().contains("short pw"), "a password is never shown again");
    let opened = browser.send(&form.clone().with("password", PASSWORD));
    assert_eq!((opened.status, opened.header("location")), (303, Some("/dashboard")));
    let welcome = browser.get("/dashboard");
    assert!(welcome.text().contains("Your account is ready."), "{}", welcome.text());
    assert!(
        !browser.get("/dashboard").text().contains("Your account is ready."),
        "it is said once"
    );
    let mut other = Browser::new(&app);
    let form = other.form("/log-in", "/log-in");
    assert_eq!(other.get(&confirm).status, 200);
    assert!(other.get(&confirm).text().contains("no longer works"));
    let in_again = other.send(&form.with("email", "ada@example.org").with("password", PASSWORD));
    assert_eq!(in_again.header("location"), Some("/dashboard"), "{}", in_again.text());
}

#[test]
fn what_is_said_is_the_same_whoever_has_an_account() {
    let app = app();
    let person = app.person();
    let answers = ["nobody-here@example.org", &person.email].map(|email| {
        let mut browser = Browser::new(&app);
        let mut said = Vec::new();
        for page in ["/sign-up", "/reset"] {
            let form = browser.form(page, page);
            let answer = browser.send(&form.with("email", email));
            said.push((answer.status, answer.header("location").map(str::to_owned)));
            said.push((200, Some(browser.get(&format!("{page}?sent")).text())));
        }
        let form = browser.form("/log-in", "/log-in");
        let wrong = browser.send(&form.with("email", email).with("password", "wrong password"));
        let without = |text: String| {
            let word = form_to(&text, "/log-in").fields.remove(0).1;
            text.replace(email, "").replace(&word, "")
        };
        said.push((wrong.status, Some(without(wrong.text()))));
        said.into_iter()
            .map(|(status, text)| (status, text.map(|text| text.len())))
            .collect::<Vec<_>>()
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_log_in_leads_back_to_pages_of_ours_and_nowhere_else() {
    let app = app();
    let person = app.person();
    for (next, there) in [
        ("/keys", "/keys"),
        ("/usage?model=a-b&from=2026-11-01", "/usage?model=a-b&from=2026-11-01"),
        ("//evil.example", "/dashboard"),
        ("https://evil.example/keys", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("/keys\r\nset-cookie: a=b", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("/v1/messages", "/dashboard"),
        ("", "/dashboard"),
    ] {
        let mut browser = Browser::new(&app);
        let page = format!("/log-in?next={}", crate::support::forms::encoded(next));
        let form = browser.form(&page, "/log-in");
        // Both what the page has made of it, and what somebody puts in its place.
        for form in [form.clone(), form.with("next", next)] {
            let mut browser = Browser { app: &app, cookies: browser.cookies.clone() };
            let form = form.with("email", &person.email).with("password", PASSWORD);
            let answer = browser.send(&form);
            assert_eq!((answer.status, answer.header("location")), (303, Some(there)), "{next}");
            assert!(answer.header("a").is_none());
        }
    }
    let sent = Browser::new(&app).get("/usage?model=a&from=2026-11-01");
    let location = sent.header("location").unwrap();
    assert_eq!(location, "/log-in?next=/usage%3Fmodel%3Da%26from%3D2026-11-01");
}

#[test]
fn a_cookie_that_was_planted_is_not_the_session_after_the_log_in() {
    let app = app();
    let person = app.person();
    let mut attacker = Browser::new(&app);
    attacker.get("/log-in");
    let planted = attacker.cookies["sluice_form"].clone();
    let mut victim = Browser::new(&app);
    victim.cookies.insert("sluice_form".to_owned(), planted.clone());
    victim.cookies.insert("sluice_session".to_owned(), planted.clone());
    let form = victim.form("/log-in", "/log-in");
    let form = form.with("email", &person.email).with("password", PASSWORD);
    assert_eq!(victim.send(&form).status, 303);
    assert_ne!(victim.cookies["sluice_session"], planted);
    assert!(app.is_logged_in(&victim.cookies["sluice_session"]));
    assert!(!app.is_logged_in(&planted));
    let before = victim.cookies["sluice_session"].clone();
    let log_out = victim.form("/account", "/log-out");
    assert_eq!(victim.send(&log_out).header("location"), Some("/"));
    assert!(!victim.cookies.contains_key("sluice_session"));
    assert!(!app.is_logged_in(&before), "the token outlives the log-out");
}

#[test]
fn a_second_factor_is_asked_for_between_password_and_session() {
    let app = app();
    let person = app.person();
    let (authenticator, codes) = app.enable_totp(&person);
    app.clock.advance(60_000);
    let mut browser = Browser::new(&app);
    let form = browser.form("/log-in?next=/keys", "/log-in");
    let asked = browser.send(&form.with("email", &person.email).with("password", PASSWORD));
    assert_eq!(asked.header("location"), Some("/log-in/code?next=/keys"));
    assert!(!browser.cookies.contains_key("sluice_session"));
    assert_eq!(browser.get("/keys").status, 303, "the password alone opens nothing");
    let form = browser.form("/log-in/code?next=/keys", "/log-in/code");
    let wrong = browser.send(&form.clone().with("code", "000000"));
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    let right = browser.send(&form.clone().with("code", &app.code_now(&authenticator)));
    assert_eq!((right.status, right.header("location")), (303, Some("/keys")));
    assert_eq!(browser.get("/keys").status, 200);
    let mut without_step = Browser::new(&app);
    let form = without_step.form("/log-in", "/log-in");
    let mut form = form.with("code", &codes[0]);
    form.action = "/log-in/code".to_owned();
    assert_eq!(without_step.send(&form).status, 422);
}

#[test]
fn a_reset_by_mail_ends_every_session() {
    let app = app();
    let person = app.person();
    let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    let mut browser = Browser::new(&app);
    let form = browser.form(&format!("/reset/confirm?token={link}"), "/reset/confirm");
    let done = browser.send(&form.with("password", "another battery 48 horse"));
    assert_eq!((done.status, done.header("location")), (303, Some("/log-in")));
    assert!(!app.is_logged_in(&person.token));
    assert!(app.has_password(&person.email, "another battery 48 horse"));
}

#[test]
fn where_sign_up_is_closed_no_page_offers_it() {
    let app = builder().set("accounts.sign_up_open", false).start();
    let mut browser = Browser::new(&app);
    assert!(!browser.get("/").text().contains("href=\"/sign-up\""));
    assert!(browser.get("/sign-up").text().contains("Sign-up is closed"));
}
