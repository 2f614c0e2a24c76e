//! Receipts against the cost itself: whatever was used, lines and rounding are what was charged.

use proptest::prelude::*;

use std::sync::Arc;

use super::*;
use crate::domain::cost::cost;
use crate::domain::price_list::tests::{built_in, day};
use crate::domain::usage::PassKind;

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

/// The passes of a usage, all at these rates.
fn rated(rates: &Arc<Rates>, usage: &Usage) -> Vec<RatedPass> {
    let passes = usage.passes().into_iter();
    passes.map(|pass| RatedPass { pass, rates: Arc::clone(rates) }).collect()
}

/// All lines of a receipt.
fn lines(receipt: &Receipt) -> Vec<CostLine> {
    let passes = receipt.passes.iter().flat_map(|pass| &pass.lines);
    passes.chain(&receipt.searches).copied().collect()
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
        let passes = rated(rates, &usage);
        let charged = cost(rates, &usage, &passes).unwrap().amount;
        let receipt = itemise(rates, &usage, &passes,
            charged).unwrap().expect("it explains itself");
        let lines = lines(&receipt);
        let sum: i128 = lines.iter().map(|line| line.amount.0).sum();
        prop_assert_eq!(sum + receipt.rounding.0, i128::from(charged.as_nanos()) * UNITS_PER_NANO);
        prop_assert_eq!(lines.len(),
            counts.iter().filter(|count| **count > 0).count() + usize::from(searches > 0));
        // A nano-dollar more or less is not what these counts come to.
        let other = NanoUsd::from_nanos(charged.as_nanos() + 1);
        prop_assert_eq!(itemise(rates, &usage, &passes, other).unwrap(), None);
    }
}

#[test]
fn a_line_reads_as_count_times_price_times_factors() {
    let list = built_in("1.5");
    let rates = list.rates("claude-haiku-5-5", day("2026-11-22")).unwrap();
    let usage = used([1_000, 0, 0, 0, 1], 3, (1, 0, 0));
    let passes = rated(rates, &usage);
    let charged = cost(rates, &usage, &passes).unwrap().amount;
    let receipt = itemise(rates, &usage, &passes, charged).unwrap().unwrap();
    let [input, read, search] = &lines(&receipt)[..] else { panic!("{receipt:?}") };
    let factor = receipt.factors().first().map(ToString::to_string);
    let geo = rates.geo_multiplier(Some("us")).unwrap().as_thousandths();
    assert_eq!(factor.is_some(), geo != 1_000);
    // 0.10 USD per million with the markup.
    assert_eq!(
        (input.item, input.count, input.price.to_string()),
        (CostItem::Input, 1_000, "0.15".into())
    );
    assert_eq!(read.price.to_string(), "0.015");
    assert_eq!((search.count, search.per), (3, 1_000));
    let searches = i128::from(rates.web_search_per_1000) * 3 * 15 / 10 / 1_000 * UNITS_PER_NANO;
    assert_eq!(search.amount, ExactUsd(searches));
}

#[test]
fn each_pass_is_explained_at_its_own_prices_and_a_free_one_without_lines() {
    let list = built_in("1");
    let rates = |model| list.rates(model, day("2026-11-22")).unwrap();
    let pass = |kind, input, waiver| Pass {
        kind,
        model: None,
        tokens: TokenCounts { input, ..TokenCounts::default() },
        waiver,
        is_credit_redeemed: false,
    };
    let of = |model, pass| RatedPass { pass, rates: Arc::clone(rates(model)) };
    let passes = [
        of("claude-haiku-5-5", pass(PassKind::Turn, 90_000, None)),
        of("claude-haiku-5-5", pass(PassKind::Turn, 100_001, None)),
        of("claude-opus-5", pass(PassKind::Attempt, 50_000, Some(Waiver::Declined))),
        of("claude-opus-5", pass(PassKind::Advisor, 10, None)),
    ];
    let haiku = rates("claude-haiku-5-5");
    let charged = cost(haiku, &Usage::default(), &passes).unwrap().amount;
    assert_eq!(charged.as_nanos(), 90_000 * 100 + 100_001 * 500 + 10 * 5_000);
    let receipt = itemise(haiku, &Usage::default(), &passes, charged).unwrap().unwrap();
    let is_long: Vec<bool> = receipt.passes.iter().map(|pass| pass.is_long_prompt).collect();
    assert_eq!(is_long, [false, true, false, false]);
    let counts: Vec<usize> = receipt.passes.iter().map(|pass| pass.lines.len()).collect();
    assert_eq!(counts, [1, 1, 0, 1]);
    assert!(receipt.rounding.is_zero() && receipt.searches.is_none());
}

#[test]
fn exact_dollars_print_every_digit_that_counts() {
    let shown = |units| ExactUsd(units).to_string();
    assert_eq!(shown(0), "0.00");
    assert_eq!(shown(UNITS_PER_NANO * 1_500_000_000), "1.50");
    assert_eq!(shown(1), format!("0.{}1", "0".repeat(29)));
    assert_eq!(shown(-UNITS_PER_NANO / 4), "-0.00000000025");
}
