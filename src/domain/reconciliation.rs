//! Our sums of tokens of a day beside those that an upstream reports: by model and class, since
//! each class has its own price.

use std::collections::{BTreeMap, BTreeSet};

use super::usage::TokenCounts;

/// Tokens by model.
pub type TokensByModel = BTreeMap<String, TokenCounts>;

/// 100 percent, in thousandths.
const WHOLE: u64 = 100_000;

/// By how much a sum may differ: it has drifted where both are exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Thousandths of a percent of the larger sum.
    pub milli_percent: u64,
    /// Tokens.
    pub tokens: u64,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both say the same, within the tolerance.
    Right,
    /// The report is not there yet, or has less than we have, and may still grow.
    Late,
    /// The report has nothing, and will not come any more.
    Missing,
    /// They differ.
    Drifted,
}

impl Verdict {
    /// As commands and logs name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::Drifted => "drifted",
        }
    }
}

/// A sum that differs by more than the tolerance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDifference {
    /// The priced id of the model, or its name there where it has no price here.
    pub model: String,
    /// `input`, `output`, `cache_write_5m`, `cache_write_1h` or `cache_read`.
    pub class: &'static str,
    /// Our tokens.
    pub ours: u64,
    /// The tokens of the report.
    pub theirs: u64,
}

impl TokenDifference {
    /// Thousandths of a percent of the larger sum.
    #[must_use]
    pub fn milli_percent(&self) -> u64 {
        milli_percent(self.ours, self.theirs)
    }
}

/// A day of an upstream, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What it came to.
    pub verdict: Verdict,
    /// What differs by more than the tolerance, by model.
    pub differences: Vec<TokenDifference>,
}

impl Comparison {
    /// The largest difference in thousandths of a percent; 0 where all are within the tolerance.
    #[must_use]
    pub fn worst_milli_percent(&self) -> u64 {
        self.differences.iter().map(TokenDifference::milli_percent).max().unwrap_or(0)
    }
}

/// Compares. `may_grow` says that the report may not be complete yet.
#[must_use]
pub fn compare(
    ours: &TokensByModel,
    theirs: &TokensByModel,
    tolerance: Tolerance,
    may_grow: bool,
) -> Comparison {
    let models: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let of =
        |side: &TokensByModel, model: &str| classes(&side.get(model).copied().unwrap_or_default());
    let mut differences = Vec::new();
    for model in models {
        for ((class, ours), (_, theirs)) in of(ours, model).into_iter().zip(of(theirs, model)) {
            if exceeds(ours, theirs, tolerance) {
                differences.push(TokenDifference { model: model.clone(), class, ours, theirs });
            }
        }
    }
    let is_empty = theirs.values().all(|counts| *counts == TokenCounts::default());
    let is_less = differences.iter().all(|one| one.theirs < one.ours);
    let verdict = match (differences.is_empty(), may_grow && is_less, is_empty) {
        (true, _, _) => Verdict::Right,
        (false, true, _) => Verdict::Late,
        (false, false, true) => Verdict::Missing,
        (false, false, false) => Verdict::Drifted,
    };
    Comparison { verdict, differences }
}

const fn classes(counts: &TokenCounts) -> [(&'static str, u64); 5] {
    [
        ("input", counts.input),
        ("output", counts.output),
        ("cache_write_5m", counts.cache_write_5m),
        ("cache_write_1h", counts.cache_write_1h),
        ("cache_read", counts.cache_read),
    ]
}

fn exceeds(one: u64, other: u64, tolerance: Tolerance) -> bool {
    one.abs_diff(other) > tolerance.tokens && milli_percent(one, other) > tolerance.milli_percent
}

/// Rounded up, so that nothing beyond a limit is taken to be on it.
fn milli_percent(one: u64, other: u64) -> u64 {
    let larger = u128::from(one.max(other).max(1));
    let part = (u128::from(one.abs_diff(other)) * u128::from(WHOLE)).div_ceil(larger);
    u64::try_from(part).unwrap_or(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { milli_percent: 1_000, tokens: 100 };

    fn side(models: &[(&str, u64, u64)]) -> TokensByModel {
        let counts = |input, output| TokenCounts { input, output, ..TokenCounts::default() };
        models
            .iter()
            .map(|(model, input, output)| ((*model).to_owned(), counts(*input, *output)))
            .collect()
    }

    #[test]
    fn a_day_is_right_late_missing_or_drifted() {
        let ours = side(&[("a", 100_000, 50_000)]);
        let verdict = |theirs: &[(&str, u64, u64)], may_grow| {
            compare(&ours, &side(theirs), TOLERANCE, may_grow).verdict
        };
        let table = [
            (&[("a", 100_000, 50_000)][..], Verdict::Right, Verdict::Right),
            (&[("a", 99_000, 50_500)], Verdict::Right, Verdict::Right),
            (&[("a", 98_999, 50_000)], Verdict::Late, Verdict::Drifted),
            (&[("a", 60_000, 30_000)], Verdict::Late, Verdict::Drifted),
            (&[], Verdict::Late, Verdict::Missing),
            (&[("a", 100_000, 60_000)], Verdict::Drifted, Verdict::Drifted),
            // Few tokens are nobody's loss.
            (&[("a", 100_000, 50_000), ("b", 100, 0)], Verdict::Right, Verdict::Right),
            (&[("a", 100_000, 50_000), ("b", 101, 0)], Verdict::Drifted, Verdict::Drifted),
        ];
        for (theirs, growing, done) in table {
            assert_eq!(
                (verdict(theirs, true), verdict(theirs, false)),
                (growing, done),
                "{theirs:?}"
            );
        }
        assert_eq!(compare(&side(&[]), &side(&[]), TOLERANCE, true).verdict, Verdict::Right);
    }

    #[test]
    fn a_difference_says_model_class_and_both_sums() {
        let found = compare(
            &side(&[("a", 1_000, 0)]),
            &side(&[("a", 1_000, 0), ("b", 0, 500)]),
            TOLERANCE,
            true,
        );
        let expected =
            TokenDifference { model: "b".to_owned(), class: "output", ours: 0, theirs: 500 };
        assert_eq!(found.differences, [expected]);
        assert_eq!((found.verdict, found.worst_milli_percent()), (Verdict::Drifted, WHOLE));
        let huge = compare(&side(&[("a", u64::MAX, 0)]), &side(&[]), TOLERANCE, false);
        assert_eq!(huge.worst_milli_percent(), WHOLE);
    }
}
