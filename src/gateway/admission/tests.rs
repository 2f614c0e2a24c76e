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
        assert_eq!((quote.context_ceiling, quote.output_ceiling), (1_000_000, 128_000));
        assert_eq!(quote.model_ids, [model, fallback]);
    }
    let quote = quoted(&request(SMALL, r#""x":1"#));
    assert_eq!((quote.context_ceiling, quote.output_ceiling), (200_000, 64_000));
}

#[test]
fn ascii_is_two_bytes_a_token_any_other_byte_is_one_and_the_context_is_the_most() {
    let held = |count: usize| {
        let body = request(SMALL, &format!(r#""system":"{}""#, "é".repeat(count)));
        let other = u64::try_from(2 * count).unwrap();
        let ascii = u64::try_from(body.len()).unwrap() - other;
        (quoted(&body).input_tokens, ascii.div_ceil(2) + other)
    };
    let (found, expected) = held(100);
    assert_eq!(found, expected);
    assert_eq!(held(150_000).0, 200_000);
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
    assert_eq!(held(1_000_000, r#","stream":true"#), (64_000, 16_384));
    assert_eq!(held(100, r#","stream":true"#), (100, 100));
    let fallback = format!(r#","fallbacks":[{{"model":"{SMALL}","max_tokens":500}}]"#);
    assert_eq!(held(100, &fallback), (500, 500));
    assert_eq!(held(900, &fallback), (900, 900));
}

#[test]
fn the_factors_of_place_and_speed_are_held() {
    let amount = |fields: &str| quoted(&request(LARGE, fields)).amount(100_000).unwrap().as_nanos();
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
        let plain = quoted(&request(SMALL, &format!(r#""other":[{tool}]"#)));
        let quote = quoted(&request(SMALL, &format!(r#""tools":[{tool}]"#)));
        let tokens = quote.input_tokens - plain.input_tokens;
        (quote.web_searches, quote.web_searches_allowed, quote.server_tool_uses, tokens)
    };
    let unlimited = r#"{"type":"web_search_20250305","name":"s"}"#;
    assert_eq!(counts(unlimited), (10, 1000, 1000, 10 * 20_000));
    let limited = r#"{"type":"web_search_20250305","name":"s","max_uses":3}"#;
    assert_eq!(counts(limited), (3, 3, 3, 3 * 20_000));
    let fetch = r#"{"type":"web_fetch_20250910","name":"f","max_uses":2}"#;
    assert_eq!(counts(fetch), (0, 0, 2, 2 * 100_000));
    assert_eq!(counts(r#"{"type":"bash_20250124","name":"b"}"#), (0, 0, 0, 0));
}
