//! Endings of clients that have left, whose answers are read on to their end: E8 and E9.

use super::client::pour_until_left;
use super::{Stage, json_answer, json_body};
use crate::support::prices::haiku;
use crate::support::sse;

#[test]
fn e8_drained_a_stream_is_read_to_its_end_and_costs_what_was_reported() {
    let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"drain\""));
    let (mut exchange, answer) = stage.begun("Half an answ");
    answer.leave_seen();
    for _ in 0..50 {
        exchange.chunk(sse::text("more of it"));
    }
    assert!(stage.app.usage(&stage.account).is_empty());
    exchange.chunk([sse::block_stop(), sse::end(777), sse::message_stop()].concat()).end_chunks();
    stage.reported("E8", 1000, 777);
}

#[test]
fn e8_hidden_thinking_is_drained_since_its_output_does_not_show() {
    for (kind, is_hidden) in [("thinking", true), ("server_tool_use", true), ("tool_use", false)] {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.stream();
        exchange.stream_head().chunk([sse::start(), sse::block_start(kind)].concat());
        let mut answer = connection.answer(false);
        answer.read_until("content_block_start");
        answer.leave_seen();
        if is_hidden {
            exchange.chunk(sse::thinking("")).chunk(sse::block_stop());
            exchange.chunk([sse::end(4000), sse::message_stop()].concat()).end_chunks();
            stage.reported("E8", 1000, 4000);
        } else {
            exchange.wait_until_left();
            stage.reported("E8", 1000, 1);
        }
    }
}

#[test]
fn e8_a_drain_ends_where_the_upstream_does_and_costs_what_was_reported() {
    for how in ["error", "end", "reset"] {
        let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"drain\""));
        let (mut exchange, answer) = stage.begun(&"words ".repeat(100));
        answer.leave_seen();
        match how {
            "error" => {
                exchange.chunk(sse::error("api_error", "no")).end_chunks();
            }
            "end" => exchange.close(),
            _ => exchange.reset(),
        }
        stage.reported("E8", 1000, 1);
    }
}

#[test]
fn e8_a_drain_is_bounded_in_time_and_number() {
    let stage = Stage::with(|builder| {
        builder.set("stream.client_gone", "\"drain\"").set("stream.drain_secs_max", 1)
    });
    let (mut exchange, answer) = stage.begun("Half an answ");
    answer.leave();
    pour_until_left(&mut exchange, "more and more");
    let row = stage.row("E8");
    assert!(row.cost_nanousd.as_nanos() >= haiku(1000, 1), "{row:#?}");

    // No place to drain: it is left at once, and pays what was delivered.
    let stage = Stage::with(|builder| {
        builder.set("stream.client_gone", "\"drain\"").set("stream.drains_max", 0)
    });
    let words = "word ".repeat(140);
    let (exchange, answer) = stage.begun(&words);
    answer.leave();
    exchange.wait_until_left();
    stage.delivered("E8", 1000, words.len());
}

#[test]
fn e8_a_client_that_half_closes_has_left() {
    let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"abort\""));
    let (mut exchange, mut connection) = stage.stream();
    connection.finish_writing();
    exchange.stream_head().chunk(sse::start());
    exchange.wait_until_left();
    assert_eq!(stage.row("E8").cost_nanousd.as_nanos(), haiku(1000, 1));
    drop(connection);
}

#[test]
fn e9_a_json_answer_whose_client_has_left_is_read_to_its_end_and_billed() {
    let stage = Stage::new();
    let (mut exchange, connection) = stage.json();
    connection.leave_seen();
    let body = json_answer(1000, 200);
    let (first, second) = body.split_at(40);
    exchange.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    ));
    assert!(stage.app.usage(&stage.account).is_empty());
    exchange.send(second);
    let row = stage.reported("E9", 1000, 200);
    assert_eq!(row.http_status, 499);
}

#[test]
fn e9_the_place_of_a_client_that_left_stays_taken_until_its_exchange_ends() {
    let stage = Stage::with(|builder| builder.set("server.max_streams_per_account", 1));
    let (exchange, connection) = stage.json();
    connection.leave_seen();
    let refused = stage.app.messages(&stage.account, &json_body());
    refused.expect_error(429, "rate_limit_error");
    exchange.answer_json(&json_answer(1000, 200));
    stage.reported("E9", 1000, 200);
}
