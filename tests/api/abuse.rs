//! P7: what an operator does about abuse, and what people are told when something is unusual; all
//! without knowing where anybody is.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts::spending;
use sluice::db::schema::{accounts, api_keys, audit_log, usage_logs};

use crate::support::alerting::Watched;
use crate::support::app::{Account, Builder, TestApp};
use crate::support::desk::Cli;
use crate::support::sandbox::sandbox;
use crate::support::upstream::Upstream;
use crate::support::usage_rows;

const HOUR: i64 = 3_600_000;

/// A server whose clock agrees with that of commands.
fn sandboxed() -> TestApp {
    let now = sluice::domain::clock::Clock::System.now().as_millis();
    Builder::new().upstream("sandbox", sandbox()).clock_at(now).start()
}

fn hello() -> String {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "hello" }],
    })
    .to_string()
}

fn decisions(app: &TestApp) -> Vec<(String, String, Option<i64>, String)> {
    app.db(|conn| {
        audit_log::table
            .order(audit_log::id)
            .select((
                audit_log::action,
                audit_log::subject,
                audit_log::account_id,
                audit_log::detail,
            ))
            .load(conn)
            .unwrap()
    })
}

#[test]
fn p7_a_suspended_account_looks_and_does_nothing_until_it_is_resumed() {
    let app = sandboxed();
    let (desk, person) = (Cli::beside(&app), app.person());
    let account = app.account("5");
    let address = app.address_of(&account);
    assert_eq!(app.messages(&account, &hello()).status, 200);

    let shown = desk.json(&["account", "suspend", &account.public_id, "--reason", "chargeback"]);
    assert_eq!((&shown["status"], &shown["id"]), (&json!("suspended"), &json!(account.public_id)));
    let refused = app.messages(&account, &hello());
    assert_eq!(
        (refused.status, &refused.json()["error"]["type"]),
        (403, &json!("permission_error"))
    );
    let twice = desk.run(&["account", "suspend", &account.public_id]);
    assert_eq!(twice.code, 1);
    assert!(twice.err.contains("already suspended"), "{}", twice.err);
    // The person may still log in and look; others are not touched.
    let session = app.session_of(account.id);
    let document = app.by(&session, "GET", "/api/v1/account").json();
    assert_eq!(document["status"], "suspended");
    let change = app.by_with(&session, "POST", "/api/v1/keys", &json!({ "name": "x" }));
    assert_eq!(
        (change.status, &change.json()["error"]["code"]),
        (403, &json!("account_suspended"))
    );
    assert!(app.is_logged_in(&person.token));

    let long = "x".repeat(501);
    assert_eq!(desk.run(&["account", "resume", &address, "--reason", &long]).code, 1);
    assert_eq!(desk.json(&["account", "resume", &address])["status"], "active");
    assert_eq!(app.messages(&account, &hello()).status, 200);
    assert_eq!(desk.run(&["account", "resume", &address]).code, 1);

    let id = Some(account.id.0);
    let row = |action: &str, detail: &str| {
        (action.to_owned(), "account".to_owned(), id, detail.to_owned())
    };
    assert_eq!(
        decisions(&app),
        [row("account_suspended", "chargeback"), row("account_resumed", "")]
    );
    app.clock.advance(HOUR);
    let mails = app.mails_to(&address, 2);
    let subjects: Vec<&str> = mails.iter().map(|mail| mail.header("Subject").unwrap()).collect();
    assert!(subjects.iter().any(|subject| subject.ends_with("is suspended")), "{subjects:?}");
    assert!(subjects.iter().any(|subject| subject.ends_with("is active again")), "{subjects:?}");
    assert!(mails.iter().all(|mail| !mail.body.contains("chargeback")));
}

#[test]
fn p7_leaked_keys_are_revoked_wherever_they_are_found_and_their_owners_told_once() {
    let app = sandboxed();
    let desk = Cli::beside(&app);
    let (one, other, untouched) = (app.account("5"), app.account("5"), app.account("5"));
    let second = app.limited(&one, &json!({}));
    let dead = app.account("0");
    app.revoke(&dead);
    let stranger = sluice::domain::api_key::PlainApiKey::random().unwrap();
    let text = format!(
        "diff --git a/.env\n+KEY={}\n+OTHER=\"{}\",{}\n{} {}\n{}x\n",
        one.key,
        second.key,
        other.key,
        dead.key,
        stranger.reveal(),
        one.key
    );
    let mut bytes = text.into_bytes();
    bytes.extend([0xff, 0xfe, 0x00]);
    let file = desk.put(&bytes);

    let dry = desk.run(&["key", "revoke", "--leaked", &file, "--dry-run"]);
    assert!(dry.out.contains("5 keys found, 4 of them issued here, 3 in force"), "{}", dry.out);
    assert_eq!(app.models(&one).status, 200);

    let done = desk.run(&["key", "revoke", "--leaked", &file]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.out.contains("5 keys found, 4 of them issued here, 3 revoked now"),
        "{}",
        done.out
    );
    for account in [&one, &second, &other, &dead] {
        assert!(done.out.contains(&account.key_id), "{}", done.out);
        let random = account.key.get(7..30).unwrap();
        assert!(!done.out.contains(random) && !done.err.contains(random), "a key is not shown");
        assert_eq!(app.messages(account, &hello()).status, 401);
    }
    assert_eq!(app.messages(&untouched, &hello()).status, 200);
    let again = desk.json(&["key", "revoke", "--leaked", &file]);
    assert_eq!((&again["found"], &again["revoked"]), (&json!(5), &json!(0)));

    app.clock.advance(HOUR);
    let mail = app.mails_to(&app.address_of(&one), 1).remove(0);
    assert!(mail.header("Subject").unwrap().contains("leaked"), "{}", mail.headers);
    app.mails_to(&app.address_of(&other), 1);
    app.all_mail_is_gone();
    let names = app.mails().iter().filter(|mail| mail.headers.contains("leaked")).count();
    assert_eq!(names, 2, "one for each owner");
    let rows = decisions(&app);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|(action, subject, ..)| {
        (action.as_str(), subject.as_str()) == ("leaked_key_revoked", "key")
    }));
}

#[test]
fn a_source_of_leaked_keys_that_cannot_be_read_revokes_nothing() {
    let app = sandboxed();
    let desk = Cli::beside(&app);
    let missing = desk.run(&["key", "revoke", "--leaked", "/nowhere/report"]);
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert!(missing.err.contains("nothing was revoked"), "{}", missing.err);
    let empty = desk.put("no key of ours: sluice_x");
    let none = desk.json(&["key", "revoke", "--leaked", &empty]);
    assert_eq!(none, json!({ "found": 0, "revoked": 0, "keys": [] }));
    assert_eq!(desk.run(&["key", "revoke"]).code, 2);
    assert_eq!(desk.run(&["key", "revoke", "key_x", "--leaked", &empty]).code, 2);
    assert_eq!(desk.run(&["key", "revoke", "key_x", "--dry-run"]).code, 2);
}

#[test]
fn what_an_operator_does_to_keys_and_balances_is_written_down_with_it_or_not_done() {
    let app = sandboxed();
    let (desk, account) = (Cli::beside(&app), app.account("5"));
    let (id, key) = (account.public_id.as_str(), account.key_id.as_str());
    let limit = ["key", "limit", key, "--max-streams", "3"];
    let credit = ["account", "credit", id, "1.5", "--reference", "for Ada"];
    let revoke = ["key", "revoke", key];
    // Where it cannot be written down, it does not happen.
    let rename = |from: &str, to: &str| {
        app.db(|conn| conn.batch_execute(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap());
    };
    rename("audit_log", "elsewhere");
    for words in [&limit[..], &credit, &revoke] {
        desk.refused(words);
    }
    rename("elsewhere", "audit_log");
    let keys = desk.json(&["key", "list", id]);
    assert_eq!((&keys[0]["max_streams"], &keys[0]["revoked_at"]), (&Value::Null, &Value::Null));
    assert_eq!(desk.json(&["account", "show", id])["available"], "5.00");

    desk.json(&limit);
    desk.json(&credit);
    assert_eq!(desk.run(&revoke).code, 0);
    // What changes nothing is no decision.
    assert_eq!(desk.run(&revoke).code, 0);
    for words in [&limit[..], &credit, &["key", "revoke", "key_nobody"]] {
        desk.refused(words);
    }
    let row = |action: &str, subject: &str, detail: &str| {
        (action.to_owned(), subject.to_owned(), Some(account.id.0), detail.to_owned())
    };
    assert_eq!(
        decisions(&app),
        [
            row("key_limited", "key", key),
            row("account_credited", "account", "1.50 USD"),
            row("key_revoked", "key", key),
        ]
    );
}

/// A request of an account that has cost so many dollars.
fn spend(app: &TestApp, account: &Account, at: i64, dollars: i64) {
    app.db(|conn| {
        let key: i64 = api_keys::table
            .filter(api_keys::account_id.eq(account.id.0))
            .select(api_keys::id)
            .first(conn)
            .unwrap();
        let id = sluice::domain::ids::public_id("req_").unwrap();
        usage_rows::insert(conn, &id, (account.id.0, key), at, dollars * 1_000_000_000);
    });
}

/// Takes the invented rows out, so that the books balance at the end.
fn forget_spending(app: &TestApp) {
    app.db(|conn| diesel::delete(usage_logs::table).execute(conn).unwrap());
}

#[test]
fn p7_unusual_spending_is_told_once_a_day_and_what_is_usual_is_not() {
    let upstream = Upstream::start();
    // The server's own looks come once an hour of real time: the test has these to itself.
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("abuse.spend_check_secs", 3600)
        .start();
    let [new, busy, steady, small, old] = std::array::from_fn(|_| app.account("0"));
    let now = app.clock.now().as_millis();
    spend(&app, &new, now - 10, 10);
    for hours in [30, 50] {
        spend(&app, &busy, now - hours * HOUR - 10, 4);
        spend(&app, &busy, now - hours * HOUR - HOUR / 2, 4);
        spend(&app, &steady, now - hours * HOUR, 10);
    }
    spend(&app, &busy, now - HOUR / 2, 25);
    spend(&app, &steady, now - HOUR / 2, 30);
    spend(&app, &small, now - 10, 9);
    // What was longer ago than the habit counts for nothing.
    spend(&app, &old, now - 8 * 24 * HOUR, 100);
    spend(&app, &old, now, 11);

    let look = |app: &TestApp| {
        let now = app.clock.now();
        app.db(|conn| spending::look(conn, &app.settings.abuse, now).unwrap())
    };
    let expected: Vec<String> = [&new, &busy, &old].map(|one| one.public_id.clone()).into();
    assert_eq!(look(&app), expected);
    assert!(look(&app).is_empty(), "nobody is told twice");
    let mail = app.mails_to(&app.address_of(&busy), 1).remove(0);
    let text = mail.text();
    assert!(mail.header("Subject").unwrap().contains("$25"), "{}", mail.headers);
    assert!(text.contains("busiest hour in the days before came to $8"), "{text}");
    // It concerns safety: there is nothing to unsubscribe from.
    assert!(mail.header("List-Unsubscribe").is_none());

    app.clock.advance(23 * HOUR);
    spend(&app, &new, app.clock.now().as_millis() - 1, 100);
    assert!(look(&app).is_empty());
    app.clock.advance(2 * HOUR);
    spend(&app, &new, app.clock.now().as_millis() - 1, 301);
    assert_eq!(look(&app), std::slice::from_ref(&new.public_id));
    let off = sluice::config::Abuse { spend_notice_factor: 0, ..app.settings.abuse.clone() };
    app.db(|conn| {
        let nobody = accounts::spend_notified_at.eq(None::<i64>);
        diesel::update(accounts::table).set(nobody).execute(conn).unwrap();
        assert!(spending::look(conn, &off, app.clock.now()).unwrap().is_empty());
    });
    forget_spending(&app);
}

#[test]
fn p7_a_server_looks_at_spending_by_itself() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .change(|settings| settings.abuse.spend_check = std::time::Duration::from_millis(50))
        .start();
    let account = app.account("0");
    let watched = Watched::new(app.admin_address);
    spend(&app, &account, app.clock.now().as_millis() - 1, 12);
    app.mails_to(&app.address_of(&account), 1);
    crate::support::wait::eventually("the operator to see it", || {
        (app.metric("sluice_alerts_total{what=\"unusual_spending\"}") == 1).then_some(())
    });
    watched.fires(&["SluiceUnusualSpending"]);
    forget_spending(&app);
}
