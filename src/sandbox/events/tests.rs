//! A stream, put together again by an independent reader, is the JSON answer.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::request::MessageRequest;

const SCRIPTS: [&str; 22] = [
    "text",
    "thinking",
    "tool_use",
    "cache",
    "web_search",
    "mixed",
    "mixed;utf8;bytes=33;events=9;ping=2;unknown;comments",
    "mixed;newline=crlf;no_space",
    "cache;newline=cr;delta_input;ttl=1h",
    "text;input=5;output=6;cache_read=7;cache_5m=8;cache_1h=9;searches=3",
    "web_search;late_input=100",
    "tool_use;events=5;bytes=100",
    "web_search;stop=refusal",
    "mixed;stop=pause_turn",
    "refusal",
    "refusal;output=1",
    "refusal;events=3",
    "fallback;declined_output=2000;cache_5m=9",
    "fallback;declines=2;served=claude-opus-5-5",
    "text;passes=3;input=180000;output=300;cache_read=7",
    "text;compaction=900;fallback_credit",
    "text;cache_5m=9;cache_1h=1;split_flip;fallback_credit_word",
];

fn answer(script: &str) -> (SandboxResponse, MessageRequest) {
    let body = json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 10_000,
        "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"name": "find", "input_schema": {
            "properties": {"place": {"type": "string"}, "n": {"type": "number"},
                "a\"b": {"type": "string"}},
            "required": ["place", "a\"b"],
        }}],
    });
    let bytes = body.to_string();
    let request =
        MessageRequest::parse(bytes.as_bytes(), Some(script), "2026-10-21").expect(script);
    (SandboxResponse::to(&request).expect(script), request)
}

fn render(script: &str) -> (RenderedEvents, Value) {
    let (answer, request) = answer(script);
    let events = RenderedEvents::render(&answer, &request.script, "req_test").expect(script);
    let whole = serde_json::to_value(answer.whole().expect(script)).expect(script);
    (events, whole)
}

/// The `data` of each event; panics where an event's name is not its type.
fn read(events: &RenderedEvents) -> Vec<Value> {
    let text = std::str::from_utf8(&events.bytes).expect("UTF-8");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut read = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("event: ") {
            name = rest;
        } else if let Some(rest) = line.strip_prefix("data:") {
            let data: Value = serde_json::from_str(rest).expect("JSON");
            assert_eq!(data["type"], name);
            read.push(data);
        }
    }
    read
}

fn append(slot: &mut Value, more: &Value) {
    *slot =
        format!("{}{}", slot.as_str().expect("a string"), more.as_str().expect("a string")).into();
}

fn accumulate(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut json = String::new();
    for event in events {
        let block = &event["index"].as_u64().map(|index| usize::try_from(index).expect("small"));
        let delta = &event["delta"];
        match event["type"].as_str().expect("a type") {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                json.clear();
                let content = message["content"].as_array_mut().expect("a list");
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let slot = &mut message["content"][block.expect("an index")];
                match delta["type"].as_str().expect("a type") {
                    "text_delta" => append(&mut slot["text"], &delta["text"]),
                    "thinking_delta" => append(&mut slot["thinking"], &delta["thinking"]),
                    "signature_delta" => append(&mut slot["signature"], &delta["signature"]),
                    "input_json_delta" => {
                        json.push_str(delta["partial_json"].as_str().expect("a string"));
                    }
                    "citations_delta" => {
                        slot["citations"]
                            .as_array_mut()
                            .expect("a list")
                            .push(delta["citation"].clone());
                    }
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" if !json.is_empty() => {
                message["content"][block.expect("an index")]["input"] =
                    serde_json::from_str(&json).expect("JSON");
                json.clear();
            }
            "message_delta" => {
                message["stop_reason"] = delta["stop_reason"].clone();
                if let Some(details) = delta.get("stop_details") {
                    message["stop_details"] = details.clone();
                }
                for (key, value) in event["usage"].as_object().expect("usage") {
                    message["usage"][key] = value.clone();
                }
            }
            _ => {}
        }
    }
    message
}

#[test]
fn a_stream_says_what_the_json_answer_says() {
    for script in SCRIPTS {
        let (events, whole) = render(script);
        let read = read(&events);
        assert_eq!(accumulate(&read), whole, "{script}");
        assert_eq!(read.last().expect("events")["type"], "message_stop");
        assert_eq!(read.len(), events.ends.len(), "{script}");
        assert_eq!(events.ends.last(), Some(&events.bytes.len()), "{script}");
    }
}

#[test]
fn the_same_request_gives_the_same_bytes() {
    for script in SCRIPTS {
        assert_eq!(render(script).0.bytes, render(script).0.bytes, "{script}");
    }
}

#[test]
fn usage_in_message_start_is_a_placeholder_and_the_last_one_counts() {
    let (events, whole) = render("text;output=321;input=7");
    let read = read(&events);
    assert_eq!(read[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(read[0]["message"]["usage"]["input_tokens"], 7);
    assert_eq!(whole["usage"]["output_tokens"], 321);
}

#[test]
fn a_break_comes_after_the_number_of_events_asked_for() {
    let (whole, _) = render("text");
    for key in ["cut_at", "end_at", "silent_at"] {
        let (events, _) = render(&format!("text;{key}=3"));
        assert_eq!(events.ends, whole.ends[..3], "{key}");
        assert_eq!(events.bytes, whole.bytes[..whole.ends[2]], "{key}");
    }
    let (events, _) = render("error_at=0;error_request_id");
    let read = read(&events);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0]["error"]["type"], "overloaded_error");
    assert_eq!(read[0]["request_id"], "req_test");
}

#[test]
fn parts_can_be_left_out() {
    let without =
        |script: &str, what: &str| !String::from_utf8_lossy(&render(script).0.bytes).contains(what);
    assert!(without("mixed;no_usage", "usage"));
    assert!(without("mixed;no_stop", "message_stop"));
}

#[test]
fn a_refusal_has_no_words_unless_events_ask_for_them() {
    for (script, blocks, output) in
        [("refusal", 0, 0), ("refusal;output=1", 0, 1), ("refusal;events=3;bytes=8", 1, 6)]
    {
        let (events, whole) = render(script);
        assert_eq!(whole["stop_reason"], "refusal", "{script}");
        assert_eq!(whole["stop_details"]["type"], "refusal", "{script}");
        assert_eq!(whole["content"].as_array().expect("a list").len(), blocks, "{script}");
        assert_eq!(whole["usage"]["output_tokens"], output, "{script}");
        let read = read(&events);
        assert_eq!(read[0]["message"]["stop_details"], Value::Null, "{script}");
        assert_eq!(read[read.len() - 2]["delta"]["stop_reason"], "refusal", "{script}");
    }
}

#[test]
fn a_fallback_names_the_model_that_answers_and_the_one_that_declined() {
    let (_, whole) = render("fallback;served=claude-opus-5-5");
    assert_eq!(whole["model"], "claude-opus-5-5");
    assert_eq!(whole["content"][0]["from"]["model"], "claude-haiku-4-5");
    assert_eq!(whole["content"][0]["to"]["model"], "claude-opus-5-5");
    let passes = whole["usage"]["iterations"].as_array().expect("a list");
    assert_eq!(passes[1]["type"], "fallback_message");
    assert_eq!(passes[1]["input_tokens"], whole["usage"]["input_tokens"]);
    assert_eq!(passes[1]["output_tokens"], whole["usage"]["output_tokens"]);
}

#[test]
fn the_first_event_knows_the_first_pass_and_a_split_that_is_still_to_come() {
    let start = |script: &str| read(&render(script).0)[0]["message"]["usage"].clone();
    assert_eq!(start("passes=3;input=180000")["input_tokens"], 60_000);
    let late = start("input=2;cache_read=30;cache_5m=7;split_late");
    assert_eq!(late["input_tokens"], 39);
    assert_eq!(late["cache_read_input_tokens"], 0);
    let flipped = start("cache_5m=7;cache_1h=1;split_flip");
    assert_eq!(flipped["cache_creation"]["ephemeral_1h_input_tokens"], 7);
    assert_eq!(flipped["cache_creation_input_tokens"], 8);
}

#[test]
fn a_stream_may_be_an_error_without_a_name() {
    let (_, request) = answer("error_200");
    let events = RenderedEvents::nameless_error(&request.script).expect("an event");
    let text = std::str::from_utf8(&events.bytes).expect("UTF-8");
    assert!(text.starts_with("data: {\"error\":{\"type\":\"overloaded_error\""), "{text}");
    assert!(text.ends_with("\n\n"), "{text}");
    assert_eq!(events.ends, [text.len()]);
}
