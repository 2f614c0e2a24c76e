//! Text by classes of bytes. How many tokens a text makes depends more on what it is than on how long it is: English
//! has four to six bytes in a token, JSON two, base64 and digits hardly more than one, an emoji's four bytes two tokens.
//! Counted in one pass; nothing of the text is kept.

use serde::{Deserialize, Serialize};

/// A run of letters and digits without a blank or mark is no word from here on: the longest words and most identifiers
/// are shorter, while base64 and hexadecimal are longer.
const DENSE_RUN_BYTES: u64 = 48;

/// Bytes of a text, each in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCounts {
    /// Letters of words, and blanks.
    pub words: u64,
    /// Digits, marks, and capitals inside a word.
    pub symbols: u64,
    /// Long runs without a break: base64, hexadecimal.
    pub dense: u64,
    /// Everything beyond ASCII.
    pub other: u64,
}

/// Thousandths of a byte in a token, by class. Each is above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesPerToken {
    /// Of [`ByteCounts::words`].
    pub words: u64,
    /// Of [`ByteCounts::symbols`].
    pub symbols: u64,
    /// Of [`ByteCounts::dense`].
    pub dense: u64,
    /// Of [`ByteCounts::other`].
    pub other: u64,
}

impl BytesPerToken {
    /// What a hold may rely on whatever the text: no byte makes more than a token, and letters two bytes each.
    pub const SAFE: Self = Self { words: 2_000, symbols: 1_000, dense: 1_000, other: 1_000 };

    /// What an answer's text has on average, with so many thousandths of a byte in a token of prose.
    #[must_use]
    pub const fn typical(words: u64) -> Self {
        Self { words, symbols: 2_000, dense: 1_500, other: 2_000 }
    }

    const fn by_class(&self) -> [u64; 4] {
        [self.words, self.symbols, self.dense, self.other]
    }
}

impl ByteCounts {
    /// The classes of a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut counter = ByteCounter::default();
        counter.feed(text);
        counter.counts()
    }

    /// All bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.words
            .saturating_add(self.symbols)
            .saturating_add(self.dense)
            .saturating_add(self.other)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            words: self.words.saturating_add(other.words),
            symbols: self.symbols.saturating_add(other.symbols),
            dense: self.dense.saturating_add(other.dense),
            other: self.other.saturating_add(other.other),
        }
    }

    /// Without so many bytes of encoded data, which no model reads as text.
    #[must_use]
    pub const fn without_encoded(&self, bytes: u64) -> Self {
        Self { dense: self.dense.saturating_sub(bytes), ..*self }
    }

    /// The count of each class.
    #[must_use]
    pub const fn by_class(&self) -> [u64; 4] {
        [self.words, self.symbols, self.dense, self.other]
    }

    /// The same mixture in so many bytes.
    #[must_use]
    pub fn scaled_to(&self, bytes: u64) -> Self {
        let total = u128::from(self.total().max(1));
        let share = |count: u64| {
            let scaled = u128::from(count).saturating_mul(u128::from(bytes)) / total;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        let (symbols, dense) = (share(self.symbols), share(self.dense));
        let other = share(self.other);
        let words = bytes.saturating_sub(symbols).saturating_sub(dense).saturating_sub(other);
        Self { words, symbols, dense, other }
    }

    /// Tokens that these bytes make, rounded up once.
    #[must_use]
    pub fn tokens(&self, figures: &BytesPerToken) -> u64 {
        // In thousandths of a token until the sum is made.
        let milli = self
            .by_class()
            .into_iter()
            .zip(figures.by_class())
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, per_token)| bytes.saturating_mul(1_000_000).div_ceil(per_token.max(1)))
            .fold(0_u64, u64::saturating_add);
        milli.div_ceil(1_000)
    }
}

/// Counts a text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteCounter {
    done: ByteCounts,
    /// The run that the last byte belongs to: its words and symbols.
    run_words: u64,
    run_symbols: u64,
}

/// What a byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    /// A digit, or one of the marks of base64: part of a run.
    Digit,
    Blank,
    Mark,
    Other,
}

const KINDS: [Kind; 256] = kinds();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Other; 256];
    let (mut byte, mut at) = (0_u8, 0_usize);
    while byte < 128 {
        kinds[at] = match byte {
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' | b'+' | b'/' | b'=' => Kind::Digit,
            b' ' | b'\n' | b'\t' | b'\r' => Kind::Blank,
            _ => Kind::Mark,
        };
        (byte, at) = (byte + 1, at + 1);
    }
    kinds
}

impl ByteCounter {
    /// Reads on.
    pub fn feed(&mut self, text: &[u8]) {
        for byte in text {
            let kind = KINDS.get(usize::from(*byte)).copied().unwrap_or(Kind::Other);
            match kind {
                Kind::Lower => self.run_words = self.run_words.saturating_add(1),
                // The first letter of a word may be a capital.
                Kind::Upper if self.run_words == 0 && self.run_symbols == 0 => self.run_words = 1,
                Kind::Upper | Kind::Digit => self.run_symbols = self.run_symbols.saturating_add(1),
                Kind::Blank => {
                    self.end_run();
                    self.done.words = self.done.words.saturating_add(1);
                }
                Kind::Mark => {
                    self.end_run();
                    self.done.symbols = self.done.symbols.saturating_add(1);
                }
                Kind::Other => {
                    self.end_run();
                    self.done.other = self.done.other.saturating_add(1);
                }
            }
        }
    }

    const fn end_run(&mut self) {
        self.done = self.counts();
        (self.run_words, self.run_symbols) = (0, 0);
    }

    /// What has been read, the run at its end included.
    #[must_use]
    pub const fn counts(&self) -> ByteCounts {
        let (words, symbols) = (self.run_words, self.run_symbols);
        let run = words.saturating_add(symbols);
        let run = if run >= DENSE_RUN_BYTES {
            ByteCounts { words: 0, symbols: 0, dense: run, other: 0 }
        } else {
            ByteCounts { words, symbols, dense: 0, other: 0 }
        };
        self.done.plus(&run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(words: u64, symbols: u64, dense: u64, other: u64) -> ByteCounts {
        ByteCounts { words, symbols, dense, other }
    }

    #[test]
    fn each_byte_has_one_class() {
        let dense = "Q2FuYXJ5".repeat(8);
        let long_word = "x".repeat(48);
        for (text, expected) in [
            ("", counts(0, 0, 0, 0)),
            ("Plain words and\na new line", counts(26, 0, 0, 0)),
            ("2026-11-29", counts(0, 10, 0, 0)),
            (r#"{"a":1}"#, counts(1, 6, 0, 0)),
            ("camelCase XMLHttp", counts(13, 4, 0, 0)),
            ("é漢", counts(0, 0, 0, 5)),
            (&dense, counts(0, 0, 64, 0)),
            (&long_word, counts(0, 0, 48, 0)),
            (&long_word[..47], counts(47, 0, 0, 0)),
            ("a/b+c=", counts(3, 3, 0, 0)),
        ] {
            assert_eq!(ByteCounts::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn tokens_are_rounded_up_once() {
        let figures = BytesPerToken { words: 3_500, symbols: 2_000, dense: 1_500, other: 2_000 };
        assert_eq!(counts(0, 0, 0, 0).tokens(&figures), 0);
        assert_eq!(counts(1, 0, 0, 0).tokens(&figures), 1);
        assert_eq!(counts(35, 20, 15, 20).tokens(&figures), 10 + 10 + 10 + 10);
        assert_eq!(counts(1, 1, 0, 0).tokens(&figures), 1, "0.286 and 0.5");
        assert!(counts(u64::MAX, 0, 0, 0).tokens(&BytesPerToken::SAFE) > 1 << 42);
        let odd = BytesPerToken { words: 0, symbols: 0, dense: 0, other: 0 };
        assert_eq!(counts(1, 0, 0, 0).tokens(&odd), 1_000);
    }

    proptest! {
        #[test]
        fn any_split_counts_the_same_and_every_byte_once(
            text in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(0_usize..400, 0..6),
        ) {
            let whole = ByteCounts::of(&text);
            prop_assert_eq!(whole.total(), u64::try_from(text.len()).unwrap());
            let mut counter = ByteCounter::default();
            let mut from = 0;
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            for cut in cuts {
                counter.feed(&text[from..cut]);
                from = cut;
            }
            prop_assert_eq!(counter.counts(), whole);
        }

        #[test]
        fn the_safe_figures_are_never_below_what_any_others_say(
            bytes in proptest::collection::vec(0_u64..1_000_000, 4),
            figures in proptest::collection::vec(2_000_u64..9_000, 4),
        ) {
            let counts = counts(bytes[0], bytes[1], bytes[2], bytes[3]);
            let others = BytesPerToken {
                words: figures[0],
                symbols: figures[1],
                dense: figures[2],
                other: figures[3],
            };
            prop_assert!(counts.tokens(&others) <= counts.tokens(&BytesPerToken::SAFE));
        }
    }
}
