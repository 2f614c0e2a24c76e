//! Endings by a client that leaves: E8. None of them makes an answer cheaper.

use std::time::Duration;

use serde_json::json;

use super::{Stage, json_answer, json_body, stream_body};
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::body_with;
use crate::support::sse;
use crate::support::upstream::Exchange;
use crate::support::wait::{PATIENCE, eventually};

/// Writes text until the gateway closes the connection; the bytes of deltas that it may have had.
pub(super) fn pour_until_left(exchange: &mut Exchange, words: &str) -> usize {
    let mut bytes = 0;
    let event = sse::text(words);
    let is_left = crate::support::wait::within(PATIENCE, || {
        if exchange.try_chunk(&event) && exchange.is_open() {
            bytes += words.len();
            return None;
        }
        Some(())
    });
    assert!(is_left.is_some(), "the gateway reads on");
    bytes
}

/// A request that allows as much as its model can write.
pub(super) fn long_body() -> String {
    body_with(sse::MODEL, true, "text", &json!({ "max_tokens": 60_000 }))
}

#[test]
fn e8_a_client_that_leaves_a_visible_stream_pays_what_was_delivered() {
    for policy in ["abort", "auto"] {
        for is_reset in [false, true] {
            let stage =
                Stage::with(|builder| builder.set("stream.client_gone", format!("\"{policy}\"")));
            let words = "word ".repeat(140);
            let (exchange, answer) = stage.begun(&words);
            if is_reset {
                answer.reset();
            } else {
                answer.leave();
            }
            // The upstream writes nothing more, and is left all the same.
            exchange.wait_until_left();
            let row = stage.delivered("E8", 1000, words.len());
            assert_eq!(row.http_status, 200);
        }
    }
}

#[test]
fn e8_leaving_inside_a_huge_delta_pays_what_had_come_of_it() {
    for is_named in [true, false] {
        let stage = Stage::with(|builder| {
            builder
                .set("stream.client_gone", "\"abort\"")
                .set("stream.output_factor_max", 1_000_000)
        });
        let connection = stage.app.send(&stage.account, &long_body());
        let mut exchange = stage.upstream.next();
        exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
        let mut answer = connection.answer(false);
        let words = "x".repeat(180_000);
        let delta = sse::text(&words);
        // All but the end of the event: a client that reads bytes has the whole text.
        let (begun, _) = delta.split_at(delta.find("xxx").unwrap() + words.len());
        let (name, data) = begun.split_at(begun.find("data:").unwrap());
        if is_named {
            exchange.chunk(name);
        }
        for piece in data.as_bytes().chunks(30_000) {
            exchange.chunk(piece);
        }
        answer.read_until(&words);
        answer.leave();
        exchange.wait_until_left();
        stage.delivered("E8", 1000, words.len());
    }
}

#[test]
fn e8_what_was_reported_counts_where_it_is_more_than_the_bytes() {
    let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"abort\""));
    let (mut exchange, connection) = stage.stream();
    let usage = json!({ "input_tokens": 1000, "output_tokens": 500 });
    let events = [sse::message_start(sse::MODEL, &usage), sse::text("x")];
    exchange.stream_head().chunk(events.concat());
    let mut answer = connection.answer(false);
    answer.read_until(&sse::text("x"));
    answer.leave();
    exchange.wait_until_left();
    stage.reported("E8", 1000, 500);
}

#[test]
fn e8_leaving_before_message_start_does_not_make_a_request_free() {
    for policy in ["abort", "auto"] {
        let stage =
            Stage::with(|builder| builder.set("stream.client_gone", format!("\"{policy}\"")));
        let (mut exchange, connection) = stage.stream();
        connection.leave_seen();
        // The upstream is waited for, and its first usage is the bill.
        exchange.stream_head().chunk(sse::start());
        exchange.wait_until_left();
        let row = stage.row("E8");
        assert_eq!((row.input_tokens, row.output_tokens), (1000, 1), "{policy}");
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 1));
    }
}

#[test]
fn e8_leaving_between_the_head_and_message_start_does_not_either() {
    let stage = Stage::with(|builder| {
        builder.set("stream.hold_head_max_secs", 0).set("stream.client_gone", "\"abort\"")
    });
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk(sse::ping());
    let mut answer = connection.answer(false);
    answer.read_until("ping");
    answer.leave();
    // Written in two parts, with the client long gone.
    let start = sse::start();
    let (first, second) = start.split_at(30);
    exchange.chunk(first);
    exchange.chunk(second);
    exchange.wait_until_left();
    assert_eq!(stage.row("E8").cost_nanousd.as_nanos(), haiku(1000, 1));
}

#[test]
fn e8_a_client_that_left_is_not_waited_for_without_bound() {
    let stage = Stage::with(|builder| {
        builder
            .set("stream.hold_head_max_secs", 0)
            .set("stream.first_byte_secs", 1)
            .set("stream.idle_secs", 120)
            .set("stream.checkpoint_secs", 120)
    });
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk(sse::ping());
    let mut answer = connection.answer(false);
    answer.read_until("ping");
    answer.leave();
    // The upstream never counts anything, but keeps the connection.
    exchange.wait_until_left();
    stage.free("E8", 200);
}

#[test]
fn e8_leaving_after_the_last_block_does_not_pay() {
    let words = "every word of it ".repeat(50);
    let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"abort\""));
    let (mut exchange, mut answer) = stage.begun(&words);
    exchange.chunk(sse::block_stop());
    answer.read_until("content_block_stop");
    answer.leave();
    exchange.wait_until_left();
    stage.delivered("E8", 1000, words.len());
    // Once every block has closed, it is read to its end, however long that takes to come.
    let stage = Stage::with(|builder| builder.set("stream.client_gone_grace_secs", 0));
    let (mut exchange, mut answer) = stage.begun(&words);
    exchange.chunk(sse::block_stop());
    answer.read_until("content_block_stop");
    answer.leave_seen();
    exchange.chunk(sse::ping());
    assert!(stage.app.usage(&stage.account).is_empty());
    exchange.chunk([sse::end(4000), sse::message_stop()].concat()).end_chunks();
    stage.reported("E8", 1000, 4000);
}

#[test]
fn e8_an_answer_that_ends_soon_after_its_client_left_costs_what_was_reported() {
    // security S9: leaving at the 95th of 100 deltas.
    let stage = Stage::new();
    let (mut exchange, answer) = stage.begun("Most of it");
    answer.leave_seen();
    exchange.chunk([sse::text("the rest"), sse::block_stop(), sse::end(3000)].concat());
    exchange.chunk(sse::message_stop()).end_chunks();
    stage.reported("E8", 1000, 3000);
    // One that goes on is left after the grace, and costs what came by then.
    let stage = Stage::with(|builder| builder.set("stream.client_gone_grace_secs", 1));
    let (mut exchange, answer) = stage.begun("Half of it ");
    answer.leave_seen();
    exchange.chunk(sse::text("and a little more"));
    exchange.wait_until_left();
    stage.delivered("E8", 1000, "Half of it and a little more".len());
}

#[test]
fn e8_what_is_written_is_estimated_by_what_it_is() {
    // security S9: digits, other scripts and base64 have fewer bytes in a token than words.
    let base64 = "Q2FuYXJ5".repeat(20);
    for (text, tokens) in [
        ("3141592653", 5),
        ("ሰላም ለዓለም", 10),
        ("🦀🦀🦀", 6),
        (base64.as_str(), 106),
        ("plain words", 3),
    ] {
        let stage = Stage::with(|builder| builder.set("stream.client_gone", "\"abort\""));
        let (exchange, answer) = stage.begun(text);
        answer.leave();
        exchange.wait_until_left();
        let row = stage.row("E8");
        assert_eq!((row.output_tokens, row.is_estimated), (tokens, true), "{text}");
    }
}

#[test]
fn e8_hidden_work_that_cannot_be_read_on_is_charged_by_what_is_held_for_it() {
    for (key, value) in [
        ("stream.drains_max", 0),
        ("stream.drains_max_per_account", 0),
        // Or not to its end.
        ("stream.drain_secs_max", 1),
    ] {
        let stage = Stage::with(|builder| builder.set(key, value));
        let (mut exchange, connection) = stage.stream();
        let events = [sse::start(), sse::block_start("thinking")].concat();
        exchange.stream_head().chunk(&events);
        let mut answer = connection.answer(false);
        answer.read_until("thinking");
        answer.leave();
        exchange.wait_until_left();
        let row = stage.row("E8");
        assert_eq!((row.output_tokens, row.is_estimated), (4096, true), "{key}");
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 4096));
    }
}

#[test]
fn e8_a_prompt_that_is_counted_at_the_end_only_is_charged_all_the_same() {
    let nothing_yet = json!({ "input_tokens": 0, "output_tokens": 1 });
    for is_counted in [true, false] {
        let stage = Stage::new();
        let (mut exchange, connection) = stage.stream();
        let events =
            [sse::message_start("claude-haiku-4-5", &nothing_yet), sse::block_start("text")];
        exchange.stream_head().chunk(events.concat());
        let mut answer = connection.answer(false);
        answer.read_until("content_block_start");
        answer.leave_seen();
        if is_counted {
            let usage = json!({ "input_tokens": 1000, "output_tokens": 50 });
            let end = [sse::block_stop(), sse::message_delta(&usage), sse::message_stop()];
            exchange.chunk(end.concat()).end_chunks();
            let row = stage.row("E8");
            assert_eq!((row.cost_nanousd.as_nanos(), row.is_estimated), (haiku(1000, 50), false));
        } else {
            exchange.reset();
            let row = stage.row("E8");
            assert!(row.is_estimated && row.input_tokens > 10, "{row:#?}");
        }
    }
}

#[test]
fn e8_a_client_that_left_a_stream_gives_its_place_back_at_once_and_holds_what_is_counted() {
    // bill-and-upstreams B 21: one place, and a thinking stream that is interrupted.
    let stage = Stage::with(|builder| builder.set("server.max_streams_per_account", 1));
    let (mut exchange, connection) = stage.stream();
    let events = [sse::start(), sse::block_start("thinking")].concat();
    exchange.stream_head().chunk(&events);
    let mut answer = connection.answer(false);
    answer.read_until("thinking");
    answer.leave_seen();
    let (other, connection) = eventually("the place to come back", || {
        let connection = stage.app.send(&stage.account, &json_body());
        let exchange = stage.upstream.next_within(Duration::from_millis(300))?;
        Some((exchange, connection))
    });
    other.answer_json(&json_answer(5, 5));
    connection.answer(false).finish().expect_ok();
    // What it holds: the prompt as counted, and the slice of output.
    assert_eq!(stage.app.balance(&stage.account).reserved, haiku(1000, 4096));
    exchange.chunk([sse::block_stop(), sse::end(700), sse::message_stop()].concat()).end_chunks();
    let rows = stage.app.settled(&stage.account, 2);
    let left = rows.iter().find(|row| row.ending.code() == "E8").expect("the one that was left");
    assert_eq!(left.cost_nanousd.as_nanos(), haiku(1000, 700));
}

#[test]
fn e8_one_account_cannot_take_all_places_to_be_read_on() {
    let stage = Stage::with(|builder| {
        builder.set("stream.drains_max", 8).set("stream.drains_max_per_account", 2)
    });
    let leave = |account: &crate::support::app::Account| {
        let connection = stage.app.send(account, &stream_body());
        let mut exchange = stage.upstream.next();
        let events = [sse::start(), sse::block_start("thinking")].concat();
        exchange.stream_head().chunk(&events);
        let mut answer = connection.answer(false);
        answer.read_until("thinking");
        answer.leave_seen();
        exchange
    };
    let mut drained: Vec<Exchange> = (0..2).map(|_| leave(&stage.account)).collect();
    leave(&stage.account).wait_until_left();
    let other = stage.app.account("5.00");
    drained.push(leave(&other));
    for exchange in &mut drained {
        let end = [sse::block_stop(), sse::end(9), sse::message_stop()].concat();
        exchange.chunk(end).end_chunks();
    }
    let rows = stage.app.settled(&stage.account, 3);
    let mut output: Vec<i64> = rows.iter().map(|row| row.output_tokens).collect();
    output.sort_unstable();
    assert_eq!(output, [9, 9, 4096]);
    assert_eq!(stage.app.only_row(&other).output_tokens, 9);
}

#[test]
fn e8_leaving_while_the_end_is_held_pays_all() {
    let stage = Stage::new();
    let words = "every word of it";
    let (mut exchange, answer) = stage.begun(words);
    let (end, stop) = (sse::end(4321), sse::message_stop());
    exchange.chunk([sse::block_stop(), end].concat());
    answer.leave();
    // Either the gateway saw the client go first, or the end of the answer.
    exchange.try_chunk(&stop);
    let row = stage.app.only_row(&stage.account);
    assert!(row.ending.code() == "E8" || row.ending.code() == "E1", "{row:#?}");
    let least = haiku(1000, estimated_tokens(words.len()));
    assert!(row.cost_nanousd.as_nanos() >= least, "{row:#?}");
}

#[test]
fn the_next_request_works_whatever_the_clients_before_it_did() {
    let stage = Stage::new();
    for _ in 0..5 {
        let (exchange, connection) = stage.stream();
        connection.reset();
        exchange.refuse(400, "{}");
    }
    let rows = stage.app.settled(&stage.account, 5);
    assert!(rows.iter().all(|row| row.cost_nanousd.as_nanos() == 0), "{rows:#?}");
    let (exchange, connection) = stage.stream();
    exchange.answer_stream(&sse::whole("Hello"));
    connection.answer(false).finish().expect_ok();
    stage.app.settled(&stage.account, 6);
}
