//! Places: an upstream that has as many requests as it may is passed over, and waited for where no
//! other can be asked; a place of an account, a key or the node is waited for too.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{KINDS, Kind, Pair, answer, error_body, expect_answer, send};
use crate::support::alerting::Watched;
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
    for (name, count) in [("first", 2), ("second", 1)] {
        let labels = format!("{{outcome=\"full\",upstream=\"{name}\"}}");
        assert_eq!(pair.app.metric(&format!("sluice_upstream_requests_total{labels}")), count);
    }
    for account in &accounts {
        pair.app.only_row(account);
    }
}

#[test]
fn who_has_waited_for_long_enough_hears_of_it_and_nothing_is_sent() {
    let (app, upstream) = one(1, 1);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running = begun(&app, &upstream, &account);
    let watched = Watched::new(app.admin_address);
    let response = send(&app, &other, Kind::Json).answer(false).finish();
    let told = response.expect_error(529, "overloaded_error");
    assert_eq!(told, "All upstreams are busy. Please try again.");
    watched.fires(&["SluiceUpstreamsBusy"]);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("x-should-retry"), None);
    assert_eq!(app.only_row(&other).cost_nanousd.as_nanos(), 0);
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
        assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E3", 0));
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
        |mut exchange| {
            // At once: a gateway that wants a document leaves when it has read the head.
            let start = sse::start();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ";
            exchange.try_send(format!("{head}{}\r\n\r\n{start}", start.len()));
        },
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
            // Whether or not it is still read on: a place comes back.
            exchange.try_send(format!("{:x}\r\n{end}\r\n", end.len()));
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
fn a_place_goes_to_the_key_that_has_waited_longest() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.max_streams_per_account", 2)
        .set("limits.wait_secs", 30)
        .start();
    let account = app.account("5.00");
    let other = app.limited(&account, &json!({}));
    let running = begun(&app, &upstream, &account);
    let beside = begun(&app, &upstream, &account);
    let first = send(&app, &other, Kind::Json);
    assert!(upstream.next_within(A_WHILE).is_none());
    let second = send(&app, &account, Kind::Stream);
    assert!(upstream.next_within(A_WHILE).is_none());
    end(running);
    let exchange = upstream.next();
    assert!(exchange.request.line.contains("/v1/messages "));
    expect_answer(Kind::Json, exchange, first);
    expect_answer(Kind::Stream, upstream.next(), second);
    end(beside);
}

#[test]
fn who_finds_no_place_does_not_use_up_the_request_that_tries_an_upstream_after_a_rest() {
    let (app, upstream) = one(2, 1);
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running = begun(&app, &upstream, &account);
    upstream.answer_probes(Some((401, "no")));
    let connection = send(&app, &other, Kind::Json);
    upstream.next().refuse(401, "no");
    connection.answer(false).finish().expect_error(503, "api_error");
    let resting = "sluice_upstream_resting{upstream=\"primary\"}";
    eventually("the upstream to rest", || (app.metric(resting) == 1).then_some(()));
    app.clock.advance(31_000);
    upstream.answer_probes(Some((200, "{}")));
    let waiting = send(&app, &account, Kind::Json);
    assert!(upstream.next_within(A_WHILE).is_none());
    let connection = send(&app, &other, Kind::Json);
    expect_answer(Kind::Json, upstream.next(), connection);
    waiting.answer(false).finish().expect_error(529, "overloaded_error");
    end(running);
}

#[test]
fn one_that_was_full_is_asked_once_the_others_have_failed() {
    let pair = Pair::with(|builder| builder.set("limits.wait_secs", 20), "max_streams = 1");
    let (account, other) = (pair.app.account("5.00"), pair.app.account("5.00"));
    for kind in [Kind::Stream, Kind::Json] {
        let running = begun(&pair.app, &pair.first, &account);
        let waiting = pair.send(&other, kind);
        pair.second.next().answer_json(&error_body("overloaded_error", "no"));
        assert!(pair.first.next_within(A_WHILE).is_none());
        end(running);
        expect_answer(kind, pair.first.next(), waiting);
    }
}

#[test]
fn the_time_of_the_line_is_not_the_upstreams() {
    let upstream = Upstream::start();
    let lines = "max_streams = 1\nfirst_byte_secs = 2";
    let app = Builder::new()
        .upstream_with("primary", &format!("http://{}", upstream.address), lines)
        .set("limits.wait_secs", 20)
        .start();
    let (account, other) = (app.account("5.00"), app.account("5.00"));
    let running = begun(&app, &upstream, &account);
    let waiting = send(&app, &other, Kind::Stream);
    assert!(upstream.next_within(Duration::from_millis(2_500)).is_none());
    end(running);
    let exchange = upstream.next();
    assert!(upstream.next_within(Duration::from_secs(1)).is_none());
    expect_answer(Kind::Stream, exchange, waiting);
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
