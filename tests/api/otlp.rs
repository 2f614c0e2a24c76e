//! Traces at a real collector: a span for each step, nothing of what was said in any byte, and no
//! request that waits for them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::collector::Collector;
use crate::support::sse;
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

/// Stands in everything that a client or an upstream says.
const CANARY: &str = "canaryintraces5b1d";
const HEADER: &str = "canary-header-of-ours";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn builder(upstream: &Upstream, collector: &Collector, path: &str) -> Builder {
    Builder::new()
        .upstream("primary", upstream.address)
        .set("otlp.endpoint", format!("\"http://{}{path}\"", collector.address))
        .set("otlp.timeout_secs", 2)
}

/// A request with the word in prompt, system, tool and metadata.
fn request(wants_stream: bool) -> String {
    json!({
        "model": sse::MODEL, "max_tokens": 100, "stream": wants_stream,
        "system": format!("Be {CANARY}."),
        "metadata": { "user_id": CANARY },
        "tools": [{ "name": CANARY, "description": CANARY, "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": format!("Say {CANARY}.") }],
    })
    .to_string()
}

/// The names of a trace's spans in the order of their beginnings, each behind that of its parent.
fn tree(spans: &[Value]) -> Vec<String> {
    let mut spans: Vec<_> = spans.iter().collect();
    spans.sort_by_key(|span| (span["start"].as_u64(), span["id"].as_str().map(str::to_owned)));
    let name = |id: &Value| {
        let parent = spans.iter().find(|span| span["id"] == *id);
        parent.map_or("", |span| span["name"].as_str().unwrap())
    };
    let mut names: Vec<_> = spans
        .iter()
        .map(|span| format!("{}/{}", name(&span["parent"]), span["name"].as_str().unwrap()))
        .collect();
    names.sort();
    names
}

fn ended(collector: &Collector, count: usize) -> Vec<Value> {
    let found = || collector.spans().into_iter().filter(|span| span["name"] == "exchange");
    eventually(&format!("{count} traces"), || {
        let roots: Vec<_> = found().collect();
        (roots.len() == count).then_some(roots)
    })
}

fn of_trace(collector: &Collector, root: &Value) -> Vec<Value> {
    let spans = collector.spans().into_iter();
    spans.filter(|span| span["trace"] == root["trace"]).collect()
}

#[test]
fn p5_spans_of_every_step_arrive_and_nothing_of_what_was_said() {
    let (upstream, collector) = (Upstream::start(), Collector::start());
    let builder = builder(&upstream, &collector, "").set("otlp.genai", true);
    let headers = builder.folder.path().join("headers");
    std::fs::write(&headers, format!("x-collector-key: {HEADER}\n\n")).unwrap();
    let app = builder.set("otlp.headers_file", format!("\"{}\"", headers.display())).start();
    let account = app.account("5.00");
    let send = |wants_stream| {
        let request = Request::post("/v1/messages", request(wants_stream)).key(&account.key);
        app.connect().send(&request.header("traceparent", PARENT))
    };

    let connection = send(true);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    exchange.chunk([sse::text(CANARY), sse::end(3), sse::message_stop()].concat()).end_chunks();
    connection.answer(false).finish().expect_ok();
    // Its connection takes no second request.
    exchange.close();
    let connection = send(false);
    let answer = message(&json!({ "input_tokens": 7, "output_tokens": 9 }));
    upstream.next().answer_json(&answer.replace("Hello", CANARY));
    connection.answer(false).finish().expect_ok();
    let connection = send(false);
    upstream.next().refuse(529, CANARY);
    assert!(connection.answer(false).finish().status >= 500);

    let roots = ended(&collector, 3);
    let attribute = |root: &Value, name: &str| root["attributes"][name].clone();
    let endings: Vec<_> = roots.iter().map(|root| attribute(root, "sluice.ending")).collect();
    assert_eq!(endings[..2], [json!("E1"), json!("E1")]);
    let steps = [
        "/exchange",
        "exchange/admission",
        "exchange/hold",
        "exchange/relay",
        "exchange/settle",
        "exchange/upstream",
        "upstream/call",
    ];
    assert_eq!(tree(&of_trace(&collector, &roots[0])), steps);
    assert_eq!(tree(&of_trace(&collector, &roots[1])), steps);
    let calls = of_trace(&collector, &roots[2]);
    let calls: Vec<_> = calls.iter().filter(|span| span["name"] == "call").collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["attributes"]["sluice.upstream"], "primary");
    assert!(calls.iter().all(|call| call["failed"] == true && call["kind"] == 3), "{calls:?}");
    for root in &roots {
        assert_eq!((&root["parent"], &root["kind"]), (&json!(""), &json!(2)), "no client's trace");
        assert_eq!(attribute(root, "gen_ai.request.model"), sse::MODEL);
        let id = attribute(root, "sluice.request_id");
        assert!(id.as_str().unwrap().starts_with("req_"), "{id}");
        for span in of_trace(&collector, root) {
            assert!(span["start"].as_u64() >= root["start"].as_u64(), "{span}");
            assert!(span["end"].as_u64() <= root["end"].as_u64(), "{span} {root}");
        }
    }
    assert_eq!(attribute(&roots[0], "gen_ai.usage.output_tokens"), 3);
    assert_eq!(attribute(&roots[1], "gen_ai.usage.input_tokens"), 7);

    let secrets = [CANARY, &account.key, &account.public_id, HEADER, "127.0.0.1"];
    for request in collector.journal() {
        assert_eq!(request["headers"]["x-collector-key"], HEADER);
        assert_eq!(request["path"], "/v1/traces");
        let bytes = request["bytes"].as_str().unwrap();
        for secret in secrets {
            let hex = ethers_core::utils::hex::encode(secret);
            assert!(!bytes.contains(&hex), "{secret} went to the collector");
        }
    }
}

fn answered(app: &TestApp, upstream: &Upstream, key: &str, parent: &str) {
    let request = Request::post("/v1/messages", request(false)).key(key);
    let connection = app.connect().send(&request.header("traceparent", parent));
    upstream.next().answer_json(&message(&json!({ "input_tokens": 7, "output_tokens": 9 })));
    connection.answer(false).finish().expect_ok();
}

#[test]
fn a_clients_trace_is_continued_only_where_the_operator_says_so() {
    let (upstream, collector) = (Upstream::start(), Collector::start());
    let app = builder(&upstream, &collector, "")
        .set("otlp.accept_traceparent", true)
        .set("otlp.sample_per_thousand", 0)
        .start();
    let account = app.account("5.00");
    answered(&app, &upstream, &account.key, "nonsense");
    answered(&app, &upstream, &account.key, &PARENT.replace("-01", "-00"));
    answered(&app, &upstream, &account.key, PARENT);
    let root = ended(&collector, 1).remove(0);
    assert_eq!(root["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(root["parent"], "00f067aa0ba902b7");
    assert_eq!(root["attributes"]["gen_ai.request.model"], Value::Null);
}

#[test]
fn a_collector_that_hangs_delays_nobody_and_what_is_too_much_is_dropped_and_counted() {
    let (upstream, collector) = (Upstream::start(), Collector::start());
    let app = builder(&upstream, &collector, "/slow").set("otlp.queue_max", 2).start();
    let account = app.account("5.00");
    let spans = |outcome| app.metric(&format!("sluice_trace_spans_total{{outcome=\"{outcome}\"}}"));
    answered(&app, &upstream, &account.key, "");
    eventually("the first trace", || (!collector.journal().is_empty()).then_some(()));
    let began = Instant::now();
    for _ in 0..6 {
        answered(&app, &upstream, &account.key, "");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(spans("dropped") > 0);
    eventually("the collector to be given up", || (spans("failed") > 0).then_some(()));
    assert_eq!(spans("sent"), 0);
}
