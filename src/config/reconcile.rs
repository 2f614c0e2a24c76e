//! `[reconcile]`: how our sums are compared with what an upstream reports.

use std::time::Duration;

use serde::Deserialize;

use super::value;
use crate::domain::money::parse_decimal;
use crate::domain::reconciliation::Tolerance;

/// How our sums are compared with what an upstream reports.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// Thousandths of a percent by which a sum may differ.
    #[serde(rename = "drift_percent", deserialize_with = "percent")]
    drift_milli_percent: u64,
    /// Tokens by which a sum may differ, whatever that is in percent.
    #[serde(deserialize_with = "value::whole::<0, 1_000_000_000_000, _, _>")]
    drift_min_tokens: u64,
    /// Time after the end of a day within which its report may still come or grow.
    #[serde(rename = "late_hours", deserialize_with = "value::hours::<1, 72, _>")]
    pub late: Duration,
    /// Time for the report of one upstream and day, all pages included.
    #[serde(rename = "timeout_secs", deserialize_with = "value::secs::<1, 600, _>")]
    pub timeout: Duration,
}

impl Reconcile {
    /// By how much sums may differ.
    #[must_use]
    pub const fn tolerance(&self) -> Tolerance {
        Tolerance { milli_percent: self.drift_milli_percent, tokens: self.drift_min_tokens }
    }
}

fn percent<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = value::decimal_text(from)?;
    let thousandths = parse_decimal(&text, 3).ok().and_then(|count| u64::try_from(count).ok());
    thousandths.filter(|count| *count <= 100_000).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not a percentage: write 0 to 100 with at most three decimals, such as \
             \"1.0\""
        ))
    })
}
