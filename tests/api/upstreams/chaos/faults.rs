//! The ways in which an upstream fails, and what is seen of each.

use super::super::{error_body, json_answer};
use super::{Fault, Kind, LOW, Meets, REST_SECS, Rests, Seen};
use crate::support::sse;
use crate::support::upstream::{Exchange, json_response};

pub(super) fn by(
    name: &'static str,
    rests: Rests,
    fail: fn(Kind, Exchange) -> Option<Exchange>,
) -> Fault {
    Fault { name, meets: Meets::By(fail), own: None, seen: |_| Seen::Nothing, rests }
}

/// An upstream makes and bills a JSON answer whose head is late.
fn seen_of_silence(kind: Kind) -> Seen {
    if kind == Kind::Json { Seen::Status(504, "timeout_error") } else { Seen::Nothing }
}

/// What has begun is made, and is not asked for twice. A count is free, and so is its repetition.
fn seen_of_an_end(kind: Kind) -> Seen {
    match kind {
        Kind::Stream => Seen::Beginning,
        Kind::Json => Seen::Status(502, "api_error"),
        Kind::Count => Seen::Nothing,
    }
}

/// Begins an answer and breaks off.
pub(super) fn begin_and_fail(kind: Kind, mut exchange: Exchange) -> Option<Exchange> {
    if kind == Kind::Stream {
        let events = [sse::start(), sse::block_start("text"), sse::text("Hel")].concat();
        exchange.stream_head().chunk(events);
    } else {
        let document = if kind == Kind::Json { json_answer() } else { "{\"input_tokens\"".into() };
        let whole = json_response(200, &document);
        exchange.send(&whole.as_bytes()[..whole.len() - 5]);
    }
    exchange.close();
    None
}

pub(super) fn hang_in_refusal(mut exchange: Exchange) -> Exchange {
    let whole = json_response(500, &"x".repeat(200));
    exchange.send(&whole.as_bytes()[..whole.len() - 150]);
    exchange
}

pub(super) fn refuse_with_time(_: Kind, mut exchange: Exchange) -> Option<Exchange> {
    exchange.send("HTTP/1.1 429 X\r\nretry-after: 20\r\ncontent-length: 0\r\n\r\n");
    None
}

pub(super) fn refuse(exchange: Exchange, status: u16, body: &str) -> Option<Exchange> {
    exchange.refuse(status, body);
    None
}

pub(super) fn faults() -> Vec<Fault> {
    // A quarter of the longest rest, the first time.
    let failing = |accounts| Rests::Whole { accounts, secs: REST_SECS / 4 };
    let low = || error_body("invalid_request_error", LOW);
    vec![
        // No request can bring it about, so that it needs no second account.
        Fault { meets: Meets::Nobody, ..by("dead", failing(1), |_, exchange| Some(exchange)) },
        Fault {
            seen: seen_of_silence,
            ..by("hangs before the head", failing(2), |_, exchange| Some(exchange))
        },
        by("hangs inside a refusal", failing(2), |_, exchange| Some(hang_in_refusal(exchange))),
        by("429 with a time", Rests::Model { accounts: 1, secs: 20 }, refuse_with_time),
        Fault {
            own: Some((400, low())),
            ..by(
                "400 out of credit",
                Rests::Whole { accounts: 1, secs: REST_SECS },
                |_, exchange| refuse(exchange, 400, &error_body("invalid_request_error", LOW)),
            )
        },
        by("401 by mistake", Rests::Account, |_, exchange| refuse(exchange, 401, "no")),
        by("403 for a beta", Rests::Account, |_, exchange| {
            refuse(exchange, 403, &error_body("permission_error", "anthropic-beta: not for you"))
        }),
        by("404 for a model", Rests::Model { accounts: 2, secs: REST_SECS }, |_, exchange| {
            refuse(exchange, 404, &error_body("not_found_error", "model: claude-haiku-4-5"))
        }),
        by("522", failing(2), |_, exchange| refuse(exchange, 522, "<html>no</html>")),
        by("200 with an error", failing(2), |_, exchange| {
            refuse(exchange, 200, &error_body("overloaded_error", "no"))
        }),
        Fault { seen: seen_of_an_end, ..by("fails after content", Rests::Never, begin_and_fail) },
    ]
}

pub(super) fn named(name: &str) -> Fault {
    faults().into_iter().find(|fault| fault.name == name).unwrap()
}
