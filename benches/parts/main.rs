//! The parts of the hot path that are measured one by one, each as a function to repeat.

#![expect(clippy::unwrap_used, reason = "a part that fails has nothing to measure")]

#[path = "books.rs"]
mod books;

use std::hint::black_box;

use sluice::domain::byte_counts::ByteCounts;
use sluice::domain::messages_request::{self, RequestBounds};
use sluice::domain::meter::Meter;
use sluice::domain::sse::SseReader;

/// Something to repeat.
pub(crate) type Work = Box<dyn FnMut()>;

/// A part of the hot path.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What one call is made of, and how many of it.
    pub(crate) unit: &'static str,
    pub(crate) units: u64,
    pub(crate) prepare: fn() -> Work,
}

/// All of them.
pub(crate) const PARTS: &[Part] = &[
    part("meter-events-apart", "event", EVENTS, || metered(1)),
    part("meter-events-together", "event", EVENTS, || metered(100)),
    part("sse-events", "event", EVENTS, events),
    part("byte-classes", "byte", TEXT_BYTES, classes),
    part("request-64-bytes", "request", 1, || request(64, 0)),
    part("request-100-kilobytes", "request", 1, || request(100_000, 0)),
    part("request-with-tools", "request", 1, || request(64, 20)),
    part("key-lookup", "lookup", 1, books::key_lookup),
    part("ledger-1", "exchange", 1, || books::exchanges(1)),
    part("ledger-32", "exchange", 32, || books::exchanges(32)),
];

const fn part(name: &'static str, unit: &'static str, units: u64, prepare: fn() -> Work) -> Part {
    Part { name, unit, units, prepare }
}

/// Deltas of a stream.
const EVENTS: u64 = 1_000;
const TEXT_BYTES: u64 = 4_096;
/// Of an event, as the settings have it.
const EVENT_BYTES: usize = 1 << 20;

/// The events of a stream of text, each as its own bytes.
fn stream() -> Vec<Vec<u8>> {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\
                 \"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\
                 \"model\":\"claude-haiku-4-5\",\"content\":[],\"stop_reason\":null,\
                 \"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n\
                 event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
                 \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                 \"delta\":{\"type\":\"text_delta\",\"text\":\"in the shape you chose\"}}\n\n";
    let end = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
               event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\
               \"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":1000}}\n\n\
               event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let deltas = (0..EVENTS).map(|_| delta);
    std::iter::once(start)
        .chain(deltas)
        .chain([end])
        .map(|events| events.as_bytes().to_vec())
        .collect()
}

/// A meter over a stream that comes in pieces of so many events.
fn metered(together: usize) -> Work {
    let pieces: Vec<Vec<u8>> = stream().chunks(together).map(<[Vec<u8>]>::concat).collect();
    Box::new(move || {
        let mut meter = Meter::new(EVENT_BYTES);
        for piece in &pieces {
            meter.feed(black_box(piece));
            let until = meter.releasable();
            meter.note_forwarded(until);
        }
        assert!(meter.is_stopped());
        black_box(meter.reported());
    })
}

/// The events of a stream, split and not read.
fn events() -> Work {
    let pieces = stream();
    Box::new(move || {
        let mut reader = SseReader::new(EVENT_BYTES);
        for piece in &pieces {
            reader.feed(black_box(piece), |event| {
                black_box(event.data_len);
            });
        }
    })
}

/// The classes of bytes of a text.
fn classes() -> Work {
    let words = b"The quick brown fox, 42 times; naive \xc3\xa9 {\"a\": [1, 2]} and so on. ";
    let bytes = usize::try_from(TEXT_BYTES).unwrap();
    let text: Vec<u8> = words.iter().copied().cycle().take(bytes).collect();
    Box::new(move || {
        black_box(ByteCounts::of(black_box(&text)));
    })
}

/// A request with a prompt of so many bytes and so many tools.
fn request(bytes: usize, tools: usize) -> Work {
    const BOUNDS: RequestBounds =
        RequestBounds { fields_max: 256, fallbacks_max: 16, tools_max: 4096 };
    let prompt: String = "Say what you see here. ".chars().cycle().take(bytes).collect();
    let tools: Vec<serde_json::Value> = (0..tools)
        .map(|number| {
            serde_json::json!({
                "name": format!("tool_{number}"),
                "description": "Reads a file and says what is in it.",
                "input_schema": {
                    "type": "object",
                    "properties": { "path": { "type": "string", "description": "Where it is" } },
                    "required": ["path"],
                },
            })
        })
        .collect();
    let body = serde_json::json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "stream": true,
        "system": "Be brief.",
        "messages": [{ "role": "user", "content": prompt }],
        "tools": tools,
    })
    .to_string();
    Box::new(move || {
        let parsed = messages_request::parse(black_box(body.as_bytes()), &BOUNDS);
        black_box(parsed.unwrap());
    })
}
