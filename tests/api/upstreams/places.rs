//! Places: an upstream that has as many requests as it may is passed over, and waited for where no
//! other can be asked; a place of an account, a key or the node is waited for too.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{KINDS, Kind, Pair, answer, expect_answer, send};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream};
use crate::support::wait::eventually;

/// So long nothing is seen where nothing may come.
const A_WHILE: Duration = Duration::from_millis(300);

/// One upstream with so many places, and so many seconds to wait for one.
fn one(places: usize, wait_secs: u64) -> (TestApp, Upstream) {
    let upstream = Upstream::start();
    let (base_url, lines) =
        (format!("http://{}", upstream.address), format!("max_streams = {places}"));
    let builder = Builder::new().upstream_with("primary", &base_url, &lines);
    (builder.set("limits.wait_secs", wait_secs).start(), upstream)
}

/// A stream that has begun, and holds its place.
fn begun(app: &TestApp, upstream: &Upstream, account: &Account) -> (Exchange, Connection) {
    let connection = send(app, account, Kind::Stream);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    (exchange, connection)
}

fn end((mut exchange, connection): (Exchange, Connection)) {
    exchange.chunk([sse::end(3), sse::message_stop()].concat()).end_chunks();
    connection.answer(false).finish().expect_ok();
}

#[test]
fn one_that_is_full_is_passed_over_and_its_place_waited_for_where_all_are() {
    let pair = Pair::with(|builder| builder.set("limits.wait_secs", 20), "max_streams = 1");
    let accounts: Vec<_> = (0..3).map(|_| pair.app.account("5.00")).collect();
    let first = begun(&pair.app, &pair.first, &accounts[0]);
    let second = begun(&pair.app, &pair.second, &accounts[1]);
    let waiting = pair.send(&accounts[2], Kind::Json);
    assert!(pair.first.next_within(A_WHILE).is_none());
    end(second);
    expect_answer(Kind::Json, pair.second.next(), waiting);
    end(first);
    assert_eq!(pair.counts(), (1, 2));
    for account in &accounts {
        pair.app.only_row(account);
    }
}

#[test]
fn who_has_waited_for_long_enough_hears_of_it_and_nothing_is_sent() {
    let (app, upstream) = one(1, 1);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running = begun(&app, &upstream, &account);
    let response = send(&app, &other, Kind::Json).answer(false).finish();
    response.expect_error(529, "overloaded_error");
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("x-should-retry"), None);
    assert_eq!(app.only_row(&other).cost_nanousd, 0);
    end(running);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn who_leaves_while_it_waits_is_not_asked_for() {
    let (app, upstream) = one(1, 30);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    for kind in [Kind::Stream, Kind::Json] {
        let running = begun(&app, &upstream, &account);
        let connection = send(&app, &other, kind);
        eventually("its hold", || (app.balance(&other).reserved > 0).then_some(()));
        connection.leave_seen();
        end(running);
        assert!(upstream.next_within(A_WHILE).is_none());
    }
    for row in app.settled(&other, 2) {
        assert_eq!((&*row.ending, row.cost_nanousd), ("E3", 0));
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn one_account_takes_no_more_than_half_of_an_upstreams_places() {
    let (app, upstream) = one(4, 0);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running: Vec<_> = (0..2).map(|_| begun(&app, &upstream, &account)).collect();
    let refused = send(&app, &account, Kind::Stream).answer(false).finish();
    refused.expect_error(529, "overloaded_error");
    let others: Vec<_> = (0..2).map(|_| begun(&app, &upstream, &other)).collect();
    // A count of tokens needs no place.
    let count = send(&app, &account, Kind::Count);
    expect_answer(Kind::Count, upstream.next(), count);
    running.into_iter().chain(others).for_each(end);
}

#[test]
fn a_place_comes_back_whatever_becomes_of_a_request() {
    let (app, upstream) = one(1, 20);
    let account = app.account("5.00");
    let fails: [fn(Exchange); 5] = [
        |exchange| exchange.refuse(500, "no"),
        |exchange| exchange.refuse(400, "no"),
        Exchange::reset,
        |exchange| exchange.answer_json("{}"),
        |exchange| exchange.answer_stream(&sse::start()),
    ];
    for kind in [Kind::Stream, Kind::Json] {
        for fail in fails {
            let connection = send(&app, &account, kind);
            fail(upstream.next());
            connection.answer(false).finish();
        }
        // Nor does a client that leaves keep it.
        let connection = send(&app, &account, kind);
        let mut exchange = upstream.next();
        if kind == Kind::Stream {
            exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
            let mut answer = connection.answer(false);
            answer.read_until("content_block_start");
            answer.leave_seen();
            let end = [sse::block_stop(), sse::end(1), sse::message_stop()].concat();
            exchange.chunk(end).end_chunks();
        } else {
            connection.leave_seen();
            answer(kind, exchange);
        }
        let connection = send(&app, &account, kind);
        expect_answer(kind, upstream.next(), connection);
    }
}

fn with_limits(wait_secs: u64) -> (TestApp, Upstream) {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.max_streams_per_account", 1)
        .set("limits.wait_secs", wait_secs)
        .start();
    (app, upstream)
}

#[test]
fn requests_of_an_account_wait_for_its_place_in_the_order_in_which_they_came() {
    let (app, upstream) = with_limits(30);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running = begun(&app, &upstream, &account);
    // One more may wait than may run; who comes then is told at once.
    let waiting = send(&app, &account, Kind::Json);
    assert!(upstream.next_within(A_WHILE).is_none());
    let refused = send(&app, &account, Kind::Json).answer(false).finish();
    refused.expect_error(429, "rate_limit_error");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("100000"));
    assert!(refused.header("anthropic-ratelimit-requests-reset").is_some());
    // Nobody else waits.
    for kind in KINDS {
        let connection = send(&app, &other, kind);
        expect_answer(kind, upstream.next(), connection);
    }
    end(running);
    expect_answer(Kind::Json, upstream.next(), waiting);
    app.settled(&account, 2);
}

#[test]
fn a_key_with_a_limit_of_its_own_holds_up_no_other_key() {
    let upstream = Upstream::start();
    let app =
        Builder::new().upstream("primary", upstream.address).set("limits.wait_secs", 30).start();
    let account = app.account("5.00");
    let limited = app.limited(&account, &json!({ "max_streams": 1 }));
    let running = begun(&app, &upstream, &limited);
    let waiting = send(&app, &limited, Kind::Json);
    assert!(upstream.next_within(A_WHILE).is_none());
    let connection = send(&app, &account, Kind::Json);
    expect_answer(Kind::Json, upstream.next(), connection);
    end(running);
    expect_answer(Kind::Json, upstream.next(), waiting);
}

#[test]
fn who_leaves_the_line_is_not_asked_for_and_a_stop_ends_it() {
    let (app, upstream) = with_limits(30);
    let account = app.account("5.00");
    let running = begun(&app, &upstream, &account);
    send(&app, &account, Kind::Json).leave_seen();
    assert!(upstream.next_within(A_WHILE).is_none());
    let waiting = send(&app, &account, Kind::Json);
    assert!(upstream.next_within(A_WHILE).is_none());
    let began = Instant::now();
    app.tell_to_stop();
    waiting.answer(false).finish().expect_error(503, "api_error");
    assert!(began.elapsed() < Duration::from_secs(5));
    end(running);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn what_is_refused_for_its_pace_says_what_is_left() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.requests_per_minute_per_account", 1)
        .start();
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Json);
    expect_answer(Kind::Json, upstream.next(), connection);
    let request = Request::post("/v1/messages", body(sse::MODEL, false, "text")).key(&account.key);
    let refused = app.ask(&request);
    refused.expect_error(429, "rate_limit_error");
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("1"));
}
