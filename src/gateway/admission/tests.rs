//! What a request is admitted under, one of its properties at a time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::config::{LoadPurpose, Sources, load_for};
use crate::domain::messages_request::parse;
use crate::domain::money::NanoUsd;
use crate::domain::price_list::tests::day;

/// 200,000 tokens of context, answers of 64,000.
const SMALL: &str = "claude-haiku-4-5";
/// A million and 128,000; has factors for a place and a speed.
const LARGE: &str = "claude-opus-5";

fn admitted(body: &str) -> Result<Quote, ApiError> {
    admitted_by(body, &Sources::default(), "2026-11-22")
}

fn admitted_by(body: &str, sources: &Sources, today: &str) -> Result<Quote, ApiError> {
    let purpose = if sources.env.is_empty() { LoadPurpose::Command } else { LoadPurpose::Serve };
    let settings = load_for(sources, purpose).unwrap();
    let request = parse(body.as_bytes(), &settings.requests.bounds()).unwrap();
    quote(&request, &settings, day(today))
}

/// Settings with an upstream that serves these models, and further variables.
fn serving(models: &str, more: &[(&str, &str)]) -> Sources {
    let upstream = [
        ("SLUICE__UPSTREAMS__0__NAME", "a"),
        ("SLUICE__UPSTREAMS__0__BASE_URL", "https://api.example.com"),
        ("SLUICE__UPSTREAMS__0__CREDENTIAL", "x"),
        ("SLUICE__UPSTREAMS__0__SERVES", models),
        ("SLUICE__SITE__SUPPORT_EMAIL", "help@example.org"),
    ];
    let env = upstream.iter().chain(more);
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { file: None, env }
}

fn quoted(body: &str) -> Quote {
    admitted(body).ok().expect("an admission")
}

/// What a quote holds for so much output and no prompt.
fn held(mut quote: Quote, output: u64) -> NanoUsd {
    quote.prompt = PromptEstimate::default();
    quote.likely_cost(output).unwrap()
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
        quote.set_prompt(PromptEstimate { most, likely, cached, ..PromptEstimate::default() });
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
    assert_eq!(held(1_000_000, r#","stream":true"#), (64_000, 3_072));
    assert_eq!(held(100, r#","stream":true"#), (100, 100));
    let fallback = format!(r#","fallbacks":[{{"model":"{SMALL}","max_tokens":500}}]"#);
    assert_eq!(held(100, &fallback), (500, 500));
    assert_eq!(held(900, &fallback), (900, 900));
}

#[test]
fn the_factors_of_place_and_speed_are_held() {
    let amount = |fields: &str| held(quoted(&request(LARGE, fields)), 100_000).as_nanos();
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

#[test]
fn what_the_upstream_may_pick_is_held_at_the_dearest_that_it_serves() {
    let body = request(SMALL, r#""fallbacks":"default""#);
    let amount = |models: &str| {
        let quote = admitted_by(&body, &serving(models, &[]), "2026-11-22").ok().unwrap();
        assert_eq!(quote.model_ids, [SMALL], "nobody asked for the others by name");
        let quote_context = quote.ceilings.context;
        (held(quote, 1_000), quote_context)
    };
    let alone = held(quoted(&request(SMALL, r#""x":1"#)), 1_000);
    let (same, context) = amount(SMALL);
    assert!(same.as_nanos() - alone.as_nanos() < 100_000 && context == 200_000);
    let (dearer, context) = amount("claude-haiku-4-5,claude-opus-5");
    assert!(dearer.as_nanos() > alone.as_nanos() * 49 / 10 && context == 1_000_000);
    let (dearest, _) = amount("");
    assert!(dearest.as_nanos() > alone.as_nanos() * 98 / 10);
}

#[test]
fn a_speed_need_not_be_known_of_models_that_nobody_names() {
    let body = request(LARGE, r#""fallbacks":"default","speed":"fast""#);
    assert!(admitted_by(&body, &serving("", &[]), "2026-11-22").is_ok());
}

#[test]
fn the_speed_of_a_fallback_is_held_even_if_the_request_asks_for_none() {
    let amount = |fields: &str| held(quoted(&request(LARGE, fields)), 100_000).as_nanos();
    let with = |speed: &str| format!(r#""fallbacks":[{{"model":"{LARGE}","speed":"{speed}"}}]"#);
    let (plain, fast) = (amount(&with("standard")), amount(&with("fast")));
    assert!((fast - plain * 2).abs() < plain / 1_000, "{plain}, {fast}");
    let both = format!(r#""speed":"standard",{}"#, with("fast"));
    assert!((amount(&both) - fast).abs() < plain / 1_000);
}

#[test]
fn tools_that_cost_nothing_but_run_upstream_may_read_the_prompt_again() {
    let turns =
        |tool: &str| quoted(&request(SMALL, &format!(r#""tools":[{tool}]"#))).ceilings.turns;
    assert_eq!(turns(r#"{"type":"tool_search_tool_bm25_20251119","name":"t"}"#), 11);
    assert_eq!(turns(&format!(r#"{{"type":"advisor_1","model":"{LARGE}","max_uses":2}}"#)), 3);
    for kind in ["bash_20250124", "browser_toolset_20260801", "custom"] {
        assert_eq!(turns(&format!(r#"{{"type":"{kind}","name":"t"}}"#)), 1, "{kind}");
    }
}

#[test]
fn a_request_for_no_output_holds_none() {
    let body = format!(r#"{{"model":"{SMALL}","max_tokens":0,"messages":[]}}"#);
    let quote = quoted(&body);
    assert_eq!((quote.max_output, quote.reserved_output), (0, 0));
}

#[test]
fn fast_prices_are_those_of_the_catalogue_in_every_class() {
    // Cents per million tokens: input, output, written for 5 minutes and 1 hour, read.
    let fast = [
        ("claude-fable-5-2", [1_600, 8_000, 2_000, 3_200, 40]),
        ("claude-mythos-5-2", [1_600, 8_000, 2_000, 3_200, 40]),
        ("claude-opus-5-5", [800, 4_000, 1_000, 1_600, 40]),
        ("claude-opus-5", [1_000, 5_000, 1_250, 2_000, 100]),
        ("claude-opus-4-8", [1_000, 5_000, 1_250, 2_000, 100]),
        ("claude-opus-4-7", [3_000, 15_000, 3_750, 6_000, 300]),
        ("claude-opus-4-6", [3_000, 15_000, 3_750, 6_000, 300]),
    ];
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    for model in settings.prices.models() {
        let rates = model.rates_at(day("2026-11-29")).unwrap();
        let id = model.id.as_str();
        let Some((_, cents)) = fast.iter().find(|(known, _)| *known == id) else {
            assert!(rates.speed_multiplier(Some("fast")).is_none(), "{id}");
            continue;
        };
        let base = rates.base;
        let classes =
            [base.input, base.output, base.cache_write_5m, base.cache_write_1h, base.cache_read];
        let factor = i64::from(rates.speed_multiplier(Some("fast")).unwrap().as_thousandths());
        let found = classes.map(|nanos| nanos * factor / 1_000 / 10_000_000);
        assert_eq!(&found, cents, "{id}");
    }
}

#[test]
fn a_model_is_refused_from_the_day_after_its_last_with_that_day_and_its_successor() {
    let named = request(SMALL, r#""fallbacks":[{"model":"claude-sonnet-4-5-20250929"}]"#);
    for body in [request("claude-sonnet-4-5", r#""x":1"#), named] {
        assert!(admitted_by(&body, &Sources::default(), "2026-11-30").is_ok());
        let error = admitted_by(&body, &Sources::default(), "2026-12-01").err().unwrap();
        assert_eq!((error.status, &*error.kind), (404, "not_found_error"));
        let words = "model: claude-sonnet-4-5 is no longer available; its last day was 2026-11-30. \
                     Use claude-sonnet-5-5 instead";
        assert_eq!(error.message, words);
    }
    // Nor may the upstream be thought to pick it, and what was admitted before is priced still.
    let body = request(SMALL, r#""fallbacks":"default""#);
    let sources = || serving("claude-haiku-4-5,claude-sonnet-4-5", &[]);
    let count = |today| admitted_by(&body, &sources(), today).ok().unwrap().candidates.len();
    assert_eq!((count("2026-11-30"), count("2026-12-01")), (3, 2));
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    assert!(settings.prices.rates("claude-sonnet-4-5", day("2026-12-02")).is_some());
}

#[test]
fn a_model_without_a_successor_names_none() {
    let sources = serving("", &[("SLUICE__MODELS__CLAUDE-HAIKU-4-5__RETIRES_AT", "2026-11-01")]);
    let error = admitted_by(&request(SMALL, r#""x":1"#), &sources, "2026-11-22").err().unwrap();
    let words = "model: claude-haiku-4-5 is no longer available; its last day was 2026-11-01";
    assert_eq!(error.message, words);
}

#[test]
fn a_conversation_held_upstream_is_refused_by_the_code_that_clients_act_on() {
    for value in [r#"{"type":"create"}"#, r#"{"type":"continue","previous_message_id":"m"}"#, "5"] {
        let error = admitted(&request(SMALL, &format!(r#""thread":{value}"#))).err().unwrap();
        assert_eq!(error.status, 400);
        let code = error.details.as_ref().and_then(|details| details["error_code"].as_str());
        assert_eq!(code, Some("thread_unsupported_request"));
        assert!(error.message.contains("workspace") && !error.message.contains("price"));
    }
    assert!(admitted(&request(SMALL, r#""thread":null"#)).is_ok());
}

#[test]
fn models_are_looked_at_once_however_often_they_are_named() {
    let tools = format!(r#"{{"type":"advisor_1","model":"{LARGE}"}},"#).repeat(4_096);
    let fallbacks = format!(r#"{{"model":"{LARGE}","speed":"fast"}},"#).repeat(16);
    let fields = format!(
        r#""tools":[{}],"fallbacks":[{}]"#,
        tools.trim_end_matches(','),
        fallbacks.trim_end_matches(',')
    );
    let quote = quoted(&request(LARGE, &fields));
    assert_eq!((quote.candidates.len(), quote.model_ids.len()), (1, 1));
}

/// What this thread has worked so far, however busy the machine is.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// The shortest of some runs: whatever else the machine does makes runs longer only.
fn shortest(body: &str) -> Duration {
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    let run = || {
        let begin = busy();
        let request = parse(body.as_bytes(), &settings.requests.bounds()).unwrap();
        assert!(quote(&request, &settings, day("2026-11-22")).is_ok());
        busy().saturating_sub(begin)
    };
    (0..5).map(|_| run()).min().unwrap()
}

#[test]
fn eight_times_as_much_of_anything_takes_about_eight_times_as_long() {
    let list = |piece: &str, count: usize| piece.repeat(count).trim_end_matches(',').to_owned();
    let text = |size: usize| {
        let words = "word ".repeat(size * 500);
        request(LARGE, &format!(r#""messages":[{{"role":"user","content":"{words}"}}]"#))
    };
    let blocks = |size: usize| {
        let blocks = list(r#"{"type":"text","text":"a"},"#, size * 40);
        request(LARGE, &format!(r#""messages":[{{"role":"user","content":[{blocks}]}}]"#))
    };
    let tools = |size: usize| {
        let one = format!(r#"{{"type":"advisor_1","model":"{LARGE}","Name":1}},"#);
        request(LARGE, &format!(r#""tools":[{}]"#, list(&one, size)))
    };
    let names = |size: usize| {
        let fields: Vec<String> =
            (0..size / 17).map(|number| format!(r#","x{number}":[]"#)).collect();
        request(LARGE, &format!(r#""x":1{}"#, fields.concat()))
    };
    let kinds: [&dyn Fn(usize) -> String; 4] = [&text, &blocks, &tools, &names];
    for (number, kind) in kinds.iter().enumerate() {
        let (part, whole) = (shortest(&kind(512)), shortest(&kind(4_096)));
        // Squares would make it 64 times as long.
        let most = part * 24 + Duration::from_millis(20);
        assert!(whole < most, "kind {number}: {part:?}, then {whole:?}");
    }
}
