//! What a quote makes of funds and of usage: each case of a bill with where it comes from and what
//! is right, and that no report costs more than the dearest consistent reading of it.

mod cases;

use proptest::prelude::*;

use super::*;
use crate::domain::meter::{Meter, read_json_answer};
use crate::domain::price_list::tests::{built_in, day};
use crate::domain::usage::TokenCounts;
use cases::{Asked, CASES, Case, plain};

/// 5 and 25 dollars per million; 200,000 tokens of context, answers of 64,000.
pub(crate) const DEAR: &str = "claude-opus-4-5";
/// 1 and 5 dollars per million, of the same size.
pub(crate) const CHEAP: &str = "claude-haiku-4-5";

/// Of a request to the first of these models that may read 1000 tokens.
pub(crate) fn quote(models: &[&str]) -> Quote {
    let prices = built_in("1");
    let at = day("2026-11-22");
    let candidates: Vec<Arc<Rates>> =
        models.iter().map(|name| Arc::clone(prices.rates(name, at).unwrap())).collect();
    let model = Arc::clone(prices.find(models[0]).unwrap());
    Quote {
        ceilings: Ceilings {
            context: model.context_tokens,
            output: 100,
            turns: 1,
            attempts: u64::try_from(models.len() - 1).unwrap(),
            extras: 1,
            web_searches: 0,
        },
        model,
        rates: Arc::clone(&candidates[0]),
        prices,
        at,
        candidates,
        model_ids: models.iter().map(|&name| name.to_owned()).collect(),
        prompt: PromptEstimate::exactly(1000),
        tool_tokens: 0,
        web_searches: 0,
        more_passes: 0,
        uses_5m_cache: false,
        uses_1h_cache: false,
        geo: None,
        speed: None,
        reserved_output: 100,
        max_output: 100,
    }
}

pub(crate) fn usage(input: u64, output: u64) -> Usage {
    Usage { tokens: TokenCounts { input, output, ..TokenCounts::default() }, ..Usage::default() }
}

#[test]
fn a_prompt_that_may_be_read_again_is_at_risk_each_time() {
    let plain = quote(&[CHEAP]);
    let prompt = PromptEstimate { most: 5_000, ..plain.prompt };
    let once = Quote { prompt, web_searches: 3, ..plain.clone() };
    let often = Quote { more_passes: 10, ..once.clone() };
    let nanos = |amount: Result<NanoUsd, MoneyError>| amount.unwrap().as_nanos();
    assert_eq!(nanos(often.likely_cost(100)), nanos(once.likely_cost(100)));
    // The prompt as it likely is, without the searches.
    let again = nanos(plain.worst_cost(0));
    assert_eq!(nanos(often.worst_cost(100)), nanos(once.worst_cost(100)) + 10 * again);
}

#[test]
fn the_dearest_candidate_counts_wherever_it_stands() {
    for models in [[DEAR, CHEAP], [CHEAP, DEAR]] {
        let quote = quote(&models);
        let amount = NanoUsd::from_nanos(1000 * 5_000 + 100 * 25_000);
        assert_eq!(quote.likely_cost(100), Ok(amount), "{models:?}");
        assert_eq!(quote.worst_cost(100), Ok(amount), "{models:?}");
        assert_eq!(quote.affordable_output(amount), Some(100), "{models:?}");
        assert_eq!(quote.covered_output(amount), 100);
    }
}

#[test]
fn an_offer_of_no_output_is_none() {
    let quote = quote(&[CHEAP]);
    let affordable = |nanos| quote.affordable_output(NanoUsd::from_nanos(nanos));
    assert_eq!(affordable(1000 * 1_000 - 1), None);
    assert_eq!(affordable(1000 * 1_000), None);
    assert_eq!(affordable(1000 * 1_000 + 4_999), None);
    assert_eq!(affordable(1000 * 1_000 + 5_000), Some(1));
    assert_eq!(quote.covered_output(NanoUsd::from_nanos(10)), 0);
    assert_eq!(quote.covered_output(NanoUsd::from_nanos(1_000_000_000)), 100);
}

#[test]
fn a_known_beginning_is_likely_read_and_may_at_most_be_written() {
    let mut quote = quote(&[CHEAP]);
    quote.uses_5m_cache = true;
    quote.prompt =
        PromptEstimate { most: 3_000, likely: 100, cached: 2_000, ..PromptEstimate::default() };
    assert_eq!(quote.likely_cost(0), Ok(NanoUsd::from_nanos(100 * 1_250 + 2_000 * 100)));
    assert_eq!(quote.worst_cost(0), Ok(NanoUsd::from_nanos(3_000 * 1_250)));
    // Counted, it is what it is, and what is cached stays so.
    let counted = PromptEstimate { most: 2_100, likely: 100, ..quote.prompt };
    assert_eq!(quote.prompt.counted(2_100), counted);
    assert_eq!(quote.prompt.counted(1_500).likely_total(), 1_500);
    quote.prompt.unusual = 5_000;
    assert_eq!(
        quote.prompt.counted(1_500).most,
        3_500,
        "what is cached was counted when it was sent"
    );
    quote.prompt.most = 0;
    assert_eq!(quote.worst_cost(0), quote.likely_cost(0), "never below what is likely");
}

#[test]
fn once_the_prompt_is_counted_its_exact_price_and_a_slice_are_held() {
    let mut quote = quote(&[CHEAP]);
    let counted = usage(200, 1);
    assert_eq!(quote.counted_cost(&counted, 50), Ok(NanoUsd::from_nanos(200 * 1_000 + 50 * 5_000)));
    // What searches may add is held beside it.
    (quote.tool_tokens, quote.web_searches) = (300, 2);
    let tools = 300 * 1_000 + 2 * 10_000_000;
    let expected = NanoUsd::from_nanos(200 * 1_000 + 50 * 5_000 + tools);
    assert_eq!(quote.counted_cost(&counted, 50), Ok(expected));
}

#[test]
fn only_a_model_that_is_named_and_has_no_price_is_told() {
    let quote = quote(&[CHEAP]);
    let price = |served: Option<&str>| {
        let served_model = served.map(str::to_owned);
        let priced = quote.price(&Usage { served_model, ..usage(10, 1) });
        assert!(!priced.is_bounded);
        (priced.amount.as_nanos(), priced.alerts.len())
    };
    assert_eq!(price(None), (15_000, 0));
    assert_eq!(price(Some(CHEAP)), (15_000, 0));
    assert_eq!(price(Some(DEAR)), (75_000, 0));
    assert_eq!(price(Some("nobody")), (15_000, 1));
}

fn quote_of(asked: &Asked) -> Quote {
    let mut quote = quote(asked.models);
    (quote.max_output, quote.ceilings.output) = (asked.max_output, asked.max_output);
    quote.ceilings.context = if asked.models == ["claude-haiku-4-5"] { 200_000 } else { 1_000_000 };
    (quote.ceilings.turns, quote.ceilings.web_searches) = (asked.turns, asked.searches);
    quote
}

/// The stream that reports this: a start with the first usage, a delta with each other.
fn streamed(case: &Case) -> Usage {
    let mut meter = Meter::new(1 << 20);
    let (reason, has_content) = case.stop;
    let one_line = |report: &str| report.replace('\n', " ");
    let (first, others) = case.reports.split_first().unwrap();
    let model = case.asked.models[0];
    meter.feed(
        format!(
            "data: \
             {{\"type\":\"message_start\",\"message\":{{\"model\":\"{model}\",\"usage\":{}}}}}\n\n",
            one_line(first)
        )
        .as_bytes(),
    );
    if has_content {
        let delta = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\
            \"text\":\"a\"}}\n\n";
        meter.feed(delta.as_bytes());
    }
    for report in others.iter().chain([others.last().unwrap_or(first)]) {
        let event = format!(
            "data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}},\
             \"usage\":{}}}\n\n",
            one_line(report)
        );
        meter.feed(event.as_bytes());
    }
    meter.reported()
}

/// The JSON answer that reports the last of it.
fn whole(case: &Case) -> Usage {
    let (reason, has_content) = case.stop;
    let content = if has_content { r#"[{"type":"text","text":"a"}]"# } else { "[]" };
    let body = format!(
        r#"{{"model":"{}","content":{content},"stop_reason":"{reason}","usage":{}}}"#,
        case.asked.models[0],
        case.reports.last().unwrap()
    );
    read_json_answer(body.as_bytes()).unwrap().usage
}

#[test]
fn each_case_has_its_right_bill() {
    for case in CASES {
        let quote = quote_of(&case.asked);
        let priced = quote.price(&streamed(case));
        assert_eq!(priced.amount.as_nanos(), case.bill, "streamed: {}", case.source);
        assert_eq!(priced.is_bounded, case.is_bounded, "{}", case.source);
        // One document has its last word only.
        if case.reports.len() == 1 {
            let priced = quote.price(&whole(case));
            assert_eq!(priced.amount.as_nanos(), case.bill, "as JSON: {}", case.source);
        }
    }
}

#[test]
fn a_pass_of_a_model_that_was_not_admitted_is_billed_as_the_one_that_served_and_told() {
    let quote = quote(&[CHEAP]);
    let advisor = |model: &str| {
        let report = format!(
            r#"{{"usage":{{"input_tokens":1,"output_tokens":0,
                "iterations":[{{"type":"advisor_message","model":"{model}",
                "input_tokens":10}}]}}}}"#
        );
        let priced = quote.price(&read_json_answer(report.as_bytes()).unwrap().usage);
        (priced.amount.as_nanos(), priced.alerts)
    };
    assert_eq!(advisor(CHEAP), (11_000, vec![]));
    assert_eq!(advisor(DEAR), (11_000, vec![FOREIGN_MODEL]));
    assert_eq!(advisor("nobody"), (11_000, vec![FOREIGN_MODEL]));
}

#[test]
fn a_pass_of_the_model_that_served_is_no_foreign_one_though_nobody_asked_for_that_model() {
    let report = format!(
        r#"{{"model":"{DEAR}","usage":{{"input_tokens":1,"output_tokens":0,
            "iterations":[{{"type":"compaction","model":"{DEAR}","input_tokens":10}}]}}}}"#
    );
    let priced = quote(&[CHEAP]).price(&read_json_answer(report.as_bytes()).unwrap().usage);
    assert_eq!((priced.amount.as_nanos(), priced.alerts), (55_000, vec![]));
}

/// A usage object with any of its parts.
fn any_report() -> impl Strategy<Value = serde_json::Value> {
    let count = || prop_oneof![Just(None), (0_u64..2_000).prop_map(Some)];
    let split = prop_oneof![Just(None), (0_u64..2_000, 0_u64..2_000).prop_map(Some)];
    (count(), count(), count(), count(), split).prop_map(|(input, output, written, read, split)| {
        let mut usage = serde_json::Map::new();
        let mut put = |name: &str, count: Option<u64>| {
            if let Some(count) = count {
                usage.insert(name.to_owned(), count.into());
            }
        };
        put("input_tokens", input);
        put("output_tokens", output);
        put("cache_creation_input_tokens", written);
        put("cache_read_input_tokens", read);
        if let Some((short, long)) = split {
            let split = serde_json::json!({
                "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long,
            });
            usage.insert("cache_creation".to_owned(), split);
        }
        usage.into()
    })
}

/// The largest count of a field in any report.
fn largest(reports: &[serde_json::Value], pointer: &str) -> u64 {
    let counts = reports.iter().filter_map(|report| report.pointer(pointer)?.as_u64());
    counts.max().unwrap_or(0)
}

proptest! {
    #[test]
    fn no_order_of_reports_costs_more_than_the_dearest_consistent_reading(
        reports in proptest::collection::vec(any_report(), 1..6),
        cut in 1_usize..80,
    ) {
        let events: Vec<String> = reports.iter().enumerate().map(|(index, report)| match index {
            0 => format!("data: \
                {{\"type\":\"message_start\",\"message\":{{\"usage\":{report}}}}}\n\n"),
            _ => format!("data: {{\"type\":\"message_delta\",\"delta\":{{}},\"usage\":{report}}}\n\
                \n"),
        }).collect();
        let stream = events.concat();
        let read = |size: usize| {
            let mut meter = Meter::new(1 << 20);
            stream.as_bytes().chunks(size).for_each(|piece| meter.feed(piece));
            meter.reported()
        };
        let usage = read(stream.len());
        prop_assert_eq!(&usage, &read(cut), "any split of the bytes");
        let tokens = usage.tokens;
        let split = |report: &serde_json::Value| {
            let split = report.get("cache_creation")?.as_object()?;
            Some(split.values().filter_map(serde_json::Value::as_u64).sum::<u64>())
        };
        let splits = reports.iter().filter_map(split).max().unwrap_or(0);
        let written = largest(&reports, "/cache_creation_input_tokens").max(splits);
        prop_assert!(tokens.cache_write_5m + tokens.cache_write_1h <= written);
        prop_assert!(tokens.input <= largest(&reports, "/input_tokens"));
        prop_assert!(tokens.cache_read <= largest(&reports, "/cache_read_input_tokens"));
        prop_assert_eq!(tokens.output, largest(&reports, "/output_tokens"));
        let quote = quote_of(&plain(&["claude-opus-5-5"]));
        let most = largest(&reports, "/input_tokens") * 4_000
            + written * 8_000
            + largest(&reports, "/cache_read_input_tokens") * 200
            + tokens.output * 20_000;
        let charged = quote.price(&usage).amount.as_nanos();
        prop_assert!(charged <= i64::try_from(most).unwrap(), "{charged} of {most}");
    }

    #[test]
    fn no_list_of_passes_costs_more_than_model_and_request_allow(
        entries in proptest::collection::vec((0_usize..5, 0_u64..1 << 40, 0_u64..1 << 40), 0..40),
        top in (0_u64..1 << 40, 0_u64..1 << 40),
        turns in 1_u64..5,
    ) {
        let kinds = ["message", "fallback_message", "compaction", "advisor_message", "other"];
        let list: Vec<serde_json::Value> = entries.iter().map(|&(kind, input, output)| {
            serde_json::json!({ "type": kinds[kind], "model": DEAR, "input_tokens": input,
                "output_tokens": output })
        }).collect();
        let body = serde_json::json!({
            "model": CHEAP,
            "usage": { "input_tokens": top.0, "output_tokens": top.1, "iterations": list },
        });
        let mut quote = quote(&[CHEAP]);
        quote.ceilings.turns = turns;
        let usage = read_json_answer(body.to_string().as_bytes()).unwrap().usage;
        let priced = quote.price(&usage);
        let Ceilings { context, output, turns, attempts, extras, .. } = quote.ceilings;
        let passes = turns + attempts + extras;
        // The served model may be the dear one: an upstream's fallback says so.
        let most = passes * (context * 5_000 + output * 25_000);
        prop_assert!(priced.amount.as_nanos() <= i64::try_from(most).unwrap());
        let counted = priced.passes.iter().fold(TokenCounts::default(), |sum,
            pass| sum.plus(&pass.tokens));
        prop_assert!(counted.prompt() <= passes * context && counted.output <= passes * output);
    }
}
