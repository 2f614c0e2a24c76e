//! Costs against sums made by hand in another way: whole dollars per million, in 128 bits without a
//! sign.

use proptest::prelude::*;

use super::*;
use crate::domain::price_list::tests::{built_in, day};
use crate::domain::usage::{PassKind, TokenCounts, Waiver};

const NOW: &str = "2026-11-22";

fn rates(model: &str) -> Arc<Rates> {
    Arc::clone(built_in("1").rates(model, day(NOW)).unwrap())
}

/// Input, output, written for five minutes, written for an hour, read.
fn tokens(input: u64, output: u64, short: u64, long: u64, read: u64) -> TokenCounts {
    TokenCounts { input, output, cache_write_5m: short, cache_write_1h: long, cache_read: read }
}

fn usage(tokens: TokenCounts) -> Usage {
    Usage { tokens, ..Usage::default() }
}

fn pass(tokens: TokenCounts) -> Pass {
    let (kind, model, waiver) = (PassKind::Answer, None, None);
    Pass { kind, model, tokens, waiver, is_credit_redeemed: false }
}

/// The usage by its plain reading, at one model's rates.
fn plain(rates: &Rates, usage: &Usage) -> Result<Cost, MoneyError> {
    let rates = Arc::new(rates.clone());
    cost(&rates, usage, &[RatedPass { pass: pass(usage.tokens), rates: Arc::clone(&rates) }])
}

fn nanos(rates: &Rates, usage: &Usage) -> i64 {
    plain(rates, usage).unwrap().amount.as_nanos()
}

/// Thousandths of a dollar per million tokens; one token at 1 is a nano-dollar.
fn by_hand(counts: [u128; 5], milli_usd: [u128; 5]) -> i64 {
    let sum: u128 = counts.iter().zip(milli_usd).map(|(count, price)| count * price).sum();
    i64::try_from(sum).unwrap()
}

#[test]
fn costs_equal_sums_made_by_hand() {
    let counts = [1_234, 567, 8_901, 2_345, 67_890];
    let used = usage(tokens(1_234, 567, 8_901, 2_345, 67_890));
    let table: [(&str, [u128; 5]); 6] = [
        ("claude-fable-5-2", [8_000, 40_000, 10_000, 16_000, 200]),
        ("claude-mythos-5-1", [10_000, 50_000, 12_500, 20_000, 250]),
        ("claude-opus-5-5", [4_000, 20_000, 5_000, 8_000, 200]),
        ("claude-opus-4-5-20251101", [5_000, 25_000, 6_250, 10_000, 500]),
        ("claude-sonnet-4-6", [3_000, 15_000, 3_750, 6_000, 300]),
        ("claude-haiku-5-5", [100, 500, 125, 200, 10]),
    ];
    for (model, prices) in table {
        assert_eq!(nanos(&rates(model), &used), by_hand(counts, prices), "{model}");
    }
}

#[test]
fn the_long_prompt_tier_counts_cached_tokens_and_begins_above_its_threshold() {
    let rates = rates("claude-haiku-5-5");
    let at_threshold = usage(tokens(1_000, 10, 20_000, 30_000, 49_000));
    let base = by_hand([1_000, 10, 20_000, 30_000, 49_000], [100, 500, 125, 200, 10]);
    assert_eq!(at_threshold.tokens.prompt(), 100_000);
    assert_eq!(nanos(&rates, &at_threshold), base);
    let above = usage(tokens(1_000, 10, 20_000, 30_000, 49_001));
    let long = by_hand([1_000, 10, 20_000, 30_000, 49_001], [500, 2_500, 625, 1_000, 50]);
    assert_eq!(nanos(&rates, &above), long);
}

#[test]
fn each_pass_has_its_own_tier_and_its_own_model() {
    let (haiku, opus) = (rates("claude-haiku-5-5"), rates("claude-opus-5"));
    let rated =
        |rates: &Arc<Rates>, tokens| RatedPass { pass: pass(tokens), rates: Arc::clone(rates) };
    let passes = [
        rated(&haiku, tokens(60_000, 200, 0, 0, 0)),
        rated(&haiku, tokens(100_001, 100, 0, 0, 0)),
        rated(&opus, tokens(1_000, 100, 0, 0, 0)),
    ];
    let by_hand = 60_000 * 100 + 200 * 500      // base tier
        + 100_001 * 500 + 100 * 2_500           // long tier
        + 1_000 * 5_000 + 100 * 25_000; // another model
    let found = cost(&haiku, &Usage::default(), &passes).unwrap();
    assert_eq!(found.amount, NanoUsd::from_nanos(by_hand));
}

#[test]
fn a_waived_pass_is_free_and_a_redeemed_credit_makes_writes_as_cheap_as_reads() {
    let opus = rates("claude-opus-5-5");
    let counted = tokens(100, 10, 200_000, 1_000, 500);
    let charged = |pass: Pass| {
        let rated = RatedPass { pass, rates: Arc::clone(&opus) };
        cost(&opus, &Usage::default(), &[rated]).unwrap().amount.as_nanos()
    };
    for waiver in [Waiver::Refused, Waiver::Declined] {
        assert_eq!(charged(Pass { waiver: Some(waiver), ..pass(counted) }), 0);
    }
    let redeemed = charged(Pass { is_credit_redeemed: true, ..pass(counted) });
    assert_eq!(redeemed, 100 * 4_000 + 10 * 20_000 + 201_500 * 200);
}

#[test]
fn factors_multiply_tokens_and_leave_searches_alone() {
    let rates = rates("claude-opus-5-5");
    let mut used = usage(tokens(1_000, 100, 0, 0, 0));
    used.web_searches = 3;
    let plain = 1_000 * 4_000 + 100 * 20_000;
    let searches = 3 * 10_000_000;
    assert_eq!(nanos(&rates, &used), plain + searches);
    used.inference_geo = Some("us".to_owned());
    used.speed = Some("fast".to_owned());
    assert_eq!(nanos(&rates, &used), plain * 22 / 10 + searches);
    used.service_tier = Some("batch".to_owned());
    assert_eq!(nanos(&rates, &used), plain * 11 / 10 + searches);
    used.inference_geo = Some("global".to_owned());
    used.speed = Some("standard".to_owned());
    used.service_tier = Some("standard".to_owned());
    assert_eq!(nanos(&rates, &used), plain + searches);
}

#[test]
fn what_has_no_price_counts_once_and_is_told() {
    let used = Usage {
        inference_geo: Some("mars".to_owned()),
        speed: Some("warp".to_owned()),
        service_tier: Some("priority".to_owned()),
        ..usage(tokens(1, 0, 0, 0, 0))
    };
    let found = plain(&rates("claude-opus-5"), &used).unwrap();
    assert_eq!(found.amount, NanoUsd::from_nanos(5_000));
    assert_eq!(found.unpriced, ["inference_geo", "speed", "service_tier"]);
}

#[test]
fn the_markup_applies_to_everything_and_rounding_happens_once() {
    // A third of a nano-dollar for each of three passes is one nano-dollar, not three.
    let list = built_in("0.003333");
    let rates = list.rates("claude-haiku-5-5", day(NOW)).unwrap();
    let one = usage(tokens(1, 0, 0, 0, 0));
    assert_eq!(nanos(rates, &one), 1, "0.3333 of a nano-dollar is rounded up");
    let third = RatedPass { pass: pass(one.tokens), rates: Arc::clone(rates) };
    let three = [third.clone(), third.clone(), third];
    let sum = cost(rates, &Usage::default(), &three).unwrap().amount;
    assert_eq!(sum.as_nanos(), 1, "0.9999 is rounded up once");
    let marked_up = built_in("1.25");
    let rates = marked_up.rates("claude-sonnet-4-6", day(NOW)).unwrap();
    let mut used = usage(tokens(1_001, 7, 0, 0, 0));
    used.web_searches = 1;
    assert_eq!(nanos(rates, &used), (1_001 * 3_000 + 7 * 15_000 + 10_000_000) * 5 / 4);
    let free = built_in("0");
    assert_eq!(nanos(free.rates("claude-opus-5", day(NOW)).unwrap(), &used), 0);
    assert_eq!(nanos(rates, &Usage::default()), 0);
}

#[test]
fn the_dearest_list_with_the_longest_factors_fits_and_nonsense_overflows_politely() {
    let markup: crate::domain::price_list::Markup = "999.999999".parse().unwrap();
    let dear = Rates { markup, ..(*rates("claude-opus-4-6")).clone() };
    let mut used = usage(tokens(1_000, 1_000, 0, 0, 1_000_000));
    used.inference_geo = Some("us".to_owned());
    used.speed = Some("fast".to_owned());
    assert!(plain(&dear, &used).is_ok());
    used.tokens.output = u64::MAX;
    assert_eq!(plain(&dear, &used), Err(MoneyError::Overflow));
}

#[test]
fn the_affordable_output_is_the_most_that_the_funds_cover() {
    let rates = rates("claude-sonnet-4-6");
    let bounds = CostBounds { input_tokens: 57_500, uses_1h_cache: true, ..CostBounds::default() };
    let funds = NanoUsd::from_nanos(1_000_000_000);
    let most = rates.affordable_output(&bounds, funds).unwrap();
    let at = |output_tokens| rates.worst_cost(&CostBounds { output_tokens, ..bounds }).unwrap();
    assert_eq!(most, (1_000_000_000 - 57_500 * 6_000) / 15_000);
    assert!(at(most) <= funds && at(most + 1) > funds);
    assert_eq!(rates.affordable_output(&bounds, NanoUsd::from_nanos(1_000)), None);
    let input_alone = NanoUsd::from_nanos(57_500 * 6_000);
    assert_eq!(rates.affordable_output(&bounds, input_alone), Some(0));
    // What is read from the cache costs a twentieth, and makes a prompt as long.
    let cached = CostBounds { input_tokens: 500, cached_tokens: 57_000, ..bounds };
    let prompt = NanoUsd::from_nanos(500 * 6_000 + 57_000 * 300);
    assert_eq!(rates.worst_cost(&cached), Ok(prompt));
    assert_eq!(rates.affordable_output(&cached, prompt), Some(0));
}

fn any_tokens() -> impl Strategy<Value = TokenCounts> {
    let count = || prop_oneof![0_u64..10, 0_u64..120_000];
    (count(), count(), count(), count(), count())
        .prop_map(|(input, output, short, long, read)| tokens(input, output, short, long, read))
}

fn any_rates() -> impl Strategy<Value = Arc<Rates>> {
    let list = built_in("1.234567");
    let all: Vec<Arc<Rates>> =
        list.models().filter_map(|model| model.rates_at(day(NOW))).map(Arc::clone).collect();
    prop::sample::select(all)
}

proptest! {
    #[test]
    fn more_of_anything_never_costs_less(
        rates in any_rates(), tokens in any_tokens(), searches in 0_u64..5, class in 0..6_usize,
    ) {
        let used = Usage { web_searches: searches, ..usage(tokens) };
        let mut more = used.clone();
        let counts = &mut more.tokens;
        let count = [
            &mut counts.input, &mut counts.output, &mut counts.cache_write_5m,
            &mut counts.cache_write_1h, &mut counts.cache_read, &mut more.web_searches,
        ].into_iter().nth(class).unwrap();
        *count += 1;
        prop_assert!(nanos(&rates, &more) >= nanos(&rates, &used));
    }

    #[test]
    fn the_worst_cost_covers_all_usage_within_its_bounds(
        rates in any_rates(), mut tokens in any_tokens(), searches in 0_u64..5, slack in 0_u64..3,
        uses_5m_cache: bool, uses_1h_cache: bool, is_us: bool, is_fast: bool, is_batch: bool,
    ) {
        if !uses_5m_cache { tokens.cache_write_5m = 0; }
        if !uses_1h_cache { tokens.cache_write_1h = 0; }
        let geo = is_us.then_some("us");
        let speed = is_fast.then_some("fast");
        let bounds = CostBounds {
            input_tokens: tokens.prompt() + slack, cached_tokens: 0,
            output_tokens: tokens.output + slack, web_searches: searches, uses_5m_cache,
                uses_1h_cache, geo, speed,
        };
        let used = Usage {
            web_searches: searches,
            inference_geo: geo.map(str::to_owned),
            speed: speed.map(str::to_owned),
            service_tier: is_batch.then(|| "batch".to_owned()),
            ..usage(tokens)
        };
        prop_assert!(rates.worst_cost(&bounds).unwrap().as_nanos() >= nanos(&rates, &used));
    }
}
