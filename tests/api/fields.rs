//! What a request may contain: each field goes up, or is refused for its reason, whether a message
//! is asked for or a count; what goes up around the body; and models whose last day is over.

use serde_json::{Value, json};
use sluice::domain::messages_request::fields::{FIELDS, Rule};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Request, Response};
use crate::support::prices::haiku;
use crate::support::process::Process;
use crate::support::sandbox::{body, body_with, sandbox};
use crate::support::upstream::{Upstream, message};

const MODEL: &str = "claude-haiku-4-5";
const PATH: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";
/// 2026-12-01, the first moment after the last day of one model.
const AFTER_THE_LAST_DAY: i64 = 1_796_083_200_000;

/// Where a row of a table comes from: the wire's own documents, or the review of security.
#[derive(Clone, Copy, Debug)]
enum Source {
    Wire,
    S11,
    /// Found while this was written.
    Own,
}
use Source::{Own, S11, Wire};

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// It goes up as it is.
    Up,
    /// 400 with these words.
    Refused(&'static str),
}
use Outcome::{Refused, Up};

const WORKSPACE: Outcome = Refused("operator's workspace");
const PAYS: Outcome = Refused("upstream payer");
const TWIN: Outcome = Refused("only in case, punctuation or Unicode form");

fn fields() -> Vec<(Source, Value, Outcome)> {
    let tool = |tool: Value| json!({ "tools": [tool] });
    let named = |kind: &str| json!({ "tools": [{ "type": kind, "name": "x" }] });
    let fallback = |entry: Value| json!({ "fallbacks": [entry] });
    vec![
        (Wire, json!({ "thread": { "type": "create" } }), WORKSPACE),
        (Wire, json!({ "thread": { "type": "continue", "previous_message_id": "m" } }), WORKSPACE),
        (Wire, json!({ "thread": null }), Up),
        (Wire, json!({ "diagnostics": { "previous_message_id": "msg_1" } }), WORKSPACE),
        (Wire, json!({ "diagnostics": { "previous_message_id": null } }), Up),
        (Own, json!({ "diagnostics": { "previousMessageId": "msg_1" } }), WORKSPACE),
        (Wire, json!({ "billing_policy": { "type": "user_profile" } }), PAYS),
        (Wire, json!({ "user_profile_id": "p_1" }), PAYS),
        (Own, json!({ "workspace_id": "w_1" }), PAYS),
        (Wire, json!({ "container": "c_1" }), WORKSPACE),
        (Wire, json!({ "container": "", "mcp_servers": [], "skills": {}, "files": null }), Up),
        (Wire, json!({ "container": { "skills": [] } }), WORKSPACE),
        (Wire, json!({ "mcp_servers": [{ "url": "https://example.org" }] }), Refused("no price")),
        (Wire, json!({ "skills": ["s"] }), WORKSPACE),
        (Wire, json!({ "files": ["f"] }), WORKSPACE),
        (Own, json!({ "anthropic_beta": ["secret-beta"] }), Refused("header")),
        (Wire, json!({ "fallback_credit_token": "t" }), Up),
        (
            Wire,
            json!({ "tags": ["a"], "safeguards": {}, "compaction": { "type": "summarize" } }),
            Up,
        ),
        (Wire, json!({ "a_new_field": { "x": [1] } }), Up),
        (S11, json!({ "MAX_TOKENS": 64_000 }), TWIN),
        (S11, json!({ "Model": "claude-opus-5" }), TWIN),
        (S11, json!({ "Stream": true }), TWIN),
        (S11, json!({ "Container": "x" }), TWIN),
        (S11, json!({ "max_to\u{212a}ens": 64_000 }), TWIN),
        (Own, json!({ "maxTokens": 64_000 }), TWIN),
        (Own, json!({ "max_tokens\u{0}": 64_000 }), TWIN),
        (Own, json!({ "\u{17f}peed": "fast" }), TWIN),
        (S11, tool(json!({ "Type": "code_execution_20260120", "name": "c" })), TWIN),
        (Own, tool(json!({ "type": "web_search_20250305", "max_uses": 1, "Max_Uses": 99 })), TWIN),
        (S11, tool(json!({ "type": "web_search_20250305", "max_uses": 0 })), Refused("max_uses")),
        (Own, tool(json!({ "type": "Bash_20250124", "name": "x" })), Refused("no price")),
        (Wire, named("tool_search_tool_regex_20251119"), Up),
        (Wire, named("tool_search_tool_bm25_20251119"), Up),
        (Wire, named("browser_toolset_20260801"), Up),
        (Wire, named("computer_toolset_20260801"), Up),
        (Wire, named("mcp_toolset"), Refused("no price")),
        (Own, named("bash_code_execution_20270101"), Refused("no price")),
        (Own, named("web_search_premium_20270101"), Refused("no price")),
        (Own, named("memory_"), Refused("no price")),
        (Wire, json!({ "fallbacks": "default" }), Up),
        (Own, json!({ "fallbacks": "Default" }), Refused("fallbacks")),
        (Wire, fallback(json!({ "model": MODEL, "thinking": { "type": "disabled" } })), Up),
        (S11, fallback(json!({ "model": MODEL, "Max_tokens": 9 })), TWIN),
        (Own, fallback(json!({ "model": MODEL, "inference_geo": "us" })), Refused("within")),
        (Own, fallback(json!({ "model": MODEL, "tools": [] })), Refused("within")),
        (Wire, json!({ "speed": "fast" }), Refused("speed")),
        (Wire, json!({ "max_tokens": 0 }), Up),
        (Own, json!({ "max_tokens": -1 }), Refused("max_tokens")),
    ]
}

fn assert_unharmed(app: &TestApp, account: &Account) {
    assert!(app.usage(account).is_empty(), "a refusal leaves no usage row");
    assert_eq!(app.balance(account).reserved, 0);
}

fn ask(app: &TestApp, account: &Account, path: &str, body: &str) -> Response {
    app.ask(&Request::post(path, body).key(&account.key))
}

#[test]
fn each_field_goes_up_as_it_is_or_is_refused_for_its_reason() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    for path in [PATH, COUNT] {
        for (source, more, outcome) in fields() {
            let account = app.account("5.00");
            let body = body_with(MODEL, false, "", &more);
            match outcome {
                Refused(words) => {
                    let refused = ask(&app, &account, path, &body);
                    let message = refused.expect_error(400, "invalid_request_error");
                    assert!(message.contains(words), "{source:?} {more}: {message}");
                    assert_unharmed(&app, &account);
                }
                Up => {
                    let request = Request::post(path, body.clone()).key(&account.key);
                    let waiting = app.connect().send(&request);
                    let exchange = upstream.next();
                    let sent = String::from_utf8_lossy(&exchange.request.body).into_owned();
                    assert_eq!(sent, body, "{source:?}");
                    let usage = json!({ "input_tokens": 5, "output_tokens": 7 });
                    let count = json!({ "input_tokens": 5 }).to_string();
                    exchange
                        .answer_json(if path == PATH { message(&usage) } else { count }.as_str());
                    waiting.answer(false).finish().expect_ok();
                }
            }
        }
    }
}

#[test]
fn a_thread_is_refused_with_the_code_by_which_clients_send_the_whole_conversation() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let thread = body_with(MODEL, true, "text", &json!({ "thread": { "type": "create" } }));
    for path in [PATH, COUNT] {
        let refused = ask(&app, &account, path, &thread);
        refused.expect_error(400, "invalid_request_error");
        let code = &refused.json()["error"]["details"]["error_code"];
        assert_eq!(code, "thread_unsupported_request");
    }
    assert_unharmed(&app, &account);
}

#[test]
fn a_request_that_only_fills_the_cache_holds_and_pays_for_no_output() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let cached = json!({ "max_tokens": 0, "system": [{ "type": "text", "text": "x".repeat(2_000),
        "cache_control": { "type": "ephemeral" } }] });
    let waiting = app.send(&account, &body_with(MODEL, false, "", &cached));
    let exchange = upstream.next();
    let held = app.balance(&account).reserved;
    assert!((1..5_000_000).contains(&held), "one token of output would be little: {held}");
    let usage =
        json!({ "input_tokens": 10, "output_tokens": 0, "cache_creation_input_tokens": 500 });
    exchange.answer_json(&message(&usage));
    waiting.answer(false).finish().expect_ok();
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(10, 0) + 500 * 1_250);
    // The sandbox does so too, streamed or not.
    let app = TestApp::sandboxed();
    for is_stream in [true, false] {
        let account = app.account("5.00");
        app.messages(&account, &body_with(MODEL, is_stream, "text", &cached)).expect_ok();
        let row = app.only_row(&account);
        assert_eq!((row.output_tokens, row.ending.code()), (0, "E1"));
        assert!(row.cost_nanousd.as_nanos() > 0);
    }
}

#[test]
fn what_the_upstream_picks_is_billed_as_served_and_held_at_the_dearest() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let plain = {
        let waiting = app.send(&account, &body(MODEL, false, ""));
        let exchange = upstream.next();
        let held = app.balance(&account).reserved;
        exchange.refuse(400, "{}");
        assert_eq!(waiting.answer(false).finish().status, 400);
        held
    };
    let open = json!({ "fallbacks": "default" });
    let waiting = app.send(&account, &body_with(MODEL, false, "", &open));
    let exchange = upstream.next();
    let held = app.balance(&account).reserved;
    // The dearest of the list costs ten times as much.
    assert!((plain * 9..plain * 11).contains(&held), "{held}, {plain}");
    let usage = json!({ "input_tokens": 1_000, "output_tokens": 100 });
    exchange.answer_json(&message(&usage).replace(MODEL, "claude-opus-5-5"));
    waiting.answer(false).finish().expect_ok();
    let rows = app.settled(&account, 2);
    assert!(rows.iter().any(|row| row.cost_nanousd.as_nanos() == 1_000 * 4_000 + 100 * 20_000));
}

#[test]
fn a_key_with_a_list_of_models_cannot_leave_the_choice_to_the_upstream() {
    let app = TestApp::sandboxed();
    let account = app.limited(&app.account("5.00"), &json!({ "models": [MODEL] }));
    let open = body_with(MODEL, false, "text", &json!({ "fallbacks": "default" }));
    let message = app.messages(&account, &open).expect_error(403, "permission_error");
    assert!(message.contains("name the models"), "{message}");
    assert_unharmed(&app, &account);
    // A count costs nothing, and nobody answers.
    app.count_tokens(&account, &open).expect_ok();
    let named = json!({ "fallbacks": [{ "model": MODEL }] });
    app.messages(&account, &body_with(MODEL, false, "text", &named)).expect_ok();
    app.only_row(&account);
}

#[test]
fn fast_answers_are_served_where_their_price_is_known() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("50.00");
    for (model, input, output) in
        [("claude-fable-5-2", 16_000, 80_000), ("claude-opus-4-6", 30_000, 150_000)]
    {
        let before = app.balance(&account).available;
        let waiting = app.send(&account, &body_with(model, false, "", &json!({ "speed": "fast" })));
        let usage = json!({ "input_tokens": 100, "output_tokens": 10, "speed": "fast" });
        upstream.next().answer_json(&message(&usage).replace(MODEL, model));
        waiting.answer(false).finish().expect_ok();
        crate::support::wait::eventually("the bill", || {
            (app.balance(&account).reserved == 0).then_some(())
        });
        assert_eq!(before - app.balance(&account).available, 100 * input + 10 * output, "{model}");
    }
    app.settled(&account, 2);
}

#[test]
fn an_operators_list_refuses_fields_beside_the_table() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("requests.refused_fields", "[\"service_tier\"]")
        .start();
    let account = app.account("5.00");
    let with = |more: Value| app.messages(&account, &body_with(MODEL, false, "text", &more));
    let refused = with(json!({ "service_tier": "auto" }));
    assert!(refused.expect_error(400, "invalid_request_error").starts_with("service_tier: "));
    with(json!({ "thread": { "type": "create" } })).expect_error(400, "invalid_request_error");
    assert_unharmed(&app, &account);
    with(json!({ "service_tier": null })).expect_ok();
    app.only_row(&account);
}

#[test]
fn unknown_fields_pass_and_are_counted_and_each_name_is_logged_once() {
    let builder = Builder::new().upstream("sandbox", sandbox());
    let process = Process::start(builder, &[]);
    let mut conn = process.database.connect();
    let account = crate::support::app::open_account(&mut conn, "5.00");
    let new = json!({ "brand_new": "CANARY-VALUE", "Dear CANARY-NAME": 1 });
    for _ in 0..2 {
        let body = body_with(MODEL, false, "text", &new);
        let request = Request::post(PATH, body).key(&account.key);
        crate::support::client::Connection::open(process.address)
            .ask(&request)
            .finish()
            .expect_ok();
    }
    let metrics = crate::support::client::Connection::open(process.admin_address)
        .ask(&Request::get("/metrics").header("connection", "close"))
        .finish()
        .text();
    assert!(metrics.contains("\nsluice_unknown_request_fields_total 4\n"), "{metrics}");
    let log = process.log();
    assert_eq!(log.matches("brand_new").count(), 1, "{log}");
    assert!(!log.contains("CANARY"), "{log}");
}

#[test]
fn a_denied_beta_is_refused_however_it_is_written_and_a_header_that_is_no_text_too() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("requests.denied_betas", "[\"secret-2026-01-01\"]")
        .start();
    let account = app.account("5.00");
    let cases = [
        (S11, "Secret-2026-01-01"),
        (S11, "secret-2026-01-01, \u{e9}"),
        (S11, "\u{e9}"),
        (Own, "other;secret-2026-01-01"),
        (Own, "other secret-2026-01-01"),
        (Own, "\"secret-2026-01-01\""),
    ];
    for path in [PATH, COUNT] {
        for (source, betas) in cases {
            let request = Request::post(path, body(MODEL, false, "")).key(&account.key);
            let refused = app.ask(&request.header("anthropic-beta", betas));
            let message = refused.expect_error(400, "invalid_request_error");
            assert!(message.starts_with("anthropic-beta: "), "{source:?} {betas}: {message}");
        }
    }
    assert_unharmed(&app, &account);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn paths_queries_and_types_go_up_in_one_form_only() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    for (source, path, up) in [
        (S11, "/v1/messages/%63ount_tokens", COUNT),
        (Wire, "/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens?beta=true"),
        (
            S11,
            "/v1/messages/count_tokens?x=1&beta=true&beta=2",
            "/v1/messages/count_tokens?beta=true",
        ),
        (S11, "/v1/%6Dessages", PATH),
        (Own, "/v1/messages?beta=false", PATH),
        (Own, "/v1/messages?Beta=true&service_tier=priority", PATH),
    ] {
        let request = Request::post(path, body(MODEL, false, ""))
            .key(&account.key)
            .header("content-type", "multipart/form-data; charset=utf-7");
        let waiting = app.connect().send(&request);
        let exchange = upstream.next();
        assert_eq!(exchange.request.line, format!("POST {up} HTTP/1.1"), "{source:?} {path}");
        assert_eq!(exchange.request.header("content-type"), Some("application/json"));
        exchange.refuse(400, "{}");
        assert_eq!(waiting.answer(false).finish().status, 400);
    }
    app.settled(&account, 3);
}

#[test]
fn too_many_of_anything_is_400_before_anything_is_held() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("requests.fields_max", 32)
        .set("requests.tools_max", 3)
        .start();
    let account = app.account("5.00");
    let fields: Value = (0..40).map(|number| (format!("x{number}"), json!(1))).collect();
    let fallback = json!({ "model": MODEL });
    for (words, more) in [
        ("at most 32", fields),
        ("tools: There should be at most 3", json!({ "tools": vec![json!({ "name": "a" }); 4] })),
        ("fallbacks: There should be at most 16", json!({ "fallbacks": vec![fallback; 17] })),
    ] {
        for path in [PATH, COUNT] {
            let refused = ask(&app, &account, path, &body_with(MODEL, false, "", &more));
            let message = refused.expect_error(400, "invalid_request_error");
            assert!(message.contains(words), "{message}");
        }
    }
    assert_unharmed(&app, &account);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_model_is_sold_on_its_last_day_and_gone_everywhere_on_the_next() {
    let gone = "claude-sonnet-4-5";
    let app =
        Builder::new().upstream("sandbox", sandbox()).clock_at(AFTER_THE_LAST_DAY - 1).start();
    let account = app.account("5.00");
    let prices = |app: &TestApp| {
        let prices = app.ask(&Request::get("/api/v1/prices")).json();
        let models = prices["models"].as_array().unwrap().clone();
        models.into_iter().find(|model| model["id"] == gone)
    };
    let home = |app: &TestApp| app.ask(&Request::get("/").header("accept", "text/html")).text();
    let listed = |app: &TestApp, account: &Account| {
        let path = format!("/v1/models/{gone}");
        app.ask(&Request::get(&path).key(&account.key))
    };
    app.messages(&account, &body(gone, false, "text")).expect_ok();
    app.only_row(&account);
    let shown = prices(&app).unwrap();
    assert_eq!(shown["retires_at"], "2026-11-30");
    assert_eq!(shown["successor"], "claude-sonnet-5-5");
    let text = home(&app);
    assert!(text.contains("until 2026-11-30, then <code>claude-sonnet-5-5</code>"), "{text}");
    let model = listed(&app, &account).json();
    assert_eq!(model["retires_at"], "2026-11-30T00:00:00Z");
    assert_eq!(model["lifecycle"], "deprecated");

    app.clock.advance(1);
    for path in [PATH, COUNT] {
        let refused = ask(&app, &account, path, &body(gone, false, "text"));
        let message = refused.expect_error(404, "not_found_error");
        assert!(
            message.contains("2026-11-30") && message.contains("claude-sonnet-5-5"),
            "{message}"
        );
    }
    let message = listed(&app, &account).expect_error(404, "not_found_error");
    assert!(message.contains("2026-11-30"), "{message}");
    assert_eq!(prices(&app), None);
    let all = app.models(&account).json().to_string();
    assert!(all.contains("claude-sonnet-5-5") && !all.contains(gone), "{all}");
    assert!(!home(&app).contains(gone));
}

#[test]
fn the_page_on_requests_has_each_field_of_the_table_with_its_outcome() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/requests.md");
    let page = std::fs::read_to_string(page).unwrap();
    for field in FIELDS {
        let name = format!("`{}`", field.name);
        let is_line =
            |line: &&str| line.split('|').nth(1).is_some_and(|names| names.contains(&name));
        let line = page.lines().find(is_line).unwrap_or_else(|| panic!("{name} is missing"));
        let goes_up = match field.rule {
            Rule::Allowed | Rule::Priced => " yes ".to_owned(),
            Rule::Refused => " no ".to_owned(),
            Rule::RefusedWith(inner) => format!(" without `{inner}` "),
        };
        assert_eq!(line.split('|').nth(2), Some(goes_up.as_str()), "{line}");
    }
}
