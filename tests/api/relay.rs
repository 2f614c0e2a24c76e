//! What goes up and what comes down: bytes unchanged, headers by the list, money the same either
//! way.

mod events;

use serde_json::{Value, json};

use crate::support::app::{Builder, CREDENTIAL, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::prices::{cost_of, haiku};
use crate::support::sandbox::{body, body_with, sandbox};
use crate::support::sse;
use crate::support::upstream::{Upstream, message};

/// Every way in which the sandbox can write an answer that is whole.
const SCENARIOS: [&str; 26] = [
    "text",
    "thinking",
    "tool_use",
    "cache",
    "cache;ttl=5m",
    "cache;ttl=1h",
    "web_search",
    "web_search;searches=3;late_input=5000",
    "mixed",
    "mixed;chunk=1",
    "mixed;chunk=all",
    "thinking;chunk=7;newline=crlf",
    "mixed;chunk=3;newline=cr",
    "text;newline=crlf",
    "text;newline=cr",
    "text;no_space",
    "mixed;no_space;newline=cr;comments;unknown;chunk=5",
    "text;comments",
    "mixed;unknown",
    "text;utf8;chunk=1;events=3",
    "thinking;utf8;chunk=2;events=3",
    "text;ping=2",
    "text;delta_input;input=77;output=9",
    "cache;cache_read=12345;cache_5m=678;cache_1h=9",
    "text;events=0",
    "text;events=2000;bytes=10",
];

fn straight(body: &str) -> Vec<u8> {
    let request = Request::post("/v1/messages", body).key("any");
    Connection::open(sandbox()).ask(&request).finish().expect_ok().body.clone()
}

/// A request whose answer reports searches has asked for them.
fn search_tools(scenario: &str) -> Value {
    if scenario.contains("search") || scenario.contains("mixed") {
        json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search", "max_uses": 3 }] })
    } else {
        json!({})
    }
}

#[test]
fn every_scenario_comes_through_byte_for_byte_and_costs_what_its_row_says() {
    let app = TestApp::sandboxed();
    for scenario in SCENARIOS {
        let mut costs = Vec::new();
        for is_stream in [true, false] {
            let account = app.account("5.00");
            let tools = search_tools(scenario);
            let body = body_with("claude-sonnet-4-5", is_stream, scenario, &tools);
            let through = app.messages(&account, &body);
            through.expect_ok();
            assert_eq!(
                String::from_utf8_lossy(&through.body),
                String::from_utf8_lossy(&straight(&body)),
                "{scenario}, stream: {is_stream}"
            );
            let row = app.only_row(&account);
            assert_eq!(row.ending.code(), "E1", "{scenario}");
            assert_eq!((row.http_status, row.is_estimated), (200, false), "{scenario}");
            assert_eq!(row.cost_nanousd.as_nanos(), cost_of(&row), "{scenario}: {row:#?}");
            assert!(row.cost_nanousd.as_nanos() > 0, "{scenario}");
            assert_eq!(app.entries(&account, "usage"), [-row.cost_nanousd.as_nanos()]);
            assert_eq!(
                app.balance(&account).available,
                5_000_000_000 - row.cost_nanousd.as_nanos()
            );
            costs.push(row.cost_nanousd.as_nanos());
        }
        assert_eq!(costs[0], costs[1], "{scenario} costs the same streamed and not");
    }
}

#[test]
fn a_line_of_ten_megabytes_comes_through_unharmed() {
    let app = Builder::new()
        .upstream("sandbox", crate::support::sandbox::sandbox())
        .set("stream.output_factor_max", 1_000_000)
        .start();
    for scenario in ["text;events=1;bytes=10485760", "text;events=1;bytes=10485760;chunk=65537"] {
        for is_stream in [true, false] {
            let account = app.account("50.00");
            // Output is counted by the sandbox from what it wrote, capped by max_tokens.
            let body = body("claude-sonnet-4-5", is_stream, scenario);
            let through = app.messages(&account, &body);
            through.expect_ok();
            assert!(through.body.len() > 10_485_760);
            assert!(through.body == straight(&body), "{scenario}, stream: {is_stream}");
            let row = app.only_row(&account);
            assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E1", cost_of(&row)));
        }
    }
}

#[test]
fn counts_are_the_upstreams_last_word_and_rows_name_everything_that_set_the_price() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let script = "mixed;input=100000;output=4000;cache_read=7;cache_5m=11;cache_1h=13;searches=2";
    let mut more = search_tools(script);
    more["inference_geo"] = json!("us");
    more["speed"] = json!("fast");
    app.messages(&account, &body_with("claude-opus-5-5", true, script, &more)).expect_ok();
    let row = app.only_row(&account);
    let counts = [
        row.input_tokens,
        row.output_tokens,
        row.cache_read_tokens,
        row.cache_write_5m_tokens,
        row.cache_write_1h_tokens,
        row.web_searches,
    ];
    assert_eq!(counts, [100_000, 4000, 7, 11, 13, 2]);
    assert_eq!(row.inference_geo.as_deref(), Some("us"));
    assert_eq!(row.speed.as_deref(), Some("fast"));
    assert_eq!(row.service_tier.as_deref(), Some("standard"));
    assert_eq!(row.requested_model, "claude-opus-5-5");
    assert_eq!(row.served_model.as_deref(), Some("claude-opus-5-5"));
    assert_eq!(row.upstream.as_deref(), Some("sandbox"));
    assert_eq!(row.endpoint.as_str(), "messages_stream");
    // By hand: (100000·4 + 4000·20 + 7·0.2 + 11·5 + 13·8) µ$ · 1.1 · 2, and two searches at $0.01.
    assert_eq!(row.cost_nanousd.as_nanos(), 1_056_352_880 + 20_000_000);
    assert_eq!(row.cost_nanousd.as_nanos(), cost_of(&row));
}

#[test]
fn the_model_that_served_sets_the_price() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let script = "text;served=claude-haiku-4-5-20251001;input=1000;output=100";
    app.messages(&account, &body("claude-sonnet-4-5", true, script)).expect_ok();
    let row = app.only_row(&account);
    assert_eq!(row.served_model.as_deref(), Some("claude-haiku-4-5-20251001"));
    assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 100));
}

#[test]
fn a_model_without_a_price_is_billed_as_the_one_asked_for_and_the_operator_hears_of_it() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let script = "text;served=claude-secret-9;input=1000;output=100";
    app.messages(&account, &body("claude-haiku-4-5", true, script)).expect_ok();
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(1000, 100));
    assert!(app.metric("sluice_alerts_total{what=\"an answer names a model") >= 1);
}

#[test]
fn the_request_goes_up_byte_for_byte() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    // Odd white space, escapes, a repeated inner key, letters beyond ASCII: all of it stays.
    let body = " {\"messages\" :[ {\"role\":\"user\",\"content\":\"\\u00e9 é \
        漢\\n\",\"role\":\"user\"}],\r\n\t\"max_tokens\": 16 , \
        \"model\":\"claude-haiku-4-5\",\"x_unknown\":[1.50,-0,1e2]} \n";
    let request = Request::post("/v1/messages?beta=true&x=%20y", body).key(&account.key);
    let waiting = app.connect().send(&request);
    let exchange = upstream.next();
    assert_eq!(exchange.request.line, "POST /v1/messages?beta=true HTTP/1.1");
    assert_eq!(exchange.request.body, body.as_bytes());
    exchange.answer_json(&message(&json!({ "input_tokens": 5, "output_tokens": 7 })));
    waiting.answer(false).finish().expect_ok();
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(5, 7));
}

#[test]
fn a_body_in_pieces_and_chunks_goes_up_as_one() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let body = body("claude-haiku-4-5", false, "text");
    let request =
        Request::post("/v1/messages", "").key(&account.key).header("transfer-encoding", "chunked");
    let mut connection = app.connect();
    for byte in request.head_bytes() {
        connection.write(&[byte]);
    }
    for piece in body.as_bytes().chunks(3) {
        connection.write(format!("{:x}\r\n", piece.len()).as_bytes()).write(piece).write(b"\r\n");
    }
    connection.write(b"0\r\n\r\n");
    let exchange = upstream.next();
    assert_eq!(String::from_utf8_lossy(&exchange.request.body), body);
    assert_eq!(exchange.request.header("transfer-encoding"), None);
    exchange.answer_json(&message(&json!({ "input_tokens": 5, "output_tokens": 7 })));
    connection.answer(false).finish().expect_ok();
    app.only_row(&account);
}

#[test]
fn p12_only_headers_of_the_list_go_up_and_never_the_clients_key_or_cookies() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let request = Request::new("POST", "/v1/messages")
        .header("content-length", "82")
        .key("sk-ant-someone-elses-key")
        .header("authorization", &format!("Bearer {}", account.key))
        .header("cookie", "session=canary-cookie")
        .header("x-forwarded-for", "203.0.113.9")
        .header("user-agent", "canary-agent/1.0")
        .header("accept-encoding", "gzip, br")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json; charset=utf-8")
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-beta", "one-2026-01-01,two-2026-01-01")
        .header("anthropic-beta", "three-2026-01-01")
        .header("anthropic-dangerous-direct-browser-access", "true")
        .header("x-stainless-lang", "python");
    let body =
        r#"{"model":"claude-haiku-4-5","max_tokens":16,"messages":[],"stream":false,"x":1234}"#;
    assert_eq!(body.len(), 82);
    let mut waiting = app.connect().send(&request);
    waiting.write(body.as_bytes());
    let exchange = upstream.next();
    let mut headers = exchange.request.headers.clone();
    // The client library's own clock, which is the operator's to tell.
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    let expected = [
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("anthropic-beta", "one-2026-01-01,two-2026-01-01, three-2026-01-01"),
        ("anthropic-version", "2026-10-21"),
        ("content-length", "82"),
        ("content-type", "application/json"),
        ("host", &upstream.address.to_string()),
        ("user-agent", &format!("sluice/{}", env!("CARGO_PKG_VERSION"))),
        ("x-api-key", CREDENTIAL),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(headers, expected);
    exchange.answer_json(&message(&json!({ "input_tokens": 5, "output_tokens": 7 })));
    waiting.answer(false).finish().expect_ok();
    app.only_row(&account);
}

#[test]
fn p12_the_credential_goes_up_as_a_bearer_where_the_operator_says_so() {
    let upstream = Upstream::start();
    let base_url = format!("http://{}/proxy/", upstream.address);
    let lines = "auth = \"bearer\"\nuser_agent = \"operator/2\"";
    let app = Builder::new().upstream_with("primary", &base_url, lines).start();
    let account = app.account("5.00");
    let waiting = app.send(&account, &body("claude-haiku-4-5", false, "text"));
    let exchange = upstream.next();
    assert_eq!(exchange.request.line, "POST /proxy/v1/messages HTTP/1.1");
    let authorization = format!("Bearer {CREDENTIAL}");
    assert_eq!(exchange.request.header("authorization"), Some(authorization.as_str()));
    assert_eq!(exchange.request.header("x-api-key"), None);
    assert_eq!(exchange.request.header("user-agent"), Some("operator/2"));
    exchange.answer_json(&message(&json!({ "input_tokens": 5, "output_tokens": 7 })));
    waiting.answer(false).finish().expect_ok();
    app.only_row(&account);
}

#[test]
fn a_model_that_the_upstream_names_otherwise_is_spliced_in_and_nothing_else_changes() {
    let upstream = Upstream::start();
    let lines = "models = { \"claude-haiku-4-5\" = \"vendor.\\\"haiku\\\"-v1:0\" }";
    let base_url = format!("http://{}", upstream.address);
    let app = Builder::new().upstream_with("primary", &base_url, lines).start();
    let account = app.account("5.00");
    // By its dated name, escaped, with the same text elsewhere.
    let body = r#"{ "messages":[{"role":"user","content":"claude-haiku-4-5-20251001"}],
        "model" : "claude-haiku-4-5-2025100\u0031" ,"max_tokens":9}"#;
    let waiting = app.send(&account, body);
    let exchange = upstream.next();
    assert_eq!(
        String::from_utf8_lossy(&exchange.request.body),
        body.replace(r"claude-haiku-4-5-2025100\u0031", r#"vendor.\"haiku\"-v1:0"#)
    );
    exchange.answer_json(&message(&json!({ "input_tokens": 5, "output_tokens": 7 })));
    waiting.answer(false).finish().expect_ok();
    assert_eq!(app.only_row(&account).requested_model, "claude-haiku-4-5");
}

#[test]
fn an_upstreams_own_name_of_the_model_stays_out_of_the_row_and_any_other_name_does_not() {
    let upstream = Upstream::start();
    let base_url = format!("http://{}", upstream.address);
    let lines = "models = { \"claude-haiku-4-5\" = \"vendor-haiku\" }";
    let app = Builder::new().upstream_with("primary", &base_url, lines).start();
    let usage = json!({ "input_tokens": 5, "output_tokens": 7 });
    for (answered, stored) in
        [("vendor-haiku", "claude-haiku-4-5"), ("claude-opus-4-5", "claude-opus-4-5")]
    {
        let account = app.account("5.00");
        let waiting = app.send(&account, &body("claude-haiku-4-5", false, "text"));
        upstream.next().answer_json(&message(&usage).replace("claude-haiku-4-5", answered));
        waiting.answer(false).finish().expect_ok();
        assert_eq!(app.only_row(&account).served_model.as_deref(), Some(stored));
    }
    assert_eq!(app.metric("sluice_alerts_total{what=\"an answer names a model"), 0);
}

#[test]
fn answers_carry_our_headers_and_nothing_of_the_operators() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let waiting = app.send(&account, &body("claude-haiku-4-5", true, "text"));
    upstream.next().answer_stream(&sse::whole("Hello"));
    let response = waiting.answer(false).finish();
    response.expect_ok();
    let expected = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        ("transfer-encoding", "chunked"),
        ("anthropic-ratelimit-requests-limit", "100000"),
        ("anthropic-ratelimit-requests-remaining", "99999"),
    ];
    for (name, value) in expected {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let row = app.only_row(&account);
    assert_eq!(response.header("request-id"), Some(row.id.as_str()));
    let all = format!("{:?} {}", response.headers, response.text());
    assert!(!all.contains("org-of-the-operator") && !all.contains("req_upstream"), "{all}");
    assert!(response.header("anthropic-organization-id").is_none());

    let waiting = app.send(&account, &body("claude-haiku-4-5", false, "text"));
    let answer = message(&json!({ "input_tokens": 5, "output_tokens": 7 }));
    upstream.next().answer_json(&answer);
    let response = waiting.answer(false).finish();
    assert_eq!(response.expect_ok().header("content-length"), Some(&*answer.len().to_string()));
    assert!(!format!("{:?}", response.headers).contains("operator"));
    for response in
        [response, app.api_get(&account, "/api/v1/usage"), app.ask(&Request::get("/v1/none"))]
    {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    app.settled(&account, 2);
}

#[test]
fn requests_on_one_connection_follow_each_other() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let mut connection = app.connect();
    for is_stream in [true, false, true] {
        let request = Request::post("/v1/messages", body("claude-haiku-4-5", is_stream, "text"));
        let (response, kept) = connection.ask(&request.key(&account.key)).finish_keeping();
        response.expect_ok();
        connection = kept;
    }
    drop(connection);
    app.settled(&account, 3);
}

#[test]
fn http_1_0_gets_its_stream_without_chunks() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let plain = body("claude-haiku-4-5", true, "thinking");
    let request = Request::post("/v1/messages", plain.clone()).key(&account.key).http_10();
    let response = app.ask(&request);
    response.expect_ok();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.body, straight(&plain));
    let request = Request::get("/v1/models").key(&account.key).http_10();
    assert_eq!(app.ask(&request).expect_ok().header("transfer-encoding"), None);
    assert_eq!(app.only_row(&account).ending.code(), "E1");
}

#[test]
fn who_offers_another_protocol_is_served_in_this_one() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let plain = body("claude-haiku-4-5", true, "text");
    let offers = [
        ("Upgrade, HTTP2-Settings", "h2c"),
        ("upgrade", "websocket"),
        ("keep-alive, Upgrade", "TLS/1.0"),
    ];
    for (connection, protocol) in offers {
        let offer = |request: Request| {
            let request = request.key(&account.key).header("connection", connection);
            request.header("upgrade", protocol).header("http2-settings", "AAMAAABkAAQAAP__")
        };
        let mut responses = vec![app.ask(&offer(Request::get("/v1/models")))];
        // With that one, a request has no body.
        if protocol != "websocket" {
            let response = app.ask(&offer(Request::post("/v1/messages", plain.clone())));
            assert_eq!(response.expect_ok().body, straight(&plain));
            responses.push(response);
        }
        for response in responses {
            assert_eq!(response.expect_ok().header("connection"), Some("close"), "{protocol}");
            assert_eq!(response.header("upgrade"), None);
        }
    }
}
