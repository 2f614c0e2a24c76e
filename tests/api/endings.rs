//! The table of endings, line by line: what the client sees, the one usage row, the charge, and
//! that nothing stays reserved. Every server here is stopped in order at the end of its test,
//! which proves the books again.

use serde_json::{Value, json};
use sluice::db::books::UsageRow;

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Answer, End, Response};
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, message};
use crate::support::wait::eventually;

mod checkpoints;
mod client;
mod complete;
mod crowd;
mod drained;
mod errors;
mod extended;
mod fault;
mod gateway;
mod stalled;
mod unanswered;
mod upstream;

/// What an upstream says of its own affairs, which no client may read.
const CANARY: &str = "org-4711 is out of credit, ask accounting@operator.example";

/// One server, one scripted upstream, one account.
struct Stage {
    app: TestApp,
    upstream: Upstream,
    account: Account,
}

impl Stage {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let upstream = Upstream::start();
        let builder = Builder::new().upstream("primary", upstream.address);
        let app = settings(builder).start();
        let account = app.account("5.00");
        Self { app, upstream, account }
    }

    /// Asks for a stream; the upstream's side of it, and the client's connection.
    fn stream(&self) -> (Exchange, crate::support::client::Connection) {
        let connection = self.app.send(&self.account, &stream_body());
        (self.upstream.next(), connection)
    }

    /// Asks for a JSON answer.
    fn json(&self) -> (Exchange, crate::support::client::Connection) {
        let connection = self.app.send(&self.account, &json_body());
        (self.upstream.next(), connection)
    }

    /// A stream that has begun: a thousand tokens in, and `words` of text.
    fn begun(&self, words: &str) -> (Exchange, Answer) {
        let (mut exchange, connection) = self.stream();
        let events = [sse::start(), sse::block_start("text"), sse::text(words)];
        exchange.stream_head().chunk(events.concat());
        let mut answer = connection.answer(false);
        assert_eq!(answer.status, 200);
        answer.read_until(&sse::text(words));
        (exchange, answer)
    }

    /// The one row, with its ending; its cost must be what the account has paid.
    fn row(&self, ending: &str) -> UsageRow {
        // The post itself may land a moment before the word that it came late (E16).
        let mut row = self.app.only_row(&self.account);
        if ending == "E16" {
            row = eventually("the row to say E16", || {
                Some(self.app.only_row(&self.account)).filter(|row| row.ending.code() == ending)
            });
        }
        assert_eq!(row.ending.code(), ending, "{row:#?}");
        let balance = self.app.balance(&self.account);
        assert_eq!(
            (balance.available, balance.reserved),
            (5_000_000_000 - row.cost_nanousd.as_nanos(), 0)
        );
        let charged: &[i64] =
            if row.cost_nanousd.as_nanos() == 0 { &[] } else { &[-row.cost_nanousd.as_nanos()] };
        assert_eq!(self.app.entries(&self.account, "usage"), charged);
        row
    }

    /// The row of an exchange that costs nothing.
    fn free(&self, ending: &str, http_status: i32) -> UsageRow {
        let row = self.row(ending);
        assert_eq!((row.cost_nanousd.as_nanos(), row.http_status), (0, http_status), "{row:#?}");
        assert_eq!((row.input_tokens, row.output_tokens, row.is_estimated), (0, 0, false));
        row
    }

    /// The row of an exchange that costs what the upstream has reported.
    fn reported(&self, ending: &str, input: i64, output: i64) -> UsageRow {
        let row = self.row(ending);
        assert_eq!((row.input_tokens, row.output_tokens), (input, output), "{row:#?}");
        assert!(!row.is_estimated, "{row:#?}");
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(input, output));
        row
    }

    /// The row of an exchange that costs what was delivered: so many bytes of deltas.
    fn delivered(&self, ending: &str, input: i64, bytes: usize) -> UsageRow {
        let row = self.row(ending);
        assert_eq!(row.output_tokens, estimated_tokens(bytes), "{row:#?}");
        assert_eq!(row.input_tokens, input, "{row:#?}");
        assert!(row.is_estimated, "{row:#?}");
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(input, row.output_tokens));
        row
    }
}

fn stream_body() -> String {
    body(sse::MODEL, true, "text")
}

fn json_body() -> String {
    body(sse::MODEL, false, "text")
}

fn usage(input: u64, output: u64) -> Value {
    json!({ "input_tokens": input, "output_tokens": output })
}

fn json_answer(input: u64, output: u64) -> String {
    message(&usage(input, output))
}

/// Asserts that a stream came as `before` and then ended with one error event of ours.
fn expect_end(response: &Response, before: &str, kind: &str) -> String {
    let text = response.text();
    assert_eq!((response.status, response.end), (200, End::Whole), "{text}");
    let tail = text.strip_prefix(before).unwrap_or_else(|| panic!("not {before}\nbut {text}"));
    let events = sse::read(tail.as_bytes());
    assert_eq!(events.len(), 1, "one event ends the stream: {tail}");
    let event = &events[0];
    assert_eq!(event.name, "error");
    let data = event.json();
    assert_eq!(data["type"], "error");
    assert_eq!(data["error"]["type"], kind, "{tail}");
    assert_eq!(data["request_id"], response.header("request-id").unwrap());
    data["error"]["message"].as_str().unwrap().to_owned()
}

fn error_body(kind: &str, message: &str) -> String {
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": "req_upstream_0001",
    })
    .to_string()
}
