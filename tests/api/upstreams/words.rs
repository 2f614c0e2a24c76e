//! What a client is told of a refusal beside its words: whether and when to try again.

use serde_json::json;

use super::{Kind, error_body, send};
use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::upstream::Upstream;

const PATH: &str = "/v1/messages";

#[test]
fn a_refusal_that_no_repetition_changes_says_so() {
    let app = TestApp::sandboxed();
    let (rich, poor) = (app.account("5.00"), app.account("0"));
    let plain = body(sse::MODEL, false, "text");
    let suspended = app.account("5.00");
    app.set_status(&suspended, "suspended");
    let refusals = [
        (401, Request::post(PATH, plain.clone())),
        (401, Request::post(PATH, plain.clone()).key("sk-wrong")),
        (400, Request::post(PATH, "{").key(&rich.key)),
        (402, Request::post(PATH, plain.clone()).key(&poor.key)),
        (403, Request::post(PATH, plain.clone()).key(&suspended.key)),
        (404, Request::get("/v1/nowhere").key(&rich.key)),
        (404, Request::get("/v1/models/nothing").key(&rich.key)),
        (405, Request::get(PATH).key(&rich.key)),
        (401, Request::post("/v1/messages/count_tokens", plain)),
    ];
    for (status, request) in refusals {
        let response = app.ask(&request);
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(response.header("x-should-retry"), Some("false"), "{status}");
        assert_eq!(response.header("retry-after"), None);
    }
}

#[test]
fn a_refusal_that_passes_says_when_to_ask_again() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.requests_per_minute_per_account", 1)
        .start();
    let account = app.account("5.00");
    app.messages(&account, &body(sse::MODEL, false, "text")).expect_ok();
    let limited = app.messages(&account, &body(sse::MODEL, false, "text"));
    limited.expect_error(429, "rate_limit_error");
    let nobody = Builder::new()
        .upstream_with("other", "http://127.0.0.1:1", "serves = [\"claude-opus-4-5\"]")
        .start();
    let account = nobody.account("5.00");
    let unavailable = nobody.messages(&account, &body(sse::MODEL, false, "text"));
    unavailable.expect_error(503, "api_error");
    let upstream = Upstream::start();
    let full = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.max_streams", 1)
        .set("server.max_streams_per_account", 1)
        .start();
    let (one, two) = (full.account("5.00"), full.account("5.00"));
    let connection = send(&full, &one, Kind::Json);
    let exchange = upstream.next();
    let overloaded = full.messages(&two, &body(sse::MODEL, false, "text"));
    overloaded.expect_error(529, "overloaded_error");
    exchange.refuse(503, "no");
    let relayed = connection.answer(false).finish();
    relayed.expect_error(503, "api_error");
    for response in [limited, unavailable, overloaded, relayed] {
        let secs: u64 = response.header("retry-after").expect("a time").parse().unwrap();
        assert!((1..=60).contains(&secs), "{secs}");
        assert_eq!(response.header("x-should-retry"), None);
    }
}

#[test]
fn what_an_upstream_says_of_the_operators_plan_or_key_is_never_relayed() {
    let words = [
        "Your organization org-4711 may not use this feature.",
        "Please upgrade your plan, 4711, to use this model.",
        "The key sk-ant-api03-4711 is restricted to this workspace.",
        "See billing settings 4711.",
    ];
    for kind in super::KINDS {
        for words in words {
            for status in [400, 404, 413, 422] {
                let upstream = Upstream::start();
                let app = TestApp::with(&upstream);
                let account = app.account("5.00");
                let connection = send(&app, &account, kind);
                upstream.next().refuse(status, &error_body("invalid_request_error", words));
                let response = connection.answer(false).finish();
                assert_eq!(response.status, status);
                assert!(!response.text().contains("4711"), "{}", response.text());
            }
        }
    }
    // In the details either, nor by the thousand.
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let details = json!({ "error": {
        "type": "invalid_request_error", "message": "no", "details": { "x": "your plan 4711" },
    } });
    for body in [details.to_string(), error_body("invalid_request_error", &"4711 ".repeat(6000))] {
        let connection = send(&app, &account, Kind::Json);
        upstream.next().refuse(400, &body);
        let response = connection.answer(false).finish();
        response.expect_error(400, "invalid_request_error");
        assert!(!response.text().contains("4711"));
    }
}

#[test]
fn customers_read_nowhere_what_the_operator_calls_an_upstream() {
    let upstream = Upstream::start();
    let app = Builder::new().upstream("operators-own-name", upstream.address).start();
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Stream);
    let answer = connection;
    super::expect_answer(Kind::Stream, upstream.next(), answer);
    let row = app.only_row(&account);
    assert_eq!(row.upstream.as_deref(), Some("operators-own-name"));
    let paths = [
        "/api/v1/usage".to_owned(),
        format!("/api/v1/usage/{}", row.id),
        "/api/v1/usage/series".to_owned(),
        "/api/v1/usage/export".to_owned(),
        "/api/v1/usage/export?format=jsonl".to_owned(),
        "/api/v1/ledger".to_owned(),
        "/api/v1/ledger/export".to_owned(),
        "/api/v1/status".to_owned(),
        "/api/v1/account".to_owned(),
        "/v1/models".to_owned(),
        "/openapi.json".to_owned(),
    ];
    for path in paths {
        let response = app.api_get(&account, &path);
        assert_eq!(response.status, 200, "{path} {}", response.text());
        assert!(!response.text().contains("operators-own-name"), "{path}");
        let is_named = response.text().contains("\"upstream\"");
        assert!(!is_named && !response.text().contains(",upstream,"), "{path}");
    }
    // The operator does.
    assert!(app.admin("/metrics").text().contains("operators-own-name"));
}

#[test]
fn errors_that_clients_are_told_are_counted_by_status_and_type() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("0");
    app.messages(&account, &body(sse::MODEL, false, "text")).expect_error(402, "billing_error");
    let line = "sluice_refusals_total{status=\"402\",type=\"billing_error\"}";
    assert_eq!(app.metric(line), 1);
    let rich = app.account("5.00");
    let connection = send(&app, &rich, Kind::Json);
    upstream.next().refuse(400, &error_body("some_upstreams_word", "no"));
    connection.answer(false).finish().expect_error(400, "some_upstreams_word");
    let line = "sluice_refusals_total{status=\"400\",type=\"relayed\"}";
    assert_eq!(app.metric(line), 1);
    let line = "sluice_upstream_head_seconds_count{upstream=\"primary\"}";
    assert_eq!(app.metric(line), 1);
    let line = "sluice_upstream_requests_total{outcome=\"request\",upstream=\"primary\"}";
    assert_eq!(app.metric(line), 1);
}
