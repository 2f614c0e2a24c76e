//! Error events and trouble of the operator's own: E4, E5 and E13.

use serde_json::json;

use super::{CANARY, Stage, error_body, expect_end, json_body, stream_body};
use crate::support::app::{Builder, CREDENTIAL};
use crate::support::prices::haiku;
use crate::support::sse;
use crate::support::upstream::Upstream;

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
    assert_eq!((row.ending.code(), row.upstream.as_deref()), ("E1", Some("second")));
    assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 200));
    // If none does, the last word counts.
    let poorer = app.account("5.00");
    let connection = app.send(&poorer, &stream_body());
    first.next().answer_stream(&sse::error("overloaded_error", "no"));
    second.next().answer_stream(&sse::error("api_error", "no"));
    connection.answer(false).finish().expect_error(500, "api_error");
    let row = app.only_row(&poorer);
    assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E4", 0));
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
    assert_eq!((row.cost_nanousd.as_nanos(), row.http_status), (0, 200));
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
fn e5_an_error_in_the_middle_is_relayed_under_our_id_and_costs_what_was_reported() {
    let stage = Stage::new();
    let (mut exchange, answer) = stage.begun("Half an answ");
    let data = json!({
        "type": "error",
        "error": { "type": "overloaded_error", "message": "Overloaded, \"sorry\" é",
            "details": { "a": [1] } },
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
fn e13_the_operators_own_trouble_is_503_without_a_word_of_it() {
    let spend_limit = json!({
        "type": "error",
        "error": { "type": "rate_limit_error", "message": CANARY,
            "details": { "error_code": "enforced_spend_limit_reached" } },
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
