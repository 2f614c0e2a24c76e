//! The search against feeds of every length, with phases, gaps and lies.

use actix_web::rt::System;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chain::fixture::{ScriptedReply, provider};
use crate::chain::quorum::Agreement;
use crate::domain::evm::to_hex;

/// Rounds of each phase, from its first on, as seconds; zero is a round that has not been.
type Phases = Vec<Vec<u64>>;

const FEED: EvmAddress = EvmAddress([0xfe; 20]);
const NOW: UnixMillis = UnixMillis::from_millis(2_000_000_000_000);

fn id(phase: usize, number: usize) -> u128 {
    (u128::try_from(phase).unwrap() << 64) | u128::try_from(number).unwrap()
}

fn words(round_id: u128, seconds: u64) -> Value {
    let word = |value: u128| format!("{value:064x}");
    // The price says which second it is of.
    let price = u128::from(seconds) * 1000;
    let words = [round_id, price, 7, u128::from(seconds), 9].map(word).concat();
    json!(format!("0x{words}"))
}

/// A feed whose phases begin with `first_phase`.
fn feed(phases: Phases, first_phase: usize) -> impl Fn(&RpcCall) -> ScriptedReply + Send + 'static {
    move |call| {
        let data = call.params.pointer("/0/data").and_then(Value::as_str).unwrap();
        if data == to_hex(&types::LATEST_ROUND) {
            let phase = phases.iter().rposition(|rounds| !rounds.is_empty()).unwrap();
            let rounds = &phases[phase];
            return ScriptedReply::Result(words(
                id(phase + first_phase, rounds.len()),
                *rounds.last().unwrap(),
            ));
        }
        let asked = u128::from_str_radix(data.get(10..).unwrap(), 16).unwrap();
        let phase = usize::try_from(asked >> 64).unwrap().checked_sub(first_phase);
        let number = usize::try_from(asked & u128::from(u64::MAX)).unwrap();
        let round = phase.and_then(|phase| phases.get(phase)?.get(number.checked_sub(1)?));
        match round {
            None if asked % 2 == 0 => {
                ScriptedReply::Refusal(3, "execution reverted: No data present")
            }
            None => ScriptedReply::Result(words(asked, 0)),
            Some(&seconds) => ScriptedReply::Result(words(asked, seconds)),
        }
    }
}

/// The round's id and second that is found, and the calls that it took.
fn found(phases: Phases, first_phase: usize, at: u64) -> (Option<(u128, u64)>, usize) {
    System::new().block_on(async {
        let (provider, seen) = provider("one", feed(phases, first_phase));
        let at = UnixMillis::from_millis(i64::try_from(at * 1000).unwrap());
        let verdict = price_at(&[provider], 1, FEED, at, NOW).await;
        let round = verdict.agreement.agreed().unwrap();
        let found =
            round.map(|round| (round.round_id, u64::try_from(round.answer / 1000).unwrap()));
        let calls = seen.lock().unwrap().len();
        (found, calls)
    })
}

#[test]
fn the_latest_round_costs_one_call_and_a_near_one_few() {
    let rounds: Vec<u64> = (1..=1000).map(|n| n * 10).collect();
    assert_eq!(found(vec![rounds.clone()], 1, 10_005), (Some((id(1, 1000), 10_000)), 1));
    let (near, calls) = found(vec![rounds.clone()], 1, 9_965);
    assert_eq!(near, Some((id(1, 996), 9960)));
    assert_eq!(calls, 9);
    assert_eq!(found(vec![rounds], 1, 9).0, None);
}

#[test]
fn far_rounds_and_earlier_phases_are_found_with_a_bounded_number_of_calls() {
    let phase = |first: u64, count: u64| (0..count).map(|n| first + n * 10).collect::<Vec<_>>();
    let phases = vec![phase(10, 40_000), phase(400_100, 60_000), phase(1_000_105, 50_000)];
    for (at, expected) in [
        (1_000_105, Some((id(3, 1), 1_000_105))),
        (1_000_104, Some((id(2, 60_000), 1_000_090))),
        (400_100, Some((id(2, 1), 400_100))),
        (400_099, Some((id(1, 40_000), 400_000))),
        (123_456, Some((id(1, 12_345), 123_450))),
        (10, Some((id(1, 1), 10))),
        (9, None),
    ] {
        let (round, calls) = found(phases.clone(), 1, at);
        assert_eq!(round, expected, "at {at}");
        assert!(calls <= 250, "{calls} calls at {at}");
    }
    // Of older phases nothing is known.
    assert_eq!(found(phases, 1, 9).0, None);
    let four = vec![phase(10, 5), phase(100, 5), phase(200, 5), phase(300, 5)];
    assert_eq!(found(four, 1, 99).0, None);
}

#[test]
fn a_price_that_is_not_positive_or_of_the_future_is_none() {
    System::new().block_on(async {
        let zero = |_: &RpcCall| {
            let word = |value: u64| format!("{value:064x}");
            let negative = "f".repeat(64);
            ScriptedReply::Result(json!(format!(
                "0x{}{negative}{}{}{}",
                word(1),
                word(1),
                word(5),
                word(1)
            )))
        };
        let at = UnixMillis::from_millis(6000);
        let (one, _) = provider("one", zero);
        let verdict = price_at(&[one], 1, FEED, at, NOW).await;
        assert_eq!(verdict.agreement, Agreement::Agreed(None));
        let (early, _) = provider("early", feed(vec![vec![2_000_000_301]], 1));
        let verdict = price_at(&[early], 1, FEED, NOW, NOW).await;
        assert!(matches!(verdict.silent[0].1, ProviderError::Implausible(_)));
    });
}

#[test]
fn providers_that_find_other_rounds_do_not_agree() {
    System::new().block_on(async {
        let (one, _) = provider("one", feed(vec![vec![10, 20, 30]], 1));
        let (two, _) = provider("two", feed(vec![vec![10, 21, 30]], 1));
        let at = UnixMillis::from_millis(25_000);
        let both = [one.clone(), two];
        let verdict = price_at(&both, 2, FEED, at, NOW).await;
        assert_eq!(verdict.agreement, Agreement::Disagree { what: "price of a round" });
        let verdict = price_at(&[one.clone(), one], 2, FEED, at, NOW).await;
        assert!(
            matches!(verdict.agreement, Agreement::Agreed(Some(round)) if round.answer == 20_000)
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_round_in_force_is_found_in_any_feed(
        gaps in prop::collection::vec(1_u64..50, 1..400),
        cuts in prop::collection::vec(0_usize..400, 0..3),
        first_phase in 1_usize..5,
        at in 0_u64..12_000,
    ) {
        let times: Vec<u64> = gaps.iter().scan(0, |time,
            gap| { *time += gap; Some(*time) }).collect();
        let last = times.len() - 1;
        let mut cuts: Vec<usize> =
            cuts.into_iter().map(|cut| cut.min(last)).filter(|cut| *cut > 0).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut phases: Phases = Vec::new();
        let mut rest = times.as_slice();
        let mut taken = 0;
        for cut in cuts {
            let (head, tail) = rest.split_at(cut - taken);
            (rest, taken) = (tail, cut);
            phases.push(head.to_vec());
        }
        phases.push(rest.to_vec());
        let expected = phases.iter().enumerate().flat_map(|(phase, rounds)| {
            rounds.iter().enumerate().map(move |(n, time)| (id(phase + first_phase, n + 1), *time))
        }).rfind(|(_, time)| *time <= at);
        prop_assert_eq!(found(phases, first_phase, at).0, expected);
    }
}

proptest! {
    #[test]
    fn no_feed_makes_the_search_long_or_find_what_is_not_there(seed: u64, phase in 0_u64..4,
        at in 0_i64..1000) {
        let (round, calls) = System::new().block_on(async move {
            // Every answer is made up, but always the same for the same question.
            let script = move |call: &RpcCall| {
                let data = call.params.pointer("/0/data").and_then(Value::as_str).unwrap();
                let dice = types::keccak256(format!("{seed}{data}").as_bytes());
                let asked = match data.get(10..) {
                    Some(asked) if !asked.is_empty() => u128::from_str_radix(asked, 16).unwrap(),
                    _ => (u128::from(phase) << 64) | u128::from(u32::from_be_bytes([dice[1],
                        dice[2], dice[3], dice[4]])),
                };
                match dice[0] {
                    0..20 => ScriptedReply::Refusal(3, "execution reverted"),
                    20..30 => ScriptedReply::Result(json!("0x")),
                    _ => ScriptedReply::Result(words(asked, u64::from(dice[5]) * 4)),
                }
            };
            let (provider, seen) = provider("one", script);
            let at = UnixMillis::from_millis(at * 1000);
            let verdict = price_at(&[provider], 1, FEED, at, NOW).await;
            let round = verdict.agreement.agreed().flatten();
            let calls = seen.lock().unwrap().len();
            (round, calls)
        });
        prop_assert!(calls <= 600, "{} calls", calls);
        let now = UnixMillis::from_millis(at * 1000);
        prop_assert!(round.is_none_or(|round| round.updated_at <= now));
    }
}
