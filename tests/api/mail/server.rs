//! A real mail server, and the faults that mail servers have.

mod notices;
mod takeover;

use std::time::{Duration, Instant};

use serde_json::Value;
use sluice::domain::mail::MailKind;

use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp};
use crate::support::mail::{MailServer, PASSWORD, USER};
use crate::support::process::Process;
use crate::support::sandbox::sandbox;
use crate::support::wait::eventually;

const HOUR_MILLIS: i64 = 60 * 60 * 1000;

fn builder(server: &MailServer) -> Builder {
    Builder::new()
        .upstream("sandbox", sandbox())
        .set("mail.transport", "\"smtp\"")
        .set("mail.host", "\"127.0.0.1\"")
        .set("mail.port", server.address.port())
        .set("mail.tls", "\"none\"")
        .set("mail.from", "\"Light & Power <mail@example.org>\"")
        .set("mail.timeout_secs", 5)
        .set("mail.per_minute", 60_000)
}

fn guarded(server: &MailServer) -> Builder {
    builder(server)
        .set("mail.host", "\"localhost\"")
        .set("mail.tls", "\"starttls\"")
        .set("mail.user", format!("\"{USER}\""))
        .set("mail.password", format!("\"{PASSWORD}\""))
        .set("mail.tls_ca_file", format!("\"{}\"", server.certificate().display()))
}

fn send(app: &TestApp, to: &str) {
    app.put_mail(MailKind::PasswordChanged, to, None);
}

/// How many attempts had that outcome.
fn count(app: &TestApp, outcome: &str) -> u64 {
    app.metric(&format!("sluice_mails_total{{kind=\"password_changed\",outcome=\"{outcome}\"}}"))
}

fn counted(app: &TestApp, outcome: &str, times: u64) {
    eventually(&format!("{times} {outcome}"), || (count(app, outcome) == times).then_some(()));
}

/// Lets the longest pause between two attempts pass until the outbox is empty.
fn outlast(app: &TestApp, pauses: u64) {
    for pause in 1..=pauses {
        counted(app, "put_off", pause);
        app.clock.advance(HOUR_MILLIS);
    }
    app.all_mail_is_gone();
}

fn ids(journal: &[Value]) -> Vec<&str> {
    journal.iter().map(|mail| mail["message_id"].as_str().unwrap()).collect()
}

#[test]
fn a_server_gets_both_forms_and_our_domain_instead_of_this_machines_name() {
    let server = MailServer::start();
    let app = builder(&server).start();
    send(&app, "someone@example.net");
    app.all_mail_is_gone();
    let mail = server.journal().remove(0);
    assert_eq!(mail["to"], "someone@example.net");
    assert_eq!(mail["from"], "mail@example.org");
    assert_eq!(mail["hello"], "example.org");
    let parts = ["multipart/alternative", "text/plain", "text/html"];
    assert_eq!(mail["parts"], serde_json::json!(parts));
    assert!(mail["plain"].as_str().unwrap().contains("password of your account"), "{mail}");
}

#[test]
fn what_a_server_puts_off_is_tried_again_under_the_same_name() {
    let server = MailServer::start();
    let app = builder(&server).start();
    for to in ["put-off-2@example.net", "defer-1@example.net"] {
        let before = count(&app, "put_off");
        send(&app, to);
        let pauses = if to.starts_with("defer") { 1 } else { 2 };
        for pause in 1..=pauses {
            counted(&app, "put_off", before + pause);
            app.clock.advance(HOUR_MILLIS);
        }
        app.all_mail_is_gone();
    }
    let journal = server.journal();
    // What was put off at RCPT was never sent; what was put off after DATA was sent twice, as one
    // mail.
    let ids = ids(&journal);
    assert_eq!(ids.len(), 3, "{journal:#?}");
    assert!(ids[0] != ids[1] && ids[1] == ids[2], "{ids:?}");
    assert_eq!(count(&app, "sent"), 2);
}

#[test]
fn p15_a_second_copy_goes_out_only_where_nobody_knows_and_has_the_same_name() {
    let server = MailServer::start();
    let app = builder(&server).start();
    send(&app, "vanish-1@example.net");
    outlast(&app, 1);
    let journal = server.journal();
    let ids = ids(&journal);
    assert_eq!(ids.len(), 2, "{journal:#?}");
    assert_eq!(ids[0], ids[1]);
    assert_eq!(count(&app, "sent"), 1);
}

#[test]
fn a_server_that_says_nothing_is_left_after_a_while_and_asked_again() {
    let server = MailServer::start();
    let app = builder(&server).start();
    let watched = Watched::new(app.admin_address);
    send(&app, "hang-1@example.net");
    counted(&app, "put_off", 1);
    watched.fires(&["SluiceMailWaits"]);
    outlast(&app, 1);
    assert_eq!(server.journal().len(), 2);
    // Without an answer to its goodbye the mail has gone all the same.
    send(&app, "linger@example.net");
    app.all_mail_is_gone();
    assert_eq!(server.journal().len(), 3);
    assert_eq!(count(&app, "put_off"), 1);
}

#[test]
fn what_a_server_refuses_for_good_is_dropped_at_once() {
    let server = MailServer::start();
    let app = builder(&server).start();
    let watched = Watched::new(app.admin_address);
    send(&app, "refuse@example.net");
    send(&app, "reject@example.net");
    app.all_mail_is_gone();
    assert_eq!((count(&app, "dropped"), count(&app, "put_off")), (2, 0));
    watched.fires(&["SluiceMailDropped"]);
}

#[test]
fn what_cannot_be_sent_is_dropped_after_a_time_and_never_before() {
    let server = MailServer::start();
    let app = builder(&server).set("mail.give_up_hours", 3).start();
    send(&app, "put-off-99@example.net");
    outlast(&app, 3);
    assert_eq!((count(&app, "dropped"), count(&app, "sent")), (1, 0));
}

#[test]
fn a_broken_connection_holds_up_neither_the_other_mails_nor_a_stop() {
    let server = MailServer::start();
    let app = builder(&server).set("mail.timeout_secs", 600).set("server.drain_secs", 0).start();
    for _ in 0..3 {
        send(&app, "hang-9@example.net");
    }
    eventually("them to hang", || (server.journal().len() == 3).then_some(()));
    let account = app.account("1");
    assert_eq!(app.models(&account).status, 200);
    let began = Instant::now();
    let (database, _folder) = app.finish();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // They are still there for the next start.
    assert_eq!(sluice::db::models::outbox::waiting(&mut database.connect()).unwrap(), 3);
}

#[test]
fn starttls_and_a_log_in_come_before_the_mail() {
    let server = MailServer::start_guarded();
    let app = guarded(&server).start();
    send(&app, "someone@example.net");
    app.all_mail_is_gone();
    let mail = server.journal().remove(0);
    assert_eq!((&mail["tls"], &mail["user"]), (&Value::from(true), &Value::from(USER)));
}

#[test]
fn nothing_goes_to_a_server_whose_certificate_is_not_trusted_or_that_offers_no_tls() {
    let other = MailServer::start_guarded();
    let server = MailServer::start_guarded();
    let plain = MailServer::start();
    let untrusted = guarded(&server)
        .set("mail.tls_ca_file", format!("\"{}\"", other.certificate().display()))
        .start();
    let unprotected =
        builder(&plain).set("mail.host", "\"localhost\"").set("mail.tls", "\"starttls\"").start();
    for app in [&untrusted, &unprotected] {
        send(app, "someone@example.net");
        counted(app, "put_off", 1);
        assert_eq!(app.waiting_mails(), 1);
    }
    assert!(server.journal().is_empty() && plain.journal().is_empty());
}

#[test]
fn p5_no_log_has_an_address_a_servers_words_or_the_password() {
    let server = MailServer::start_guarded();
    let builder = guarded(&server).set("log.filter", "\"trace\"");
    let process = Process::start(builder, &[]);
    let now = sluice::domain::clock::Clock::System.now();
    for to in ["refuse@canary.example", "defer-9@canary.example", "drop-9@canary.example"] {
        let mail = sluice::db::models::outbox::NewMail {
            kind: MailKind::PasswordChanged,
            reference: to.to_owned(),
            account_id: None,
            recipient: to,
            params: serde_json::json!({}),
        };
        let mut conn = process.database.connect();
        assert!(sluice::db::models::outbox::enqueue(&mut conn, &mail, now).unwrap());
    }
    let log = eventually("three failures", || {
        let log = process.log();
        let is_told = log.contains("code 550") && log.contains("code 451");
        (is_told && log.contains("connection to the mail server broke")).then_some(log)
    });
    for word in ["canary", "unknown here", "not now"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}
