//! Answers that are none: with status 200, and something else in them than was asked for.

use super::{CANARY, Kind, Pair, error_body, expect_billed_once, expect_no_word_of_it, send};
use crate::support::app::TestApp;
use crate::support::upstream::Upstream;

/// Documents that are errors, and what they would have come with.
fn errors() -> Vec<(String, u16, &'static str)> {
    vec![
        (error_body("overloaded_error", CANARY), 529, "overloaded_error"),
        (error_body("rate_limit_error", CANARY), 429, "rate_limit_error"),
        (error_body("authentication_error", CANARY), 503, "api_error"),
        (error_body("something_new", CANARY), 500, "api_error"),
        (format!(r#"{{"error":"{CANARY}"}}"#), 500, "api_error"),
        (format!(r#"{{"error":{{"message":"{CANARY}","code":"504"}}}}"#), 504, "timeout_error"),
        (r#"{"error":{"message":"m","code":"insufficient_quota"}}"#.to_owned(), 503, "api_error"),
    ]
}

#[test]
fn e2_a_document_of_an_error_costs_nothing_whatever_its_status() {
    for kind in super::KINDS {
        for (body, status, error) in errors() {
            let upstream = Upstream::start();
            let app = TestApp::with(&upstream);
            let account = app.account("5.00");
            let connection = send(&app, &account, kind);
            upstream.next().answer_json(&body);
            let response = connection.answer(false).finish();
            response.expect_error(status, error);
            expect_no_word_of_it(&response);
            assert_eq!(upstream.count(), 1);
            if kind != Kind::Count {
                let row = app.only_row(&account);
                let ending = if status == 503 { "E13" } else { "E2" };
                let seen = (row.ending.code(), row.cost_nanousd.as_nanos(), row.http_status);
                assert_eq!(seen, (ending, 0, i32::from(status)), "{body}");
            }
            assert_eq!(app.balance(&account).available, 5_000_000_000);
        }
    }
}

#[test]
fn e4_a_stream_whose_first_event_is_such_a_document_costs_nothing_whatever_its_name() {
    for (body, status, error) in errors() {
        for name in ["", "event: error\n", "event: message\n"] {
            let pair = Pair::new();
            let account = pair.app.account("5.00");
            let event = format!("{name}data: {body}\n\n");
            pair.served_by_second(&account, Kind::Stream, |first| first.answer_stream(&event));
            expect_billed_once(&pair.app, &account, Kind::Stream);
            assert_eq!(pair.counts(), (1, 1), "{event}");
            // Where nobody else can be asked, its client hears of it.
            let upstream = Upstream::start();
            let app = TestApp::with(&upstream);
            let account = app.account("5.00");
            let connection = send(&app, &account, Kind::Stream);
            upstream.next().answer_stream(&event);
            let response = connection.answer(false).finish();
            response.expect_error(status, error);
            expect_no_word_of_it(&response);
            assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), 0, "{event}");
        }
    }
}

#[test]
fn e2_the_words_of_a_document_that_blames_the_request_go_to_its_client() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    for kind in super::KINDS {
        let connection = send(&app, &account, kind);
        upstream.next().answer_json(&error_body("invalid_request_error", "messages: no"));
        let response = connection.answer(false).finish();
        assert_eq!(response.expect_error(400, "invalid_request_error"), "messages: no");
    }
}

#[test]
fn a_document_that_is_no_message_is_no_answer() {
    for body in ["{}", "[]", "null", r#"{"detail":"Not Found"}"#, r#"{"choices":[]}"#] {
        let upstream = Upstream::start();
        let app = TestApp::with(&upstream);
        let account = app.account("5.00");
        let connection = send(&app, &account, Kind::Json);
        upstream.next().answer_json(body);
        connection.answer(false).finish().expect_error(502, "api_error");
        let row = app.only_row(&account);
        assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E3x", 0), "{body}");
    }
}

#[test]
fn a_count_without_a_whole_number_of_tokens_is_no_answer() {
    let none = [
        "{}",
        "[17]",
        r#"{"input_tokens":null}"#,
        r#"{"input_tokens":"17"}"#,
        r#"{"input_tokens":-1}"#,
        r#"{"input_tokens":1.5}"#,
        r#"{"type":"message","content":[{"type":"text","text":"FREE ANSWER"}],"usage":{}}"#,
        "{\"input_tokens\":17",
    ];
    for body in none {
        let pair = Pair::new();
        let account = pair.app.account("0");
        pair.served_by_second(&account, Kind::Count, |exchange| exchange.answer_json(body));
        assert_eq!(pair.counts(), (1, 1));
        let connection = pair.send(&account, Kind::Count);
        pair.first.next().answer_json(body);
        pair.second.next().answer_json(body);
        let response = connection.answer(false).finish();
        response.expect_error(502, "api_error");
        assert!(!response.text().contains("FREE"));
    }
}

#[test]
fn a_client_that_hears_of_its_timeout_pays_nothing_for_a_document_of_an_error() {
    let upstream = Upstream::start();
    let second = Upstream::start();
    let app = crate::support::app::Builder::new()
        .upstream("first", upstream.address)
        .upstream("second", second.address)
        .set("stream.json_head_secs", 1)
        .start();
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Json);
    let exchange = upstream.next();
    connection.answer(false).finish().expect_error(504, "timeout_error");
    exchange.answer_json(&error_body("overloaded_error", "no"));
    let row = app.only_row(&account);
    assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos(), second.count()), ("E3j", 0, 0));
}
