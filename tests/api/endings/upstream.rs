//! Endings that the upstream brings about: E1 to E7, E10 and E13.

use std::time::Duration;

use serde_json::json;

use super::{Stage, expect_end, json_answer, json_body, stream_body, usage};
use crate::support::app::{Builder, CREDENTIAL};
use crate::support::client::End;
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sse;
use crate::support::upstream::{Upstream, json_response, message};

/// What an upstream says of its own affairs, which no client may read.
const CANARY: &str = "org-4711 is out of credit, ask accounting@operator.example";

fn error_body(kind: &str, message: &str) -> String {
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": "req_upstream_0001",
    })
    .to_string()
}

#[test]
fn e1_a_complete_answer_costs_what_was_reported() {
    for cut in [1, 7, 1000] {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.stream();
        let whole = sse::whole("Hello");
        exchange.stream_head();
        for piece in whole.as_bytes().chunks(cut) {
            exchange.chunk(piece);
        }
        exchange.end_chunks();
        let response = connection.answer(false).finish();
        assert_eq!(response.expect_ok().text(), whole);
        stage.reported("E1", 1000, 200);
    }
    let stage = Stage::new();
    let (exchange, connection) = stage.json();
    exchange.answer_json(&json_answer(1000, 200));
    assert_eq!(connection.answer(false).finish().expect_ok().text(), json_answer(1000, 200));
    let row = stage.reported("E1", 1000, 200);
    assert_eq!((row.endpoint.as_str(), row.http_status), ("messages", 200));
}

#[test]
fn e1_the_row_tells_when_the_first_content_came_and_how_long_it_took() {
    let stage = Stage::new();
    let (mut exchange, connection) = stage.stream();
    stage.app.clock.advance(1500);
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let mut answer = connection.answer(false);
    for words in ["early words", "late words"] {
        exchange.chunk(sse::text(words));
        answer.read_until(&sse::text(words));
        stage.app.clock.advance(200);
    }
    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    let row = stage.reported("E1", 1000, 200);
    assert_eq!((row.first_byte_ms, row.latency_ms), (Some(1500), 1900));
}

#[test]
fn e1_a_connection_that_the_upstream_leaves_open_does_not_hold_the_answer_up() {
    let stage = Stage::new();
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk(sse::whole("Hello"));
    // No last chunk: the terminal event alone ends the answer.
    let response = connection.answer(false).finish();
    assert_eq!(response.expect_ok().text(), sse::whole("Hello"));
    stage.reported("E1", 1000, 200);
    exchange.wait_until_left();
}

#[test]
fn e1_usage_is_the_answers_own_and_never_what_a_model_writes() {
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    let lie = r#"","usage":{"input_tokens":0,"output_tokens":0},"x":""#;
    let answer = [
        sse::start(),
        sse::block_start("text"),
        sse::text(lie),
        sse::text("event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":1}}\n\n"),
        sse::block_stop(),
        sse::end(321),
        sse::message_stop(),
    ]
    .concat();
    exchange.answer_stream(&answer);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), answer);
    stage.reported("E1", 1000, 321);
}

#[test]
fn e1_counts_that_fall_are_negative_or_absurd_never_make_an_answer_cheaper() {
    let odd = [
        (usage(10, 5), 1000, 5, "usage: a count fell"),
        (json!({ "output_tokens": -7 }), 1000, 1, "usage: not a count"),
        (json!({ "output_tokens": 1.5 }), 1000, 1, "usage: not a count"),
        (json!({ "output_tokens": "9" }), 1000, 1, "usage: not a count"),
        (json!({ "output_tokens": null }), 1000, 1, ""),
        (json!({ "output_tokens": 0 }), 1000, 1, "usage: a count fell"),
        (json!({ "output_tokens": 1_u64 << 60 }), 1000, 1, "usage: not a count"),
    ];
    for (delta, input, output, alert) in odd {
        let stage = Stage::new();
        let (exchange, connection) = stage.stream();
        let answer = [
            sse::start(),
            sse::block_start("text"),
            sse::text("Hi"),
            sse::block_stop(),
            sse::message_delta(&delta),
            sse::message_stop(),
        ];
        exchange.answer_stream(&answer.concat());
        connection.answer(false).finish().expect_ok();
        let row = stage.row("E1");
        assert_eq!((row.input_tokens, row.output_tokens), (input, output), "{delta}");
        assert_eq!(row.cost_nanousd, haiku(input, output), "{delta}");
        if !alert.is_empty() {
            let line = format!("sluice_alerts_total{{what=\"{alert}\"}}");
            assert!(stage.app.metric(&line) >= 1, "{delta}");
        }
    }
}

#[test]
fn e1_a_count_that_no_model_could_make_costs_what_the_request_allows() {
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    let answer = [
        sse::start(),
        sse::block_start("text"),
        sse::text("Hi"),
        sse::block_stop(),
        sse::end(1 << 52),
        sse::message_stop(),
    ];
    exchange.answer_stream(&answer.concat());
    connection.answer(false).finish().expect_ok();
    let row = stage.row("E1");
    assert_eq!((row.cost_nanousd, row.is_estimated), (haiku(1000, 4096), true));
    assert!(stage.app.metric("sluice_alerts_total{what=\"an answer reports more than") >= 1);
}

#[test]
fn e1_a_second_message_start_adds_nothing_and_is_told_to_the_operator() {
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    let answer = [sse::start(), sse::whole("Hello")].concat();
    exchange.answer_stream(&answer);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), answer);
    stage.reported("E1", 1000, 200);
    assert!(stage.app.metric("sluice_alerts_total{what=\"a second message_start\"}") >= 1);
}

#[test]
fn e1_trailers_and_chunk_extensions_do_no_harm() {
    let stage = Stage::new();
    let (mut exchange, connection) = stage.stream();
    let whole = sse::whole("Hello");
    exchange.stream_head();
    exchange.send(format!("{:x};ext=1\r\n{whole}\r\n0\r\nx-trailer: yes\r\n\r\n", whole.len()));
    let response = connection.answer(false).finish();
    assert_eq!(response.expect_ok().text(), whole);
    stage.reported("E1", 1000, 200);
}

#[test]
fn e2_a_refusal_is_passed_on_with_its_words_where_they_help_the_client() {
    for status in [400, 404, 413, 422] {
        for body in [stream_body(), json_body()] {
            let stage = Stage::new();
            let connection = stage.app.send(&stage.account, &body);
            let words = "prompt is too long: 204800 tokens > 200000 maximum";
            let refusal = json!({
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": words,
                    "details": { "error_code": "too_long", "numbers": [1, 2.5] },
                },
                "request_id": "req_upstream_0001",
            });
            stage.upstream.next().refuse(status, &refusal.to_string());
            let response = connection.answer(false).finish();
            assert_eq!(response.expect_error(status, "invalid_request_error"), words);
            assert_eq!(response.json()["error"]["details"], refusal["error"]["details"]);
            stage.free("E2", i32::from(status));
        }
    }
}

#[test]
fn e2_any_other_refusal_keeps_its_status_and_gets_our_words() {
    let cases = [
        (403, "permission_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in cases {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.stream();
        let body = error_body(kind, CANARY);
        let head = "retry-after: 7\r\nx-should-retry: false\r\nx-other: secret";
        exchange.send(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/html\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        let response = connection.answer(false).finish();
        let message = response.expect_error(status, kind);
        assert!(!response.text().contains("4711"), "{message}");
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.header("x-should-retry"), Some("false"));
        assert_eq!(response.header("x-other"), None);
        stage.free("E2", i32::from(status));
    }
}

#[test]
fn e2_a_refusal_that_is_not_what_it_should_be_is_still_typed() {
    let bodies =
        ["", "<html>", "{}", "[]", r#"{"error":"x"}"#, r#"{"error":{"type":5,"message":{}}}"#];
    for body in bodies {
        let stage = Stage::new();
        let (exchange, connection) = stage.json();
        exchange.refuse(400, body);
        connection.answer(false).finish().expect_error(400, "invalid_request_error");
        stage.free("E2", 400);
    }
    // A refusal whose body never ends is not waited for.
    let stage = Stage::new();
    let (mut exchange, connection) = stage.json();
    exchange.send(
        "HTTP/1.1 400 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let flood = vec![b'x'; 100_000];
    exchange.chunk(&flood);
    connection.answer(false).finish().expect_error(400, "invalid_request_error");
    stage.free("E2", 400);
}

#[test]
fn e2_an_overloaded_upstream_is_followed_by_the_next_one() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let app =
        Builder::new().upstream("first", first.address).upstream("second", second.address).start();
    for status in [429, 500, 503, 529] {
        let account = app.account("5.00");
        let connection = app.send(&account, &stream_body());
        first.next().refuse(status, &error_body("api_error", "no"));
        second.next().answer_stream(&sse::whole("Hello"));
        connection.answer(false).finish().expect_ok();
        let row = app.only_row(&account);
        assert_eq!((row.ending.as_str(), row.upstream.as_deref()), ("E1", Some("second")));
        assert_eq!(row.cost_nanousd, haiku(1000, 200));
        // An upstream that has reached its limit is asked last for a while.
        app.clock.advance(2_000);
    }
    // The client's own fault is not tried elsewhere.
    let account = app.account("5.00");
    let connection = app.send(&account, &stream_body());
    first.next().refuse(400, &error_body("invalid_request_error", "no"));
    connection.answer(false).finish().expect_error(400, "invalid_request_error");
    assert_eq!(second.count(), 4);
    app.only_row(&account);
}

#[test]
fn e3_an_upstream_that_cannot_be_reached_is_502() {
    for body in [stream_body(), json_body()] {
        let app = Builder::new().upstream("gone", Upstream::nowhere()).start();
        let account = app.account("5.00");
        app.messages(&account, &body).expect_error(502, "api_error");
        let row = app.only_row(&account);
        assert_eq!((row.ending.as_str(), row.cost_nanousd, row.http_status), ("E3", 0, 502));
        assert_eq!(row.upstream.as_deref(), Some("gone"));
    }
}

#[test]
fn e3_a_connection_that_breaks_before_the_head_is_502_and_the_next_upstream_is_asked() {
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    exchange.reset();
    connection.answer(false).finish().expect_error(502, "api_error");
    stage.free("E3", 502);

    let second = Upstream::start();
    let app = Builder::new()
        .upstream("gone", Upstream::nowhere())
        .upstream("second", second.address)
        .start();
    let account = app.account("5.00");
    let connection = app.send(&account, &stream_body());
    second.next().answer_stream(&sse::whole("Hello"));
    connection.answer(false).finish().expect_ok();
    assert_eq!(app.only_row(&account).upstream.as_deref(), Some("second"));
}

#[test]
fn e3_a_pooled_connection_that_was_closed_is_passed_over_and_the_request_sent_once() {
    for is_reset in [false, true] {
        let stage = Stage::with(|builder| builder.set("server.workers", 1));
        let (mut exchange, connection) = stage.json();
        exchange.send(json_response(200, &json_answer(10, 20)));
        connection.answer(false).finish().expect_ok();
        if is_reset {
            exchange.reset();
        } else {
            exchange.close();
        }
        let connection = stage.app.send(&stage.account, &json_body());
        stage.upstream.next().answer_json(&json_answer(30, 40));
        connection.answer(false).finish().expect_ok();
        let rows = stage.app.settled(&stage.account, 2);
        let costs: i64 = rows.iter().map(|row| row.cost_nanousd).sum();
        assert_eq!((costs, stage.upstream.count()), (haiku(40, 60), 2));
    }
}

#[test]
fn e3_a_request_that_may_have_been_read_is_never_sent_a_second_time() {
    for is_pooled in [false, true] {
        for is_reset in [false, true] {
            let stage = Stage::with(|builder| builder.set("server.workers", 1));
            let (mut exchange, connection) = stage.json();
            let connection = if is_pooled {
                exchange.send(json_response(200, &json_answer(10, 20)));
                connection.answer(false).finish().expect_ok();
                let connection = stage.app.send(&stage.account, &json_body());
                let second = exchange.next_on_connection(Duration::from_secs(20));
                exchange = second.expect("a pooled connection");
                connection
            } else {
                connection
            };
            if is_reset {
                exchange.reset();
            } else {
                exchange.close();
            }
            connection.answer(false).finish().expect_error(502, "api_error");
            assert!(stage.upstream.next_within(Duration::from_millis(300)).is_none());
            assert_eq!(stage.upstream.count(), 1, "pooled {is_pooled}, reset {is_reset}");
            let rows = stage.app.settled(&stage.account, 1 + usize::from(is_pooled));
            let row = rows.iter().find(|row| row.ending != "E1").expect("the second request's row");
            assert_eq!((&*row.ending, row.cost_nanousd), ("E3", 0));
        }
    }
}

#[test]
fn e3_no_head_in_time_for_a_stream_is_504() {
    let stage = Stage::with(|builder| {
        builder.set("stream.first_byte_secs", 1).set("stream.hold_head_max_secs", 1)
    });
    let (mut exchange, connection) = stage.stream();
    // Bytes of a head are not a head.
    exchange.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n");
    connection.answer(false).finish().expect_error(504, "timeout_error");
    stage.free("E3", 504);
    exchange.wait_until_left();
}

#[test]
fn e3j_a_json_call_hears_of_the_timeout_and_what_the_upstream_makes_is_billed() {
    let stage = Stage::with(|builder| builder.set("stream.json_head_secs", 1));
    let (mut exchange, connection) = stage.json();
    connection.answer(false).finish().expect_error(504, "timeout_error");
    // It is not settled yet, and the upstream is not left.
    assert!(stage.app.usage(&stage.account).is_empty());
    assert!(exchange.is_open());
    exchange.answer_json(&json_answer(1000, 200));
    let row = stage.reported("E3j", 1000, 200);
    assert_eq!(row.http_status, 504);
}

#[test]
fn e3j_a_refusal_that_comes_after_the_timeout_costs_nothing() {
    let stage = Stage::with(|builder| builder.set("stream.json_head_secs", 1));
    let (exchange, connection) = stage.json();
    connection.answer(false).finish().expect_error(504, "timeout_error");
    exchange.refuse(529, &error_body("overloaded_error", "no"));
    stage.free("E3j", 504);
}

#[test]
fn e3x_a_head_that_no_answer_can_follow_is_502_and_an_alert() {
    let whole = sse::whole("Hello");
    let sized =
        |head: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{whole}", whole.len());
    let typed = "content-type: text/event-stream";
    let elsewhere = Upstream::start();
    let heads = [
        sized(&format!(
            "302 Found\r\nlocation: http://{}/v1/messages\r\n{typed}",
            elsewhere.address
        )),
        sized(&format!("307 X\r\nlocation: http://{}/\r\n{typed}", elsewhere.address)),
        sized(&format!("201 Created\r\n{typed}")),
        format!("HTTP/1.1 204 No Content\r\n{typed}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{typed}\r\nconnection: close\r\n\r\n{whole}"),
        sized("200 OK\r\ncontent-type: text/html"),
        sized("200 OK\r\ncontent-type: application/json"),
        sized("200 OK"),
        sized(&format!("200 OK\r\n{typed}\r\ncontent-encoding: gzip")),
        sized(&format!("200 OK\r\n{typed}\r\ncontent-encoding: br")),
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.stream();
        exchange.send(&head);
        exchange.close();
        let response = connection.answer(false).finish();
        response.expect_error(502, "api_error");
        let row = stage.free("E3x", 502);
        assert_eq!(row.upstream.as_deref(), Some("primary"), "{head}");
        assert!(stage.app.metric("sluice_alerts_total{what=\"upstream answer") >= 1, "{head}");
    }
    assert_eq!(elsewhere.count(), 0, "our credential follows no redirect");
}

#[test]
fn e3x_goes_for_json_answers_too() {
    let body = json_answer(1, 1);
    let heads = [
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{body}"),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    ];
    for head in heads {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.json();
        exchange.send(&head);
        exchange.close();
        connection.answer(false).finish().expect_error(502, "api_error");
        stage.free("E3x", 502);
    }
}

#[test]
fn e3x_an_interim_head_never_lets_one_clients_answer_reach_another() {
    for interim in ["103 Early Hints\r\nlink: </x>", "100 Continue", "102 Processing"] {
        let stage = Stage::with(|builder| builder.set("server.workers", 1));
        let (mut exchange, connection) = stage.stream();
        exchange.send(format!("HTTP/1.1 {interim}\r\n\r\n"));
        connection.answer(false).finish().expect_error(502, "api_error");
        // The second client asks before the upstream has written the first one's answer.
        let second = stage.app.account("5.00");
        let connection = stage.app.send(&second, &stream_body());
        let secret = sse::whole("for the first client only");
        match exchange.next_on_connection(Duration::from_millis(500)) {
            None => {}
            Some(mut reused) => {
                reused.stream_head().chunk(&secret).end_chunks();
                let response = connection.answer(false).finish();
                panic!("{interim}: the connection is used again: {}", response.text());
            }
        }
        stage.upstream.next().answer_stream(&sse::whole("for the second"));
        let response = connection.answer(false).finish();
        assert_eq!(response.expect_ok().text(), sse::whole("for the second"));
        stage.free("E3x", 502);
        stage.app.only_row(&second);
    }
}

#[test]
fn e4_an_error_before_anything_else_is_a_real_http_error() {
    let cases = [
        ("overloaded_error", 529, "overloaded_error"),
        ("api_error", 500, "api_error"),
        ("rate_limit_error", 429, "rate_limit_error"),
        ("something_new", 500, "api_error"),
    ];
    for (given, status, kind) in cases {
        for before in ["", ": a comment\n\n", &sse::ping(), &[sse::ping(), sse::ping()].concat()] {
            let stage = Stage::new();
            let (exchange, connection) = stage.stream();
            exchange.answer_stream(&[before, &sse::error(given, CANARY)].concat());
            let response = connection.answer(false).finish();
            response.expect_error(status, kind);
            assert!(!response.text().contains("4711"));
            stage.free("E4", i32::from(status));
        }
    }
    // The client's own fault comes with its words, as an ordinary refusal does.
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    exchange.answer_stream(&sse::error("invalid_request_error", "prompt is too long: 9 > 8"));
    let response = connection.answer(false).finish();
    let message = response.expect_error(400, "invalid_request_error");
    assert_eq!(message, "prompt is too long: 9 > 8");
    stage.free("E4", 400);
}

#[test]
fn e4_the_next_upstream_is_asked_and_only_the_one_that_answers_is_billed() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let app =
        Builder::new().upstream("first", first.address).upstream("second", second.address).start();
    let account = app.account("5.00");
    let connection = app.send(&account, &stream_body());
    first.next().answer_stream(&sse::error("overloaded_error", "no"));
    second.next().answer_stream(&sse::whole("Hello"));
    let response = connection.answer(false).finish();
    assert_eq!(response.expect_ok().text(), sse::whole("Hello"));
    let row = app.only_row(&account);
    assert_eq!((row.ending.as_str(), row.upstream.as_deref()), ("E1", Some("second")));
    assert_eq!(row.cost_nanousd, haiku(1000, 200));
    // If none does, the last word counts.
    let poorer = app.account("5.00");
    let connection = app.send(&poorer, &stream_body());
    first.next().answer_stream(&sse::error("overloaded_error", "no"));
    second.next().answer_stream(&sse::error("api_error", "no"));
    connection.answer(false).finish().expect_error(500, "api_error");
    let row = app.only_row(&poorer);
    assert_eq!((row.ending.as_str(), row.cost_nanousd), ("E4", 0));
}

#[test]
fn e4_the_head_is_held_for_the_first_event_and_no_longer_than_configured() {
    let stage = Stage::with(|builder| builder.set("stream.hold_head_max_secs", 1));
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk(sse::ping());
    // The head comes although nothing but a ping has: from now on an error is an event.
    let mut answer = connection.answer(false);
    assert_eq!(answer.status, 200);
    answer.read_until("ping");
    exchange.chunk(sse::error("overloaded_error", "Overloaded")).end_chunks();
    let message = expect_end(&answer.finish(), &sse::ping(), "overloaded_error");
    assert_eq!(message, "Overloaded");
    let row = stage.row("E5");
    assert_eq!((row.cost_nanousd, row.http_status), (0, 200));
}

#[test]
fn e4_the_head_is_held_for_no_more_bytes_than_configured() {
    let piles = [
        ": nothing to say\n\n".repeat(300),
        sse::ping().repeat(120),
        // An event that does not end, longer than is held of one.
        format!("event: x\ndata: {}", "x".repeat(70_000)),
    ];
    for pile in piles {
        let stage = Stage::with(|builder| {
            builder.set("limits.held_bytes", 4096).set("stream.hold_head_max_secs", 100)
        });
        let (mut exchange, connection) = stage.stream();
        let pieces: Vec<_> = pile.as_bytes().chunks(1000).collect();
        exchange.stream_head();
        for piece in &pieces {
            exchange.chunk(piece);
        }
        // Nothing else has come: the head is there because of the bytes.
        let mut answer = connection.answer(false);
        assert_eq!(answer.status, 200);
        answer.read_to(100);
        let rest = ["\n\n".to_owned(), sse::whole("Hello")].concat();
        exchange.chunk(&rest).end_chunks();
        assert!(answer.finish().expect_ok().text() == format!("{pile}{rest}"));
        stage.reported("E1", 1000, 200);
    }
}

#[test]
fn e4_a_flood_of_tiny_pieces_is_counted_as_what_it_costs() {
    let stage = Stage::with(|builder| {
        builder.set("limits.held_bytes", 4096).set("stream.hold_head_max_secs", 100)
    });
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head();
    for _ in 0..200 {
        exchange.chunk(":").chunk("\n");
    }
    exchange.chunk("\n");
    let mut answer = connection.answer(false);
    answer.read_until(":\n:\n");
    exchange.chunk(sse::whole("Hello")).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 200);
}

#[test]
fn e6_a_stream_cut_at_any_byte_ends_with_one_clean_error_event() {
    let stage = Stage::new();
    let whole = [": hello\n\n".to_owned(), sse::ping(), sse::whole("Hello é")].concat();
    let start = whole.find("\n\nevent: content_block_start").unwrap() + 2;
    let crlf = whole.replace('\n', "\r\n");
    let mut rows = 0;
    // Of the second form every third byte, with other remainders than the first's line ends.
    let forms = [(&whole, start, 1), (&crlf, start + start / 10, 3)];
    for (form, from, step) in forms {
        // The last event lacks no more than its end: then the answer is whole.
        let whole_from = form.trim_end().len();
        for cut in (from..whole_from).step_by(step) {
            let (mut exchange, connection) = stage.stream();
            exchange.stream_head().chunk(&form.as_bytes()[..cut]);
            if cut % 2 == 0 {
                exchange.end_chunks();
            } else {
                exchange.close();
            }
            let response = connection.answer(false).finish();
            assert_eq!((response.status, response.end), (200, End::Whole), "cut at {cut}");
            let mut events = sse::read(&response.body);
            let last = events.pop().unwrap();
            assert_eq!(last.name, "error", "cut at {cut}: {}", response.text());
            assert_eq!(last.json()["error"]["type"], "api_error");
            assert_eq!(last.json()["request_id"], response.header("request-id").unwrap());
            // Exactly the events that were whole; none that is made of two.
            assert_eq!(events, sse::read(&form.as_bytes()[..cut]), "cut at {cut}");
            if step == 1 {
                let event = format!("event: error\ndata: {}\n\n", last.data);
                let before = whole.as_bytes()[..cut].windows(2).rposition(|two| two == b"\n\n");
                let before = &whole.as_bytes()[..before.unwrap() + 2];
                let expected = [before, event.as_bytes()].concat();
                assert!(response.body == expected, "{}", response.text());
            }
            rows += 1;
        }
    }
    let rows = stage.app.settled(&stage.account, rows);
    assert!(rows.iter().all(|row| row.ending == "E6"), "{rows:#?}");
}

#[test]
fn e1_an_answer_whose_last_event_lacks_only_its_blank_line_is_whole() {
    // bill-and-upstreams D 12.
    for lacking in [1, 2] {
        for is_closed in [true, false] {
            let stage = Stage::new();
            let (mut exchange, connection) = stage.stream();
            let whole = sse::whole("Hello");
            let (cut, _) = whole.split_at(whole.len() - lacking);
            exchange.stream_head().chunk(cut);
            if is_closed {
                exchange.close();
            } else {
                exchange.end_chunks();
            }
            assert_eq!(connection.answer(false).finish().expect_ok().text(), cut);
            stage.reported("E1", 1000, 200);
        }
    }
}

#[test]
fn e18_an_upstream_that_writes_far_more_than_was_asked_for_is_ended() {
    // security S11: 64,000 tokens for max_tokens 10.
    let stage = Stage::new();
    let asked =
        crate::support::sandbox::body_with(sse::MODEL, true, "", &json!({ "max_tokens": 10 }));
    let connection = stage.app.send(&stage.account, &asked);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let words = "on and on ".repeat(20);
    exchange.chunk(sse::text(&words));
    let mut answer = connection.answer(false);
    answer.read_until(&words);
    let mut written = 0;
    while written < 64_000 * 4 && exchange.try_chunk(sse::text(&words)) {
        written += words.len();
    }
    exchange.wait_until_left();
    let response = answer.finish();
    assert!(response.text().contains("longer than the request allows"), "{}", response.text());
    let row = stage.row("E18");
    assert_eq!((row.output_tokens, row.cost_nanousd), (10, haiku(1000, 10)));
}

#[test]
fn e6_a_cut_in_an_event_too_long_to_be_held_ends_as_an_error_event_all_the_same() {
    for cut in [70_000, 100_000] {
        let stage = Stage::with(|builder| builder.set("stream.output_factor_max", 1_000_000));
        let (mut exchange, mut answer) = stage.begun("Hello");
        let long = sse::text(&"long ".repeat(40_000));
        exchange.chunk(&long.as_bytes()[..cut]);
        answer.read_until("long long");
        exchange.end_chunks();
        let response = answer.finish();
        let events = sse::read(&response.body);
        let last = events.last().unwrap();
        assert_eq!((events.len(), last.name.as_str()), (4, "error"));
        // Clients read the name first; the cut event's line stands before ours.
        let (_, ours) = last.data.rsplit_once('\n').unwrap();
        assert!(ours.contains("api_error"), "{ours}");
        stage.row("E6");
    }
}

#[test]
fn an_event_that_comes_in_pieces_goes_out_whole() {
    let stage = Stage::new();
    let (mut exchange, mut answer) = stage.begun("Hello");
    let (event, rest) = (sse::text("in pieces"), [sse::end(200), sse::message_stop()].concat());
    for piece in event.as_bytes().chunks(7) {
        exchange.chunk(piece);
    }
    answer.read_until(&event);
    exchange.chunk(&rest).end_chunks();
    assert!(answer.finish().expect_ok().text().ends_with(&format!("{event}{rest}")));
    stage.reported("E1", 1000, 200);
}

#[test]
fn e5_an_error_in_the_middle_is_relayed_under_our_id_and_costs_what_was_reported() {
    let stage = Stage::new();
    let (mut exchange, answer) = stage.begun("Half an answ");
    let data = json!({
        "type": "error",
        "error": { "type": "overloaded_error", "message": "Overloaded, \"sorry\" é", "details": { "a": [1] } },
        "request_id": "req_upstream_0001",
    });
    exchange.chunk(sse::event("error", &data)).end_chunks();
    let response = answer.finish();
    let before = [sse::start(), sse::block_start("text"), sse::text("Half an answ")].concat();
    let message = expect_end(&response, &before, "overloaded_error");
    assert_eq!(message, "Overloaded, \"sorry\" é");
    assert!(response.text().contains(r#""details":{"a":[1]}"#));
    assert!(!response.text().contains("req_upstream"));
    stage.reported("E5", 1000, 1);
}

#[test]
fn e13_trouble_of_the_operators_in_the_middle_of_a_stream_is_not_shown() {
    let spent = json!({ "error_code": "enforced_spend_limit_reached" });
    let errors = [
        ("authentication_error", json!(null), true),
        ("billing_error", json!(null), true),
        ("permission_error", json!(null), true),
        ("rate_limit_error", spent, true),
        ("rate_limit_error", json!(null), false),
        ("invalid_request_error", json!({ "error_code": "else" }), false),
        ("not_found_error", json!(null), false),
    ];
    for (kind, details, is_operators) in errors {
        for is_late in [false, true] {
            let stage = Stage::new();
            let (mut exchange, answer) = stage.begun("Half an answ");
            let end = if is_late { sse::end(1) } else { String::new() };
            let data = json!({
                "type": "error", "request_id": "req_upstream_0001",
                "error": { "type": kind, "message": "org-of-the-operator", "details": details },
            });
            exchange.chunk([end.clone(), sse::event("error", &data)].concat()).end_chunks();
            let response = answer.finish();
            let begun = [sse::start(), sse::block_start("text"), sse::text("Half an answ"), end];
            let shown = if is_operators { "api_error" } else { kind };
            let message = expect_end(&response, &begun.concat(), shown);
            let text = response.text();
            assert_eq!(message == "org-of-the-operator", !is_operators, "{kind}: {text}");
            assert_eq!(text.contains("org-of-the-operator"), !is_operators, "{kind}: {text}");
            assert!(!is_operators || !text.contains("enforced"), "{text}");
            stage.reported("E5", 1000, 1);
            let alert = "sluice_alerts_total{what=\"upstream refuses our credential\"}";
            assert_eq!(stage.app.metric(alert) >= 1, is_operators, "{kind}");
        }
    }
}

#[test]
fn e5_an_error_after_the_final_delta_is_relayed_once_and_under_our_id() {
    let stage = Stage::new();
    let (mut exchange, answer) = stage.begun("All of it");
    exchange.chunk([sse::block_stop(), sse::end(77)].concat());
    exchange.chunk(sse::error("api_error", "Late")).end_chunks();
    let response = answer.finish();
    let begun = [sse::start(), sse::block_start("text"), sse::text("All of it"), sse::block_stop()];
    let before = [begun.concat(), sse::end(77)].concat();
    assert_eq!(expect_end(&response, &before, "api_error"), "Late");
    assert!(!response.text().contains("req_upstream"), "{}", response.text());
    stage.reported("E5", 1000, 77);
}

#[test]
fn e5_an_error_event_that_cannot_be_read_still_ends_the_stream_with_one_that_can() {
    for data in ["", "{", "[]", "Service Unavailable", r#"{"error":{"type":7}}"#] {
        let stage = Stage::new();
        let (mut exchange, answer) = stage.begun("Hi");
        exchange.chunk(format!("event: error\ndata: {data}\n\n")).end_chunks();
        let before = [sse::start(), sse::block_start("text"), sse::text("Hi")].concat();
        expect_end(&answer.finish(), &before, "api_error");
        stage.reported("E5", 1000, 1);
    }
}

#[test]
fn e6_a_stream_that_breaks_off_ends_with_one_error_and_costs_what_was_reported() {
    // In order, by a reset, and within a chunk: awc tells the client none of these apart.
    for how in ["last chunk", "fin", "reset", "within a chunk"] {
        let stage = Stage::new();
        let (mut exchange, answer) = stage.begun("Half an answ");
        match how {
            "last chunk" => {
                exchange.end_chunks();
            }
            "fin" => exchange.close(),
            "reset" => exchange.reset(),
            _ => {
                exchange.send("ff\r\n");
                exchange.close();
            }
        }
        let before = [sse::start(), sse::block_start("text"), sse::text("Half an answ")].concat();
        expect_end(&answer.finish(), &before, "api_error");
        stage.reported("E6", 1000, 1);
    }
}

#[test]
fn e6_an_answer_without_its_last_event_is_billed_whole_since_clients_take_it_as_whole() {
    let stage = Stage::new();
    let (mut exchange, answer) = stage.begun("All of it");
    exchange.chunk([sse::block_stop(), sse::end(77)].concat()).end_chunks();
    let response = answer.finish();
    let before =
        [sse::start(), sse::block_start("text"), sse::text("All of it"), sse::block_stop()];
    expect_end(&response, &[before.concat(), sse::end(77)].concat(), "api_error");
    stage.reported("E6", 1000, 77);
}

#[test]
fn e6_a_stream_that_ends_before_it_began_is_502_and_costs_nothing() {
    for events in ["", ": comment\n\n", &sse::ping(), "event: message_st"] {
        let stage = Stage::new();
        let (exchange, connection) = stage.stream();
        exchange.answer_stream(if events.is_empty() { "\n" } else { events });
        connection.answer(false).finish().expect_error(502, "api_error");
        stage.free("E6", 502);
    }
}

#[test]
fn e6_a_json_answer_counts_only_if_it_is_as_long_as_it_said_and_parses() {
    let body = json_answer(1000, 200);
    let typed = "content-type: application/json";
    let (half, _) = body.split_at(body.len() / 2);
    let heads = [
        format!("HTTP/1.1 200 OK\r\n{typed}\r\ncontent-length: {}\r\n\r\n{half}", body.len()),
        format!(
            "HTTP/1.1 200 OK\r\n{typed}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n0\r\n\r\n",
            half.len()
        ),
        format!(
            "HTTP/1.1 200 OK\r\n{typed}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{half}",
            body.len()
        ),
        format!("HTTP/1.1 200 OK\r\n{typed}\r\ncontent-length: 0\r\n\r\n"),
        // What came parses, but it is not all.
        format!("HTTP/1.1 200 OK\r\n{typed}\r\ncontent-length: {}\r\n\r\n{body}", body.len() + 5),
    ];
    for head in heads {
        for is_reset in [false, true] {
            let stage = Stage::new();
            let (mut exchange, connection) = stage.json();
            exchange.send(&head);
            if is_reset {
                exchange.reset();
            } else {
                exchange.close();
            }
            let response = connection.answer(false).finish();
            // A reset may overtake the head itself.
            response.expect_error(502, "api_error");
            let row = stage.app.only_row(&stage.account);
            assert!(row.ending == "E6" || (is_reset && row.ending == "E3"), "{row:#?}");
            assert_eq!(row.cost_nanousd, 0);
        }
    }
}

#[test]
fn e6_a_json_answer_beyond_what_is_held_is_502() {
    let stage = Stage::with(|builder| builder.set("limits.json_answer_max_bytes", 65_536));
    let (exchange, connection) = stage.json();
    let mut answer = json_answer(1000, 200);
    answer.push_str(&" ".repeat(65_536));
    exchange.answer_json(&answer);
    connection.answer(false).finish().expect_error(502, "api_error");
    stage.row("E6");
}

#[test]
fn e7_a_silent_upstream_ends_the_stream_with_a_timeout_and_costs_what_was_reported() {
    let stage = Stage::with(|builder| builder.set("stream.idle_secs", 1));
    let (exchange, answer) = stage.begun("Half an answ");
    let before = [sse::start(), sse::block_start("text"), sse::text("Half an answ")].concat();
    expect_end(&answer.finish(), &before, "timeout_error");
    stage.reported("E7", 1000, 1);
    exchange.wait_until_left();
}

#[test]
fn e7_a_silent_upstream_of_a_json_call_is_504() {
    let stage = Stage::with(|builder| builder.set("stream.idle_secs", 1));
    let (mut exchange, connection) = stage.json();
    let answer = json_response(200, &json_answer(1000, 200));
    exchange.send(&answer.as_bytes()[..answer.len() - 10]);
    connection.answer(false).finish().expect_error(504, "timeout_error");
    stage.free("E7", 504);
    exchange.wait_until_left();
}

#[test]
fn e10_a_complete_answer_without_usage_is_estimated_and_told_to_the_operator() {
    let stage = Stage::new();
    let (exchange, connection) = stage.stream();
    // What is likely of the input, which is what is held beside 4096 tokens of output.
    let likely = (stage.app.balance(&stage.account).reserved - 4096 * 5000) / 1000;
    let words = "x".repeat(700);
    let answer = [
        sse::event(
            "message_start",
            &json!({ "type": "message_start", "message": { "model": sse::MODEL } }),
        ),
        sse::block_start("text"),
        sse::text(&words),
        sse::block_stop(),
        sse::event(
            "message_delta",
            &json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
        ),
        sse::message_stop(),
    ]
    .concat();
    exchange.answer_stream(&answer);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), answer);
    let row = stage.row("E10");
    assert!(row.is_estimated);
    assert_eq!(row.output_tokens, estimated_tokens(700));
    assert!(likely > 10);
    assert_eq!(row.input_tokens, likely);
    assert_eq!(row.cost_nanousd, haiku(row.input_tokens, row.output_tokens));
    assert!(stage.app.metric("sluice_alerts_total{what=\"an answer came without usage\"}") >= 1);

    let stage = Stage::new();
    let (exchange, connection) = stage.json();
    let answer = message(&json!(null));
    exchange.answer_json(&answer);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), answer);
    let row = stage.row("E10");
    assert!(row.is_estimated && row.cost_nanousd > 0, "{row:#?}");
}

#[test]
fn e1_an_output_that_is_no_count_is_charged_by_what_was_delivered() {
    let words = "x".repeat(700);
    for bad in [json!(-5), json!(2.5), json!("200")] {
        let stage = Stage::new();
        let (exchange, connection) = stage.stream();
        let usage = json!({ "input_tokens": 25, "output_tokens": 1 });
        let start =
            json!({ "type": "message_start", "message": { "model": sse::MODEL, "usage": usage } });
        let end = json!({
            "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": bad },
        });
        let answer = [
            sse::event("message_start", &start),
            sse::block_start("text"),
            sse::text(&words),
            sse::block_stop(),
            sse::event("message_delta", &end),
            sse::message_stop(),
        ];
        exchange.answer_stream(&answer.concat());
        assert_eq!(connection.answer(false).finish().expect_ok().text(), answer.concat());
        let row = stage.row("E1");
        assert!(row.is_estimated, "{bad}");
        assert_eq!((row.input_tokens, row.output_tokens), (25, estimated_tokens(700)), "{bad}");
        assert_eq!(row.cost_nanousd, haiku(row.input_tokens, row.output_tokens));
        assert!(stage.app.metric("sluice_alerts_total{what=\"usage: not a count\"}") >= 1);

        let stage = Stage::new();
        let (exchange, connection) = stage.json();
        exchange.answer_json(&message(&json!({ "input_tokens": 25, "output_tokens": bad })));
        connection.answer(false).finish().expect_ok();
        let row = stage.row("E1");
        assert!(row.is_estimated && row.output_tokens > 1, "{bad}: {row:#?}");
        assert_eq!(row.cost_nanousd, haiku(25, row.output_tokens));
    }
}

#[test]
fn e13_the_operators_own_trouble_is_503_without_a_word_of_it() {
    let spend_limit = json!({
        "type": "error",
        "error": { "type": "rate_limit_error", "message": CANARY, "details": { "error_code": "enforced_spend_limit_reached" } },
    });
    let cases = [
        (401, error_body("authentication_error", CANARY)),
        (402, error_body("billing_error", CANARY)),
        (401, CANARY.to_owned()),
        (400, error_body("billing_error", CANARY)),
        (403, error_body("authentication_error", CANARY)),
        (429, spend_limit.to_string()),
    ];
    for (status, refusal) in cases {
        for body in [stream_body(), json_body()] {
            let stage = Stage::new();
            let connection = stage.app.send(&stage.account, &body);
            stage.upstream.next().refuse(status, &refusal);
            let response = connection.answer(false).finish();
            response.expect_error(503, "api_error");
            let seen = format!("{:?} {}", response.headers, response.text());
            let words = ["4711", "credit", "accounting", "credential", "upstream", CREDENTIAL];
            for word in words {
                assert!(!seen.contains(word), "{seen}");
            }
            stage.free("E13", 503);
            let alert = "sluice_alerts_total{what=\"upstream refuses our credential\"}";
            assert!(stage.app.metric(alert) >= 1);
        }
    }
}

#[test]
fn e13_goes_for_an_error_as_the_first_event_too() {
    for kind in ["authentication_error", "billing_error"] {
        let stage = Stage::new();
        let (exchange, connection) = stage.stream();
        exchange.answer_stream(&sse::error(kind, CANARY));
        let response = connection.answer(false).finish();
        response.expect_error(503, "api_error");
        assert!(!response.text().contains("4711"));
        stage.free("E13", 503);
    }
}

#[test]
fn count_tokens_keeps_the_operators_trouble_to_itself_and_leaves_no_row() {
    let stage = Stage::new();
    let request =
        || crate::support::client::Request::post("/v1/messages/count_tokens", json_body());
    let ask = || stage.app.connect().send(&request().key(&stage.account.key));
    let connection = ask();
    stage.upstream.next().answer_json(r#"{"input_tokens":17}"#);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), r#"{"input_tokens":17}"#);
    let connection = ask();
    stage.upstream.next().refuse(400, &error_body("invalid_request_error", "messages: no"));
    let message = connection.answer(false).finish().expect_error(400, "invalid_request_error");
    assert_eq!(message, "messages: no");
    let connection = ask();
    stage.upstream.next().refuse(401, &error_body("authentication_error", CANARY));
    let response = connection.answer(false).finish();
    response.expect_error(503, "api_error");
    assert!(!response.text().contains("4711"));
    assert!(stage.app.usage(&stage.account).is_empty());
    assert_eq!(stage.app.balance(&stage.account).available, 5_000_000_000);
}

/// A TLS upstream that would speak h2: the hello must not offer it, and its failure is E3.
#[test]
fn e3_tls_offers_http_1_only_and_a_failed_handshake_is_502() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    let app = Builder::new().upstream_with("tls", &base_url, "connect_secs = 5").start();
    let account = app.account("5.00");
    let connection = app.send(&account, &stream_body());
    let (mut stream, _) = listener.accept().unwrap();
    let mut hello = vec![0_u8; 4096];
    let count = std::io::Read::read(&mut stream, &mut hello).unwrap();
    let hello = &hello[..count];
    assert_eq!(hello[0], 22, "a TLS handshake");
    let offers = |protocol: &[u8]| memchr::memmem::find(hello, protocol).is_some();
    assert!(offers(b"\x08http/1.1"), "http/1.1 is offered");
    assert!(!offers(b"\x02h2"), "h2 is not");
    drop(stream);
    drop(listener);
    connection.answer(false).finish().expect_error(502, "api_error");
    let row = app.only_row(&account);
    assert_eq!((row.ending.as_str(), row.cost_nanousd), ("E3", 0));
}
