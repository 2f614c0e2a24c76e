//! The second factor: codes of an authenticator app, and recovery codes.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts::deletion::tombstones;
use sluice::accounts::identity::log_in::FirstStep;
use sluice::accounts::identity::people::Identity;
use sluice::accounts::identity::throttle::ClientAddress;
use sluice::accounts::identity::{AuthError, sessions};
use sluice::db::Database;
use sluice::db::schema::log_in_steps;
use sluice::domain::secret_token::SecretToken;

use crate::support::app::{Builder, TestApp};
use crate::support::client::Response;
use crate::support::people::{PASSWORD, Person, authenticator};
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/account/totp";

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

fn with_both(app: &TestApp, person: &Person, method: &str, path: &str, code: &str) -> Response {
    let body = json!({ "password": PASSWORD, "code": code });
    app.by_with(&person.token, method, path, &body)
}

#[test]
fn a_second_factor_is_asked_for_once_a_code_of_it_was_shown() {
    let app = app();
    let person = app.person();
    let set_up =
        |password: &str| app.by_with(&person.token, "POST", PATH, &json!({ "password": password }));
    set_up("wrong password").expect_refusal(403, "wrong_password");
    app.by_with(&person.token, "PUT", PATH, &json!({ "code": "123456" }))
        .expect_refusal(409, "totp_missing");
    let setup = set_up(PASSWORD).json();
    let (secret, uri) = (setup["secret"].as_str().unwrap(), setup["uri"].as_str().unwrap());
    assert_eq!(secret.len(), 32, "160 bits in base 32");
    let address = person.email.replace('@', "%40");
    assert_eq!(uri, format!("otpauth://totp/Sluice:{address}?secret={secret}&issuer=Sluice"));
    assert!(app.has_password(&person.email, PASSWORD), "nothing is asked for so far");
    let enable = |code: &str| app.by_with(&person.token, "PUT", PATH, &json!({ "code": code }));
    for wrong in ["", "12345", "abcdef"] {
        enable(wrong).expect_refusal(401, "wrong_code");
    }
    // Asking again makes a new key, and the old one is worth nothing.
    let second = set_up(PASSWORD).json();
    let second = second["secret"].as_str().unwrap();
    assert_ne!(secret, second);
    let code = app.code_now(&authenticator(second));
    let enabled = enable(&code);
    assert_eq!(enabled.status, 200, "{}", enabled.text());
    assert_eq!(enabled.json()["recovery_codes"].as_array().unwrap().len(), 10);
    enable(&code).expect_refusal(409, "totp_enabled");
    set_up(PASSWORD).expect_refusal(409, "totp_enabled");
    app.log_in(&person.email, PASSWORD).expect_refusal(401, "code_required");
    app.log_in(&person.email, "wrong password").expect_refusal(401, "wrong_credentials");
    let account = app.by(&person.token, "GET", "/api/v1/account").json();
    assert_eq!((&account["has_totp"], &account["recovery_codes_left"]), (&json!(true), &json!(10)));
    app.mails_to(&person.email, 1);
}

#[test]
fn a_code_logs_in_once() {
    let app = app();
    let person = app.person();
    let (authenticator, _) = app.enable_totp(&person);
    // The code that it was set up with is used up.
    let first = app.code_now(&authenticator);
    app.log_in_with(&person.email, &first).expect_refusal(401, "wrong_code");
    app.clock.advance(30_000);
    let second = app.code_now(&authenticator);
    let typed = format!("{} {}", second.get(..3).unwrap(), second.get(3..).unwrap());
    app.log_in_with(&person.email, &typed).session();
    app.log_in_with(&person.email, &second).expect_refusal(401, "wrong_code");
    // One that is still shown on a slow clock, but comes before the last one used.
    app.log_in_with(&person.email, &first).expect_refusal(401, "wrong_code");
    app.clock.advance(90_000);
    let late = app.code_now(&authenticator);
    app.clock.advance(30_000);
    app.log_in_with(&person.email, &late).session();
    app.clock.advance(60_000);
    let too_late = app.code_now(&authenticator);
    app.clock.advance(60_000);
    app.log_in_with(&person.email, &too_late).expect_refusal(401, "wrong_code");
}

#[test]
fn a_code_that_is_used_twice_at_once_logs_in_once() {
    let app = app();
    let person = app.person();
    let (authenticator, codes) = app.enable_totp(&person);
    app.clock.advance(30_000);
    for code in [app.code_now(&authenticator), codes[0].clone()] {
        let mut statuses = std::thread::scope(|scope| {
            let log_in = |_| scope.spawn(|| app.log_in_with(&person.email, &code).status);
            [0; 3].map(log_in).map(|one| one.join().unwrap())
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 401, 401], "{code}");
    }
}

#[test]
fn a_recovery_code_logs_in_once() {
    let app = app();
    let person = app.person();
    let (_, codes) = app.enable_totp(&person);
    let other = app.person();
    app.enable_totp(&other);
    let typed = codes[3].to_uppercase().replace('-', " ");
    app.log_in_with(&other.email, &codes[3]).expect_refusal(401, "wrong_code");
    app.log_in_with(&person.email, &typed).session();
    app.log_in_with(&person.email, &codes[3]).expect_refusal(401, "wrong_code");
    let left = app.by(&person.token, "GET", "/api/v1/account").json();
    assert_eq!(left["recovery_codes_left"], 9);
    // New ones come in the place of all old ones.
    let path = "/api/v1/account/recovery-codes";
    let renewed = with_both(&app, &person, "POST", path, &codes[4]);
    assert_eq!(renewed.status, 201, "{}", renewed.text());
    app.log_in_with(&person.email, &codes[5]).expect_refusal(401, "wrong_code");
    let new: Value = renewed.json()["recovery_codes"][9].clone();
    app.log_in_with(&person.email, new.as_str().unwrap()).session();
}

#[test]
fn the_second_factor_goes_with_both_factors_only() {
    let app = app();
    let person = app.person();
    with_both(&app, &person, "DELETE", PATH, "123456").expect_refusal(409, "totp_missing");
    app.by_with(&person.token, "PUT", PATH, &json!({ "code": "123456" }))
        .expect_refusal(409, "totp_missing");
    let (authenticator, codes) = app.enable_totp(&person);
    app.clock.advance(30_000);
    let code = app.code_now(&authenticator);
    let wrong = json!({ "password": "wrong password", "code": code });
    app.by_with(&person.token, "DELETE", PATH, &wrong).expect_refusal(403, "wrong_password");
    with_both(&app, &person, "DELETE", PATH, "123456").expect_refusal(401, "wrong_code");
    with_both(&app, &person, "DELETE", PATH, &code).expect_done();
    assert!(app.has_password(&person.email, PASSWORD));
    // What is left of it opens nothing when there is a new one.
    app.enable_totp(&person);
    app.log_in_with(&person.email, &codes[0]).expect_refusal(401, "wrong_code");
    app.mails_to(&person.email, 3);
}

#[test]
fn p7_wrong_codes_count_like_wrong_passwords() {
    let app = Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("accounts.failed_logins_max", 3)
        .start();
    let person = app.person();
    let (_, codes) = app.enable_totp(&person);
    // To be asked for a code is no failure, and no success that would forget any.
    for _ in 0..3 {
        app.log_in(&person.email, PASSWORD).expect_refusal(401, "code_required");
        app.log_in_with(&person.email, "000000").expect_refusal(401, "wrong_code");
    }
    app.log_in_with(&person.email, &codes[0]).expect_refusal(429, "too_many_attempts");
    app.log_in(&person.email, PASSWORD).expect_refusal(429, "too_many_attempts");
}

/// The verbs of a page that asks in two steps.
pub(super) struct Page {
    runtime: tokio::runtime::Runtime,
    people: Identity,
    client: ClientAddress,
}

impl Page {
    pub(super) fn of(app: &TestApp) -> Self {
        let database = Database::open(&app.settings.database).unwrap();
        let key = app.db(|conn| tombstones::unlock(conn, &app.settings.privacy).unwrap());
        let people = Identity::new(database, &app.settings, key, app.clock.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, people, client: ClientAddress::new([127, 0, 0, 1].into()) }
    }

    pub(super) fn begin(&self, email: &str) -> Option<SecretToken> {
        let begun = self.people.begin_log_in(email, PASSWORD.to_owned().into(), self.client);
        match self.runtime.block_on(begun).unwrap() {
            FirstStep::LoggedIn(_) => None,
            FirstStep::CodeWanted(step) => Some(step),
        }
    }

    pub(super) fn finish(
        &self,
        step: &SecretToken,
        code: &str,
    ) -> Result<sessions::OpenedSession, AuthError> {
        self.runtime.block_on(self.people.finish_log_in(step, code.to_owned(), self.client))
    }
}

#[test]
fn a_page_asks_for_the_code_in_a_second_step() {
    let app = app();
    let person = app.person();
    let page = Page::of(&app);
    assert!(page.begin(&person.email).is_none(), "no second factor, no second step");
    let (_, codes) = app.enable_totp(&person);
    let step = page.begin(&person.email).unwrap();
    assert!(!app.is_logged_in(step.reveal()), "it is no session");
    assert!(matches!(page.finish(&step, "000000"), Err(AuthError::WrongCode)));
    let opened = page.finish(&step, &codes[0]).unwrap();
    assert!(app.is_logged_in(opened.token.reveal()));
    assert!(matches!(page.finish(&step, &codes[1]), Err(AuthError::BadLink)), "it is used up");
    // It does not outlive its ten minutes, nor the password that it stands for.
    let (slow, stale) = (page.begin(&person.email).unwrap(), page.begin(&person.email).unwrap());
    app.clock.advance(599_999);
    page.finish(&slow, &codes[2]).unwrap();
    app.clock.advance(1);
    assert!(matches!(page.finish(&stale, &codes[3]), Err(AuthError::BadLink)));
    // Nor what changes in the moment in which it is begun.
    let step = page.begin(&person.email).unwrap();
    app.db(|conn| {
        let before = log_in_steps::credentials_epoch.eq(log_in_steps::credentials_epoch - 1);
        diesel::update(log_in_steps::table).set(before).execute(conn).unwrap();
    });
    assert!(matches!(page.finish(&step, &codes[3]), Err(AuthError::BadLink)));
    let step = page.begin(&person.email).unwrap();
    let body = json!({ "password": PASSWORD, "new_password": "another 83 password" });
    app.by_with(&person.token, "PUT", "/api/v1/account/password", &body).expect_done();
    assert!(matches!(page.finish(&step, &codes[3]), Err(AuthError::BadLink)));
}
