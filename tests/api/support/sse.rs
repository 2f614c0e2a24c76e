//! Server-sent events, written and read by hand, so that the gateway's own reader proves nothing.

use serde_json::{Value, json};

/// One event as a client would get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.data))
    }
}

/// Reads whole events; what is not followed by an empty line is no event.
pub(crate) fn read(bytes: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let (mut name, mut data): (String, Vec<String>) = (String::new(), Vec::new());
    let mut lines = text.split('\n');
    // What stands behind the last line end is no line yet.
    lines.next_back();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event { name: std::mem::take(&mut name), data: data.join("\n") });
            }
            name.clear();
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value.to_owned()),
            _ => {}
        }
    }
    events
}

pub(crate) fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

pub(crate) fn message_start(model: &str, usage: &Value) -> String {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    event("message_start", &json!({ "type": "message_start", "message": message }))
}

/// `message_start` with a thousand input tokens and one of output.
pub(crate) fn start() -> String {
    message_start(MODEL, &json!({ "input_tokens": 1000, "output_tokens": 1 }))
}

/// The model of most tests: $1 and $5.
pub(crate) const MODEL: &str = "claude-haiku-4-5";

pub(crate) fn block_start(kind: &str) -> String {
    let block = match kind {
        "thinking" => json!({ "type": "thinking", "thinking": "", "signature": "" }),
        "text" => json!({ "type": "text", "text": "" }),
        other => json!({ "type": other, "id": "toolu_1", "name": "t", "input": {} }),
    };
    let data = json!({ "type": "content_block_start", "index": 0, "content_block": block });
    event("content_block_start", &data)
}

pub(crate) fn text(text: &str) -> String {
    let delta = json!({ "type": "text_delta", "text": text });
    let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
    event("content_block_delta", &data)
}

pub(crate) fn thinking(text: &str) -> String {
    let delta = json!({ "type": "thinking_delta", "thinking": text });
    let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
    event("content_block_delta", &data)
}

pub(crate) fn ping() -> String {
    event("ping", &json!({ "type": "ping" }))
}

pub(crate) fn block_stop() -> String {
    event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 }))
}

/// The final `message_delta`.
pub(crate) fn message_delta(usage: &Value) -> String {
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage }))
}

/// The final `message_delta` with that many output tokens.
pub(crate) fn end(output: u64) -> String {
    message_delta(&json!({ "output_tokens": output }))
}

pub(crate) fn message_stop() -> String {
    event("message_stop", &json!({ "type": "message_stop" }))
}

pub(crate) fn error(kind: &str, message: &str) -> String {
    let error = json!({ "type": kind, "message": message });
    let data = json!({ "type": "error", "error": error, "request_id": "req_upstream_0001" });
    event("error", &data)
}

/// A whole answer: a thousand tokens in, two hundred out.
pub(crate) fn whole(words: &str) -> String {
    [start(), block_start("text"), text(words), block_stop(), end(200), message_stop()].concat()
}
