//! How figures and moments are written on pages: amounts with every digit, times with their zone.

use std::fmt;

use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};

use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

/// An amount with its sign and all its decimals, two at least: `$1.50`, `−$0.000012`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedDollars(pub(super) NanoUsd);

impl fmt::Display for SignedDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.strip_prefix('-') {
            Some(digits) => write!(f, "\u{2212}${}", WithCommas(digits)),
            None => write!(f, "${}", WithCommas(&text)),
        }
    }
}

/// A whole number in groups of three digits: `1,234,567`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupedCount(pub(super) i64);

impl fmt::Display for GroupedCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        let sign = if self.0 < 0 { "\u{2212}" } else { "" };
        write!(f, "{sign}{}", WithCommas(&digits))
    }
}

/// Digits with commas before each three of those in front of the point.
struct WithCommas<'a>(&'a str);

impl fmt::Display for WithCommas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((self.0, ""));
        let length = whole.len();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && length.saturating_sub(at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction}") }
    }
}

/// A moment as a `<time>` element: UTC to the minute, which a script of ours turns into the
/// reader's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeElement(pub(super) UnixMillis);

impl TimeElement {
    /// For attributes, to the second.
    #[must_use]
    pub(super) fn machine(self) -> String {
        self.0.to_rfc3339_secs()
    }
}

/// What it prints has digits and letters of its own only.
impl HtmlSafe for TimeElement {}

impl fmt::Display for TimeElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0.as_millis()).unwrap_or_default();
        let text = moment.format("%Y-%m-%d %H:%M UTC");
        write!(f, "<time datetime=\"{}\">{text}</time>", self.machine())
    }
}

/// What is credited before a chain's finality, by confirmations and amounts, ahead of when the rest
/// is: `after 12 confirmations for small amounts (up to $5.00 in 24 hours), while capacity lasts;
/// otherwise `. Nothing where nothing is.
pub(super) fn sooner(tiers: impl Iterator<Item = (u64, NanoUsd)>) -> String {
    let one = |(confirmations, up_to): (u64, NanoUsd)| {
        let plural = if confirmations == 1 { "" } else { "s" };
        let most = SignedDollars(up_to);
        format!(
            "after {confirmations} confirmation{plural} for small amounts (up to {most} in 24 \
             hours)"
        )
    };
    let all: Vec<String> = tiers.map(one).collect();
    match all.as_slice() {
        [] => String::new(),
        some => format!("{}, while capacity lasts; otherwise ", some.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_every_digit_and_two_decimals_at_least() {
        let shown = |nanos| SignedDollars(NanoUsd::from_nanos(nanos)).to_string();
        assert_eq!(shown(0), "$0.00");
        assert_eq!(shown(1_500_000_000), "$1.50");
        assert_eq!(shown(-12_345), "\u{2212}$0.000012345");
        assert_eq!(shown(1_234_567_891_000_000), "$1,234,567.891");
        assert_eq!(shown(999_000_000_000), "$999.00");
    }

    #[test]
    fn counts_are_in_groups_of_three() {
        assert_eq!(GroupedCount(0).to_string(), "0");
        assert_eq!(GroupedCount(999).to_string(), "999");
        assert_eq!(GroupedCount(1_000).to_string(), "1,000");
        assert_eq!(GroupedCount(-1_234_567).to_string(), "\u{2212}1,234,567");
    }

    #[test]
    fn small_sums_come_sooner() {
        let tier = |confirmations, dollars: i64| {
            (confirmations, NanoUsd::from_nanos(dollars * 1_000_000_000))
        };
        assert_eq!(sooner([].into_iter()), "");
        assert_eq!(
            sooner([tier(1, 5), tier(12, 50)].into_iter()),
            "after 1 confirmation for small amounts (up to $5.00 in 24 hours) or \
             after 12 confirmations for small amounts (up to $50.00 in 24 hours), \
             while capacity lasts; otherwise "
        );
    }

    #[test]
    fn moments_say_their_zone() {
        let moment = TimeElement(UnixMillis::from_millis(1_795_348_800_000));
        assert_eq!(
            moment.to_string(),
            "<time datetime=\"2026-11-22T12:00:00Z\">2026-11-22 12:00 UTC</time>"
        );
    }
}
