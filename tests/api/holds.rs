//! What is held: that who has credit is served, that requests of one account wait for each other,
//! and that no trick takes an account further than it may go.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::Connection;
use crate::support::prices::haiku;
use crate::support::sandbox::{body_with, sandbox};
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, message};
use crate::support::wait::eventually;

const MODEL: &str = "claude-haiku-4-5";

fn line_of(upstream: &Upstream) -> Builder {
    Builder::new().upstream("primary", upstream.address).set("reservation.wait_secs", 10)
}

/// A long text, as JSON would have it.
fn text(bytes: usize) -> Value {
    json!({ "messages": [{ "role": "user",
        "content": "words and more words ".repeat(bytes / 21) }] })
}

fn stream(more: &Value) -> String {
    body_with(MODEL, true, "", more)
}

/// A stream that has begun, with this usage.
fn begin(
    exchange: &mut Exchange,
    connection: Connection,
    usage: &Value,
) -> crate::support::client::Answer {
    exchange
        .stream_head()
        .chunk([sse::message_start(MODEL, usage), sse::block_start("text")].concat());
    let mut answer = connection.answer(false);
    answer.read_until("content_block_start");
    answer
}

fn end(mut exchange: Exchange, answer: crate::support::client::Answer, output: u64) {
    exchange
        .chunk([sse::block_stop(), sse::end(output), sse::message_stop()].concat())
        .end_chunks();
    answer.finish().expect_ok();
}

#[test]
fn at_the_first_usage_the_hold_is_the_exact_price_of_the_prompt_and_a_slice() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).set("reservation.counted_output_tokens", 1536).start();
    let account = app.account("5.00");
    let connection = app.send(&account, &stream(&text(210_000)));
    let mut exchange = upstream.next();
    // Two bytes a token, until it is known better.
    let before = app.balance(&account).reserved;
    assert!(before > haiku(105_000, 4096) && before < haiku(106_000, 4096), "{before}");
    let usage =
        json!({ "input_tokens": 30, "cache_read_input_tokens": 50_000, "output_tokens": 1 });
    let answer = begin(&mut exchange, connection, &usage);
    let counted = haiku(30, 1536) + 50_000 * 100;
    eventually("the hold to be counted", || {
        (app.balance(&account).reserved == counted).then_some(())
    });
    end(exchange, answer, 9);
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(30, 9) + 5_000_000);
}

#[test]
fn an_exchange_that_is_over_at_once_writes_no_checkpoint() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).set("stream.checkpoint_first_ms", 60_000).start();
    let account = app.account("5.00");
    let connection = app.send(&account, &stream(&json!({})));
    let mut exchange = upstream.next();
    let before = app.balance(&account).reserved;
    let answer =
        begin(&mut exchange, connection, &json!({ "input_tokens": 5, "output_tokens": 1 }));
    assert_eq!(app.balance(&account).reserved, before);
    end(exchange, answer, 9);
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(5, 9));
}

#[test]
fn what_the_last_answers_counted_is_used_for_the_next_hold() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    let account = app.account("5.00");
    let held = || {
        let connection = app.send(&account, &stream(&text(210_000)));
        let mut exchange = upstream.next();
        let held = app.balance(&account).reserved;
        let usage = json!({ "input_tokens": 42_000, "output_tokens": 1 });
        let answer = begin(&mut exchange, connection, &usage);
        end(exchange, answer, 1);
        app.settled(&account, app.usage(&account).len());
        held
    };
    let first = held();
    for _ in 0..6 {
        held();
    }
    let later = held();
    assert!(first > haiku(105_000, 4096), "{first}");
    assert!(later < haiku(47_000, 4096) && later > haiku(42_000, 4096), "{later}");
}

/// A turn of a conversation: everything before, marked at the end.
fn turn(parts: &[&str]) -> Value {
    let count = parts.len();
    let block = |(index, part): (usize, &&str)| {
        let mut block = json!({ "type": "text", "text": part });
        if index + 1 == count {
            block["cache_control"] = json!({ "type": "ephemeral" });
        }
        json!({ "role": if index % 2 == 0 { "user" } else { "assistant" }, "content": [block] })
    };
    json!({ "messages": parts.iter().enumerate().map(block).collect::<Vec<_>>() })
}

#[test]
fn a_beginning_that_is_known_to_be_cached_is_held_at_the_price_of_reads_of_its_own_account_alone() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let long = "a long beginning of words ".repeat(10_000);
    let ask = |account: &Account, parts: &[&str], usage: &Value| {
        let connection = app.send(account, &stream(&turn(parts)));
        let mut exchange = upstream.next();
        let held = app.balance(account).reserved;
        let answer = begin(&mut exchange, connection, usage);
        end(exchange, answer, 1);
        app.settled(account, app.usage(account).len());
        held
    };
    let written =
        json!({ "input_tokens": 1, "cache_creation_input_tokens": 60_000, "output_tokens": 1 });
    let cold = ask(&account, &[&long], &written);
    assert!(cold > 130_000 * 1_250, "{cold}");
    let read = json!({ "input_tokens": 20, "cache_read_input_tokens": 60_000, "output_tokens": 1 });
    let warm = ask(&account, &[&long, "yes", "go on"], &read);
    // 60,000 read, a few hundred bytes beside them, and the slice.
    let likely = 60_000 * 100 + 4096 * 5_000;
    assert!(warm > likely && warm < likely + 500 * 1_250, "{warm}");
    let strange = ask(&other, &[&long, "yes", "go on"], &written);
    assert!(strange > 60_000 * 1_250, "{strange}");
    // Once the cache is gone, it may be written again; how many tokens it has is known all the
    // same.
    app.clock.advance(299_000);
    let late = ask(&account, &[&long, "yes", "go on", "and"], &read);
    assert!(late > 60_000 * 1_250 && late < 61_000 * 1_250 + 4096 * 5_000, "{late}");
}

#[test]
fn requests_of_one_account_wait_for_each_others_holds_and_others_do_not_wait() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    // Enough for one prompt of 105,000 tokens at a time.
    let account = app.account("0.15");
    let first = app.send(&account, &stream(&text(210_000)));
    let mut exchange = upstream.next();
    let waiting = app.send(&account, &stream(&text(210_000)));
    assert!(upstream.next_within(Duration::from_millis(300)).is_none(), "it waits");
    let other = app.account("0.15");
    let passing = app.send(&other, &stream(&json!({})));
    let mut beside = upstream.next();
    let answer = begin(&mut beside, passing, &json!({ "input_tokens": 1, "output_tokens": 1 }));
    end(beside, answer, 1);
    // The first one's prompt turns out to be cheap, and the second is served while it runs.
    let usage =
        json!({ "input_tokens": 10, "cache_read_input_tokens": 50_000, "output_tokens": 1 });
    let answer = begin(&mut exchange, first, &usage);
    let mut second = upstream.next();
    let second_answer = begin(&mut second, waiting, &usage);
    end(exchange, answer, 5);
    end(second, second_answer, 5);
    app.settled(&account, 2);
}

#[test]
fn who_waits_in_vain_is_told_what_is_missing_what_is_held_and_where_to_add_credit() {
    let upstream = Upstream::start();
    let app = line_of(&upstream)
        .set("reservation.wait_secs", 1)
        .set("site.base_url", "\"http://127.0.0.1:9999\"")
        .start();
    let account = app.account("0.15");
    let first = app.send(&account, &stream(&text(210_000)));
    let exchange = upstream.next();
    let refused = app.messages(&account, &stream(&text(210_000)));
    let message = refused.expect_error(402, "billing_error");
    assert!(message.contains("USD more is needed."), "{message}");
    assert!(message.contains("USD is on hold for requests in progress."), "{message}");
    assert!(message.ends_with("Add credit at http://127.0.0.1:9999/deposits"), "{message}");
    // What no wait could cover is refused at once.
    let never = app.messages(&account, &stream(&text(2_100_000)));
    never.expect_error(402, "billing_error");
    exchange.refuse(400, "{}");
    first.answer(false).finish();
    app.only_row(&account);
}

#[test]
fn a_client_that_leaves_the_line_asks_nothing_of_the_upstream() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    let account = app.account("0.15");
    let first = app.send(&account, &stream(&text(210_000)));
    let exchange = upstream.next();
    let waiting = app.send(&account, &stream(&text(210_000)));
    assert!(upstream.next_within(Duration::from_millis(200)).is_none());
    waiting.leave_seen();
    exchange.refuse(400, "{}");
    first.answer(false).finish();
    assert!(upstream.next_within(Duration::from_millis(500)).is_none(), "it was let go");
    assert_eq!(app.only_row(&account).ending.code(), "E2");
}

#[test]
fn where_the_estimate_is_not_covered_the_upstreams_own_count_is_asked_for() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).set("reservation.count_tokens_secs", 5).start();
    let account = app.account("0.06");
    let connection = app.send(&account, &stream(&text(210_000)));
    let counting = upstream.next();
    assert!(counting.request.line.starts_with("POST /v1/messages/count_tokens "));
    let body: Value = serde_json::from_slice(&counting.request.body).unwrap();
    let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["messages", "model"], "what a count does not take stays behind");
    counting.answer_json(r#"{"input_tokens":42000}"#);
    let mut exchange = upstream.next();
    assert!(exchange.request.line.starts_with("POST /v1/messages "));
    let usage = json!({ "input_tokens": 42_000, "output_tokens": 1 });
    let answer = begin(&mut exchange, connection, &usage);
    end(exchange, answer, 100);
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(42_000, 100));
    // A count that covers nothing, one that fails, and one that never comes: 402.
    for count in
        [Some((200, r#"{"input_tokens":190000}"#)), Some((404, "{}")), Some((200, "{}")), None]
    {
        let poor = app.account("0.06");
        let connection = app.send(&poor, &stream(&text(210_000)));
        let counting = upstream.next();
        match count {
            Some((200, body)) => counting.answer_json(body),
            Some((status, body)) => counting.refuse(status, body),
            None => counting.reset(),
        }
        connection.answer(false).finish().expect_error(402, "billing_error");
        assert!(app.usage(&poor).is_empty());
    }
}

#[test]
fn a_stream_begins_with_as_much_output_as_the_balance_covers() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    // A prompt of some 100 tokens, and 400 of output; 4,096 would be 0.02.
    let account = app.account("0.0021");
    let connection = app.send(&account, &stream(&json!({})));
    let mut exchange = upstream.next();
    assert_eq!(app.balance(&account).available, 0);
    let answer =
        begin(&mut exchange, connection, &json!({ "input_tokens": 10, "output_tokens": 1 }));
    end(exchange, answer, 300);
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(10, 300));
    let poorer = app.account("0.0008");
    app.messages(&poorer, &stream(&json!({}))).expect_error(402, "billing_error");
}

/// Sends `count` requests at once to a sandbox that counts as it is told.
fn at_once(app: &TestApp, account: &Account, bodies: &[String]) -> Vec<u16> {
    let clients: Vec<_> = bodies
        .iter()
        .map(|body| {
            let (address, key, body) = (app.address, account.key.clone(), body.clone());
            std::thread::spawn(move || {
                let request = crate::support::client::Request::post("/v1/messages", body).key(&key);
                Connection::open(address).ask(&request).finish().status
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

fn paid(app: &TestApp, account: &Account) {
    let before = app.usage(account).len();
    app.messages(account, &body_with(MODEL, false, "", &json!({ "max_tokens": 1 }))).expect_ok();
    app.settled(account, before + 1);
}

/// The tricks of security S10, with what the upstream is told to count for each: dense text, a
/// document by URL, a prompt that was cached and is cold, each of them many at once.
fn tricks() -> Vec<(&'static str, Vec<String>)> {
    let body = |script: &str, content: Value, count: usize| {
        let more =
            json!({ "messages": [{ "role": "user", "content": content }], "max_tokens": 100 });
        vec![body_with("claude-opus-5", true, script, &more); count]
    };
    let dense: Vec<String> = (0..12_000).map(|n: u32| format!("{n:05x}7Q!")).collect();
    let runs = "x".repeat(96_000);
    let other = "漢字".repeat(16_000);
    let document = json!([{ "type": "document", "source": { "type": "url",
        "url": "https://example.org/a.pdf" } }]);
    let cold = json!([{ "type": "text", "text": "words of it ".repeat(8_000),
        "cache_control": { "type": "ephemeral", "ttl": "1h" } }]);
    let warm = body("input=0;cache_1h=20000", cold.clone(), 1);
    vec![
        ("dense text", body("input=90000", json!(dense.concat()), 64)),
        ("one long run", body("input=90000", json!(runs), 64)),
        ("another script", body("input=90000", json!(other), 64)),
        ("a document by URL", body("input=990000", document, 64)),
        ("cold after warm", [warm, body("input=0;cache_1h=20000", cold, 64)].concat()),
    ]
}

#[test]
fn no_trick_takes_a_fresh_account_below_zero_or_a_paying_one_below_its_shortfall() {
    for (trick, bodies) in tricks() {
        for has_paid in [false, true] {
            let app = Builder::new()
                .upstream("sandbox", sandbox())
                .set("reservation.count_tokens_secs", 5)
                .set("reservation.shortfall_max_usd", "\"0.50\"")
                .set("stream.checkpoint_first_ms", 60_000)
                .start();
            let account = app.account("1.60");
            if has_paid {
                paid(&app, &account);
                app.clock.advance(600_000);
                at_once(&app, &account, bodies.get(..1).unwrap());
            }
            let rows = app.usage(&account).len();
            let statuses = at_once(&app, &account, &bodies);
            let served = app.usage(&account).len() - rows;
            eventually("everything to be settled", || {
                (app.balance(&account).reserved == 0).then_some(())
            });
            let least = if has_paid { -500_000_000 } else { 0 };
            let available = app.balance(&account).available;
            assert!(available >= least, "{trick}, paid: {has_paid}: {available}, served {served}");
            assert!(statuses.iter().all(|status| matches!(status, 200 | 402)), "{statuses:?}");
        }
    }
}

#[test]
fn a_json_call_holds_all_that_it_may_write_and_a_stream_is_cut_where_it_is_not_covered() {
    let app = Builder::new().upstream("sandbox", sandbox()).start();
    let account = app.account("0.051");
    let whole = body_with(MODEL, false, "output=9000", &json!({ "max_tokens": 9_999 }));
    app.messages(&account, &whole).expect_ok();
    let again = app.messages(&account, &whole);
    again.expect_error(402, "billing_error");
    let long = "text;events=2000;bytes=64";
    let cut = body_with(MODEL, true, long, &json!({ "max_tokens": 60_000 }));
    let response = app.messages(&account, &cut);
    assert!(response.text().contains("does not cover more of this response"));
    let rows = app.settled(&account, 2);
    assert_eq!(rows.iter().filter(|row| row.ending.code() == "E18").count(), 1);
    assert!(app.balance(&account).available >= 0);
}

#[test]
fn hidden_output_is_covered_by_the_time_that_it_takes() {
    let upstream = Upstream::start();
    let app = line_of(&upstream)
        .set("reservation.hidden_tokens_per_sec", 2000)
        .set("reservation.counted_output_tokens", 256)
        .start();
    let account = app.account("0.02");
    let connection =
        app.send(&account, &body_with(MODEL, true, "", &json!({ "max_tokens": 60_000 })));
    let mut exchange = upstream.next();
    let usage = json!({ "input_tokens": 10, "output_tokens": 1 });
    exchange
        .stream_head()
        .chunk([sse::message_start(MODEL, &usage), sse::block_start("thinking")].concat());
    // Nothing shows, and nothing is said: what it may have written is held, until that is not
    // covered.
    let response = connection.answer(false).finish();
    assert!(
        response.text().contains("does not cover more of this response"),
        "{}",
        response.text()
    );
    exchange.wait_until_left();
    let row = app.only_row(&account);
    assert_eq!((row.ending.code(), row.is_estimated), ("E18", true));
    assert!(row.output_tokens > 2_000, "what was held for it is charged: {row:#?}");
    assert!(app.balance(&account).available >= 0);
}

#[test]
fn the_books_and_the_owner_know_what_is_at_risk() {
    let upstream = Upstream::start();
    let app = line_of(&upstream).start();
    let account = app.account("5.00");
    let usage = json!({ "input_tokens": 42_000, "output_tokens": 1 });
    for _ in 0..8 {
        let connection = app.send(&account, &body_with(MODEL, false, "", &text(210_000)));
        upstream.next().answer_json(&message(&usage));
        connection.answer(false).finish().expect_ok();
    }
    app.settled(&account, 8);
    let connection = app.send(&account, &stream(&text(210_000)));
    let exchange = upstream.next();
    let shown = || {
        let request = crate::support::client::Request::get("/api/v1/account").key(&account.key);
        app.ask(&request).expect_ok().json()
    };
    // At most 105,000 tokens, likely less than half of that.
    let at_risk: f64 = shown()["at_risk_usd"].as_str().unwrap().parse().unwrap();
    assert!((0.05..0.07).contains(&at_risk), "{:#}", shown());
    exchange.refuse(400, "{}");
    connection.answer(false).finish();
    app.settled(&account, 9);
    assert_eq!(shown()["at_risk_usd"], "0.00");
}
