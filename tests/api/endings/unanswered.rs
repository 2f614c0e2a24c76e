//! Endings before any answer has begun: E2 and E3.

use std::time::Duration;

use serde_json::json;

use super::{CANARY, Stage, error_body, json_answer, json_body, stream_body};
use crate::support::app::Builder;
use crate::support::prices::haiku;
use crate::support::sse;
use crate::support::upstream::{Upstream, json_response};

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
            "HTTP/1.1 {status} X\r\ncontent-type: text/html\r\n{head}\r\ncontent-length: {}\r\n\
             \r\n{body}",
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
        assert_eq!((row.ending.code(), row.upstream.as_deref()), ("E1", Some("second")));
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 200));
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
        assert_eq!(
            (row.ending.code(), row.cost_nanousd.as_nanos(), row.http_status),
            ("E3", 0, 502)
        );
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
        let costs: i64 = rows.iter().map(|row| row.cost_nanousd.as_nanos()).sum();
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
            let row = rows
                .iter()
                .find(|row| row.ending.code() != "E1")
                .expect("the second request's row");
            assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E3", 0));
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
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n\
             {body}",
            body.len()
        ),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
             content-length: {}\r\n\r\n{body}",
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
    assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E3", 0));
}
