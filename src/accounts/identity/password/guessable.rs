//! Passwords that whoever guesses tries first.

/// The passwords of eight characters and more that most people were found to have, in lower case
/// and in order: one of ten or more that is in either list, and the first 2,000 of eight or nine.
/// From the lists of Django 5.2 (`common-passwords.txt`, collected by Royce Williams, BSD-3-Clause)
/// and of zxcvbn 4.5 (`passwords`, collected by Mark Burnett, MIT), without those that
/// [`is_simple`] knows anyway.
const COMMON: &str = include_str!("common.txt");

/// What people run along: the alphabet, the digits, and the rows of keyboards.
const ROWS: [&str; 7] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
];
/// Different characters of a password at least.
const DIFFERENT_MIN: usize = 5;
/// Characters that are left of it without its owner's address, or the service's name, at least.
const OWN_MIN: usize = 5;
/// Shorter words are in many passwords by chance.
const WORD_MIN: usize = 4;

/// Whether many people have it, however they write it large or small.
pub(super) fn is_common(text: &str) -> bool {
    let text = text.to_lowercase();
    COMMON.lines().any(|common| common == text)
}

/// Whether it repeats a few characters, or is made of runs along [`ROWS`] in either direction.
pub(super) fn is_simple(text: &str) -> bool {
    let letters: Vec<char> = text.to_lowercase().chars().collect();
    let mut different = letters.clone();
    different.sort_unstable();
    different.dedup();
    let pairs = letters.iter().zip(letters.iter().skip(1));
    let breaks = pairs.filter(|(one, next)| !goes_on(**one, **next)).count();
    different.len() < DIFFERENT_MIN || breaks.saturating_mul(5) <= letters.len()
}

fn goes_on(one: char, next: char) -> bool {
    let (forth, back) = (String::from_iter([one, next]), String::from_iter([next, one]));
    one == next || ROWS.iter().any(|row| row.contains(&forth) || row.contains(&back))
}

/// Whether it is an address, a part of one, or another word, with little added.
pub(super) fn is_mostly(text: &str, words: &[&str]) -> bool {
    let text = plain(text);
    words.iter().map(|word| plain(word)).any(|word| {
        let is_in = word.chars().count() >= WORD_MIN && text.contains(&word);
        is_in && text.replace(&word, "").chars().count() < OWN_MIN
    })
}

/// Letters and digits, small.
fn plain(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_small_long_enough_in_order_and_has_none_twice() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!((2_000..5_000).contains(&lines.len()) && COMMON.len() < 50_000);
        assert!(lines.is_sorted_by(|one, next| one < next));
        for line in lines {
            assert!(line.len() >= 8 && line.is_ascii() && line == line.to_lowercase(), "{line}");
            assert!(!is_simple(line), "{line}");
        }
    }

    #[test]
    fn what_many_have_is_known_in_any_case() {
        for text in ["basketball1", "BasketBall1", "1029384756", "q1w2e3r4t5"] {
            assert!(is_common(text), "{text}");
        }
        assert!(!is_common("correct horse 47 battery"));
    }

    #[test]
    fn runs_and_repetitions_are_simple_and_sentences_are_not() {
        let runs =
            ["1234567890", "0987654321", "abcdefghij", "QWERTYuiop", "asdfghjkl123", "poiuytrewq"];
        let repeated =
            ["aaaaaaaaaa", "üüüüüüüüüü", "ababababab", "abcabcabcabc", "1111122222", "          "];
        for text in runs.into_iter().chain(repeated).chain(["12345abcde", "112233445566"]) {
            assert!(is_simple(text), "{text}");
        }
        for text in
            ["ten chars!", "correct horse", "defghost nop quiet", "understudy", "x9!kQ2#pLm"]
        {
            assert!(!is_simple(text), "{text}");
        }
    }

    #[test]
    fn a_name_with_little_added_is_no_secret() {
        let words =
            ["eva.mueller@example.org", "eva.mueller", "example.org", "Light & Power", "eva"];
        for text in [
            "eva.mueller@example.org",
            "EVA.MUELLER@EXAMPLE.ORG",
            "EvaMueller1990",
            "Eva Mueller!!!",
            "light&power1",
            "example.org1",
            "lightpowerlightpower",
        ] {
            assert!(is_mostly(text, &words), "{text}");
        }
        for text in ["eva likes trains", "eva.mueller has a boat", "Power to the people"] {
            assert!(!is_mostly(text, &words), "{text}");
        }
    }
}
