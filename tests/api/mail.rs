//! Mail: what goes out and to whom, what does not, and what becomes of it where a server refuses,
//! drops or hangs. What is below `server` needs aiosmtpd, which `scripts/test api` installs.

mod server;
mod unsubscribe;

use std::os::unix::fs::MetadataExt;

use diesel::prelude::*;
use serde_json::json;
use sluice::db::models::outbox::{self, NewMail};
use sluice::db::schema::accounts;
use sluice::domain::clock::UnixMillis;
use sluice::domain::mail::{MailKind, MailLine};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::sandbox::sandbox;

/// A moment that many milliseconds after the first one.
const fn at(millis: i64) -> UnixMillis {
    UnixMillis::from_millis(1_795_348_800_000 + millis)
}

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
fn a_mail_is_taken_by_one_node_at_a_time_and_is_due_again_when_it_is_not_finished() {
    let builder = Builder::new();
    let mut conn = builder.migrated();
    let database = builder.database.as_ref().unwrap();
    let (now, held_until) = (at(0), at(60_000));
    for number in 0..40 {
        let mail = NewMail {
            kind: MailKind::PasswordChanged,
            reference: number.to_string(),
            account_id: None,
            recipient: ELSEWHERE,
            params: json!({}),
        };
        assert!(outbox::enqueue(&mut conn, &mail, now).unwrap());
    }
    let take_all = || {
        let mut conn = database.connect();
        let mut taken = Vec::new();
        loop {
            let rows =
                outbox::take_due(&mut conn, now, held_until, (MailLine::Awaited, 3)).unwrap();
            if rows.is_empty() {
                return taken;
            }
            taken.extend(rows.into_iter().map(|row| row.id));
        }
    };
    let mut taken: Vec<i64> = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..4).map(|_| scope.spawn(take_all)).collect();
        nodes.into_iter().flat_map(|node| node.join().unwrap()).collect()
    });
    taken.sort_unstable();
    let count = taken.len();
    taken.dedup();
    assert_eq!((count, taken.len()), (40, 40));
    let early =
        outbox::take_due(&mut conn, at(59_999), at(120_000), (MailLine::Awaited, 100)).unwrap();
    assert!(early.is_empty(), "they are held");
    let again =
        outbox::take_due(&mut conn, held_until, at(120_000), (MailLine::Awaited, 100)).unwrap();
    assert_eq!(again.len(), 40);
    assert!(again.iter().all(|row| row.tries == 2));
}

#[test]
fn a_link_goes_before_notices_however_many_one_account_has_brought_about() {
    let app = Builder::new().upstream("sandbox", sandbox()).set("mail.per_minute", 120).start();
    let account = app.account("1");
    let address = address_of(&app, &account);
    let paused = json!({ "key_name": "ci", "period": "total", "budget_usd": "1" });
    for _ in 0..40 {
        app.put_mail_with(MailKind::KeyPaused, &address, Some(account.id), paused.clone());
    }
    app.put_mail(MailKind::SignUp, ELSEWHERE, None);
    app.mails_to(ELSEWHERE, 1);
    let waiting = app.waiting_mails();
    assert!(waiting > 25, "{waiting} are left behind it");
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
