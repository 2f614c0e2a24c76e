//! Every fault of the table, for every kind of call.

use std::time::Duration;

use super::{
    CANARY, KINDS, Kind, Pair, error_body, expect_billed_once, expect_no_word_of_it, send,
};
use crate::support::app::Builder;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, json_response};
use crate::support::wait::eventually;

type Fail = Box<dyn Fn(Exchange)>;

fn refusal(status: u16, body: String) -> (String, Fail) {
    let name = format!("{status} {body}");
    (name, Box::new(move |exchange| exchange.refuse(status, &body)))
}

fn raw(name: &str, bytes: &'static str) -> (String, Fail) {
    let fail = move |mut exchange: Exchange| {
        exchange.send(bytes);
        exchange.close();
    };
    (name.to_owned(), Box::new(fail))
}

/// Whatever an upstream can do instead of answering, that another may do better.
fn faults() -> Vec<(String, Fail)> {
    let mut faults: Vec<(String, Fail)> =
        [401, 402, 403, 404, 405, 429, 500, 501, 502, 503, 504, 529]
            .into_iter()
            .chain(520..=530)
            .map(|status| refusal(status, "<html>no</html>".to_owned()))
            .collect();
    let low = "Your credit balance is too low to access the Anthropic API.";
    faults.extend([
        refusal(400, error_body("invalid_request_error", low)),
        refusal(400, error_body("invalid_request_error", "Invalid model name passed in model=x")),
        refusal(403, error_body("permission_error", CANARY)),
        refusal(404, error_body("not_found_error", "model: claude-haiku-4-5")),
        refusal(200, error_body("overloaded_error", "no")),
        refusal(200, r#"{"error":{"message":"no","code":429}}"#.to_owned()),
        refusal(200, r#"{"detail":"Not Found"}"#.to_owned()),
        raw("a redirect", "HTTP/1.1 302 X\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n"),
        raw("a page", "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi"),
        raw("another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        ("a reset".to_owned(), Box::new(Exchange::reset)),
        ("an end".to_owned(), Box::new(Exchange::close)),
    ]);
    faults
}

#[test]
fn whatever_the_first_upstream_does_the_second_is_asked_once_and_alone_is_billed() {
    for kind in KINDS {
        for (name, fail) in faults() {
            let pair = Pair::new();
            let account = pair.app.account("5.00");
            pair.served_by_second(&account, kind, fail);
            expect_billed_once(&pair.app, &account, kind);
            assert_eq!(pair.counts(), (1, 1), "{kind:?} {name}");
        }
    }
}

#[test]
fn a_stream_that_begins_with_an_error_is_asked_for_at_the_second() {
    let pair = Pair::new();
    let account = pair.app.account("5.00");
    pair.served_by_second(&account, Kind::Stream, |exchange| {
        exchange.answer_stream(&sse::error("overloaded_error", "no"));
    });
    expect_billed_once(&pair.app, &account, Kind::Stream);
}

#[test]
fn an_upstream_that_nobody_can_reach_is_passed_over() {
    for kind in KINDS {
        let second = Upstream::start();
        let app = Builder::new()
            .upstream("gone", Upstream::nowhere())
            .upstream("second", second.address)
            .start();
        let account = app.account("5.00");
        let connection = send(&app, &account, kind);
        super::expect_answer(kind, second.next(), connection);
        expect_billed_once(&app, &account, kind);
        assert_eq!(second.count(), 1);
    }
}

#[test]
fn if_none_serves_the_last_ones_words_count_and_each_was_asked_once() {
    let table = [
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (429, 429, "rate_limit_error"),
        (520, 502, "api_error"),
        (526, 502, "api_error"),
        (530, 502, "api_error"),
        (529, 529, "overloaded_error"),
        (401, 503, "api_error"),
    ];
    for kind in KINDS {
        for (status, heard, error) in table {
            let pair = Pair::new();
            let account = pair.app.account("5.00");
            let connection = pair.send(&account, kind);
            pair.first.next().refuse(500, "no");
            pair.second.next().refuse(status, CANARY);
            let response = connection.answer(false).finish();
            response.expect_error(heard, error);
            expect_no_word_of_it(&response);
            assert_eq!(pair.counts(), (1, 1), "{kind:?} {status}");
        }
    }
}

#[test]
fn a_request_that_is_at_fault_itself_is_sent_nowhere_else() {
    for kind in KINDS {
        for status in [400, 413, 422] {
            let pair = Pair::new();
            let account = pair.app.account("5.00");
            let connection = pair.send(&account, kind);
            let words = "prompt is too long: 9 > 8";
            pair.first.next().refuse(status, &error_body("invalid_request_error", words));
            let response = connection.answer(false).finish();
            assert_eq!(response.expect_error(status, "invalid_request_error"), words);
            assert!(pair.second.next_within(Duration::from_millis(50)).is_none());
            assert_eq!(pair.counts(), (1, 0));
        }
    }
}

#[test]
fn a_client_that_has_left_is_asked_for_nowhere_else() {
    for kind in [Kind::Stream, Kind::Json] {
        let pair = Pair::new();
        let account = pair.app.account("5.00");
        let connection = pair.send(&account, kind);
        let exchange = pair.first.next();
        connection.leave_seen();
        exchange.refuse(500, "no");
        pair.app.only_row(&account);
        assert!(pair.second.next_within(Duration::from_millis(50)).is_none());
    }
}

#[test]
fn a_refusal_that_never_ends_holds_up_no_call_for_longer_than_ten_seconds() {
    let pair = Pair::new();
    let account = pair.app.account("5.00");
    let half = json_response(500, &"x".repeat(200));
    // All at once, for the sake of time.
    let started = std::time::Instant::now();
    let connections: Vec<_> = KINDS.map(|kind| (kind, pair.send(&account, kind))).into();
    let mut held: Vec<Exchange> = KINDS.iter().map(|_| pair.first.next()).collect();
    for exchange in &mut held {
        exchange.send(&half.as_bytes()[..half.len() - 199]);
    }
    let mut answered: Vec<Exchange> = KINDS.iter().map(|_| pair.second.next()).collect();
    assert!(started.elapsed() < Duration::from_secs(20));
    for (kind, connection) in connections {
        let path = if kind == Kind::Count { "/v1/messages/count_tokens" } else { "/v1/messages " };
        let is_stream = kind == Kind::Stream;
        let at = answered.iter().position(|exchange| {
            let wants = String::from_utf8_lossy(&exchange.request.body).contains("\"stream\":true");
            exchange.request.line.contains(path) && (kind == Kind::Count || wants == is_stream)
        });
        super::expect_answer(kind, answered.remove(at.unwrap()), connection);
    }
}

#[test]
fn a_stop_waits_for_a_count_of_tokens_and_the_second_word_ends_it() {
    let pair = Pair::new();
    let account = pair.app.account("5.00");
    let connection = pair.send(&account, Kind::Count);
    let mut exchange = pair.first.next();
    let half = json_response(500, &"x".repeat(200));
    exchange.send(&half.as_bytes()[..half.len() - 199]);
    pair.app.tell_to_stop();
    let another = pair.app.account("5.00");
    eventually("the stop to have begun", || {
        let request = crate::support::client::Request::get("/readyz").header("connection", "close");
        let ready = crate::support::client::Connection::open(pair.app.admin_address);
        (ready.ask(&request).finish().status == 503).then_some(())
    });
    assert!(exchange.is_open(), "the stop waits");
    pair.app.tell_to_end();
    connection.answer(false).finish().expect_error(503, "api_error");
    assert_eq!(pair.app.balance(&another).reserved, 0);
}
