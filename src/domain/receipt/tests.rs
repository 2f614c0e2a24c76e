//! Receipts against the cost itself: whatever was used, lines and rounding are what was charged.

use proptest::prelude::*;

use super::*;
use crate::domain::cost::cost;
use crate::domain::price_list::tests::{built_in, day};
use crate::domain::usage::Iteration;

const MODELS: [&str; 4] =
    ["claude-haiku-5-5", "claude-sonnet-4-6", "claude-opus-5", "claude-fable-5-2"];

fn used(counts: [u64; 5], searches: u64, words: (usize, usize, usize)) -> Usage {
    let word = |list: [Option<&str>; 3], at: usize| list[at].map(str::to_owned);
    Usage {
        tokens: TokenCounts {
            input: counts[0],
            output: counts[1],
            cache_write_5m: counts[2],
            cache_write_1h: counts[3],
            cache_read: counts[4],
        },
        web_searches: searches,
        inference_geo: word([None, Some("us"), Some("global")], words.0),
        speed: word([None, Some("fast"), Some("standard")], words.1),
        service_tier: word([None, Some("batch"), Some("priority")], words.2),
        ..Usage::default()
    }
}

proptest! {
    #[test]
    fn lines_and_rounding_are_what_was_charged(
        counts: [u32; 5],
        searches in 0..50_u64,
        words in (0..3_usize, 0..3_usize, 0..3_usize),
        model in 0..MODELS.len(),
        markup in prop_oneof![Just("1"), Just("1.234567"), Just("0.000001"), Just("0")],
    ) {
        let list = built_in(markup);
        let rates = list.rates(MODELS[model], day("2026-11-22")).unwrap();
        let usage = used(counts.map(u64::from), searches, words);
        let charged = cost(rates, &usage, &|_| None).unwrap().amount;
        let receipt = itemise(rates, &usage, charged).unwrap().expect("it explains itself");
        let sum: i128 = receipt.lines.iter().map(|line| line.amount.0).sum();
        prop_assert_eq!(sum + receipt.rounding.0, i128::from(charged.as_nanos()) * UNITS_PER_NANO);
        prop_assert_eq!(receipt.lines.len(), counts.iter().filter(|count| **count > 0).count() + usize::from(searches > 0));
        // A nano-dollar more or less is not what these counts come to.
        let other = NanoUsd::from_nanos(charged.as_nanos() + 1);
        prop_assert_eq!(itemise(rates, &usage, other).unwrap(), None);
    }
}

#[test]
fn a_line_reads_as_count_times_price_times_factors() {
    let list = built_in("1.5");
    let rates = list.rates("claude-haiku-5-5", day("2026-11-22")).unwrap();
    let usage = used([1_000, 0, 0, 0, 1], 3, (1, 0, 0));
    let charged = cost(rates, &usage, &|_| None).unwrap().amount;
    let receipt = itemise(rates, &usage, charged).unwrap().unwrap();
    let [input, read, search] = &receipt.lines[..] else { panic!("{receipt:?}") };
    let factor = receipt.factors.first().map(ToString::to_string);
    let geo = rates.geo_multiplier(Some("us")).unwrap().as_thousandths();
    assert_eq!(factor.is_some(), geo != 1_000);
    // 0.10 USD per million with the markup.
    assert_eq!(
        (input.item, input.count, input.price.to_string()),
        (Item::Input, 1_000, "0.15".into())
    );
    assert_eq!(read.price.to_string(), "0.015");
    assert_eq!((search.count, search.per), (3, 1_000));
    let searches = i128::from(rates.web_search_per_1000) * 3 * 15 / 10 / 1_000 * UNITS_PER_NANO;
    assert_eq!(search.amount, ExactUsd(searches));
}

#[test]
fn passes_at_short_prices_are_explained_together_and_those_at_other_prices_are_not() {
    let list = built_in("1");
    let rates = |model| list.rates(model, day("2026-11-22")).unwrap();
    let haiku = rates("claude-haiku-5-5");
    let pass = TokenCounts { input: 90_000, ..TokenCounts::default() };
    let of = |model: Option<&str>| Usage {
        tokens: pass.clone(),
        iterations: vec![Iteration { model: model.map(str::to_owned), tokens: pass.clone() }],
        ..Usage::default()
    };
    // As the row has it.
    let summed =
        Usage { tokens: TokenCounts { input: 180_000, ..pass.clone() }, ..Usage::default() };
    let own = cost(haiku, &of(None), &|_| None).unwrap().amount;
    let receipt = itemise(haiku, &summed, own).unwrap().unwrap();
    assert!(!receipt.is_long_prompt);
    assert!(receipt.rounding.is_zero());
    let lookup = |name: &str| list.rates(name, day("2026-11-22")).cloned();
    let other = cost(haiku, &of(Some("claude-opus-5")), &lookup).unwrap().amount;
    assert_eq!(itemise(haiku, &summed, other).unwrap(), None);
    let long = cost(haiku, &summed, &|_| None).unwrap().amount;
    assert!(itemise(haiku, &summed, long).unwrap().unwrap().is_long_prompt);
}

#[test]
fn exact_dollars_print_every_digit_that_counts() {
    let shown = |units| ExactUsd(units).to_string();
    assert_eq!(shown(0), "0.00");
    assert_eq!(shown(UNITS_PER_NANO * 1_500_000_000), "1.50");
    assert_eq!(shown(1), format!("0.{}1", "0".repeat(29)));
    assert_eq!(shown(-UNITS_PER_NANO / 4), "-0.00000000025");
}
