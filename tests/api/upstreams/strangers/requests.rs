//! Requests that are odd in what they ask for.

use serde_json::json;

use super::{Attempt, DOZEN, attempt};
use crate::support::client::Request;
use crate::support::sandbox::{body, body_with};
use crate::support::sse;
use crate::upstreams::{Kind, request};

pub(super) fn attempts() -> Vec<Attempt> {
    let mut attempts = of_heads();
    attempts.extend(of_bodies());
    attempts
}

/// Headers, queries and keys.
fn of_heads() -> Vec<Attempt> {
    vec![
        attempt("betas", |stage| {
            for beta in ["odd-2031-01-01", "a,,b", &"x".repeat(4000), "\u{7f}"] {
                for status in ["400", "403"] {
                    stage.answered(
                        3,
                        &stage.order(Kind::Count, status).header("anthropic-beta", beta),
                    );
                    let request = stage.order(Kind::Stream, status);
                    stage.answered(3, &request.header("anthropic-beta", beta));
                }
            }
            Vec::new()
        }),
        attempt("versions and other headers", |stage| {
            for (name, value) in [
                ("anthropic-version", "1999-01-01"),
                ("anthropic-version", ""),
                ("accept", "nothing/at-all"),
                ("content-encoding", "gzip"),
                ("anthropic-dangerous-direct-browser-access", "true"),
                ("x-claude-code-session-id", "the-same-for-all"),
            ] {
                stage.answered(3, &stage.order(Kind::Count, "400").header(name, value));
            }
            Vec::new()
        }),
        attempt("query strings", |stage| {
            for query in
                ["?beta=false", "?beta=true&x=1", "?%00", "?a=/../../v1/models", "?limit=1"]
            {
                for (path, account) in
                    [("/v1/messages/count_tokens", &stage.poor), ("/v1/messages", &stage.tiny)]
                {
                    let text = body_with(sse::MODEL, true, "do 404", &json!({ "max_tokens": 16 }));
                    let request = Request::post(&format!("{path}{query}"), text);
                    stage.answered(3, &request.key(&account.key));
                }
            }
            Vec::new()
        }),
        attempt("wrong keys", |stage| {
            for key in ["sk-wrong", "", "sluice-nothing", &stage.honest.key.to_uppercase()] {
                let text = body(sse::MODEL, true, "do 500");
                stage.answered(DOZEN, &Request::post("/v1/messages", text).key(key));
            }
            Vec::new()
        }),
    ]
}

/// Fields and documents.
fn of_bodies() -> Vec<Attempt> {
    vec![
        attempt("fields", |stage| {
            for more in [
                json!({ "thread": "thr_1" }),
                json!({ "billing_policy": { "payer": "other" } }),
                json!({ "container": "c_1" }),
                json!({ "mcp_servers": [{ "type": "url", "url": "http://127.0.0.1" }] }),
                json!({ "a_new_field": [[[[[[[[]]]]]]]] }),
                json!({ "service_tier": "fastest" }),
                json!({ "tools": "none" }),
                json!({ "messages": {} }),
                json!({ "system": 7 }),
            ] {
                stage.answered(3, &stage.small(Kind::Json, "400", &more));
            }
            Vec::new()
        }),
        attempt("max_tokens", |stage| {
            for number in
                ["0", "-1", "1e999", "18446744073709551616", "4294967296", "null", "\"9\""]
            {
                let text = body_with(sse::MODEL, true, "do 400", &json!({ "max_tokens": "N" }));
                let text = text.replace("\"N\"", number);
                stage.answered(3, &request(&stage.tiny, Kind::Stream, &text));
            }
            Vec::new()
        }),
        attempt("unknown models", |stage| {
            for model in ["gpt-9", "", "claude-haiku-4-5\u{0}", "../models", &"m".repeat(9000)] {
                for (kind, account) in [(Kind::Count, &stage.poor), (Kind::Json, &stage.tiny)] {
                    stage.answered(3, &request(account, kind, &body(model, false, "do 404")));
                }
            }
            Vec::new()
        }),
        attempt("requests without credit", |stage| {
            for kind in [Kind::Stream, Kind::Json] {
                let text = body(sse::MODEL, kind == Kind::Stream, "do 500");
                stage.answered(2 * DOZEN, &request(&stage.poor, kind, &text));
            }
            Vec::new()
        }),
        attempt("documents that are none", |stage| {
            let deep = "[".repeat(100_000);
            for text in ["", "null", "{", "[]", "\u{feff}{}", &deep, "{\"model\":1,\"model\":2}"] {
                stage.answered(3, &request(&stage.poor, Kind::Count, text));
                stage.answered(3, &request(&stage.tiny, Kind::Stream, text));
            }
            Vec::new()
        }),
    ]
}
