//! Money under load and at its limits: what is admitted, what it holds, what it costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp, credit};
use crate::support::client::{Connection, Request};
use crate::support::prices::{cost_of, haiku};
use crate::support::sandbox::{body, body_with, sandbox};
use crate::support::sse;
use crate::support::upstream::{Upstream, json_response, message};
use crate::support::wait::eventually;

const MODEL: &str = sse::MODEL;

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

fn account_with(app: &TestApp, nanos: i64) -> Account {
    let account = app.account("0");
    app.db(|conn| credit(conn, account.id, nanos));
    account
}

#[test]
fn of_200_parallel_requests_exactly_as_many_are_admitted_as_the_balance_covers() {
    for is_stream in [true, false] {
        let upstream = Upstream::start();
        let app = TestApp::with(&upstream);
        let body = body(MODEL, is_stream, "text");
        let hold = hold_of(&app, &upstream, &body);
        let account = account_with(&app, 20 * hold);
        let refused = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..200)
            .map(|_| {
                let (address, key, body) = (app.address, account.key.clone(), body.clone());
                let refused = Arc::clone(&refused);
                std::thread::spawn(move || {
                    let request = Request::post("/v1/messages", body).key(&key);
                    let response = Connection::open(address).ask(&request).finish();
                    if response.status != 200 {
                        response.expect_error(402, "billing_error");
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                    response.status
                })
            })
            .collect();
        // All are decided before one of those admitted is answered.
        let admitted: Vec<_> = (0..20).map(|_| upstream.next()).collect();
        eventually("the rest to be refused", || {
            (refused.load(Ordering::SeqCst) == 180).then_some(())
        });
        let balance = app.balance(&account);
        assert_eq!((balance.available, balance.reserved), (0, 20 * hold));
        for exchange in admitted {
            if is_stream {
                exchange.answer_stream(&sse::whole("Hello"));
            } else {
                exchange
                    .answer_json(&message(&json!({ "input_tokens": 1000, "output_tokens": 200 })));
            }
        }
        let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 20);
        assert_eq!(upstream.count(), 21, "nothing else was dispatched");
        let rows = app.settled(&account, 20);
        let cost: i64 = rows.iter().map(|row| row.cost_nanousd.as_nanos()).sum();
        assert_eq!(cost, 20 * haiku(1000, 200));
        let available = app.balance(&account).available;
        assert_eq!(available, 20 * hold - cost);
        assert!(available >= 0);
    }
}

/// 115 KB as a coding CLI sends them: a long system prompt, many tools, a cache mark.
fn cli_body() -> String {
    let tool = |number: usize| {
        json!({
            "name": format!("tool_{number}"),
            "description": "Reads \"things\" and says what they are.\n".repeat(60),
            "input_schema": { "type": "object", "properties": { "path": { "type": "string" } },
                "required": ["path"] },
        })
    };
    let tools: Vec<Value> = (0..24).map(tool).collect();
    let system = "You are a careful engineer. ".repeat(1850);
    json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 128_000,
        "stream": true,
        "system": [{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }],
        "tools": tools,
        "thinking": { "type": "adaptive" },
        "metadata": { "user_id": "sandbox:text;input=4;cache_5m=28000;output=350" },
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello",
            "cache_control": { "type": "ephemeral" } }] }],
    })
    .to_string()
}

#[test]
fn the_first_request_of_a_coding_cli_is_admitted_with_one_dollar() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    let body = cli_body();
    assert!((113_000..120_000).contains(&body.len()), "{}", body.len());
    let betas =
        "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27";
    let request = Request::post("/v1/messages?beta=true", body)
        .key("sk-ant-something-else")
        .header("authorization", &format!("Bearer {}", account.key))
        .header("anthropic-beta", betas)
        .header(
            "anthropic-beta",
            "fine-grained-tool-streaming-2025-05-14,prompt-caching-scope-2026-01-05",
        )
        .header("user-agent", "claude-cli/2.4.1 (external, cli)")
        .header("x-app", "cli")
        .header("x-stainless-retry-count", "0");
    app.ask(&request).expect_ok();
    let row = app.only_row(&account);
    assert_eq!((row.ending.code(), row.cache_write_5m_tokens), ("E1", 28_000));
    assert_eq!(row.cost_nanousd.as_nanos(), cost_of(&row));
    assert_eq!(app.balance(&account).available, 1_000_000_000 - row.cost_nanousd.as_nanos());
}

#[test]
fn counting_tokens_and_listing_models_is_free_and_leaves_no_row() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    for _ in 0..3 {
        let counted = app.count_tokens(&account, &body(MODEL, false, "text"));
        assert!(counted.expect_ok().json()["input_tokens"].as_i64().unwrap() > 0);
        app.models(&account).expect_ok();
    }
    let without_limit = json!({ "model": MODEL, "messages": [] }).to_string();
    app.count_tokens(&account, &without_limit).expect_ok();
    assert!(app.usage(&account).is_empty());
    assert_eq!(app.balance(&account).available, 0);
    assert_eq!(app.open_reservations(), 0);
}

#[test]
fn an_overrun_is_charged_in_full_and_the_account_is_refused_until_it_tops_up() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("0.05");
    let connection = app.send(&account, &body(MODEL, false, "text"));
    // Nothing in the request's bytes foretold these tokens.
    let overrun = message(&json!({ "input_tokens": 190_000, "output_tokens": 10 }));
    upstream.next().answer_json(&overrun);
    connection.answer(false).finish().expect_ok();
    let cost = app.only_row(&account).cost_nanousd.as_nanos();
    assert_eq!(cost, haiku(190_000, 10));
    assert_eq!(app.balance(&account).available, 50_000_000 - cost);
    let tiny = body_with(MODEL, false, "", &json!({ "max_tokens": 1 }));
    app.messages(&account, &tiny).expect_error(402, "billing_error");
    app.models(&account).expect_ok();
    app.db(|conn| credit(conn, account.id, cost));
    let connection = app.send(&account, &tiny);
    upstream.next().answer_json(&message(&json!({ "input_tokens": 1, "output_tokens": 1 })));
    connection.answer(false).finish().expect_ok();
    app.settled(&account, 2);
}

#[test]
fn a_url_document_holds_its_ceiling_so_that_a_small_balance_buys_none() {
    let app = TestApp::sandboxed();
    let account = app.account("0.10");
    let document = json!({ "messages": [{ "role": "user", "content": [
        { "type": "document", "source": { "type": "url", "url": "https://example.org/a.pdf" } },
        { "type": "text", "text": "Summarise." },
    ] }] });
    let with = body_with(MODEL, true, "text", &document);
    app.messages(&account, &with).expect_error(402, "billing_error");
    app.messages(&account, &body(MODEL, true, "text")).expect_ok();
    app.only_row(&account);
}

#[test]
fn what_is_held_follows_from_the_request() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let hold = |more: Value| hold_of(&app, &upstream, &body_with(MODEL, true, "", &more));
    let plain = hold(json!({}));
    // 4096 tokens of output at $5, and between 50 and 200 of input at $1.
    assert!((20_480_000 + 50_000..20_480_000 + 200_000).contains(&plain), "{plain}");
    // A stream holds at most the configured output, a JSON answer all of it.
    let long = json!({ "max_tokens": 60_000 });
    let near = |sum: i64, tokens: i64| (sum - tokens * 5000 - (plain - 20_480_000)).abs() < 10_000;
    let streamed = hold(long.clone());
    assert!(near(streamed, 4096), "{streamed}");
    let whole = hold_of(&app, &upstream, &body_with(MODEL, false, "", &long));
    assert!(near(whole, 60_000), "{whole}");
    // The one-hour cache only if the body asks for it.
    let cached = |ttl: &str| {
        json!({ "system": [{ "type": "text", "text": "word ".repeat(4_000),
            "cache_control": { "type": "ephemeral", "ttl": ttl } }] })
    };
    let (short, hour) = (hold(cached("5m")), hold(cached("1h")));
    assert!(short - plain >= 12_500_000 && hour - plain >= 20_000_000, "{short} {hour}");
    assert!(hour < short + 8_000_000, "{short} {hour}");
    // An image at its ceiling, whatever its base64 weighs.
    let image = json!({ "messages": [{ "role": "user", "content": [{ "type": "image",
        "source": { "type": "base64", "media_type": "image/png",
            "data": "A".repeat(400_000) } }] }] });
    let seen = hold(image) - plain;
    assert!((5_000_000..5_100_000).contains(&seen), "{seen}");
    // A dearer model named anywhere in the body.
    let fallback = hold(json!({ "fallbacks": [{ "model": "claude-opus-5-5" }] }));
    assert!(fallback >= plain * 4, "{fallback}");
    // Searches, with what they bring in.
    let searches = |uses: u64| {
        json!({ "tools": [{ "type": "web_search_20250305",
        "name": "web_search", "max_uses": uses }] })
    };
    let one_more = hold(searches(3)) - hold(searches(2));
    assert_eq!(one_more, 10_000_000 + 20_000 * 1000);
}

#[test]
fn prices_are_those_of_the_admission() {
    let upstream = Upstream::start();
    // 2026-10-06, a minute before midnight UTC; the cache read of this model falls next day.
    let app =
        Builder::new().upstream("primary", upstream.address).clock_at(1_791_331_140_000).start();
    let account = app.account("5.00");
    let usage =
        json!({ "input_tokens": 0, "output_tokens": 1, "cache_read_input_tokens": 1_000_000 });
    let answer = message(&usage).replace(MODEL, "claude-sonnet-5-5");
    let connection = app.send(&account, &body("claude-sonnet-5-5", false, "text"));
    let exchange = upstream.next();
    app.clock.advance(3_600_000);
    exchange.answer_json(&answer);
    connection.answer(false).finish().expect_ok();
    let connection = app.send(&account, &body("claude-sonnet-5-5", false, "text"));
    upstream.next().answer_json(&answer);
    connection.answer(false).finish().expect_ok();
    let rows = app.settled(&account, 2);
    assert_eq!(
        (rows[1].cost_nanousd.as_nanos(), rows[0].cost_nanousd.as_nanos()),
        (200_010_000, 100_010_000)
    );
    assert_ne!(rows[0].price_version, rows[1].price_version);
}

#[test]
fn a_long_prompt_is_priced_as_one_and_the_markup_comes_on_top_rounded_up_once() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("pricing.markup", "\"1.234567\"")
        .start();
    let costs = |input: u64, read: u64| {
        let account = app.account("50.00");
        let connection = app.send(&account, &body("claude-haiku-5-5", false, "text"));
        let usage =
            json!({ "input_tokens": input, "output_tokens": 3, "cache_read_input_tokens": read });
        upstream.next().answer_json(&message(&usage).replace(MODEL, "claude-haiku-5-5"));
        connection.answer(false).finish().expect_ok();
        app.only_row(&account).cost_nanousd.as_nanos()
    };
    // 100,000 · $0.10 and 3 · $0.50 per million, in nano-dollars, times the markup, rounded up.
    assert_eq!(costs(100_000, 0), (100_000 * 100 + 3 * 500) * 1_234_567 / 1_000_000 + 1);
    // One token more, be it from the cache, and all of it is dearer.
    let long = 100_000_i64 * 500 + 50 + 3 * 2500;
    assert_eq!(costs(100_000, 1), long * 1_234_567 / 1_000_000 + 1);
}

#[test]
fn a_key_that_is_revoked_meanwhile_does_not_cut_what_runs() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let connection = app.send(&account, &body(MODEL, true, "text"));
    let exchange = upstream.next();
    app.revoke(&account);
    app.set_status(&account, "suspended");
    exchange.answer_stream(&sse::whole("Hello"));
    let response = connection.answer(false).finish();
    assert_eq!(response.expect_ok().text(), sse::whole("Hello"));
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(1000, 200));
}

#[test]
fn exchanges_of_many_accounts_at_once_all_add_up() {
    let app = Builder::new().upstream("sandbox", sandbox()).set("database.pool_size", 8).start();
    let accounts: Vec<Account> = (0..8).map(|_| app.account("1.00")).collect();
    let scripts = ["text", "mixed;events=3", "text;error_at=3", "thinking;end_at=4", "status=529"];
    let workers: Vec<_> = accounts
        .iter()
        .cloned()
        .map(|account| {
            let address = app.address;
            std::thread::spawn(move || {
                for round in 0..15 {
                    let tools = json!({ "tools": [{ "type": "web_search_20250305",
                        "name": "web_search" }] });
                    let script = scripts[round % scripts.len()];
                    let body = body_with(MODEL, round % 2 == 0, script, &tools);
                    let request = Request::post("/v1/messages", body).key(&account.key);
                    let response = Connection::open(address).ask(&request).finish();
                    assert!(matches!(response.status, 200 | 502 | 529), "{}", response.text());
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    for account in &accounts {
        let rows = app.settled(account, 15);
        let cost: i64 = rows.iter().map(|row| row.cost_nanousd.as_nanos()).sum();
        assert_eq!(app.balance(account).available, 1_000_000_000 - cost);
        for row in rows {
            let expected =
                if row.is_estimated { row.cost_nanousd.as_nanos() } else { cost_of(&row) };
            assert_eq!(row.cost_nanousd.as_nanos(), expected, "{row:#?}");
        }
    }
}

#[test]
fn an_answer_is_billed_once_however_often_its_connection_is_used() {
    let upstream = Upstream::start();
    let app = Builder::new().upstream("primary", upstream.address).set("server.workers", 1).start();
    let account = app.account("5.00");
    let answer = message(&json!({ "input_tokens": 1000, "output_tokens": 200 }));
    let mut connection = app.connect();
    let mut exchange = None;
    for round in 1..=4 {
        connection = connection
            .send(&Request::post("/v1/messages", body(MODEL, false, "text")).key(&account.key));
        let mut current: crate::support::upstream::Exchange = match exchange.take() {
            None => upstream.next(),
            Some(previous) => crate::support::upstream::Exchange::next_on_connection(
                previous,
                crate::support::wait::PATIENCE,
            )
            .expect("the pooled connection is used again"),
        };
        current.send(json_response(200, &answer));
        exchange = Some(current);
        let (response, kept) = connection.answer(false).finish_keeping();
        response.expect_ok();
        connection = kept;
        assert_eq!(app.settled(&account, round).len(), round);
    }
    assert_eq!(app.balance(&account).available, 5_000_000_000 - 4 * haiku(1000, 200));
}
