//! P7: wrong codes of the second factor are counted in the database, whichever way and to whichever
//! node they come.

use serde_json::json;
use sluice::accounts::identity::AuthError;
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::domain::secret_token::SecretToken;
use totp_rs::Totp;

use super::second_factor::Page;
use crate::support::app::{Builder, TestApp};
use crate::support::people::{PASSWORD, Person};
use crate::support::upstream::Upstream;

const DAY: i64 = 86_400_000;

/// Nothing is throttled in memory.
fn app() -> TestApp {
    Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.failed_logins_max", 1000)
        .set("accounts.failed_logins_max_from_all", 1000)
        .set("accounts.attempts_per_client_max", 10_000)
        .start()
}

/// Somebody with a second factor, and a code that was not used yet.
fn protected(app: &TestApp) -> (Person, Totp, Vec<String>) {
    let person = app.person();
    let (authenticator, codes) = app.enable_totp(&person);
    app.clock.advance(60_000);
    (person, authenticator, codes)
}

/// Gives so many wrong codes, in as few log-ins as that takes.
fn guess(page: &Page, person: &Person, times: usize) {
    let mut step = None;
    for number in 0..times {
        if number % 5 == 0 {
            step = page.begin(&person.email);
        }
        let finished = page.finish(step.as_ref().unwrap(), "000000");
        assert!(matches!(finished, Err(AuthError::WrongCode)), "{number}");
    }
}

fn is_full(page: &Page, step: &SecretToken, code: &str) -> bool {
    match page.finish(step, code) {
        Err(AuthError::TooManyCodes { .. }) => true,
        Err(AuthError::WrongCode) => false,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it logs in"),
    }
}

#[test]
fn p7_five_wrong_codes_end_a_log_in_even_if_they_come_to_many_nodes_at_once() {
    let app = app();
    let (person, authenticator, _) = protected(&app);
    let step = Page::of(&app).begin(&person.email).unwrap();
    let looked_at = std::thread::scope(|scope| {
        let guess = |_| {
            scope.spawn(|| {
                let node = Page::of(&app);
                (0..4)
                    .filter(|_| matches!(node.finish(&step, "000000"), Err(AuthError::WrongCode)))
                    .count()
            })
        };
        let guesses: Vec<_> = (0..6).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).sum::<usize>()
    });
    assert_eq!(looked_at, 5);
    let (page, code) = (Page::of(&app), app.code_now(&authenticator));
    assert!(matches!(page.finish(&step, &code), Err(AuthError::BadLink)), "it is over");
    // With the password it begins again.
    let step = page.begin(&person.email).unwrap();
    page.finish(&step, &code).unwrap();
}

#[test]
fn p7_wrong_codes_are_counted_wherever_they_come_and_their_owner_is_told() {
    let app = app();
    let (person, authenticator, codes) = protected(&app);
    let both = |method: &str, path: &str, code: &str| {
        let body = json!({ "password": PASSWORD, "code": code });
        app.by_with(&person.token, method, path, &body)
    };
    let close = |code: &str| {
        let body = json!({ "password": PASSWORD, "code": code, "waive_balance": true });
        app.by_with(&person.token, "POST", "/api/v1/account/closing", &body)
    };
    let ways = |code: &str| {
        [
            app.log_in_with(&person.email, code),
            both("DELETE", "/api/v1/account/totp", code),
            both("POST", "/api/v1/account/recovery-codes", code),
            close(code),
        ]
    };
    for code in ["000000", "aaaa-bbbb-cccc-dddd"] {
        for refused in ways(code) {
            refused.expect_refusal(401, "wrong_code");
        }
    }
    // That makes eight, in any way. One mail tells of enabling.
    app.mails_to(&person.email, 1);
    app.all_mail_is_gone();
    let (one, other) = (Page::of(&app), Page::of(&app));
    guess(&one, &person, 5);
    guess(&other, &person, 5);
    let mails = app.mails_to(&person.email, 2);
    let told = mails.iter().find(|mail| mail.body.contains("10 wrong codes")).expect("a mail");
    assert!(told.body.contains("/reset"), "{}", told.body);
    guess(&other, &person, 2);
    // Twenty: now the right one is not looked at either, in none of the ways.
    let code = app.code_now(&authenticator);
    for refused in ways(&code) {
        refused.expect_refusal(429, "too_many_attempts");
        assert_eq!(refused.header("retry-after"), Some("86400"));
    }
    assert!(is_full(&one, &one.begin(&person.email).unwrap(), &code));
    app.all_mail_is_gone();
    assert_eq!(app.mails_to(&person.email, 2).len(), 2, "once");
    // Whoever guesses does not keep out whoever has a recovery code, and that begins anew.
    app.log_in_with(&person.email, &codes[0]).session();
    app.log_in_with(&person.email, &code).session();
}

#[test]
fn p7_no_more_codes_are_looked_at_if_they_come_at_once() {
    let app = app();
    let (person, authenticator, _) = protected(&app);
    let page = Page::of(&app);
    let steps: Vec<_> = (0..6).map(|_| page.begin(&person.email).unwrap()).collect();
    let looked_at = std::thread::scope(|scope| {
        let app = &app;
        let guess = |step: &SecretToken| {
            let step = SecretToken::parse(
                sluice::domain::secret_token::TokenKind::LogInStep,
                step.reveal(),
            )
            .unwrap();
            scope.spawn(move || {
                let node = Page::of(app);
                (0..5)
                    .filter(|_| matches!(node.finish(&step, "000000"), Err(AuthError::WrongCode)))
                    .count()
            })
        };
        let guesses: Vec<_> = steps.iter().map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).sum::<usize>()
    });
    assert_eq!(looked_at, 20);
    let step = page.begin(&person.email).unwrap();
    assert!(is_full(&page, &step, &app.code_now(&authenticator)));
    // The window ends, whatever is tried meanwhile.
    app.clock.advance(DAY);
    page.finish(&page.begin(&person.email).unwrap(), &app.code_now(&authenticator)).unwrap();
}

#[test]
fn p7_a_right_code_begins_the_count_anew() {
    let app = app();
    let (person, authenticator, _) = protected(&app);
    let page = Page::of(&app);
    for _ in 0..3 {
        guess(&page, &person, 9);
        let step = page.begin(&person.email).unwrap();
        page.finish(&step, &app.code_now(&authenticator)).unwrap();
        app.clock.advance(60_000);
    }
    app.all_mail_is_gone();
    assert_eq!(app.mails_to(&person.email, 1).len(), 1, "that of enabling");
}

#[test]
fn p7_a_new_password_lets_its_owner_in_but_whoever_reads_the_mail_does_not_guess_for_ever() {
    let app = app();
    let (person, authenticator, _) = protected(&app);
    let page = Page::of(&app);
    let reset = || {
        let token = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
        let body = json!({ "token": token, "password": PASSWORD });
        app.post("/api/v1/password-resets/confirm", &body).expect_done();
    };
    guess(&page, &person, 20);
    app.log_in_with(&person.email, &app.code_now(&authenticator))
        .expect_refusal(429, "too_many_attempts");
    reset();
    app.log_in_with(&person.email, &app.code_now(&authenticator)).session();
    app.clock.advance(60_000);
    guess(&page, &person, 20);
    reset();
    app.log_in_with(&person.email, &app.code_now(&authenticator))
        .expect_refusal(429, "too_many_attempts");
    app.clock.advance(DAY);
    guess(&page, &person, 20);
    reset();
    app.log_in_with(&person.email, &app.code_now(&authenticator)).session();
}

#[test]
fn p7_wrong_codes_count_while_a_second_factor_is_set_up_too() {
    let app = app();
    let person = app.person();
    let path = "/api/v1/account/totp";
    let set_up = || app.by_with(&person.token, "POST", path, &json!({ "password": PASSWORD }));
    let enable = |code: &str| app.by_with(&person.token, "PUT", path, &json!({ "code": code }));
    set_up();
    for _ in 0..20 {
        enable("000000").expect_refusal(401, "wrong_code");
    }
    enable("000000").expect_refusal(429, "too_many_attempts");
    assert_eq!(app.waiting_mails(), 0, "there is nothing to be guessed at");
    // With another key, for which the password is asked, it begins anew.
    app.enable_totp(&person);
}
