//! What is left alone, for whom, and until when.

use std::time::{Duration, Instant};

use super::{CANARY, KINDS, Kind, Pair, answer, expect_answer, expect_billed_once, send};
use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp};
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, json_response};
use crate::support::wait::eventually;

/// Two seconds for a head: one for each of two upstreams.
fn impatient(builder: Builder) -> Builder {
    builder.set("stream.first_byte_secs", 2).set("stream.hold_head_max_secs", 1)
}

#[test]
fn an_upstream_that_hangs_leaves_time_for_the_next_and_is_passed_over_after_two() {
    let pair = Pair::with(impatient, "");
    let account = pair.app.account("5.00");
    let mut hanging = Vec::new();
    for round in 1..=2 {
        let connection = pair.send(&account, Kind::Stream);
        hanging.push(pair.first.next());
        expect_answer(Kind::Stream, pair.second.next(), connection);
        pair.app.settled(&account, round);
    }
    for round in 3..=5 {
        let started = Instant::now();
        let connection = pair.send(&account, Kind::Stream);
        expect_answer(Kind::Stream, pair.second.next(), connection);
        assert!(started.elapsed() < Duration::from_millis(900), "the first is passed over");
        pair.app.settled(&account, round);
    }
    assert_eq!(pair.counts(), (2, 5));
    // The first was left, so that it makes no answer that nobody reads.
    for exchange in hanging {
        exchange.wait_until_left();
    }
    assert_eq!(pair.app.balance(&account).reserved, 0);
}

#[test]
fn where_our_own_request_hangs_too_it_rests_for_everybody() {
    let pair = Pair::with(impatient, "timeouts_max = 1");
    pair.first.answer_probes(Some((503, CANARY)));
    let (one, two) = (pair.app.account("5.00"), pair.app.account("5.00"));
    let watched = Watched::new(pair.app.admin_address);
    let connection = pair.send(&one, Kind::Stream);
    let _hanging = pair.first.next();
    expect_answer(Kind::Stream, pair.second.next(), connection);
    let resting = "sluice_upstream_resting{upstream=\"first\"}";
    eventually("the first to rest", || (pair.app.metric(resting) == 1).then_some(()));
    watched.fires(&["SluiceUpstreamResting"]);
    for kind in KINDS {
        let connection = pair.send(&two, kind);
        expect_answer(kind, pair.second.next(), connection);
    }
    assert_eq!((pair.counts(), pair.first.probes()), ((1, 4), 1));
}

#[test]
fn a_count_of_tokens_is_asked_for_at_the_next_upstream_where_the_first_hangs() {
    let pair = Pair::with(impatient, "");
    let account = pair.app.account("0");
    let connection = pair.send(&account, Kind::Count);
    let hanging = pair.first.next();
    expect_answer(Kind::Count, pair.second.next(), connection);
    hanging.wait_until_left();
    assert_eq!(pair.counts(), (1, 1));
}

#[test]
fn a_call_for_json_is_not_made_twice_since_its_head_comes_with_its_answer() {
    let pair = Pair::with(|builder| builder.set("stream.json_head_secs", 1), "");
    let account = pair.app.account("5.00");
    let connection = pair.send(&account, Kind::Json);
    let exchange = pair.first.next();
    connection.answer(false).finish().expect_error(504, "timeout_error");
    answer(Kind::Json, exchange);
    assert_eq!(pair.app.only_row(&account).ending.code(), "E3j");
    assert_eq!(pair.counts(), (1, 0));
}

#[test]
fn a_limited_upstream_is_asked_last_until_the_time_that_it_names() {
    let pair = Pair::new();
    let account = pair.app.account("5.00");
    pair.served_by_second(&account, Kind::Stream, |mut exchange| {
        let head = "HTTP/1.1 429 X\r\nretry-after: 20\r\ncontent-length: 0\r\n\r\n";
        exchange.send(head);
    });
    let other = pair.app.account("5.00");
    let connection = pair.send(&other, Kind::Stream);
    expect_answer(Kind::Stream, pair.second.next(), connection);
    // It is asked where nobody else serves, and its own word and time are relayed.
    let connection = pair.send(&other, Kind::Json);
    pair.second.next().refuse(529, "no");
    pair.first.next().send("HTTP/1.1 429 X\r\nretry-after: 13\r\ncontent-length: 0\r\n\r\n");
    let response = connection.answer(false).finish();
    response.expect_error(429, "rate_limit_error");
    assert_eq!(response.header("retry-after"), Some("13"));
    pair.app.clock.advance(20_000);
    let connection = pair.send(&other, Kind::Stream);
    expect_answer(Kind::Stream, pair.first.next(), connection);
}

#[test]
fn a_model_that_is_not_there_is_asked_for_elsewhere_first_by_that_account() {
    for status in [403, 404] {
        let pair = Pair::new();
        let account = pair.app.account("5.00");
        pair.served_by_second(&account, Kind::Stream, |exchange| exchange.refuse(status, "no"));
        for kind in [Kind::Stream, Kind::Json, Kind::Stream, Kind::Json] {
            let connection = pair.send(&account, kind);
            expect_answer(kind, pair.second.next(), connection);
        }
        assert_eq!(pair.counts(), (1, 5), "{status}");
        let other = pair.app.account("5.00");
        let connection = pair.send(&other, Kind::Json);
        expect_answer(Kind::Json, pair.first.next(), connection);
    }
}

#[test]
fn failures_of_several_accounts_rest_it_and_one_request_tries_it_afterwards() {
    let pair = Pair::with(|builder| builder, "failures_max = 2\nrest_secs = 40");
    let accounts: Vec<_> = (0..4).map(|_| pair.app.account("5.00")).collect();
    for account in &accounts[..2] {
        pair.served_by_second(account, Kind::Json, |exchange| exchange.refuse(502, "no"));
    }
    for kind in KINDS {
        let connection = pair.send(&accounts[2], kind);
        expect_answer(kind, pair.second.next(), connection);
    }
    assert_eq!(pair.counts(), (2, 5));
    pair.app.clock.advance(10_000);
    let trying = pair.send(&accounts[2], Kind::Json);
    let exchange = pair.first.next();
    // Meanwhile the others are not sent after it.
    let connection = pair.send(&accounts[3], Kind::Json);
    expect_answer(Kind::Json, pair.second.next(), connection);
    expect_answer(Kind::Json, exchange, trying);
    let connection = pair.send(&accounts[3], Kind::Json);
    expect_answer(Kind::Json, pair.first.next(), connection);
    assert_eq!(pair.counts(), (4, 6));
}

#[test]
fn one_that_fails_is_asked_all_the_same_where_there_is_no_other() {
    let upstream = Upstream::start();
    let app = Builder::new().upstream("primary", upstream.address).start();
    for _ in 0..12 {
        let account = app.account("5.00");
        let connection = send(&app, &account, Kind::Json);
        upstream.next().refuse(529, "no");
        connection.answer(false).finish().expect_error(529, "overloaded_error");
    }
    let resting = "sluice_upstream_resting{upstream=\"primary\"}";
    assert_eq!(app.metric(resting), 1);
    for kind in KINDS {
        let account = app.account("5.00");
        let connection = send(&app, &account, kind);
        expect_answer(kind, upstream.next(), connection);
    }
    assert_eq!((upstream.count(), app.metric(resting)), (15, 0));
}

#[test]
fn one_that_hangs_for_everybody_is_not_waited_for_where_there_is_no_other() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let app = impatient(builder).set("stream.first_byte_secs", 1).start();
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let account = app.account("5.00");
        let connection = send(&app, &account, Kind::Stream);
        hanging.push(upstream.next());
        connection.answer(false).finish().expect_error(504, "timeout_error");
    }
    for kind in KINDS {
        let account = app.account("5.00");
        let response = send(&app, &account, kind).answer(false).finish();
        response.expect_error(503, "api_error");
        assert_eq!(response.header("retry-after"), Some("8"));
        assert_eq!(app.balance(&account).available, 5_000_000_000);
    }
    app.clock.advance(8_000);
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Stream);
    expect_answer(Kind::Stream, upstream.next(), connection);
    assert_eq!(upstream.count(), 3);
}

#[test]
fn what_was_begun_is_not_asked_for_a_second_time() {
    let pair = Pair::new();
    let account = pair.app.account("5.00");
    let connection = pair.send(&account, Kind::Json);
    let mut exchange: Exchange = pair.first.next();
    let whole = json_response(200, &super::json_answer());
    exchange.send(&whole.as_bytes()[..whole.len() - 10]);
    exchange.close();
    connection.answer(false).finish().expect_error(502, "api_error");
    assert_eq!((pair.app.only_row(&account).ending.code(), pair.counts()), ("E6", (1, 0)));
    let account = pair.app.account("5.00");
    pair.served_by_second(&account, Kind::Stream, |mut exchange| {
        exchange.stream_head().end_chunks();
    });
    expect_billed_once(&pair.app, &account, Kind::Stream);
}

#[test]
fn pings_alone_are_no_answer_and_what_follows_them_is_noted() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let noted = |outcome: &str| {
        let labels = format!("{{outcome=\"{outcome}\",upstream=\"primary\"}}");
        app.metric(&format!("sluice_upstream_requests_total{labels}"))
    };
    let ends: [(&str, &str, &str); 4] = [
        ("", "broken", "E6"),
        (&sse::error("overloaded_error", "no"), "broken", "E5"),
        (&sse::error("rate_limit_error", "no"), "limited", "E5"),
        (&sse::whole("Hello"), "answered", "E1"),
    ];
    for (count, (events, outcome, ending)) in ends.into_iter().enumerate() {
        let before = noted(outcome);
        let answered = noted("answered");
        let connection = send(&app, &account, Kind::Stream);
        let mut exchange = upstream.next();
        exchange.stream_head().chunk(sse::ping());
        let mut answer = connection.answer(false);
        answer.read_until("ping");
        assert_eq!(noted("answered"), answered, "a ping is no answer");
        if !events.is_empty() {
            exchange.chunk(events);
        }
        exchange.end_chunks();
        answer.finish();
        let rows = app.settled(&account, count + 1);
        assert!(rows.iter().any(|row| row.ending.code() == ending), "{ending}");
        eventually(outcome, || (noted(outcome) == before + 1).then_some(()));
    }
}
