//! What anybody may read: prices and status.

use serde_json::{Value, json};

use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::{body, sandbox};
use crate::support::upstream::Upstream;

fn get(app: &TestApp, path: &str) -> Value {
    let response = app.ask(&Request::get(path));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn prices_are_those_in_force_with_the_markup() {
    let app = Builder::new()
        .set("pricing.markup", "\"1.15\"")
        .upstream("sandbox", sandbox())
        // Before the release of the newest model.
        .clock_at(1_794_000_000_000)
        .start();
    let prices = get(&app, "/api/v1/prices");
    assert_eq!(prices["currency"], "USD");
    let models = prices["models"].as_array().unwrap();
    let find = |id: &str| models.iter().find(|model| model["id"] == id);
    assert!(find("claude-fable-5-2").is_none(), "not on sale yet");
    let haiku = find("claude-haiku-5-5").unwrap();
    let classes = json!({
        "input": "0.115", "output": "0.575", "cache_write_5m": "0.14375",
        "cache_write_1h": "0.23", "cache_read": "0.0115",
    });
    assert_eq!(haiku["per_million_tokens"], classes);
    assert_eq!(haiku["long_prompt"]["above_tokens"], 100_000);
    assert_eq!(haiku["long_prompt"]["per_million_tokens"]["input"], "0.575");
    assert_eq!(haiku["geo_factors"], json!({ "us": "1.1" }));
    assert_eq!(haiku["per_thousand_web_searches"], "11.50");
    assert_eq!(haiku["released_at"], "2026-10-07T00:00:00.000Z");
    let sonnet = find("claude-sonnet-5-5").unwrap();
    assert_eq!(sonnet["per_million_tokens"]["cache_read"], "0.115", "the later of its prices");
    assert_eq!(sonnet["long_prompt"], Value::Null);
}

#[test]
fn only_what_an_upstream_serves_has_a_price() {
    let app = Builder::new()
        .upstream_with("one", "http://127.0.0.1:1", "serves = [\"claude-haiku-5-5\"]")
        .start();
    let prices = get(&app, "/api/v1/prices");
    let ids: Vec<&Value> =
        prices["models"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["claude-haiku-5-5"]);
}

#[test]
fn status_says_whether_messages_are_served_and_nothing_of_the_operator() {
    let upstream = Upstream::start();
    upstream.answer_probes(Some((401, "no")));
    let app = TestApp::with(&upstream);
    let account = app.account("10");
    assert_eq!(get(&app, "/api/v1/status")["messages"]["status"], "ok");
    let connection = app.send(&account, &body("claude-haiku-4-5", false, ""));
    upstream.next().refuse(401, "{\"error\":{\"type\":\"authentication_error\"}}");
    assert_eq!(connection.answer(false).finish().status, 503);
    crate::support::wait::eventually("the breaker to be told", || {
        let status = get(&app, "/api/v1/status");
        let text = status.to_string();
        assert!(!text.contains("upstream") && !text.contains("127.0.0.1"), "{text}");
        (status["messages"]["status"] == "unavailable").then_some(())
    });
}
