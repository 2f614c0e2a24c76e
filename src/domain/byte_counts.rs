//! Text by classes of bytes. How many tokens a text makes depends more on what it is than on how
//! long it is: English has four to six bytes in a token, JSON two, base64 and digits hardly more
//! than one, an emoji's four bytes two tokens. Counted in one pass; nothing of the text is kept.

use serde::{Deserialize, Serialize};

/// A run of letters and digits is no word from here on, nor a stretch without a blank prose: the
/// longest words and most identifiers are shorter, while base64, hexadecimal and JSON without
/// spaces are longer.
const LONG_BYTES: u64 = 48;

/// How many classes there are.
pub const CLASSES: usize = 7;

/// Bytes of a text, each in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCounts {
    /// Letters of words, and blanks.
    pub words: u64,
    /// The marks of JSON.
    pub marks: u64,
    /// Digits, other marks, and capitals inside a word.
    pub symbols: u64,
    /// Letters in a long stretch without a blank, as in JSON without spaces.
    pub packed: u64,
    /// Long runs of small letters without a break.
    pub runs: u64,
    /// Long runs with digits or capitals in them: base64, hexadecimal.
    pub dense: u64,
    /// Everything beyond ASCII.
    pub other: u64,
}

/// Thousandths of a byte in a token, by class. Each is above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFigures {
    /// Of [`ByteCounts::words`].
    pub words: u64,
    /// Of [`ByteCounts::marks`].
    pub marks: u64,
    /// Of [`ByteCounts::symbols`].
    pub symbols: u64,
    /// Of [`ByteCounts::packed`].
    pub packed: u64,
    /// Of [`ByteCounts::runs`].
    pub runs: u64,
    /// Of [`ByteCounts::dense`].
    pub dense: u64,
    /// Of [`ByteCounts::other`].
    pub other: u64,
}

impl TokenFigures {
    /// What a hold may rely on whatever the text: no byte makes more than a token, and letters of
    /// words half of one.
    pub const SAFE: Self = Self {
        words: 2_000,
        marks: 1_000,
        symbols: 1_000,
        packed: 1_000,
        runs: 1_000,
        dense: 1_000,
        other: 1_000,
    };

    /// What an answer's text has on average, with so many thousandths of a byte in a token of
    /// prose.
    #[must_use]
    pub const fn typical(words: u64) -> Self {
        Self {
            words,
            marks: 2_000,
            symbols: 2_000,
            packed: words,
            runs: words,
            dense: 1_500,
            other: 2_000,
        }
    }

    const fn by_class(&self) -> [u64; CLASSES] {
        [self.words, self.marks, self.symbols, self.packed, self.runs, self.dense, self.other]
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
            .saturating_add(self.marks)
            .saturating_add(self.symbols)
            .saturating_add(self.packed)
            .saturating_add(self.runs)
            .saturating_add(self.dense)
            .saturating_add(self.other)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            words: self.words.saturating_add(other.words),
            marks: self.marks.saturating_add(other.marks),
            symbols: self.symbols.saturating_add(other.symbols),
            packed: self.packed.saturating_add(other.packed),
            runs: self.runs.saturating_add(other.runs),
            dense: self.dense.saturating_add(other.dense),
            other: self.other.saturating_add(other.other),
        }
    }

    /// Bytes that are no prose and no JSON: what they make, no count of somebody else's is trusted
    /// to lower.
    #[must_use]
    pub const fn unusual(&self) -> u64 {
        self.symbols.saturating_add(self.runs).saturating_add(self.dense).saturating_add(self.other)
    }

    /// Without so many bytes of encoded data, which no model reads as text.
    #[must_use]
    pub const fn without_encoded(&self, bytes: u64) -> Self {
        Self { dense: self.dense.saturating_sub(bytes), ..*self }
    }

    /// The count of each class.
    #[must_use]
    pub const fn by_class(&self) -> [u64; CLASSES] {
        [self.words, self.marks, self.symbols, self.packed, self.runs, self.dense, self.other]
    }

    /// The counts of the classes, in the order of [`ByteCounts::by_class`].
    #[must_use]
    pub const fn from_classes(classes: [u64; CLASSES]) -> Self {
        let [words, marks, symbols, packed, runs, dense, other] = classes;
        Self { words, marks, symbols, packed, runs, dense, other }
    }

    /// The same mixture in so many bytes.
    #[must_use]
    pub fn scaled_to(&self, bytes: u64) -> Self {
        let total = u128::from(self.total().max(1));
        let share = |count: u64| {
            let scaled = u128::from(count).saturating_mul(u128::from(bytes)) / total;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        let mut scaled = Self::from_classes(self.by_class().map(share));
        scaled.words = scaled.words.saturating_add(bytes.saturating_sub(scaled.total()));
        scaled
    }

    /// Tokens that these bytes make, rounded up once: for what has to be covered.
    #[must_use]
    pub fn tokens(&self, figures: &TokenFigures) -> u64 {
        self.milli_tokens(figures).div_ceil(1_000)
    }

    /// The same rounded down: for what is charged.
    #[must_use]
    pub fn whole_tokens(&self, figures: &TokenFigures) -> u64 {
        self.milli_tokens(figures) / 1_000
    }

    /// In thousandths of a token, so that nothing is rounded before the sum is made.
    fn milli_tokens(&self, figures: &TokenFigures) -> u64 {
        self.by_class()
            .into_iter()
            .zip(figures.by_class())
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, per_token)| bytes.saturating_mul(1_000_000) / per_token.max(1))
            .fold(0_u64, u64::saturating_add)
    }
}

/// Counts a text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteCounter {
    done: ByteCounts,
    /// The run that the last byte belongs to: its words and symbols.
    run_words: u64,
    run_symbols: u64,
    /// The stretch without a blank that it belongs to: bytes before the run, and letters of words
    /// among them.
    stretch: u64,
    stretch_words: u64,
    stretch_symbols: u64,
}

/// What a byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteKind {
    Lower,
    Upper,
    /// A digit, or one of the marks of base64: part of a run.
    Digit,
    Blank,
    /// A mark of JSON.
    Json,
    Mark,
    Other,
}

const KINDS: [ByteKind; 256] = kinds();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn kinds() -> [ByteKind; 256] {
    let mut kinds = [ByteKind::Other; 256];
    let (mut byte, mut at) = (0_u8, 0_usize);
    while byte < 128 {
        kinds[at] = match byte {
            b'a'..=b'z' => ByteKind::Lower,
            b'A'..=b'Z' => ByteKind::Upper,
            b'0'..=b'9' | b'+' | b'/' | b'=' => ByteKind::Digit,
            b' ' | b'\n' | b'\t' | b'\r' => ByteKind::Blank,
            b'"' | b'{' | b'}' | b'[' | b']' | b':' | b',' | b'\\' => ByteKind::Json,
            _ => ByteKind::Mark,
        };
        (byte, at) = (byte + 1, at + 1);
    }
    kinds
}

impl ByteCounter {
    /// Reads on.
    pub fn feed(&mut self, text: &[u8]) {
        for byte in text {
            let kind = KINDS.get(usize::from(*byte)).copied().unwrap_or(ByteKind::Other);
            match kind {
                ByteKind::Lower => self.run_words = self.run_words.saturating_add(1),
                // The first letter of a word may be a capital.
                ByteKind::Upper if self.run_words == 0 && self.run_symbols == 0 => {
                    self.run_words = 1;
                }
                ByteKind::Upper | ByteKind::Digit => {
                    self.run_symbols = self.run_symbols.saturating_add(1);
                }
                ByteKind::Blank => {
                    self.end_stretch();
                    self.done.words = self.done.words.saturating_add(1);
                }
                ByteKind::Json => {
                    self.end_run();
                    self.done.marks = self.done.marks.saturating_add(1);
                    self.stretch = self.stretch.saturating_add(1);
                }
                ByteKind::Mark => {
                    self.end_run();
                    self.done.symbols = self.done.symbols.saturating_add(1);
                    self.stretch = self.stretch.saturating_add(1);
                    self.stretch_symbols = self.stretch_symbols.saturating_add(1);
                }
                ByteKind::Other => {
                    self.end_stretch();
                    self.done.other = self.done.other.saturating_add(1);
                }
            }
        }
    }

    const fn end_run(&mut self) {
        let run = self.run();
        self.stretch = self.stretch.saturating_add(run.total());
        self.stretch_words = self.stretch_words.saturating_add(run.words);
        self.stretch_symbols = self.stretch_symbols.saturating_add(run.symbols);
        self.done = self.done.plus(&ByteCounts { words: 0, ..run });
        (self.run_words, self.run_symbols) = (0, 0);
    }

    const fn end_stretch(&mut self) {
        self.done = self.counts();
        (self.run_words, self.run_symbols) = (0, 0);
        (self.stretch, self.stretch_words, self.stretch_symbols) = (0, 0, 0);
    }

    /// The run that the last byte belongs to.
    const fn run(&self) -> ByteCounts {
        let (words, symbols) = (self.run_words, self.run_symbols);
        let all = words.saturating_add(symbols);
        let [words, symbols, runs, dense] = match (all >= LONG_BYTES, symbols) {
            (false, _) => [words, symbols, 0, 0],
            (true, 0) => [0, 0, all, 0],
            (true, _) => [0, 0, 0, all],
        };
        ByteCounts::from_classes([words, 0, symbols, 0, runs, dense, 0])
    }

    /// What has been read, the stretch at its end included.
    #[must_use]
    pub const fn counts(&self) -> ByteCounts {
        let run = self.run();
        let letters = self.stretch_words.saturating_add(run.words);
        let stretch = self.stretch.saturating_add(run.total());
        let symbols = self.stretch_symbols.saturating_add(run.symbols);
        // More than a quarter of digits and odd marks is no JSON.
        let (words, packed, dense) = match (stretch >= LONG_BYTES, symbols > stretch / 4) {
            (false, _) => (letters, 0, run.dense),
            (true, false) => (0, letters, run.dense),
            (true, true) => (0, 0, run.dense.saturating_add(letters)),
        };
        self.done.plus(&ByteCounts { words, packed, dense, ..run })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn counts(classes: [u64; CLASSES]) -> ByteCounts {
        ByteCounts::from_classes(classes)
    }

    #[test]
    fn each_byte_has_one_class() {
        let dense = "Q2FuYXJ5".repeat(8);
        let (run, shorter) = ("x".repeat(48), "x".repeat(47));
        let json = r#"{"a_key":"of some words","and_another":"without","blanks":true,"x":1}"#;
        let odd = "00a1f7Q!".repeat(10);
        for (text, expected) in [
            ("", counts([0, 0, 0, 0, 0, 0, 0])),
            ("Plain words and\na new line", counts([26, 0, 0, 0, 0, 0, 0])),
            ("2026-11-29", counts([0, 0, 10, 0, 0, 0, 0])),
            (r#"{"a":1}"#, counts([1, 5, 1, 0, 0, 0, 0])),
            ("camelCase XMLHttp", counts([13, 0, 4, 0, 0, 0, 0])),
            ("é漢", counts([0, 0, 0, 0, 0, 0, 5])),
            (&dense, counts([0, 0, 0, 0, 0, 64, 0])),
            (&run, counts([0, 0, 0, 0, 48, 0, 0])),
            (&shorter, counts([47, 0, 0, 0, 0, 0, 0])),
            ("a/b+c=", counts([3, 0, 3, 0, 0, 0, 0])),
            (json, counts([12, 21, 3, 33, 0, 0, 0])),
            (&odd, counts([0, 0, 60, 0, 0, 20, 0])),
        ] {
            assert_eq!(ByteCounts::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn tokens_are_rounded_once_up_for_a_hold_and_down_for_a_charge() {
        let figures = TokenFigures::typical(3_500);
        let tokens = |classes| {
            let counts = counts(classes);
            (counts.whole_tokens(&figures), counts.tokens(&figures))
        };
        assert_eq!(tokens([0; CLASSES]), (0, 0));
        assert_eq!(tokens([1, 0, 0, 0, 0, 0, 0]), (0, 1));
        assert_eq!(tokens([35, 20, 20, 35, 35, 15, 20]), (70, 70));
        assert_eq!(tokens([1, 1, 0, 0, 0, 0, 0]), (0, 1), "0.286 and 0.5");
        assert_eq!(tokens([7, 3, 0, 0, 0, 0, 0]), (3, 4));
        assert!(counts([u64::MAX, 0, 0, 0, 0, 0, 0]).tokens(&TokenFigures::SAFE) > 1 << 42);
        let odd = TokenFigures { words: 0, ..TokenFigures::SAFE };
        assert_eq!(counts([1, 0, 0, 0, 0, 0, 0]).tokens(&odd), 1_000);
    }

    #[test]
    fn a_mixture_keeps_its_shares_when_it_is_scaled() {
        let mixed = counts([10, 20, 20, 10, 10, 20, 10]);
        assert_eq!(mixed.scaled_to(1_000), counts([100, 200, 200, 100, 100, 200, 100]));
        assert_eq!(counts([1, 1, 1, 0, 0, 0, 0]).scaled_to(100).total(), 100);
        assert_eq!(counts([0; CLASSES]).scaled_to(5), counts([5, 0, 0, 0, 0, 0, 0]));
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
            bytes: [u32; CLASSES],
            figures in proptest::array::uniform7(2_000_u64..9_000),
        ) {
            let counts = counts(bytes.map(u64::from));
            let [words, marks, symbols, packed, runs, dense, other] = figures;
            let others = TokenFigures { words, marks, symbols, packed, runs, dense, other };
            prop_assert!(counts.tokens(&others) <= counts.tokens(&TokenFigures::SAFE));
        }
    }
}
