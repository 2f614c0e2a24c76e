//! A stream, put together again by an independent reader, is the JSON answer.

use serde_json::{Value, json};

use super::*;
use crate::sandbox::request::MessageRequest;

const SCRIPTS: [&str; 12] = [
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
];

fn answer(script: &str) -> (Answer, MessageRequest) {
    let body = json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 10_000,
        "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"name": "find", "input_schema": {
            "properties": {"place": {"type": "string"}, "n": {"type": "number"}, "a\"b": {"type": "string"}},
            "required": ["place", "a\"b"],
        }}],
    });
    let bytes = body.to_string();
    let request =
        MessageRequest::parse(bytes.as_bytes(), Some(script), "2026-10-21").expect(script);
    (Answer::to(&request).expect(script), request)
}

fn render(script: &str) -> (Events, Value) {
    let (answer, request) = answer(script);
    let events = Events::render(&answer, &request.script, "req_test").expect(script);
    let whole = serde_json::to_value(answer.whole().expect(script)).expect(script);
    (events, whole)
}

/// The `data` of each event; panics where an event's name is not its type.
fn read(events: &Events) -> Vec<Value> {
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
