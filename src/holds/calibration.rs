//! The token estimate: how many tokens the text of a model's prompts really makes, learned from the
//! counts of the last answers.
//!
//! One ratio for each class of bytes: counted tokens beside the safe estimate. A sample counts for
//! a class by the share that the class has in it, and the last fifty or so decide. Until enough is
//! known, the safe figure counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::byte_counts::{ByteCounts, CLASSES, TokenFigures};

/// Sums fade by this much with each sample, in thousandths.
const FADE_MILLI: u64 = 980;
/// Samples that a class must have before its ratio counts, in thousandths: a tenth of the bytes of
/// five prompts is half a sample. What is held is all that hangs on it.
const ENOUGH_MILLI: u64 = 500;
/// Likely is a little above the average, in thousandths.
const MARGIN_MILLI: u64 = 1_100;
/// No text has been seen below this ratio to the safe estimate, in thousandths.
const RATIO_MIN_MILLI: u64 = 200;

/// See the module.
#[derive(Debug, Default)]
pub struct Calibrations {
    models: Mutex<HashMap<String, [Ratio; CLASSES]>>,
}

/// Sums over samples, weighted by the class's share; in thousandths.
#[derive(Clone, Copy, Debug, Default)]
struct Ratio {
    weight: u64,
    weighted: u64,
}

impl Ratio {
    /// The ratio in thousandths: 1,000 until enough is known, never above.
    const fn milli(self) -> u64 {
        if self.weight < ENOUGH_MILLI {
            return 1_000;
        }
        let average = self.weighted.saturating_mul(1_000) / self.weight;
        let likely = average.saturating_mul(MARGIN_MILLI) / 1_000;
        if likely > 1_000 {
            1_000
        } else if likely < RATIO_MIN_MILLI {
            RATIO_MIN_MILLI
        } else {
            likely
        }
    }
}

impl Calibrations {
    /// Tokens that a prompt of `model_id` likely makes, at most what the safe figures say.
    #[must_use]
    pub fn tokens(&self, model_id: &str, counts: &ByteCounts, safe: &TokenFigures) -> u64 {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ratios) = models.get(model_id) else { return counts.tokens(safe) };
        let milli = by_class(counts, safe)
            .into_iter()
            .zip(ratios)
            .map(|(tokens, ratio)| tokens.saturating_mul(ratio.milli()))
            .fold(0_u64, u64::saturating_add);
        milli.div_ceil(1_000).min(counts.tokens(safe))
    }

    /// Learns that these bytes were counted as so many tokens.
    pub fn learn(&self, model_id: &str, counts: &ByteCounts, tokens: u64, safe: &TokenFigures) {
        let classes = by_class(counts, safe);
        let all = classes.iter().fold(0_u64, |sum, class| sum.saturating_add(*class)).max(1);
        let ratio = (tokens.saturating_mul(1_000) / all).min(2_000);
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let ratios = models.entry(model_id.to_owned()).or_default();
        for (class, known) in classes.into_iter().zip(ratios) {
            let weight = class.saturating_mul(1_000) / all;
            let fade = |sum: u64| sum.saturating_mul(FADE_MILLI) / 1_000;
            known.weight = fade(known.weight).saturating_add(weight);
            known.weighted =
                fade(known.weighted).saturating_add(weight.saturating_mul(ratio) / 1_000);
        }
    }
}

/// Tokens of each class by the safe figures.
fn by_class(counts: &ByteCounts, safe: &TokenFigures) -> [u64; CLASSES] {
    let mut place = 0_usize;
    counts.by_class().map(|count| {
        let mut alone = [0; CLASSES];
        if let Some(slot) = alone.get_mut(place) {
            *slot = count;
        }
        place = place.saturating_add(1);
        ByteCounts::from_classes(alone).tokens(safe)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAFE: TokenFigures = TokenFigures::SAFE;

    fn text(words: u64, symbols: u64) -> ByteCounts {
        ByteCounts { words, symbols, ..ByteCounts::default() }
    }

    #[test]
    fn until_enough_is_known_the_safe_figure_counts() {
        let known = Calibrations::default();
        let prompt = text(8_000, 1_000);
        assert_eq!(known.tokens("m", &prompt, &SAFE), 5_000);
        known.learn("m", &prompt, 2_500, &SAFE);
        // One sample is enough for the letters, which are four fifths of it, and not for the
        // symbols.
        assert_eq!(known.tokens("m", &prompt, &SAFE), 3_200);
        for _ in 0..20 {
            known.learn("m", &prompt, 2_500, &SAFE);
        }
        let likely = known.tokens("m", &prompt, &SAFE);
        assert!((2_700..=2_750).contains(&likely), "a tenth above the average: {likely}");
        assert_eq!(known.tokens("other", &prompt, &SAFE), 5_000);
        // Nothing is known of other classes.
        let dense = ByteCounts { dense: 100, ..ByteCounts::default() };
        assert_eq!(known.tokens("m", &dense, &SAFE), 100);
    }

    #[test]
    fn what_changes_is_followed() {
        let known = Calibrations::default();
        let prompt = text(100_000, 0);
        for _ in 0..100 {
            known.learn("m", &prompt, 20_000, &SAFE);
        }
        assert!((21_500..=22_000).contains(&known.tokens("m", &prompt, &SAFE)));
        for _ in 0..300 {
            known.learn("m", &prompt, 40_000, &SAFE);
        }
        assert!((43_000..=44_000).contains(&known.tokens("m", &prompt, &SAFE)));
    }

    proptest! {
        #[test]
        fn whatever_was_learned_the_estimate_is_never_above_the_safe_one_nor_far_below(
            samples in proptest::collection::vec((0_u64..9_000, 0_u64..9_000, 0_u64..20_000),
                0..80),
            words in 0_u64..100_000,
            symbols in 0_u64..100_000,
        ) {
            let known = Calibrations::default();
            for (words, symbols, tokens) in samples {
                known.learn("m", &text(words, symbols), tokens, &SAFE);
            }
            let prompt = text(words, symbols);
            let (likely, most) = (known.tokens("m", &prompt, &SAFE), prompt.tokens(&SAFE));
            prop_assert!(likely <= most);
            prop_assert!(likely >= most * RATIO_MIN_MILLI / 1_000);
        }
    }
}
