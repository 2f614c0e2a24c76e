//! The bill of an answer that is more than one plain pass, on the running program: each case with
//! its source, streamed and as JSON, with the row, the charge, and the receipt that explains it to
//! the nano-dollar.

use serde_json::{Value, json};

use crate::support::app::{Account, TestApp};
use crate::support::client::Connection;
use crate::support::sandbox::body_with;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream};

/// What is asked, and how the upstream answers it.
struct Case {
    source: &'static str,
    model: &'static str,
    /// Further fields of the request.
    asked: Value,
    usage: Value,
    stop_reason: &'static str,
    has_content: bool,
    bill: i64,
    /// Kinds of the passes on the receipt, with whether each is free; empty for a free answer.
    passes: &'static [(&'static str, bool)],
    explanation: &'static str,
}

fn plain(source: &'static str, model: &'static str, usage: Value, bill: i64) -> Case {
    Case {
        source,
        model,
        asked: json!({}),
        usage,
        stop_reason: "end_turn",
        has_content: true,
        bill,
        passes: &[("answer", false)],
        explanation: "itemised",
    }
}

fn cases() -> Vec<Case> {
    let mut all = cases_of_one_pass();
    all.extend(cases_of_several());
    all
}

fn cases_of_one_pass() -> Vec<Case> {
    let split = json!({ "ephemeral_5m_input_tokens": 463_184, "ephemeral_1h_input_tokens": 0 });
    vec![
        plain(
            "bill A 02",
            "claude-opus-5-5",
            json!({ "input_tokens": 0, "output_tokens": 10, "cache_creation_input_tokens": 463_184,
                "cache_creation": split }),
            463_184 * 5_000 + 10 * 20_000,
        ),
        Case {
            stop_reason: "refusal",
            has_content: false,
            passes: &[],
            explanation: "refused",
            ..plain(
                "bill A 03",
                "claude-opus-5-5",
                json!({ "input_tokens": 50_000, "output_tokens": 1 }),
                0,
            )
        },
    ]
}

fn cases_of_several() -> Vec<Case> {
    vec![
        Case {
            asked: json!({ "fallbacks": [{ "model": "claude-opus-5-5" }] }),
            passes: &[("attempt", false), ("answer", false)],
            ..plain(
                "bill A 04",
                "claude-fable-5-2",
                json!({ "input_tokens": 40_000, "output_tokens": 1_200, "iterations": [
                    { "type": "message", "model": "claude-fable-5-2", "input_tokens": 40_000,
                        "output_tokens": 2_000 },
                    { "type": "fallback_message", "model": "claude-opus-5-5",
                        "input_tokens": 40_000, "output_tokens": 1_200 },
                ] }),
                40_000 * 8_000 + 2_000 * 40_000 + 40_000 * 4_000 + 1_200 * 20_000,
            )
        },
        Case {
            asked: json!({ "fallbacks": "default" }),
            passes: &[("attempt", true), ("answer", false)],
            ..plain(
                "own: declined before output, and the upstream picked the next",
                "claude-fable-5-2",
                json!({ "input_tokens": 100, "output_tokens": 20, "iterations": [
                    { "type": "message", "model": "claude-fable-5-2", "input_tokens": 100,
                        "output_tokens": 0 },
                    { "type": "fallback_message", "model": "claude-haiku-4-5", "input_tokens": 100,
                        "output_tokens": 20 },
                ] }),
                100 * 1_000 + 20 * 5_000,
            )
        },
        plain(
            "bill A 38",
            "claude-opus-5-5",
            json!({ "input_tokens": 50, "output_tokens": 100,
                "cache_creation_input_tokens": 200_000,
                "fallback_credit": { "status": { "type": "redeemed" } } }),
            50 * 4_000 + 200_000 * 200 + 100 * 20_000,
        ),
        Case {
            asked: json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
            passes: &[("turn", false), ("turn", false), ("turn", false)],
            ..plain(
                "field 5.4",
                "claude-haiku-5-5",
                json!({ "input_tokens": 180_000, "output_tokens": 300,
                    "server_tool_use": { "web_search_requests": 2 }, "iterations": [
                    { "type": "message", "input_tokens": 60_000, "output_tokens": 100 },
                    { "type": "message", "input_tokens": 60_000, "output_tokens": 100 },
                    { "type": "message", "input_tokens": 60_000, "output_tokens": 100 },
                ] }),
                180_000 * 100 + 300 * 500 + 2 * 10_000_000,
            )
        },
        Case {
            asked: json!({ "max_tokens": 50 }),
            passes: &[("answer", false), ("compaction", false), ("compaction", false)],
            ..plain(
                "security S6",
                "claude-haiku-4-5",
                json!({ "input_tokens": 10, "output_tokens": 50, "iterations": vec![
                    json!({ "type": "compaction", "model": "claude-opus-4-7",
                        "input_tokens": 199_999, "output_tokens": 64_000 });
                    2000
                ] }),
                10 * 1_000 + 50 * 5_000 + 2 * (199_999 * 1_000 + 50 * 5_000),
            )
        },
    ]
}

fn answer(case: &Case, exchange: Exchange, is_stream: bool) {
    let served = case.usage.pointer("/iterations").and_then(Value::as_array).and_then(|entries| {
        let last = entries.iter().rev().find(|entry| entry["type"] == "fallback_message")?;
        last["model"].as_str().map(str::to_owned)
    });
    let model = served.unwrap_or_else(|| case.model.to_owned());
    if is_stream {
        let first = json!({ "input_tokens": 0, "output_tokens": 0 });
        let mut events = vec![sse::message_start(&model, &first)];
        if case.has_content {
            events.extend([sse::block_start("text"), sse::text("Hello"), sse::block_stop()]);
        }
        events.push(sse::event(
            "message_delta",
            &json!({ "type": "message_delta", "delta": { "stop_reason": case.stop_reason,
                "stop_sequence": null },
                "usage": case.usage }),
        ));
        events.push(sse::message_stop());
        exchange.answer_stream(&events.concat());
    } else {
        let content =
            if case.has_content { json!([{ "type": "text", "text": "Hello" }]) } else { json!([]) };
        let body = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": model,
            "content": content, "stop_reason": case.stop_reason, "stop_sequence": null,
                "usage": case.usage });
        exchange.answer_json(&body.to_string());
    }
}

fn receipt(app: &TestApp, account: &Account, id: &str) -> Value {
    let path = format!("/api/v1/usage/{id}");
    app.ask(&crate::support::client::Request::get(&path).key(&account.key)).expect_ok().json()
}

#[test]
fn each_case_is_billed_as_the_upstream_bills_it_and_its_receipt_says_how() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    for case in cases() {
        for is_stream in [true, false] {
            let account = app.account("50.00");
            let body = body_with(case.model, is_stream, "text", &case.asked);
            let connection: Connection = app.send(&account, &body);
            answer(&case, upstream.next(), is_stream);
            connection.answer(false).finish().expect_ok();
            let row = app.only_row(&account);
            let name = format!("{}, streamed: {is_stream}", case.source);
            assert_eq!(
                (row.ending.code(), row.cost_nanousd.as_nanos()),
                ("E1", case.bill),
                "{name}"
            );
            assert_eq!(app.balance(&account).available, 50_000_000_000 - case.bill, "{name}");
            let receipt = receipt(&app, &account, &row.id);
            assert_eq!(receipt["explanation"], case.explanation, "{name}: {receipt:#}");
            let passes: Vec<(&str, bool)> = receipt["passes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pass| (pass["kind"].as_str().unwrap(), !pass["free_because"].is_null()))
                .collect();
            assert_eq!(passes, case.passes, "{name}");
        }
    }
}

#[test]
fn the_page_of_a_receipt_shows_its_passes_and_that_a_refusal_is_free() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let cases = cases();
    let page = |source: &str| {
        let case = cases.iter().find(|case| case.source == source).unwrap();
        let account = app.account("5.00");
        let connection = app.send(&account, &body_with(case.model, false, "text", &case.asked));
        answer(case, upstream.next(), false);
        connection.answer(false).finish().expect_ok();
        let id = app.only_row(&account).id;
        let session = app.session_of(account.id);
        let request = crate::support::client::Request::get(&format!("/usage/{id}"))
            .header("cookie", &format!("sluice_session={session}"));
        app.ask(&request).expect_ok().text()
    };
    let refused = page("bill A 03");
    assert!(refused.contains("Such a refusal is free."), "{refused}");
    let chain = page("bill A 04");
    assert!(chain.contains("Declined attempt: claude-fable-5-2"), "{chain}");
    assert!(chain.contains("Response: claude-opus-5-5"), "{chain}");
}
