//! Connections that are odd in how they speak.

use serde_json::json;

use super::{Attempt, BODY_BYTES, DOZEN, PLACES, attempt};
use crate::support::app::Account;
use crate::support::client::Request;
use crate::support::sandbox::{body, body_with};
use crate::support::sse;
use crate::upstreams::{KINDS, Kind, request};

pub(super) fn attempts() -> Vec<Attempt> {
    vec![
        attempt("huge bodies", |stage| {
            let huge = "x".repeat(BODY_BYTES + 1);
            stage.answered(3, &request(&stage.poor, Kind::Count, &huge));
            stage.answered(3, &request(&stage.tiny, Kind::Stream, &huge))
        }),
        attempt("huge bodies within the limit", |stage| {
            let more = json!({ "system": "word ".repeat(BODY_BYTES / 6) });
            let text = body_with(sse::MODEL, false, "do 500", &more);
            stage.answered(4, &request(&stage.poor, Kind::Count, &text));
            stage.answered(4, &request(&stage.tiny, Kind::Json, &text))
        }),
        attempt("half bodies", |stage| {
            for account in [&stage.poor, &stage.tiny] {
                for connection in stage.raw(DOZEN, &half(account, Kind::Count)) {
                    connection.reset();
                }
            }
            Vec::new()
        }),
        attempt("bodies that stall", |stage| {
            let mut held = stage.raw(PLACES, &half(&stage.poor, Kind::Count));
            held.extend(stage.raw(PLACES, &half(&stage.tiny, Kind::Stream)));
            held
        }),
        attempt("bodies in chunks that stall", |stage| {
            let request = Request::post("/v1/messages", "").key(&stage.tiny.key);
            let mut bytes = request.header("transfer-encoding", "chunked").head_bytes();
            bytes.extend_from_slice(b"1\r\n{\r\n");
            stage.raw(PLACES, &bytes)
        }),
        attempt("bytes that are no HTTP", |stage| {
            let mut held = stage.raw(DOZEN, &[0xff; 300]);
            held.extend(stage.raw(DOZEN, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"));
            held.extend(stage.raw(DOZEN, b"SSH-2.0-OpenSSH_9.9\r\n"));
            held
        }),
        attempt("heads that stall", |stage| {
            stage.raw(5 * DOZEN, b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: ")
        }),
        attempt("connections that say nothing", |stage| stage.raw(10 * DOZEN, b"")),
        attempt("two lengths", |stage| {
            let request = Request::post("/v1/messages", "{}").key(&stage.tiny.key);
            let request = request.header("content-length", "2").header("content-length", "20");
            let request = request.header("transfer-encoding", "chunked");
            stage.raw(DOZEN, &request.to_bytes())
        }),
        attempt("many requests on one connection", |stage| {
            let one = stage.order(Kind::Count, "500").to_bytes();
            stage.raw(2, &one.repeat(DOZEN))
        }),
        attempt("requests whose clients leave", |stage| {
            for kind in KINDS {
                for _ in 0..DOZEN {
                    stage.send(&stage.order(kind, "hang")).reset();
                }
            }
            Vec::new()
        }),
    ]
}

/// A request whose body does not go on.
fn half(account: &Account, kind: Kind) -> Vec<u8> {
    let whole = request(account, kind, &body(sse::MODEL, true, "do 500")).to_bytes();
    whole[..whole.len() - 20].to_vec()
}
