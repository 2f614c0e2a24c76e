//! Several upstreams: whose fault a failure is, who is asked next, what rests, and that nothing is
//! asked for twice. Each test counts the requests that the scripted upstreams have seen.

use serde_json::json;

use crate::support::app::{Account, Balance, Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::prices::haiku;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, message};

mod answering;
mod chaos;
mod choice;
mod credential;
mod documents;
mod faults;
mod places;
mod rests;
mod rotation;
mod stays;
mod strangers;
mod ways;
mod words;

/// The kinds of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stream,
    Json,
    Count,
}

const KINDS: [Kind; 3] = [Kind::Stream, Kind::Json, Kind::Count];

/// What an upstream says of its own affairs, which no client may read.
const CANARY: &str = "org-4711 ask accounting@operator.example";

/// A server in front of two scripted upstreams.
struct Pair {
    app: TestApp,
    first: Upstream,
    second: Upstream,
}

impl Pair {
    fn new() -> Self {
        Self::with(|builder| builder, "")
    }

    fn with(settings: impl FnOnce(Builder) -> Builder, lines: &str) -> Self {
        let (first, second) = (Upstream::start(), Upstream::start());
        let builder = Builder::new()
            .upstream_with("first", &format!("http://{}", first.address), lines)
            .upstream_with("second", &format!("http://{}", second.address), lines);
        Self { app: settings(builder).start(), first, second }
    }

    fn send(&self, account: &Account, kind: Kind) -> Connection {
        send(&self.app, account, kind)
    }

    /// Asks, and lets the first upstream fail and the second one answer.
    fn served_by_second(&self, account: &Account, kind: Kind, fail: impl FnOnce(Exchange)) {
        let connection = self.send(account, kind);
        fail(self.first.next());
        expect_answer(kind, self.second.next(), connection);
    }

    fn counts(&self) -> (usize, usize) {
        (self.first.count(), self.second.count())
    }
}

fn send(app: &TestApp, account: &Account, kind: Kind) -> Connection {
    send_script(app, account, kind, "text")
}

/// The same with what an [`answering::Answering`] upstream reads.
fn send_script(app: &TestApp, account: &Account, kind: Kind, script: &str) -> Connection {
    app.connect().send(&request(account, kind, &body(sse::MODEL, kind == Kind::Stream, script)))
}

fn request(account: &Account, kind: Kind, body: &str) -> Request {
    let path = if kind == Kind::Count { "/v1/messages/count_tokens" } else { "/v1/messages" };
    Request::post(path, body).key(&account.key)
}

/// Answers as an upstream that is well.
fn answer(kind: Kind, exchange: Exchange) {
    match kind {
        Kind::Stream => exchange.answer_stream(&sse::whole("Hello")),
        Kind::Json => exchange.answer_json(&json_answer()),
        Kind::Count => exchange.answer_json(r#"{"input_tokens":17}"#),
    }
}

fn expect_answer(kind: Kind, exchange: Exchange, connection: Connection) {
    answer(kind, exchange);
    expect_words(kind, &connection.answer(false).finish());
}

/// Asserts that a response is what [`answer`] has sent.
fn expect_words(kind: Kind, response: &Response) {
    let text = match kind {
        Kind::Stream => sse::whole("Hello"),
        Kind::Json => json_answer(),
        Kind::Count => r#"{"input_tokens":17}"#.to_owned(),
    };
    assert_eq!(response.expect_ok().text(), text);
}

fn json_answer() -> String {
    message(&json!({ "input_tokens": 1000, "output_tokens": 200 }))
}

fn error_body(kind: &str, message: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string()
}

/// Asserts that an account was billed once, for the answer of the second upstream.
fn expect_billed_once(app: &TestApp, account: &Account, kind: Kind) {
    if kind == Kind::Count {
        expect_free(app, account);
    } else {
        expect_billed(app, account, ("E1", "second"), haiku(1000, 200));
    }
}

/// Asserts that the one exchange of an account with five dollars ended so, at that upstream, and
/// was paid for once.
fn expect_billed(app: &TestApp, account: &Account, (ending, upstream): (&str, &str), cost: i64) {
    let row = app.only_row(account);
    assert_eq!((row.ending.code(), row.upstream.as_deref()), (ending, Some(upstream)), "{row:#?}");
    assert_eq!(row.cost_nanousd.as_nanos(), cost);
    let entries: &[i64] = if cost == 0 { &[] } else { &[-cost] };
    assert_eq!(app.entries(account, "usage"), entries);
    assert_eq!(app.balance(account), Balance { available: 5_000_000_000 - cost, reserved: 0 });
}

/// Asserts that nothing that an account has asked for has left a trace in the books.
fn expect_free(app: &TestApp, account: &Account) {
    assert!(app.usage(account).is_empty());
    assert!(app.entries(account, "usage").is_empty());
    assert_eq!(app.balance(account).reserved, 0);
}

fn expect_no_word_of_it(response: &Response) {
    let seen = format!("{:?} {}", response.headers, response.text()).to_lowercase();
    for word in ["4711", "accounting", "credit", "first", "second", "sk-ant"] {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
}
