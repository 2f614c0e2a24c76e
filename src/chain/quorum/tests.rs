//! Who agrees with whom, case by case.

use super::*;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{BlockHash, EvmAddress};

/// Answers in one word: a letter is what a provider says, a dash that it says nothing.
fn said(word: &str) -> Vec<ProviderAnswer<char>> {
    let answer = |letter| if letter == '-' { Err(ProviderError::Timeout) } else { Ok(letter) };
    word.chars().enumerate().map(|(n, letter)| (n.to_string().into(), answer(letter))).collect()
}

/// What is agreed on, and who dissents.
fn outcome(word: &str, quorum: usize) -> String {
    let QuorumResult { agreement, dissenting, silent } = agree(said(word), quorum, |_, _| "letter");
    assert_eq!(silent.len(), word.matches('-').count());
    let agreement = match agreement {
        Agreement::Agreed(letter) => letter.to_string(),
        Agreement::TooFew { answered, needed } => format!("{answered}/{needed}"),
        Agreement::Disagree { what } => what.to_owned(),
    };
    format!("{agreement} {}", dissenting.concat())
}

#[test]
fn as_many_as_needed_must_say_the_same() {
    for (word, quorum, expected) in [
        ("a", 1, "a "),
        ("aa", 2, "a "),
        ("aaa", 2, "a "),
        ("aab", 2, "a 2"),
        ("baa", 2, "a 0"),
        ("a-a", 2, "a "),
        ("a-b", 2, "letter 02"),
        ("ab", 2, "letter 01"),
        ("abc", 2, "letter 012"),
        ("a-", 2, "1/2 "),
        ("--", 2, "0/2 "),
        ("", 2, "0/2 "),
        ("aab", 3, "letter 012"),
        ("aa-", 3, "2/3 "),
        ("ab-", 3, "2/3 1"),
        // Two camps that are both large enough: nobody knows who lies.
        ("aabb", 2, "letter 0123"),
        ("aaabb", 2, "letter 01234"),
        ("aaabb", 3, "a 34"),
        ("ab", 1, "letter 01"),
        // A quorum of none is one.
        ("", 0, "0/1 "),
        ("a", 0, "a "),
    ] {
        assert_eq!(outcome(word, quorum), expected, "{word} by {quorum}");
    }
}

fn facts(letter: char) -> TxFacts {
    let hash = u8::try_from(letter).unwrap();
    TxFacts {
        tx_hash: TxHash([1; 32]),
        sender: EvmAddress([2; 20]),
        is_success: true,
        is_status_told: true,
        block_number: 5,
        block_hash: BlockHash([hash; 32]),
        block_time: UnixMillis::from_millis(0),
        transfers: Vec::new(),
        unread_logs_of: Vec::new(),
        is_traced: false,
        is_system: false,
    }
}

/// `U` unknown, `P` pending, other letters are mined in a block of that name.
fn sighted(word: &str, quorum: usize) -> String {
    let sighting = |letter| match letter {
        'U' => TxStatus::Unknown,
        'P' => TxStatus::Pending,
        letter => TxStatus::Mined(facts(letter)),
    };
    let said = said(word).into_iter().map(|(name, answer)| (name, answer.map(sighting)));
    let QuorumResult { agreement, dissenting, .. } = agree_on_sightings(said.collect(), quorum);
    let agreement = match agreement {
        Agreement::Agreed(TxStatus::Unknown) => "unknown".to_owned(),
        Agreement::Agreed(TxStatus::Pending) => "pending".to_owned(),
        Agreement::Agreed(TxStatus::Mined(facts)) => char::from(facts.block_hash.0[0]).to_string(),
        Agreement::TooFew { answered, needed } => format!("{answered}/{needed}"),
        Agreement::Disagree { what } => what.to_owned(),
    };
    format!("{agreement} {}", dissenting.concat())
}

#[test]
fn a_transaction_is_mined_for_enough_unknown_to_all_and_pending_between() {
    for (word, quorum, expected) in [
        ("aa", 2, "a "),
        ("aaU", 2, "a "),
        ("aPa", 2, "a "),
        ("aab", 2, "a 2"),
        ("aU", 2, "pending "),
        ("aP", 2, "pending "),
        ("PU", 2, "pending "),
        ("PP", 2, "pending "),
        ("UU", 2, "unknown "),
        ("UU-", 2, "unknown "),
        ("UUa", 2, "pending "),
        ("UUU", 2, "unknown "),
        ("U-", 2, "1/2 "),
        ("P-", 2, "1/2 "),
        ("a-", 2, "1/2 "),
        ("--", 2, "0/2 "),
        ("ab", 2, "block hash 01"),
        ("abU", 2, "block hash 01"),
        ("aabb", 2, "block hash 0123"),
        ("aa-", 3, "2/3 "),
        ("aaU", 3, "pending "),
    ] {
        assert_eq!(sighted(word, quorum), expected, "{word} by {quorum}");
    }
}

#[test]
fn the_final_height_is_one_that_enough_have_reached() {
    for (told, quorum, expected) in [
        (&[Some(9), Some(7), Some(8)][..], 2, Some(8)),
        (&[Some(9), Some(7), Some(8)], 3, Some(7)),
        // One that is far ahead moves nothing.
        (&[Some(u64::MAX), Some(7)], 2, Some(7)),
        (&[Some(9), None], 2, None),
        (&[Some(9), None], 1, Some(9)),
        (&[], 1, None),
        (&[Some(9)], 0, Some(9)),
    ] {
        assert_eq!(final_height(told, quorum), expected, "{told:?} by {quorum}");
    }
}

#[test]
fn a_status_that_one_does_not_tell_is_confirmed_by_another_or_not_at_all() {
    let untold = |letter| TxFacts { is_status_told: false, ..facts(letter) };
    let failed = |letter| TxFacts { is_success: false, ..facts(letter) };
    let agreed = |all: &[TxFacts]| {
        let said = all.iter().map(|facts| ("p".into(), Ok(TxStatus::Mined(facts.clone()))));
        let verdict = agree_on_sightings(said.collect(), 2);
        (verdict.agreement.agreed().is_some(), verdict.silent.len())
    };
    assert_eq!(agreed(&[facts('a'), untold('a')]), (true, 0));
    assert_eq!(agreed(&[untold('a'), untold('a'), facts('a')]), (true, 0));
    assert_eq!(agreed(&[untold('a'), untold('a')]), (false, 2));
    assert_eq!(agreed(&[untold('a'), untold('a'), facts('b')]), (false, 2));
    assert_eq!(agreed(&[untold('a'), failed('a')]), (false, 1));
}

#[test]
fn the_shape_of_foreign_logs_is_no_difference() {
    let odd = TxFacts { unread_logs_of: vec![EvmAddress([9; 20])], ..facts('a') };
    let said = [odd, facts('a')].map(|facts| ("p".into(), Ok(TxStatus::Mined(facts))));
    assert_eq!(
        agree_on_sightings(said.to_vec(), 2).agreement,
        Agreement::Agreed(TxStatus::Mined(facts('a')))
    );
}
