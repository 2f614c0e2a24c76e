//! What is refused, with which status and words, and that nothing is the worse for it: the next
//! request works, and a request that held no money has left no trace.

mod bodies;
mod offered;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::sandbox::{body, body_with, sandbox};
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

const PATH: &str = "/v1/messages";

fn plain() -> String {
    body("claude-haiku-4-5", false, "text")
}

/// After whatever happened: no row, no money moved, and the server works.
fn assert_unharmed(app: &TestApp, account: &Account) {
    assert!(app.usage(account).is_empty(), "a refusal leaves no usage row");
    let before = app.balance(account);
    assert_eq!(before.reserved, 0);
    let other = app.account("1.00");
    app.messages(&other, &plain()).expect_ok();
    app.only_row(&other);
    assert_eq!(app.balance(account), before);
}

fn refused(app: &TestApp, account: &Account, body: &str) -> Response {
    let response = app.messages(account, body);
    assert_unharmed(app, account);
    response
}

fn tool(tool: &Value) -> Value {
    json!({ "tools": [tool] })
}

/// What has no price, and the words that name it.
fn unpriced() -> Vec<(u16, &'static str, Value)> {
    let user = |block: Value| json!({ "messages": [{ "role": "user", "content": [block] }] });
    let file = json!({ "type": "file", "file_id": "file_1" });
    let advisor = |model: &str| json!({ "type": "advisor_20260101", "name": "a", "model": model });
    let named = |kind: &str| tool(&json!({ "type": kind, "name": "c" }));
    let stored = "files stored upstream";
    vec![
        (404, "model: claude-9", json!({ "model": "claude-9" })),
        (404, "model: x", json!({ "fallbacks": [{ "model": "x" }] })),
        (404, "model: gpt", tool(&advisor("gpt"))),
        (400, "container", json!({ "container": "c_1" })),
        (400, "mcp_servers", json!({ "mcp_servers": [1] })),
        (400, "skills", json!({ "skills": [1] })),
        (400, "files", json!({ "files": [1] })),
        (400, "code_execution_20260120", named("code_execution_20260120")),
        (400, "new_tool_2027", named("new_tool_2027")),
        (400, "advisor_20260101", named("advisor_20260101")),
        (400, stored, user(json!({ "type": "document", "source": file }))),
        (400, stored, user(json!({ "type": "image", "source": file }))),
        (400, stored, user(json!({ "type": "container_upload", "file_id": "file_1" }))),
        (400, "speed", json!({ "speed": "warp" })),
        (400, "inference_geo", json!({ "inference_geo": "mars" })),
        (400, "max_tokens", json!({ "max_tokens": -5 })),
        (400, "stream", json!({ "stream": "yes" })),
    ]
}

#[test]
fn a_request_without_a_price_is_refused_before_anything_is_dispatched() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    for (status, words, more) in unpriced() {
        let kind = if status == 404 { "not_found_error" } else { "invalid_request_error" };
        let response = app.messages(&account, &body_with("claude-haiku-4-5", true, "", &more));
        let message = response.expect_error(status, kind);
        assert!(message.contains(words), "{more}: {message}");
    }
    assert!(app.usage(&account).is_empty());
    assert_eq!(app.balance(&account).available, 5_000_000_000);
    assert_eq!(upstream.count(), 0, "nothing is dispatched");
    // Typed tools that run at the client are free.
    let free = tool(&json!({ "type": "bash_20250124", "name": "bash" }));
    let waiting = app.send(&account, &body_with("claude-haiku-4-5", false, "", &free));
    upstream.next().answer_json(&message(&json!({ "input_tokens": 1, "output_tokens": 1 })));
    waiting.answer(false).finish().expect_ok();
    app.only_row(&account);
}

#[test]
fn what_is_no_request_is_refused_with_the_field_and_never_its_value() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let cases = [
        (r#"{"model":"claude-haiku-4-5","messages":[]}"#, "max_tokens: Field required"),
        (r#"{"max_tokens":5,"messages":[]}"#, "model: Field required"),
        (r#"{"model":"claude-haiku-4-5","max_tokens":5,"messages":["CANARY""#, "not valid JSON"),
        ("", "not valid JSON"),
        ("CANARY", "not valid JSON"),
        (r#"["CANARY"]"#, "must be a JSON object"),
        (r#"{"model":"claude-haiku-4-5","max_tokens":5,"messages":[]} {}"#, "not valid JSON"),
        (r#"{"model":"claude-haiku-4-5","model":"claude-opus-5-5","max_tokens":5}"#, "repeats"),
        (
            r#"{"model":"claude-haiku-4-5","max_tokens":5,"ma\u0078_tokens":9,"messages":[]}"#,
            "repeats",
        ),
        (r#"{"model":7,"max_tokens":5,"messages":[]}"#, "model: "),
        (r#"{"model":"claude-haiku-4-5","max_tokens":"CANARY"}"#, "max_tokens: "),
        (
            r#"{"model":"claude-haiku-4-5","max_tokens":5,
                "messages":[{"content":"\ud800CANARY"}]}"#,
            "",
        ),
    ];
    for (body, words) in cases {
        let response = app.messages(&account, body);
        if words.is_empty() {
            // Whoever judges it, it is the client's fault.
            assert_eq!(response.status, 400, "{}", response.text());
            continue;
        }
        let message = response.expect_error(400, "invalid_request_error");
        assert!(message.contains(words), "{body}: {message}");
        assert!(!response.text().contains("CANARY"), "{body}");
    }
    let deep = format!("{{\"model\":\"claude-haiku-4-5\",\"x\":{}", "[".repeat(100_000));
    app.messages(&account, &deep).expect_error(400, "invalid_request_error");
    assert_unharmed(&app, &account);
}

#[test]
fn a_key_is_asked_for_and_none_in_another_form_will_do() {
    let app = TestApp::sandboxed();
    let (one, two) = (app.account("5.00"), app.account("5.00"));
    let request = || Request::post(PATH, plain());
    let mut typo = one.key.clone();
    let last = typo.pop().unwrap();
    typo.push(if last == 'a' { 'b' } else { 'a' });
    let unknown = sluice::domain::api_key::PlainApiKey::random().unwrap();
    let bearer = |key: &str| format!("Bearer {key}");
    let refused = [
        ("no key", request()),
        ("an empty key", request().key("")),
        ("a typing error", request().key(&typo)),
        ("an unknown key", request().key(unknown.reveal())),
        ("another's key", request().key("sk-ant-api03-xyz")),
        ("another scheme", request().header("authorization", &format!("Basic {}", one.key))),
        ("two keys", request().key(&one.key).header("authorization", &bearer(&two.key))),
        ("two keys in one header", request().key(&one.key).key(&two.key)),
    ];
    for (name, request) in refused {
        let response = app.ask(&request);
        let message = response.expect_error(401, "authentication_error");
        assert!(!message.contains(&one.key) && !message.contains("sk-ant"), "{name}: {message}");
    }
    for path in ["/v1/models", "/v1/models/claude-haiku-4-5"] {
        app.ask(&Request::get(path)).expect_error(401, "authentication_error");
    }
    let count = Request::post("/v1/messages/count_tokens", plain());
    app.ask(&count).expect_error(401, "authentication_error");
    assert_unharmed(&app, &one);
    assert_unharmed(&app, &two);

    let accepted = [
        request().key(&one.key),
        request().header("authorization", &bearer(&one.key)),
        request().header("authorization", &format!("bearer  {}", one.key)),
        request().key("sk-ant-api03-xyz").header("authorization", &bearer(&one.key)),
        request().key(&one.key).header("authorization", &bearer("another-token")),
        request().key(&one.key).header("authorization", &bearer(&one.key)),
    ];
    for (at, request) in accepted.iter().enumerate() {
        app.ask(request).expect_ok();
        app.settled(&one, at + 1);
    }
}

#[test]
fn a_revoked_key_fails_on_its_next_request() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    app.messages(&account, &plain()).expect_ok();
    app.models(&account).expect_ok();
    app.revoke(&account);
    app.messages(&account, &plain()).expect_error(401, "authentication_error");
    app.settled(&account, 1);
    // Routes that reserve nothing follow within a second.
    eventually("the models to be refused", || (app.models(&account).status == 401).then_some(()));
    app.models(&account).expect_error(401, "authentication_error");
    app.messages(&account, &plain()).expect_error(401, "authentication_error");
}

#[test]
fn a_suspended_account_is_refused_until_it_is_active_again() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    app.messages(&account, &plain()).expect_ok();
    app.set_status(&account, "suspended");
    app.messages(&account, &plain()).expect_error(403, "permission_error");
    eventually("the models to be refused", || (app.models(&account).status == 403).then_some(()));
    app.set_status(&account, "active");
    eventually("the account to be served", || {
        (app.messages(&account, &plain()).status == 200).then_some(())
    });
    app.settled(&account, 2);
}

#[test]
fn what_the_balance_does_not_cover_is_402_with_the_max_tokens_that_it_would() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("site.base_url", "\"http://127.0.0.1:9999\"")
        .set("reservation.least_output_tokens", 4096)
        .start();
    let account = app.account("0.01");
    for is_stream in [true, false] {
        let with = |max_tokens: u64| {
            body_with("claude-sonnet-4-5", is_stream, "text", &json!({ "max_tokens": max_tokens }))
        };
        let message = app.messages(&account, &with(9000)).expect_error(402, "billing_error");
        assert!(message.contains("Your credit of 0.01 USD"), "{message}");
        assert!(message.ends_with("Add credit at http://127.0.0.1:9999/deposits"), "{message}");
        // What is missing is what makes it covered.
        let missing = message.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let missing: f64 = missing.parse().unwrap();
        let least = if is_stream { 4096.0 } else { 9000.0 };
        let expected = least * 15e-6 - 0.01;
        assert!((expected..expected + 0.001).contains(&missing), "{message}");
        let affordable = message.split("max_tokens to ").nth(1).expect("an offer");
        let affordable: u64 = affordable.split(' ').next().unwrap().parse().expect("a number");
        assert!((100..1000).contains(&affordable), "{message}");
        app.messages(&account, &with(affordable + 10)).expect_error(402, "billing_error");
        assert!(app.usage(&account).is_empty());
        let other = app.account("0.01");
        app.messages(&other, &with(affordable)).expect_ok();
        app.only_row(&other);
    }
    let poor = app.account("0.000001");
    let message = app.messages(&poor, &plain()).expect_error(402, "billing_error");
    assert!(!message.contains("max_tokens"), "{message}");
    let nothing = app.account("0");
    app.messages(&nothing, &plain()).expect_error(402, "billing_error");
    assert_unharmed(&app, &account);
}

#[test]
fn a_beta_flag_of_the_deny_list_is_refused_and_every_other_passes() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("requests.denied_betas", "[\"bad-2026-01-01\"]")
        .start();
    let account = app.account("5.00");
    let request = || Request::post(PATH, plain()).key(&account.key);
    for betas in ["bad-2026-01-01", "a,bad-2026-01-01 ,b", "a, bad-2026-01-01"] {
        let refused = request().header("anthropic-beta", betas);
        app.ask(&refused).expect_error(400, "invalid_request_error");
    }
    let two = request().header("anthropic-beta", "a").header("anthropic-beta", "bad-2026-01-01");
    app.ask(&two).expect_error(400, "invalid_request_error");
    assert_unharmed(&app, &account);
    app.ask(&request().header("anthropic-beta", "bad-2026-01-02,new")).expect_ok();
    app.only_row(&account);
}

#[test]
fn too_many_requests_in_a_minute_are_429_with_the_seconds_to_wait() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.requests_per_minute_per_account", 2)
        .start();
    let account = app.account("5.00");
    let first = app.messages(&account, &plain());
    assert_eq!(first.header("anthropic-ratelimit-requests-remaining"), Some("1"));
    app.messages(&account, &plain()).expect_ok();
    let third = app.messages(&account, &plain());
    third.expect_error(429, "rate_limit_error");
    let wait: u64 = third.header("retry-after").expect("a time to wait").parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    app.count_tokens(&account, &plain()).expect_error(429, "rate_limit_error");
    app.settled(&account, 2);
    let other = app.account("5.00");
    app.messages(&other, &plain()).expect_ok();
    app.only_row(&other);
}

#[test]
fn too_many_at_once_are_429_for_the_account_and_529_for_the_node() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.max_streams", 2)
        .set("server.max_streams_per_account", 1)
        .start();
    let (one, two, three) = (app.account("5.00"), app.account("5.00"), app.account("5.00"));
    let first = app.send(&one, &plain());
    let exchange = upstream.next();
    let refused = app.messages(&one, &plain());
    refused.expect_error(429, "rate_limit_error");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let second = app.send(&two, &plain());
    let other_exchange = upstream.next();
    app.messages(&three, &plain()).expect_error(529, "overloaded_error");
    let answer = message(&json!({ "input_tokens": 1, "output_tokens": 1 }));
    exchange.answer_json(&answer);
    other_exchange.answer_json(&answer);
    first.answer(false).finish().expect_ok();
    second.answer(false).finish().expect_ok();
    // The places are free again as soon as the exchanges have ended.
    let waiting = eventually("a place", || {
        let connection = app.send(&three, &plain());
        if let Some(exchange) = upstream.next_within(Duration::from_millis(500)) {
            return Some((connection, exchange));
        }
        assert_eq!(connection.answer(false).finish().status, 529);
        None
    });
    waiting.1.answer_json(&answer);
    waiting.0.answer(false).finish().expect_ok();
    for account in [&one, &two, &three] {
        app.only_row(account);
    }
    for account in [&one, &two, &three] {
        let connection = app.send(account, &plain());
        upstream.next().answer_json(&answer);
        connection.answer(false).finish().expect_ok();
        app.settled(account, 2);
    }
}

#[test]
fn a_wrong_request_costs_nothing_even_on_a_connection_that_goes_on() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let wrong = [
        Request::post(PATH, "{").key(&account.key),
        Request::post(PATH, plain()).key("nonsense"),
        Request::get("/nowhere"),
    ];
    for request in wrong {
        let (response, connection) = app.connect().ask(&request).finish_keeping();
        assert!(response.status >= 400);
        if response.header("connection") == Some("close") {
            continue;
        }
        connection.ask(&Request::get("/v1/models").key(&account.key)).finish().expect_ok();
    }
    assert_eq!(refused(&app, &account, "{}").status, 400);
}

#[test]
fn the_operators_listener_tells_health_and_never_serves_clients() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let get = |path: &str| Connection::open(app.admin_address).ask(&Request::get(path)).finish();
    assert_eq!(get("/healthz").expect_ok().text(), "ok\n");
    assert_eq!(get("/readyz").expect_ok().text(), "ready\n");
    app.messages(&account, &plain()).expect_ok();
    app.only_row(&account);
    assert_eq!(app.metric("sluice_exchanges_total{ending=\"E1\"}"), 1);
    assert_eq!(get("/v1/models").status, 404);
}
