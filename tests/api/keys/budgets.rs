//! Budgets: what a key may cost, decided where the money is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice::domain::clock::UtcDay;
use sluice::domain::money::NanoUsd;

use super::MODEL;
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::prices::haiku;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

const HOUR: i64 = 3_600_000;

/// What a request holds while it runs.
fn hold_of(app: &TestApp, upstream: &Upstream, body: &str) -> i64 {
    let probe = app.account("100.00");
    let connection = app.send(&probe, body);
    let exchange = upstream.next();
    let held = app.balance(&probe).reserved;
    exchange.refuse(400, "{}");
    assert_eq!(connection.answer(false).finish().status, 400);
    app.only_row(&probe);
    held
}

fn dollars(nanos: i64) -> String {
    NanoUsd::from_nanos(nanos).to_string()
}

/// A thousand tokens in, 200 out.
fn answer() -> String {
    message(&json!({ "input_tokens": 1000, "output_tokens": 200 }))
}

/// One whole request of a key; whether it was let through.
fn once(app: &TestApp, upstream: &Upstream, account: &Account, body: &str) -> bool {
    let connection = app.send(account, body);
    let Some(exchange) = upstream.next_within(std::time::Duration::from_millis(700)) else {
        connection.answer(false).finish().expect_error(402, "billing_error");
        return false;
    };
    exchange.answer_json(&answer());
    assert_eq!(connection.answer(false).finish().status, 200);
    true
}

#[test]
fn of_100_parallel_requests_a_key_gets_exactly_as_many_as_its_budget_covers() {
    for (is_stream, budget) in [(false, "monthly_budget"), (true, "total_budget")] {
        let upstream = Upstream::start();
        // A stream would begin with less output, too.
        let app = Builder::new()
            .upstream("primary", upstream.address)
            .set("reservation.least_output_tokens", 4096)
            .start();
        let body = body(MODEL, is_stream, "text");
        let hold = hold_of(&app, &upstream, &body);
        let rich = app.account("1000.00");
        // One nano-dollar short of eight.
        let account = app.limited(&rich, &json!({ (budget): dollars(8 * hold - 1) }));
        let refused = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let (address, key, body) = (app.address, account.key.clone(), body.clone());
                let refused = Arc::clone(&refused);
                std::thread::spawn(move || {
                    let request = Request::post("/v1/messages", body).key(&key);
                    let response = Connection::open(address).ask(&request).finish();
                    if response.status != 200 {
                        let message = response.expect_error(402, "billing_error");
                        assert!(message.contains("This API key's"), "{message}");
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                    response.status
                })
            })
            .collect();
        let admitted: Vec<_> = (0..7).map(|_| upstream.next()).collect();
        eventually("the rest to be refused", || {
            (refused.load(Ordering::SeqCst) == 93).then_some(())
        });
        for exchange in admitted {
            if is_stream {
                exchange.answer_stream(&sse::whole("Hello"));
            } else {
                exchange.answer_json(&answer());
            }
        }
        let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7);
        let rows = app.settled(&account, 7);
        let cost: i64 = rows.iter().map(|row| row.cost_nanousd.as_nanos()).sum();
        let stored = app.stored_key(&account).spending();
        assert_eq!((stored.spent.as_nanos(), stored.month_spent.as_nanos()), (cost, cost));
        assert!(cost < 8 * hold);
        // Refused for what others held: that came back, and the key goes on.
        assert_eq!(app.shown_key(&account)["state"], "active");
        let body = body.clone();
        let connection = app.send(&account, &body);
        upstream.next().refuse(400, "{}");
        assert_eq!(connection.answer(false).finish().status, 400);
    }
}

#[test]
fn a_budget_that_runs_short_is_told_once_and_pauses_its_key_only_when_it_is_used_up() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let body = body(MODEL, false, "text");
    let hold = hold_of(&app, &upstream, &body);
    let cost = haiku(1000, 200);
    let rich = app.account("1000.00");
    let account = app.limited(&rich, &json!({ "total_budget": dollars(hold + 2 * cost) }));
    let mut admitted = 0;
    while once(&app, &upstream, &account, &body) {
        admitted += 1;
    }
    assert_eq!(admitted, 3, "the worst case of the next has to fit");
    let shown = app.shown_key(&account);
    assert_eq!((&shown["state"], &shown["paused_by"]), (&json!("active"), &Value::Null));
    assert_eq!((&shown["resumes_at"], &shown["spent"]), (&Value::Null, &json!(dollars(3 * cost))));
    for _ in 0..3 {
        assert!(!once(&app, &upstream, &account, &body));
    }
    let address = app.address_of(&rich);
    let mail = app.mails_to(&address, 1).remove(0);
    let hint = shown["hint"].as_str().unwrap().trim_start_matches("sluice_\u{2026}");
    for word in ["limited", hint, &dollars(hold + 2 * cost), &dollars(hold - cost)] {
        assert!(mail.body.contains(word), "{word}: {}", mail.body);
    }
    // What it says is so: a smaller request still works.
    let small = r#"{"model":"claude-haiku-4-5","max_tokens":1,"messages":[]}"#;
    let connection = app.send(&account, small);
    upstream.next().refuse(400, "{}");
    assert_eq!(connection.answer(false).finish().status, 400);
    // The account's other key does as it did.
    assert!(once(&app, &upstream, &rich, &body));

    let woken = app.change_key(&account, &json!({ "total_budget": dollars(hold + 3 * cost) }));
    assert_eq!(woken["state"], "active");
    assert!(once(&app, &upstream, &account, &body));
    assert!(!once(&app, &upstream, &account, &body));
    let paused = app.change_key(&account, &json!({ "total_budget": dollars(4 * cost) }));
    assert_eq!(
        (&paused["state"], &paused["paused_by"]),
        (&json!("paused"), &json!("total_budget"))
    );
    let connection = app.send(&account, small);
    connection.answer(false).finish().expect_error(402, "billing_error");
    app.all_mail_is_gone();
    assert_eq!(app.mails().len(), 1, "not again within an hour");
    let gone = app.change_key(&account, &json!({ "total_budget": null }));
    assert_eq!(gone["state"], "active");
    assert!(once(&app, &upstream, &account, &body));
    app.all_mail_is_gone();
    assert_eq!(app.mails().len(), 1);
}

#[test]
fn a_monthly_budget_begins_anew_with_the_month() {
    let upstream = Upstream::start();
    // The last moments of November.
    let december = UtcDay::parse("2026-12-01").unwrap().begin();
    let builder = Builder::new().clock_at(december.as_millis() - 5000);
    let app = builder.upstream("primary", upstream.address).start();
    let body = body(MODEL, false, "text");
    let hold = hold_of(&app, &upstream, &body);
    let cost = haiku(1000, 200);
    let rich = app.account("1000.00");
    let limits =
        json!({ "monthly_budget": dollars(hold), "total_budget": dollars(hold + 2 * cost) });
    let account = app.limited(&rich, &limits);
    assert!(once(&app, &upstream, &account, &body));
    assert!(!once(&app, &upstream, &account, &body));
    let used_up = app.change_key(&account, &json!({ "monthly_budget": dollars(cost) }));
    assert_eq!(
        (&used_up["state"], &used_up["paused_by"]),
        (&json!("paused"), &json!("monthly_budget"))
    );
    assert_eq!(used_up["resumes_at"], "2026-12-01T00:00:00.000Z");
    app.change_key(&account, &json!({ "monthly_budget": dollars(hold) }));

    app.clock.advance(5000);
    let shown = app.shown_key(&account);
    assert_eq!((&shown["state"], &shown["month_spent"]), (&json!("active"), &json!("0.00")));
    assert_eq!(shown["spent"], dollars(cost));
    // Held in December and settled in January: the month of the post counts.
    let connection = app.send(&account, &body);
    let exchange = upstream.next();
    app.clock.advance(31 * 86_400_000);
    exchange.answer_json(&answer());
    assert_eq!(connection.answer(false).finish().status, 200);
    app.settled(&account, 2);
    let shown = app.shown_key(&account);
    assert_eq!(
        (&shown["month_spent"], &shown["spent"]),
        (&json!(dollars(cost)), &json!(dollars(2 * cost)))
    );
    assert!(!once(&app, &upstream, &account, &body));
    app.clock.advance(31 * 86_400_000);
    assert!(once(&app, &upstream, &account, &body), "what is left in all covers one more");
    assert!(!once(&app, &upstream, &account, &body));
    let spent = json!({ "total_budget": dollars(3 * cost) });
    assert_eq!(app.change_key(&account, &spent)["paused_by"], "total_budget");
}

#[test]
fn e18_a_stream_ends_where_its_keys_budget_does() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .set("reservation.reserve_output_tokens", 100)
        .set("reservation.extend_output_tokens", 100)
        .upstream("primary", upstream.address)
        .start();
    let body = body(MODEL, true, "text");
    let hold = hold_of(&app, &upstream, &body);
    let rich = app.account("1000.00");
    let account = app.limited(&rich, &json!({ "monthly_budget": dollars(hold) }));
    let connection = app.send(&account, &body);
    let mut exchange = upstream.next();
    let prompt = (hold - 100 * 5000) / 1000;
    let usage = json!({ "input_tokens": prompt, "output_tokens": 1 });
    exchange.stream_head().chunk(sse::message_start(MODEL, &usage));
    let mut answer = connection.answer(false);
    for _ in 0..140 {
        if !exchange.try_chunk(sse::text("fives")) {
            break;
        }
    }
    answer.read_until("event: error");
    let response = answer.finish();
    let events = sse::read(&response.body);
    let last = events.last().unwrap().json();
    assert_eq!(last["error"]["type"], "billing_error");
    assert_eq!(
        last["error"]["message"],
        "This API key's monthly budget does not cover more of this response."
    );
    exchange.wait_until_left();
    let row = app.only_row(&account);
    assert_eq!(row.ending.code(), "E18");
    let spent = app.stored_key(&account).spending().spent;
    assert_eq!(spent.as_nanos(), row.cost_nanousd.as_nanos());
    assert!(row.cost_nanousd.as_nanos() <= hold, "{row:#?}");
}

#[test]
fn a_balance_that_falls_below_its_owners_threshold_is_told_once_within_an_hour() {
    let app = Builder::new().upstream("sandbox", sandbox()).start();
    let account = app.account("1.00");
    let set_threshold = |nanos: i64| {
        use diesel::prelude::*;
        use sluice::db::schema::accounts;
        app.db(|conn| {
            diesel::update(accounts::table.find(account.id.0))
                .set(accounts::low_balance_nanousd.eq(nanos))
                .execute(conn)
                .unwrap();
        });
    };
    set_threshold(999_900_000);
    let address = app.address_of(&account);
    let body = body(MODEL, false, "text;input=100;output=10");
    for _ in 0..3 {
        assert_eq!(app.messages(&account, &body).status, 200);
    }
    // 0.00015 each: the first one crosses.
    let mail = app.mails_to(&address, 1).remove(0);
    assert!(mail.body.contains("$0.99985"), "{}", mail.body);
    app.all_mail_is_gone();
    // Nor does a threshold that moves with the balance bring about one for each request.
    for exchanges in 4..9 {
        set_threshold(app.balance(&account).available);
        assert_eq!(app.messages(&account, &body).status, 200);
        app.settled(&account, exchanges);
    }
    app.all_mail_is_gone();
    assert_eq!(app.mails().len(), 1);
    app.clock.advance(HOUR);
    set_threshold(app.balance(&account).available);
    assert_eq!(app.messages(&account, &body).status, 200);
    app.mails_to(&address, 2);
}

#[test]
fn a_budget_that_is_moved_again_and_again_is_mailed_about_once_an_hour() {
    let app = Builder::new().upstream("sandbox", sandbox()).start();
    let rich = app.account("1.00");
    let account = app.limited(&rich, &json!({}));
    let body = body(MODEL, false, "text;input=100;output=10");
    assert_eq!(app.messages(&account, &body).status, 200);
    app.settled(&rich, 1);
    let pause = |nanos: i64| {
        app.change_key(&account, &json!({ "total_budget": dollars(nanos) }));
        app.messages(&account, &body).expect_error(402, "billing_error");
    };
    let address = app.address_of(&rich);
    for nanos in 1..=10 {
        pause(nanos);
    }
    app.all_mail_is_gone();
    assert_eq!(app.mails_to(&address, 1).len(), 1);
    app.clock.advance(HOUR);
    pause(11);
    app.mails_to(&address, 2);
}
