//! An account without credit, or with next to none, sends whatever it likes within its limits, and
//! upstreams answer it however they like: everybody else is served by the first upstream, at once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answering::Answering;
use super::{KINDS, Kind, answer, error_body, expect_words, request, send_script};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::sandbox::{body, body_with};
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, json_response};
use crate::support::wait::eventually;

mod answers;
mod connections;
mod requests;

/// Requests that an account may have open at once, and how many there are of most attempts.
const PLACES: usize = 8;
/// What all accounts without credit have: a sixteenth of all places, rounded up.
const FREE: usize = (3 * PLACES).div_ceil(16);
const DOZEN: usize = 12;
/// Far less than any limit on time that an attempt could make others wait for.
const AT_ONCE: Duration = Duration::from_secs(4);
const BODY_BYTES: usize = 1 << 20;

/// A server in front of two upstreams, and who asks there.
struct Stage {
    app: TestApp,
    first: Answering,
    second: Answering,
    /// Without credit: it may have its prompts counted.
    poor: Account,
    /// With five cents.
    tiny: Account,
    honest: Account,
}

/// Connections that stay open while others are served.
type Held = Vec<Connection>;

/// What somebody tries.
type Attempt = (&'static str, Box<dyn Fn(&Stage) -> Held>);

impl Stage {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let (first, second) = (obedient(), obedient());
        let builder = Builder::new()
            .upstream("first", first.address)
            .upstream("second", second.address)
            .set("server.max_streams", 3 * PLACES)
            .set("server.max_streams_per_account", PLACES)
            .set("limits.body_bytes", BODY_BYTES)
            // What hangs in the end is not waited for.
            .set("server.drain_secs", 1);
        let app = settings(builder).start();
        let (poor, tiny) = (app.account("0"), app.account("0.05"));
        let honest = app.account("50.00");
        Self { app, first, second, poor, tiny, honest }
    }

    /// Asserts that somebody else is served at the first upstream, at once.
    fn expect_service(&self, name: &str, round: usize) {
        for kind in KINDS {
            let script = format!("honest {name} {round} {kind:?}");
            let began = Instant::now();
            let response =
                send_script(&self.app, &self.honest, kind, &script).answer(false).finish();
            assert_eq!(response.status, 200, "{script}: {}", response.text());
            expect_words(kind, &response);
            assert!(began.elapsed() < AT_ONCE, "{script}: {:?}", began.elapsed());
            let counts = (self.first.count_of(&script), self.second.count_of(&script));
            assert_eq!(counts, (1, 0), "{script}");
        }
        for upstream in ["first", "second"] {
            let line = format!("sluice_upstream_resting{{upstream=\"{upstream}\"}}");
            assert_eq!(self.app.metric(&line), 0, "{name}: {upstream}");
        }
    }

    /// A request of a kind, with what the upstreams are to do about it.
    fn order(&self, kind: Kind, script: &str) -> Request {
        match kind {
            Kind::Count => {
                request(&self.poor, kind, &body(sse::MODEL, false, &format!("do {script}")))
            }
            _ => self.small(kind, script, &json!({})),
        }
    }

    /// A request for messages that five cents cover, with further fields.
    fn small(&self, kind: Kind, script: &str, more: &Value) -> Request {
        let mut fields = json!({ "max_tokens": 16 });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let is_stream = kind == Kind::Stream;
        let text = body_with(sse::MODEL, is_stream, &format!("do {script}"), &fields);
        request(&self.tiny, kind, &text)
    }

    /// Sends and waits for no answer.
    fn send(&self, request: &Request) -> Connection {
        self.app.connect().send(request)
    }

    /// Requests with that order that have come to an upstream.
    fn reached(&self, order: &str) -> usize {
        let script = format!("do {order}");
        self.first.count_of(&script) + self.second.count_of(&script)
    }

    /// So many at once, and each is answered.
    fn answered(&self, times: usize, request: &Request) -> Held {
        let sent: Vec<_> = (0..times).map(|_| self.send(request)).collect();
        expect_refusals(sent)
    }

    /// So many at once, all of which come to an upstream and stay open.
    fn open(&self, times: usize, kind: Kind, order: &str) -> Held {
        let before = self.reached(order);
        let held = (0..times).map(|_| self.send(&self.order(kind, order))).collect();
        eventually(order, || (self.reached(order) == before + times).then_some(()));
        held
    }

    /// Bytes on so many connections, which stay open.
    fn raw(&self, times: usize, bytes: &[u8]) -> Held {
        let open = || {
            let mut connection = self.app.connect();
            connection.write(bytes);
            connection
        };
        (0..times).map(|_| open()).collect()
    }
}

fn expect_refusals(sent: Held) -> Held {
    for connection in sent {
        let response = connection.answer(false).finish();
        assert_ne!(response.status, 200, "{}", response.text());
    }
    Vec::new()
}

/// An upstream that does what a request says, for tests are what its senders may be.
fn obedient() -> Answering {
    Answering::start(Upstream::start(), |kind, script, exchange| {
        let Some(order) = script.strip_prefix("do ") else {
            answer(kind, exchange);
            return None;
        };
        obey(order, exchange)
    })
}

fn obey(order: &str, mut exchange: Exchange) -> Option<Exchange> {
    let refused = |exchange: Exchange, status, body: &str| {
        exchange.refuse(status, body);
        None
    };
    match order {
        "hang" => Some(exchange),
        "hang in a refusal" => {
            let whole = json_response(500, &"x".repeat(200));
            exchange.send(&whole.as_bytes()[..whole.len() - 150]);
            Some(exchange)
        }
        "hang in an answer" => {
            exchange.stream_head().chunk(sse::start());
            Some(exchange)
        }
        "end" => {
            exchange.close();
            None
        }
        "low" => {
            let words = "Your credit balance is too low to access the Anthropic API.";
            refused(exchange, 400, &error_body("invalid_request_error", words))
        }
        "no model" => {
            refused(exchange, 400, &error_body("invalid_request_error", "unknown model: x"))
        }
        "error document" => refused(exchange, 200, &error_body("overloaded_error", "no")),
        "page" => refused(exchange, 200, "<html>hello</html>"),
        status => refused(exchange, status.parse().unwrap(), "no"),
    }
}

fn attempt(name: &'static str, act: impl Fn(&Stage) -> Held + 'static) -> Attempt {
    (name, Box::new(act))
}

/// Makes every attempt, and serves others during and after each.
fn try_all(stage: &Stage, attempts: &[Attempt]) {
    stage.expect_service("before", 0);
    for (at, (name, act)) in attempts.iter().enumerate() {
        let held = act(stage);
        stage.expect_service(name, 2 * at);
        if !held.is_empty() {
            drop(held);
            stage.expect_service(name, 2 * at + 1);
        }
    }
    // Of all that, nobody has paid but who was served.
    let rows = stage.app.usage(&stage.honest);
    assert!(
        rows.iter()
            .all(|row| row.ending.code() == "E1" && row.upstream.as_deref() == Some("first"))
    );
    assert!(stage.app.usage(&stage.poor).is_empty());
}

#[test]
fn whatever_upstreams_do_to_a_stranger_others_are_served_at_once() {
    try_all(&Stage::new(), &answers::refusals());
}

#[test]
fn whatever_a_stranger_leaves_open_others_are_served_at_once() {
    try_all(&Stage::new(), &answers::silence());
}

#[test]
fn whatever_a_stranger_asks_for_others_are_served_at_once() {
    try_all(&Stage::new(), &requests::attempts());
}

#[test]
fn however_a_stranger_connects_others_are_served_at_once() {
    try_all(&Stage::new(), &connections::attempts());
}

#[test]
fn however_often_a_stranger_waits_in_vain_others_are_served_at_once() {
    let stage = Stage::with(|builder| {
        builder.set("stream.first_byte_secs", 2).set("stream.hold_head_max_secs", 1)
    });
    let orders = ["hang", "hang in a refusal"].map(|order| {
        attempt(order, move |stage| {
            let counts: Vec<_> =
                (0..5).map(|_| stage.send(&stage.order(Kind::Count, order))).collect();
            stage.answered(5, &stage.order(Kind::Stream, order));
            expect_refusals(counts)
        })
    });
    try_all(&stage, &orders);
}
