//! Endings by an upstream that breaks off, says nothing or writes too much: E6, E7 and E18.

use serde_json::json;

use super::{Stage, expect_end, json_answer};
use crate::support::client::End;
use crate::support::prices::haiku;
use crate::support::sse;
use crate::support::upstream::json_response;

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
    assert!(rows.iter().all(|row| row.ending.code() == "E6"), "{rows:#?}");
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
    assert_eq!((row.output_tokens, row.cost_nanousd.as_nanos()), (10, haiku(1000, 10)));
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
            "HTTP/1.1 200 OK\r\n{typed}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n\
             0\r\n\r\n",
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
            assert!(
                row.ending.code() == "E6" || (is_reset && row.ending.code() == "E3"),
                "{row:#?}"
            );
            assert_eq!(row.cost_nanousd.as_nanos(), 0);
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
