//! A change of what an account logs in with ends what was asked for before it: links, mail that
//! waits, sessions, log-ins that are half done. What is put in at that very moment, under the
//! earlier epoch, opens nothing either.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts;
use sluice::accounts::identity::email_tokens::{self, LinkPurpose, TokenHolder};
use sluice::db::models::{credentials_epoch, outbox};
use sluice::db::schema::{outbox as outbox_table, sessions};
use sluice::db::{DbError, transaction};
use sluice::domain::ids::AccountId;
use sluice::domain::mail::MailKind;

use crate::support::app::{Builder, TestApp};
use crate::support::client::Response;
use crate::support::people::{PASSWORD, Person, authenticator};
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const NEW: &str = "another 83 password";
const RESET: &str = "/api/v1/password-resets/confirm";
const CHANGE: &str = "/api/v1/account/email/confirm";
const SIGN_UP: &str = "/api/v1/accounts/confirm";
const TOTP: &str = "/api/v1/account/totp";
const HOUR_MILLIS: i64 = 60 * 60 * 1000;

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

fn epoch(app: &TestApp, id: AccountId) -> i64 {
    app.db(|conn| credentials_epoch::current(conn, id).unwrap().unwrap())
}

fn change_password(app: &TestApp, person: &Person) {
    let body = json!({ "password": PASSWORD, "new_password": NEW });
    app.by_with(&person.token, "PUT", "/api/v1/account/password", &body).expect_done();
}

/// Puts a mail in that is due in an hour.
fn put_off(app: &TestApp, kind: MailKind, to: &str, id: Option<AccountId>, params: &Value) {
    let now = app.clock.now();
    app.db(|conn| {
        transaction::write(conn, |conn| {
            let mail = outbox::NewMail {
                kind,
                reference: sluice::domain::ids::nonce()?,
                account_id: id,
                recipient: to,
                params: params.clone(),
            };
            assert!(outbox::enqueue(conn, &mail, now)?);
            let row = outbox_table::table.select(outbox_table::id).order(outbox_table::id.desc());
            let row: i64 = row.first(conn)?;
            outbox::put_off(conn, row, now.plus_millis(HOUR_MILLIS))
        })
        .unwrap();
    });
}

fn reset(app: &TestApp, token: &str) -> Response {
    app.post(RESET, &json!({ "token": token, "password": NEW }))
}

/// What changes credentials, and whether it leaves the session that does it, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Reset,
    Password,
    Email,
    SecondFactor,
    NoSecondFactor,
    Closing,
}

impl Change {
    const ALL: [Self; 6] = [
        Self::Reset,
        Self::Password,
        Self::Email,
        Self::SecondFactor,
        Self::NoSecondFactor,
        Self::Closing,
    ];

    const fn leaves(self) -> (bool, bool) {
        match self {
            Self::Reset | Self::Closing => (false, false),
            Self::Email => (true, true),
            Self::Password | Self::SecondFactor | Self::NoSecondFactor => (true, false),
        }
    }

    /// What has to be there beforehand.
    fn prepare(self, app: &TestApp, person: &Person) -> Vec<String> {
        if self == Self::NoSecondFactor { app.enable_totp(person).1 } else { Vec::new() }
    }

    fn make(self, app: &TestApp, person: &Person, codes: &[String]) {
        let by = |method: &str, path: &str, body: &Value| {
            let done = app.by_with(&person.token, method, path, body);
            assert!(done.status < 300, "{self:?}: {}", done.text());
        };
        match self {
            Self::Reset => {
                let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
                reset(app, &link).expect_done();
            }
            Self::Password => change_password(app, person),
            Self::Email => {
                let link = app.link(LinkPurpose::Change, Some(person.id), "moved@example.net");
                app.post(CHANGE, &json!({ "token": link })).expect_done();
            }
            Self::SecondFactor => {
                app.enable_totp(person);
            }
            Self::NoSecondFactor => {
                by("DELETE", TOTP, &json!({ "password": PASSWORD, "code": codes[0] }));
            }
            Self::Closing => {
                let wish = json!({ "password": PASSWORD, "waive_balance": true });
                by("POST", "/api/v1/account/closing", &wish);
            }
        }
    }
}

#[test]
fn each_change_ends_links_waiting_mail_and_the_sessions_that_it_does_not_keep() {
    for change in Change::ALL {
        let app = app();
        let person = app.person();
        let codes = change.prepare(&app, &person);
        let before = epoch(&app, person.id);
        let other = app.session_of(person.id);
        let links = [
            (RESET, app.link(LinkPurpose::Reset, Some(person.id), &person.email)),
            (CHANGE, app.link(LinkPurpose::Change, Some(person.id), "evil@example.net")),
        ];
        put_off(&app, MailKind::ResetPassword, &person.email, None, &json!({}));
        let evil = "evil@example.net";
        put_off(&app, MailKind::ChangeEmail, evil, Some(person.id), &json!({}));
        change.make(&app, &person, &codes);

        assert!(epoch(&app, person.id) > before, "{change:?}");
        let (own, others) = change.leaves();
        assert_eq!(app.is_logged_in(&person.token), own, "{change:?}");
        assert_eq!(app.is_logged_in(&other), others, "{change:?}");
        for (path, token) in &links {
            let used = app.post(path, &json!({ "token": token, "password": NEW }));
            assert_eq!(used.status, 400, "{change:?} {path}: {}", used.text());
        }
        app.all_mail_is_gone();
        app.clock.advance(HOUR_MILLIS);
        app.all_mail_is_gone();
        let mut with_links = app.mails();
        with_links.retain(|mail| mail.body.contains("?token=3D"));
        assert!(with_links.is_empty(), "{change:?}");
    }
}

#[test]
fn what_is_put_in_under_the_earlier_epoch_opens_nothing() {
    let app = app();
    let person = app.person();
    let late = app.session_of(person.id);
    let before = epoch(&app, person.id);
    change_password(&app, &person);
    // Each as if its transaction had begun before the change, and ended after it.
    let holder = TokenHolder { account_id: person.id, credentials_epoch: before };
    let (lifetime, now) = (app.settings.accounts.mail_link, app.clock.now());
    for (purpose, path) in [(LinkPurpose::Reset, RESET), (LinkPurpose::Change, CHANGE)] {
        let to = (Some(holder), "evil@example.net");
        let token = app.db(|conn| email_tokens::issue(conn, purpose, to, lifetime, now).unwrap());
        let used = app.post(path, &json!({ "token": token.reveal(), "password": PASSWORD }));
        assert_eq!(used.status, 400, "{purpose:?}: {}", used.text());
    }
    let late_too = app.session_of(person.id);
    app.db(|conn| {
        let row = sessions::table.select(sessions::id).order(sessions::id.desc());
        let row: i64 = row.first(conn).unwrap();
        diesel::update(sessions::table.find(row))
            .set(sessions::credentials_epoch.eq(before))
            .execute(conn)
            .unwrap();
    });
    assert!(!app.is_logged_in(&late) && !app.is_logged_in(&late_too));
    let listed = app.by(&person.token, "GET", "/api/v1/sessions").json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");

    let params = json!({});
    let wishes = [
        (MailKind::ResetPassword, None, "reset_password"),
        (MailKind::ChangeEmail, Some(person.id), "change_email"),
    ];
    for (kind, id, name) in wishes {
        put_off(&app, kind, &person.email, id, &params);
        app.db(|conn| {
            diesel::update(outbox_table::table.filter(outbox_table::kind.eq(name)))
                .set(outbox_table::credentials_epoch.eq(before))
                .execute(conn)
                .unwrap();
        });
        app.clock.advance(HOUR_MILLIS);
        let unwanted = format!("sluice_mails_total{{kind=\"{name}\",outcome=\"unwanted\"}}");
        eventually(name, || (app.metric(&unwanted) == 1).then_some(()));
    }
}

#[test]
fn a_new_password_begins_no_session_anew_that_has_ended() {
    let app = app();
    let person = app.person();
    let second = Person { token: app.session_of(person.id), ..person.clone() };
    change_password(&app, &person);
    assert!(!app.is_logged_in(&second.token));
    // The next change moves its own session along, and nothing else.
    let body = json!({ "password": NEW, "new_password": PASSWORD });
    app.by_with(&person.token, "PUT", "/api/v1/account/password", &body).expect_done();
    assert!(app.is_logged_in(&person.token) && !app.is_logged_in(&second.token));
}

#[test]
fn a_link_to_sign_up_ends_when_its_address_gets_an_account_in_another_way() {
    let app = app();
    let now = app.clock.now();
    let (opened, moved_to) = ("opened@example.org", "moved@example.org");
    let by_operator = app.link(LinkPurpose::SignUp, None, opened);
    let by_move = app.link(LinkPurpose::SignUp, None, moved_to);
    let other = app.link(LinkPurpose::SignUp, None, "other@example.org");
    app.db(|conn| {
        transaction::write(conn, |conn| {
            accounts::open(conn, opened, now).unwrap();
            Ok::<_, DbError>(())
        })
        .unwrap();
    });
    let person = app.person();
    let change = |to: &str| {
        let link = app.link(LinkPurpose::Change, Some(person.id), to);
        app.post(CHANGE, &json!({ "token": link })).expect_done();
    };
    change(moved_to);
    // Not even when the account has left the address again.
    change("elsewhere@example.org");
    for token in [by_operator, by_move] {
        app.post(SIGN_UP, &json!({ "token": token, "password": NEW }))
            .expect_refusal(400, "invalid_token");
    }
    app.post(SIGN_UP, &json!({ "token": other, "password": NEW })).session();
}

#[test]
fn a_reset_that_was_asked_for_before_there_was_an_account_goes_nowhere() {
    let app = app();
    let address = "later@example.org";
    put_off(&app, MailKind::ResetPassword, address, None, &json!({}));
    let now = app.clock.now();
    app.db(|conn| accounts::open(conn, address, now).unwrap());
    app.clock.advance(HOUR_MILLIS);
    app.all_mail_is_gone();
    assert!(app.mails_to(address, 0).is_empty());
    app.post("/api/v1/password-resets", &json!({ "email": address }));
    let token = app.mails_to(address, 1).remove(0).token();
    reset(&app, &token).expect_done();
}

#[test]
fn a_notice_that_has_waited_goes_to_the_address_that_its_account_has_by_then() {
    let app = app();
    let person = app.person();
    let params = json!({ "balance_usd": "1.00", "threshold_usd": "2.00" });
    put_off(&app, MailKind::LowBalance, &person.email, Some(person.id), &params);
    let link = app.link(LinkPurpose::Change, Some(person.id), "moved@example.org");
    app.post(CHANGE, &json!({ "token": link })).expect_done();
    app.mails_to(&person.email, 1);
    app.clock.advance(HOUR_MILLIS);
    // Its link turns notices off for the account as it is now.
    app.mails_to("moved@example.org", 1);
    app.all_mail_is_gone();
    app.mails_to(&person.email, 1);
}

/// Begins to set up a second factor, and gives what an app would show.
fn begin_totp(app: &TestApp, token: &str, password: &str) -> String {
    let setup = app.by_with(token, "POST", TOTP, &json!({ "password": password }));
    assert_eq!(setup.status, 201, "{}", setup.text());
    app.code_now(&authenticator(setup.json()["secret"].as_str().unwrap()))
}

#[test]
fn a_second_factor_that_an_intruder_begins_to_set_up_is_never_the_owners() {
    let app = app();
    let owner = app.person();
    let intruder = app.session_of(owner.id);
    let code = begin_totp(&app, &intruder, PASSWORD);
    let finish =
        |token: &str, code: &str| app.by_with(token, "PUT", TOTP, &json!({ "code": code }));
    // It belongs to the intruder's session: the owner is not shown the key, and cannot confirm it
    // unawares.
    finish(&owner.token, &code).expect_refusal(409, "totp_missing");
    // And it ends with that session.
    change_password(&app, &owner);
    assert_eq!(finish(&intruder, &code).status, 401);
    finish(&owner.token, &code).expect_refusal(409, "totp_missing");
}

#[test]
fn a_second_factor_that_is_being_set_up_ends_with_a_new_password() {
    let app = app();
    let person = app.person();
    let code = begin_totp(&app, &person.token, PASSWORD);
    change_password(&app, &person);
    let confirmed = app.by_with(&person.token, "PUT", TOTP, &json!({ "code": code }));
    confirmed.expect_refusal(409, "totp_missing");
    // Whoever begins again gets one.
    let code = begin_totp(&app, &person.token, NEW);
    let confirmed = app.by_with(&person.token, "PUT", TOTP, &json!({ "code": code }));
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
}
