//! Mail: what goes out and to whom, what does not, and what becomes of it where a server refuses, drops or hangs. What
//! is below `server` needs aiosmtpd, which `scripts/test api` installs.

mod server;

use std::os::unix::fs::MetadataExt;

use diesel::prelude::*;
use serde_json::json;
use sluice::db::outbox::{self, NewMail};
use sluice::db::schema::accounts;
use sluice::domain::mail::MailKind;

use crate::support::app::{Account, TestApp};

const ELSEWHERE: &str = "elsewhere@example.org";

fn address_of(app: &TestApp, account: &Account) -> String {
    app.db(|conn| accounts::table.find(account.id.0).select(accounts::email).first(conn).unwrap())
}

#[test]
fn a_mail_is_written_into_a_folder_that_only_its_owner_may_read() {
    let app = TestApp::sandboxed();
    app.put_mail(MailKind::EmailChanged, ELSEWHERE, None);
    let mail = app.mails_to(ELSEWHERE, 1).remove(0);
    assert_eq!(mail.header("From"), Some("Sluice <sluice@localhost>"));
    assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"));
    assert!(mail.header("Message-ID").unwrap().ends_with("@localhost>"), "{}", mail.headers);
    assert!(mail.body.contains("text/plain") && mail.body.contains("text/html"), "{}", mail.body);
    app.all_mail_is_gone();
    let folder = app.folder().join("mail");
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(folder).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(app.metric("sluice_mails_total{kind=\"email_changed\",outcome=\"sent\"}"), 1);
}

#[test]
fn who_wants_an_account_and_has_one_is_told_so_and_gets_no_token() {
    let app = TestApp::sandboxed();
    let known = address_of(&app, &app.account("1"));
    app.put_mail(MailKind::SignUp, &known, None);
    app.put_mail(MailKind::SignUp, ELSEWHERE, None);
    let told = app.mails_to(&known, 1).remove(0);
    assert!(told.header("Subject").unwrap().contains("already"), "{}", told.headers);
    assert!(!told.body.contains("token"), "{}", told.body);
    let confirm = app.mails_to(ELSEWHERE, 1).remove(0);
    assert!(confirm.token().starts_with("mail_"), "{}", confirm.body);
}

#[test]
fn a_reset_goes_to_accounts_only() {
    let app = TestApp::sandboxed();
    let known = address_of(&app, &app.account("1"));
    app.put_mail(MailKind::ResetPassword, ELSEWHERE, None);
    app.put_mail(MailKind::ResetPassword, &known, None);
    app.mails_to(&known, 1);
    app.all_mail_is_gone();
    assert_eq!(app.mails().len(), 1);
    assert_eq!(app.metric("sluice_mails_total{kind=\"reset_password\",outcome=\"unwanted\"}"), 1);
}

#[test]
fn who_wants_no_notices_gets_only_what_concerns_security() {
    let app = TestApp::sandboxed();
    let account = app.account("1");
    let address = address_of(&app, &account);
    let low = json!({ "balance_usd": "0.99", "threshold_usd": "1" });
    app.put_mail_with(MailKind::LowBalance, &address, Some(account.id), low.clone());
    let notice = app.mails_to(&address, 1).remove(0);
    assert!(notice.body.contains("$0.99"), "{}", notice.body);
    app.db(|conn| {
        let row = accounts::table.find(account.id.0);
        diesel::update(row).set(accounts::wants_notices.eq(false)).execute(conn).unwrap();
    });
    app.put_mail_with(MailKind::LowBalance, &address, Some(account.id), low);
    app.put_mail(MailKind::PasswordChanged, &address, Some(account.id));
    app.all_mail_is_gone();
    assert_eq!(app.mails_to(&address, 2).len(), 2);
    assert_eq!(app.metric("sluice_mails_total{kind=\"low_balance\",outcome=\"unwanted\"}"), 1);
}

#[test]
fn one_occasion_writes_once() {
    let app = TestApp::sandboxed();
    let mail = || NewMail {
        kind: MailKind::PasswordChanged,
        reference: "the occasion".to_owned(),
        account_id: None,
        recipient: ELSEWHERE,
        params: json!({}),
    };
    let now = app.clock.now();
    app.db(|conn| {
        // In one transaction, so that the mailer does not come between.
        sluice::db::transaction::write(conn, |conn| {
            assert!(outbox::enqueue(conn, &mail(), now)?);
            assert!(!outbox::enqueue(conn, &mail(), now)?);
            Ok::<_, sluice::db::DbError>(())
        })
        .unwrap();
    });
    app.mails_to(ELSEWHERE, 1);
    app.all_mail_is_gone();
}

#[test]
fn what_cannot_be_written_is_dropped_and_holds_nothing_up() {
    let app = TestApp::sandboxed();
    app.put_mail(MailKind::PasswordChanged, "no address at all", None);
    app.put_mail_with(MailKind::KeyPaused, ELSEWHERE, None, json!({ "key_name": 5 }));
    app.put_mail(MailKind::PasswordChanged, ELSEWHERE, None);
    app.mails_to(ELSEWHERE, 1);
    app.all_mail_is_gone();
    assert_eq!(app.metric("sluice_mails_total{kind=\"password_changed\",outcome=\"dropped\"}"), 1);
    assert_eq!(app.metric("sluice_mails_total{kind=\"key_paused\",outcome=\"dropped\"}"), 1);
}
