//! The passes that a report stands for, and what is cut from them.

use super::*;

fn tokens(input: u64, output: u64) -> TokenCounts {
    TokenCounts { input, output, ..TokenCounts::default() }
}

#[test]
fn what_is_beyond_a_limit_is_cut_from_the_cheapest_class_first() {
    let all = TokenCounts {
        input: 10,
        output: 50,
        cache_write_5m: 20,
        cache_write_1h: 30,
        cache_read: 40,
    };
    assert_eq!(all.within(100, 50), all);
    let cut = all.within(55, 49);
    let expected = TokenCounts { input: 5, output: 49, cache_read: 0, ..all };
    assert_eq!(cut, expected);
    assert_eq!(all.within(10, 0).cache_write_1h, 10);
    assert_eq!(all.within(10, 0).prompt(), 10);
}

#[test]
fn every_kind_and_waiver_is_stored_under_its_own_name() {
    let kinds = ["answer", "turn", "attempt", "compaction", "advisor"];
    for name in kinds {
        assert_eq!(PassKind::parse(name).map(PassKind::as_str), Some(name));
    }
    for name in ["refused", "declined"] {
        assert_eq!(Waiver::parse(name).map(Waiver::as_str), Some(name));
    }
    assert!(PassKind::parse("x").is_none() && Waiver::parse("").is_none());
}

#[test]
fn a_chain_of_fallbacks_is_what_declined_and_then_the_answer_with_the_turns_that_lead_up_to_it() {
    use PassKind::{Answer, Attempt, Turn};
    let entry =
        |kind, model: &str, tokens| Iteration { kind, model: Some(model.to_owned()), tokens };
    let declined = entry(IterationKind::Message, "a", tokens(10, 5));
    let turn = entry(IterationKind::Message, "b", tokens(10, 3));
    let last = entry(IterationKind::FallbackMessage, "b", tokens(20, 4));
    let alone = vec![last.clone()];
    let two = vec![declined.clone(), last.clone()];
    let three = vec![declined, turn, last];
    for (top, iterations, expected) in [
        // The top level is the answer, with its turns,
        (tokens(20, 4), &two, vec![(Attempt, 10, 5), (Answer, 20, 4)]),
        (tokens(30, 7), &three, vec![(Attempt, 10, 5), (Turn, 10, 3), (Turn, 20, 4)]),
        // or the sum of all,
        (tokens(30, 9), &two, vec![(Attempt, 10, 5), (Answer, 20, 4)]),
        (tokens(40, 12), &three, vec![(Attempt, 10, 5), (Turn, 10, 3), (Turn, 20, 4)]),
        // or neither, and then it counts for the answer.
        (tokens(25, 6), &alone, vec![(Answer, 25, 6)]),
        (tokens(25, 6), &two, vec![(Attempt, 10, 5), (Answer, 25, 6)]),
        (tokens(25, 6), &three, vec![(Attempt, 10, 5), (Answer, 25, 6)]),
    ] {
        let iterations = iterations.clone();
        let usage = Usage { tokens: top, iterations, ..Usage::default() };
        let pass = |pass: &Pass| (pass.kind, pass.tokens.input, pass.tokens.output);
        assert_eq!(usage.passes().iter().map(pass).collect::<Vec<_>>(), expected, "{usage:?}");
    }
}

#[test]
fn an_ordinary_answer_is_one_plain_pass() {
    let usage = Usage { tokens: tokens(10, 2), ..Usage::default() };
    let passes = usage.passes();
    assert!(passes.len() == 1 && passes[0].is_plain());
    let refused = Usage { is_refused: true, ..usage.clone() };
    assert!(!refused.passes()[0].is_plain());
    let redeemed = Usage { is_credit_redeemed: true, ..usage };
    assert!(!redeemed.passes()[0].is_plain());
}

#[test]
fn passes_beyond_the_ceilings_are_cut_and_left_out() {
    let ceilings =
        Ceilings { context: 100, output: 10, turns: 2, attempts: 0, extras: 1, web_searches: 0 };
    let pass =
        |kind, tokens| Pass { kind, model: None, tokens, waiver: None, is_credit_redeemed: false };
    let (bounded, is_whole) = ceilings.bound(vec![pass(PassKind::Answer, tokens(200, 20))]);
    assert!(is_whole, "the sum of two turns");
    assert_eq!(bounded.len(), 1);
    let (bounded, is_whole) = ceilings.bound(vec![
        pass(PassKind::Turn, tokens(101, 10)),
        pass(PassKind::Attempt, tokens(1, 1)),
        pass(PassKind::Compaction, tokens(1, 1)),
        pass(PassKind::Advisor, tokens(1, 1)),
    ]);
    assert!(!is_whole);
    let kinds: Vec<PassKind> = bounded.iter().map(|pass| pass.kind).collect();
    assert_eq!(kinds, [PassKind::Turn, PassKind::Compaction]);
    assert_eq!(bounded[0].tokens, tokens(100, 10));
}
