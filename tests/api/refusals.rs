//! What is refused, with which status and words, and that nothing is the worse for it: the next
//! request works, and a request that held no money has left no trace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, End, Request, Response};
use crate::support::sandbox::{body, body_with, sandbox};
use crate::support::upstream::{Upstream, message};
use crate::support::wait::{PATIENCE, eventually};

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
    let stored = "files held upstream";
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
        (r#"{"model":"claude-haiku-4-5","model":"claude-opus-5-5","max_tokens":5}"#, "twice"),
        (
            r#"{"model":"claude-haiku-4-5","max_tokens":5,"ma\u0078_tokens":9,"messages":[]}"#,
            "twice",
        ),
        (r#"{"model":7,"max_tokens":5,"messages":[]}"#, "model: "),
        (r#"{"model":"claude-haiku-4-5","max_tokens":"CANARY"}"#, "max_tokens: "),
        (
            r#"{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"content":"\ud800CANARY"}]}"#,
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
fn an_encoded_body_is_415() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let request = Request::post(PATH, plain()).key(&account.key);
    let response = app.ask(&request.clone().header("content-encoding", "gzip"));
    response.expect_error(415, "invalid_request_error");
    let code = &response.json()["error"]["details"]["error_code"];
    assert_eq!(code, "request_body_encoding_unsupported");
    assert_unharmed(&app, &account);
    app.ask(&request.header("content-encoding", "identity")).expect_ok();
    app.only_row(&account);
}

#[test]
fn a_body_beyond_the_limit_is_413_whether_announced_or_not() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let large = vec![b' '; 15_000];
    let response = app.ask(&Request::post(PATH, large.clone()).key(&account.key));
    response.expect_error(413, "request_too_large");

    let request = Request::post(PATH, "").key(&account.key).header("transfer-encoding", "chunked");
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    for piece in large.chunks(1000) {
        connection.write(b"3e8\r\n").write(piece).write(b"\r\n");
    }
    connection.write(b"0\r\n\r\n");
    connection.answer(false).finish().expect_error(413, "request_too_large");

    let fits = format!("{}{}", plain(), " ".repeat(10_000 - plain().len()));
    app.messages(&account, &fits).expect_ok();
    app.only_row(&account);
    let other = app.account("5.00");
    app.messages(&other, &format!("{fits} ")).expect_error(413, "request_too_large");
    assert_unharmed(&app, &other);
}

#[test]
fn a_body_of_33_mb_is_413_at_the_default_limit() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let large = vec![b' '; 33 * 1024 * 1024 + 17];
    let response = app.ask(&Request::post(PATH, large).key(&account.key));
    response.expect_error(413, "request_too_large");
    assert_unharmed(&app, &account);
}

/// Writes without end until the server closes the connection.
fn pour(app: &TestApp, request: &Request, piece: &[u8]) {
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    let deadline = Instant::now() + PATIENCE;
    while connection.try_write(piece) {
        assert!(Instant::now() < deadline, "the server reads on for ever");
    }
}

#[test]
fn a_body_far_beyond_the_limit_is_not_read_to_its_end() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let request = Request::post(PATH, "").header("content-length", "1000000000000");
    let piece = vec![b' '; 65_536];
    pour(&app, &request.clone().key(&account.key), &piece);
    // Nor without a key.
    pour(&app, &request, &piece);
    assert_unharmed(&app, &account);
}

#[test]
fn a_body_in_chunks_without_end_is_not_read_to_its_end() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let piece = [b"10000\r\n", &*vec![b' '; 65_536], b"\r\n"].concat();
    let request = Request::post(PATH, "").header("transfer-encoding", "chunked");
    pour(&app, &request, &piece);
    pour(&app, &request.key(&account.key), &piece);
    assert_unharmed(&app, &account);
}

#[test]
fn a_body_that_pauses_or_trickles_for_ever_is_408() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("limits.body_idle_secs", 1)
        .set("limits.body_total_secs", 2)
        .start();
    let account = app.account("5.00");
    let request = Request::post(PATH, "").key(&account.key).header("content-length", "5000");
    // Nothing comes after the first bytes.
    let mut connection = app.connect();
    connection.write(&request.head_bytes()).write(b"{");
    connection.answer(false).finish().expect_error(408, "invalid_request_error");

    // Something always comes, but never all of it.
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    let mut writer = connection.writer();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        for _ in 0..5000 {
            if writer.write_all(b" ").is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    connection.answer(false).finish().expect_error(408, "invalid_request_error");
    trickle.join().unwrap();
    assert_unharmed(&app, &account);
}

#[test]
fn a_client_that_leaves_within_its_body_has_asked_for_nothing() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let request = Request::post(PATH, "").key(&account.key).header("content-length", "5000");
    let mut connection = app.connect();
    connection.write(&request.head_bytes()).write(plain().as_bytes());
    connection.reset();
    // A later request tells that the first is over.
    let waiting = app.send(&account, &plain());
    let exchange = upstream.next();
    assert_eq!(exchange.request.body, plain().as_bytes());
    exchange.answer_json(&message(&json!({ "input_tokens": 1, "output_tokens": 1 })));
    waiting.answer(false).finish().expect_ok();
    app.only_row(&account);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_flood_of_headers_is_431_and_a_broken_head_400_without_a_body() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let mut flood = Request::post(PATH, plain()).key(&account.key);
    for number in 0..3000 {
        flood = flood.header(&format!("x-flood-{number}"), &"f".repeat(60));
    }
    let mut connection = app.connect();
    connection.try_write(&flood.to_bytes());
    let response = connection.answer(false).finish();
    assert_eq!((response.status, response.body.len()), (431, 0), "{}", response.text());

    let broken = [
        "NONSENSE\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ];
    for head in broken {
        let mut connection = app.connect();
        connection.write(head.as_bytes());
        let response = connection.answer(false).finish();
        assert_eq!(response.status, 400, "{head}: {}", response.text());
        assert_eq!(response.body.len(), 0, "{head}");
    }
    assert_unharmed(&app, &account);
}

#[test]
fn a_head_that_never_ends_is_let_go() {
    let app = Builder::new().upstream("sandbox", sandbox()).set("server.head_secs", 1).start();
    let mut connection = app.connect();
    connection.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ");
    let answer = connection.answer(false).finish();
    assert_eq!((answer.status, answer.body.len()), (408, 0));
    let account = app.account("5.00");
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
        let affordable = message.split("max_tokens ").nth(1).expect("an offer");
        let affordable: u64 = affordable.split('.').next().unwrap().parse().expect("a number");
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
fn what_is_not_offered_is_404_or_405_and_says_what_is() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let elsewhere =
        ["/v1", "/v1/complete", "/v1/messages/batches", "/v1/files", "/metrics", "/healthz"];
    for path in elsewhere {
        let response = app.ask(&Request::get(path).key(&account.key));
        let message = response.expect_error(404, "not_found_error");
        assert!(message.contains("POST /v1/messages"), "{message}");
    }
    for (method, path) in [
        ("GET", PATH),
        ("PUT", PATH),
        ("DELETE", PATH),
        ("GET", "/v1/messages/count_tokens"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/claude-haiku-4-5"),
    ] {
        let response = app.ask(&Request::new(method, path).key(&account.key));
        response.expect_error(405, "invalid_request_error");
    }
    assert_unharmed(&app, &account);
}

#[test]
fn models_are_listed_as_the_wire_lists_them_and_head_follows_get() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let list = app.models(&account);
    let document = list.expect_ok().json();
    let data = document["data"].as_array().unwrap();
    assert_eq!(data.len(), 18);
    assert_eq!(document["has_more"], false);
    assert_eq!(document["first_id"], data[0]["id"]);
    assert_eq!(document["last_id"], data[17]["id"]);
    for model in data {
        assert_eq!(model["type"], "model");
        assert!(model["created_at"].as_str().unwrap().ends_with('Z'), "{model}");
    }
    let get = |path: &str| app.ask(&Request::get(path).key(&account.key));
    // Page by page it is the same list.
    let (mut seen, mut query) = (Vec::new(), "limit=5".to_owned());
    loop {
        let page = get(&format!("/v1/models?{query}")).expect_ok().json();
        seen.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            break;
        }
        query = format!("limit=5&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(&seen, data);
    get("/v1/models?limit=0").expect_error(400, "invalid_request_error");
    get("/v1/models?limit=x").expect_error(400, "invalid_request_error");

    let by_dated_id = get("/v1/models/claude-haiku-4-5-20251001").expect_ok().json();
    assert_eq!(by_dated_id["id"], "claude-haiku-4-5");
    get("/v1/models/claude-9").expect_error(404, "not_found_error");

    for path in ["/v1/models", "/v1/models/claude-haiku-4-5"] {
        let response = app.ask(&Request::new("HEAD", path).key(&account.key));
        assert_eq!((response.status, response.end), (200, End::Whole));
        assert!(response.header("request-id").is_some());
        let got = get(path).body.len().to_string();
        assert_eq!(response.header("content-length"), Some(got.as_str()));
    }
    let head = app.ask(&Request::new("HEAD", "/v1/models/claude-9").key(&account.key));
    assert_eq!(head.status, 404);
    assert_unharmed(&app, &account);
}

#[test]
fn only_models_that_some_upstream_serves_are_offered() {
    let base_url = format!("http://{}", sandbox());
    let app =
        Builder::new().upstream_with("small", &base_url, "serves = [\"claude-haiku-4-5\"]").start();
    let account = app.account("5.00");
    let document = app.models(&account).expect_ok().json();
    assert_eq!(document["data"].as_array().unwrap().len(), 1);
    app.messages(&account, &body("claude-sonnet-4-5", true, "text")).expect_error(503, "api_error");
    assert_unharmed(&app, &account);
}

#[test]
fn browsers_are_answered_only_where_the_operator_says_so() {
    let closed = TestApp::sandboxed();
    let account = closed.account("5.00");
    let from = |app: &TestApp, account: &Account| {
        app.ask(&Request::get("/v1/models").key(&account.key).header("origin", "https://a.example"))
    };
    assert!(from(&closed, &account).header("access-control-allow-origin").is_none());
    let open = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.cors_origins", "[\"https://a.example\"]")
        .start();
    let account = open.account("5.00");
    let response = from(&open, &account);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://a.example"));
    let exposed = response.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("request-id") && exposed.contains("retry-after"), "{exposed}");
}

#[test]
fn pages_of_other_sites_may_call_v1_and_nothing_else() {
    for origins in ["[\"https://a.example\"]", "[\"*\"]"] {
        let app = Builder::new()
            .upstream("sandbox", sandbox())
            .set("server.cors_origins", origins)
            .start();
        let account = app.account("5.00");
        let from = |request: Request| app.ask(&request.header("origin", "https://a.example"));
        let first_ask = |path: &str| {
            let asked = Request::new("OPTIONS", path);
            from(
                asked
                    .header("access-control-request-method", "POST")
                    .header("access-control-request-headers", "x-api-key"),
            )
        };
        let allowed = |response: &Response| {
            response.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
        };
        for path in [PATH, "/v1/messages/count_tokens"] {
            let response = first_ask(path);
            assert_eq!(response.status, 200, "{path}");
            assert!(allowed(&response), "{path}");
        }
        let refused = from(Request::post(PATH, "{").key(&account.key));
        assert!(refused.status == 400 && allowed(&refused), "a page reads refusals too");
        for path in ["/api/v1/account", "/api/v1/prices", "/openapi.json", "/", "/log-in", "/v1"] {
            let response = from(Request::get(path).key(&account.key));
            assert!(!allowed(&response), "{path}");
            assert!(!allowed(&first_ask(path)), "{path}");
        }
        assert_eq!(first_ask("/api/v1/sessions").status, 405);
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
