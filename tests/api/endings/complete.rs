//! Endings of answers that are whole: E1, and E10 where nothing was reported.

use serde_json::json;

use super::{Stage, json_answer, usage};
use crate::support::alerting::Watched;
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sse;
use crate::support::upstream::message;

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
        sse::text(
            "event: message_delta\ndata: \
            {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":1}}\n\n",
        ),
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
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(input, output), "{delta}");
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
    assert_eq!((row.cost_nanousd.as_nanos(), row.is_estimated), (haiku(1000, 4096), true));
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
fn e10_a_complete_answer_without_usage_is_estimated_and_told_to_the_operator() {
    let stage = Stage::new();
    let watched = Watched::new(stage.app.admin_address);
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
    assert_eq!(row.cost_nanousd.as_nanos(), haiku(row.input_tokens, row.output_tokens));
    assert!(stage.app.metric("sluice_alerts_total{what=\"an answer came without usage\"}") >= 1);
    watched.fires(&["SluiceUsageUnclear"]);

    let stage = Stage::new();
    let (exchange, connection) = stage.json();
    let answer = message(&json!(null));
    exchange.answer_json(&answer);
    assert_eq!(connection.answer(false).finish().expect_ok().text(), answer);
    let row = stage.row("E10");
    assert!(row.is_estimated && row.cost_nanousd.as_nanos() > 0, "{row:#?}");
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
            "type": "message_delta", "delta": { "stop_reason": "end_turn" },
                "usage": { "output_tokens": bad },
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
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(row.input_tokens, row.output_tokens));
        assert!(stage.app.metric("sluice_alerts_total{what=\"usage: not a count\"}") >= 1);

        let stage = Stage::new();
        let (exchange, connection) = stage.json();
        exchange.answer_json(&message(&json!({ "input_tokens": 25, "output_tokens": bad })));
        connection.answer(false).finish().expect_ok();
        let row = stage.row("E1");
        assert!(row.is_estimated && row.output_tokens > 1, "{bad}: {row:#?}");
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(25, row.output_tokens));
    }
}
