//! What a request is admitted under, one of its properties at a time.

use super::*;
use crate::config::{Purpose, Sources, load_for};
use crate::domain::messages_request::parse;
use crate::domain::price_list::tests::day;

/// 200,000 tokens of context, answers of 64,000.
const SMALL: &str = "claude-haiku-4-5";
/// A million and 128,000; has factors for a place and a speed.
const LARGE: &str = "claude-opus-5";

fn admitted(body: &str) -> Result<Quote, ApiError> {
    let settings = load_for(&Sources::default(), Purpose::Command).unwrap();
    quote(&parse(body.as_bytes()).unwrap(), &settings, day("2026-11-22"))
}

fn quoted(body: &str) -> Quote {
    admitted(body).ok().expect("an admission")
}

/// A request to `model` with these fields.
fn request(model: &str, fields: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":100,{fields}}}"#)
}

#[test]
fn the_largest_of_the_models_named_sets_the_ceilings() {
    for (model, fallback) in [(SMALL, LARGE), (LARGE, SMALL)] {
        let body = request(model, &format!(r#""fallbacks":[{{"model":"{fallback}"}}]"#));
        let quote = quoted(&body);
        assert_eq!((quote.ceilings.context, quote.max_output), (1_000_000, 100));
        assert_eq!(quote.model_ids, [model, fallback]);
    }
    let quote = quoted(&request(SMALL, r#""x":1"#));
    assert_eq!((quote.ceilings.context, quote.max_output), (200_000, 100));
}

#[test]
fn no_prompt_is_taken_for_more_than_the_context() {
    let mut quote = quoted(&request(SMALL, r#""x":1"#));
    let set = |quote: &mut Quote, most, likely, cached| {
        set_prompt(quote, PromptEstimate { most, likely, cached, is_open: false });
        (quote.prompt.most, quote.prompt.likely, quote.prompt.cached)
    };
    assert_eq!(set(&mut quote, 300, 200, 50), (300, 200, 50));
    assert_eq!(set(&mut quote, 900_000, 300_000, 0), (200_000, 200_000, 0));
    assert_eq!(set(&mut quote, 900_000, 300_000, 150_000), (200_000, 50_000, 150_000));
    assert_eq!(set(&mut quote, 900_000, 1, 900_000), (200_000, 0, 200_000));
}

#[test]
fn output_is_held_up_to_what_request_and_model_allow_and_of_a_stream_a_part() {
    let held = |max_tokens: u64, fields: &str| {
        let body =
            format!(r#"{{"model":"{SMALL}","max_tokens":{max_tokens},"messages":[]{fields}}}"#);
        let quote = quoted(&body);
        (quote.max_output, quote.reserved_output)
    };
    assert_eq!(held(100, ""), (100, 100));
    assert_eq!(held(1_000_000, ""), (64_000, 64_000));
    assert_eq!(held(1_000_000, r#","stream":true"#), (64_000, 4_096));
    assert_eq!(held(100, r#","stream":true"#), (100, 100));
    let fallback = format!(r#","fallbacks":[{{"model":"{SMALL}","max_tokens":500}}]"#);
    assert_eq!(held(100, &fallback), (500, 500));
    assert_eq!(held(900, &fallback), (900, 900));
}

#[test]
fn the_factors_of_place_and_speed_are_held() {
    let amount = |fields: &str| {
        let mut quote = quoted(&request(LARGE, fields));
        quote.prompt = PromptEstimate::default();
        quote.likely_cost(100_000).unwrap().as_nanos()
    };
    let plain = amount(r#""speed":"standard","inference_geo":"global""#);
    let near = |found: i64, expected: i64| (found - expected).abs() < plain / 1_000;
    assert!(near(amount(r#""speed":"fast","inference_geo":"global""#), plain * 2));
    assert!(near(amount(r#""speed":"standard","inference_geo":"us""#), plain * 11 / 10));
}

#[test]
fn a_speed_must_have_a_price_for_every_model_that_may_serve() {
    let is_admitted = |model: &str, fallback: &str, speed: &str| {
        let fields = format!(r#""fallbacks":[{{"model":"{fallback}","speed":"{speed}"}}]"#);
        admitted(&request(model, &fields)).is_ok()
    };
    assert!(is_admitted(LARGE, LARGE, "fast") && is_admitted(SMALL, LARGE, "standard"));
    assert!(!is_admitted(LARGE, LARGE, "warp"));
    assert!(!is_admitted(SMALL, LARGE, "fast") && !is_admitted(LARGE, SMALL, "fast"));
}

#[test]
fn uses_of_server_tools_are_held_as_configured_and_allowed_as_asked() {
    let counts = |tool: &str| {
        let quote = quoted(&request(SMALL, &format!(r#""tools":[{tool}]"#)));
        let Ceilings { turns, web_searches, .. } = quote.ceilings;
        (quote.web_searches, web_searches, turns, quote.tool_tokens)
    };
    let unlimited = r#"{"type":"web_search_20250305","name":"s"}"#;
    assert_eq!(counts(unlimited), (10, 1000, 33, 10 * 20_000));
    let limited = r#"{"type":"web_search_20250305","name":"s","max_uses":3}"#;
    assert_eq!(counts(limited), (3, 3, 4, 3 * 20_000));
    let fetch = r#"{"type":"web_fetch_20250910","name":"f","max_uses":2}"#;
    assert_eq!(counts(fetch), (0, 0, 3, 2 * 100_000));
    assert_eq!(counts(r#"{"type":"bash_20250124","name":"b"}"#), (0, 0, 1, 0));
}
