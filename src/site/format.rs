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

/// An amount in cents, every digit as its tooltip: a `<data>` element that says `$35.16`. What is
/// less than a cent, and not nothing, is `<$0.01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cents(pub(super) NanoUsd);

/// The same with six decimals, for columns of small amounts: `$0.001250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Micros(pub(super) NanoUsd);

/// What they print has digits and letters of its own only.
impl HtmlSafe for Cents {}
impl HtmlSafe for Micros {}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_data(f, self.0, 2)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_data(f, self.0, 6)
    }
}

/// Halves are rounded away from zero, as people do.
fn write_data(f: &mut fmt::Formatter<'_>, amount: NanoUsd, decimals: u32) -> fmt::Result {
    let unit = 10_i64.saturating_pow(9_u32.saturating_sub(decimals));
    let nanos = amount.as_nanos();
    let size = nanos.unsigned_abs();
    let unit_size = unit.unsigned_abs();
    let shown = size.saturating_add(unit_size / 2) / unit_size;
    let least = 10_u64.saturating_pow(decimals);
    let sign = if nanos < 0 { "\u{2212}" } else { "" };
    let (sign, shown) = if shown == 0 && size > 0 {
        // Not to be taken for nothing.
        (if nanos < 0 { "&gt;\u{2212}" } else { "&lt;" }, 1)
    } else {
        (sign, shown)
    };
    let whole = (shown / least).to_string();
    let width = usize::try_from(decimals).unwrap_or(2);
    write!(
        f,
        "<data class=\"amount\" value=\"{amount}\" title=\"{}\">{sign}${}.{:0width$}</data>",
        SignedDollars(amount),
        WithCommas(&whole),
        shown % least,
    )
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

/// A moment in few words, such as `22 Nov, 12:00`: UTC, which a script of ours turns into the
/// reader's zone and, where it is recent, into `3 min. ago`. The zone is said once, nearby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortTime(pub(super) UnixMillis);

/// As for [`TimeElement`].
impl HtmlSafe for ShortTime {}

impl fmt::Display for ShortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0.as_millis()).unwrap_or_default();
        let (machine, text) = (self.0.to_rfc3339_secs(), moment.format("%-d %b, %H:%M"));
        let whole = moment.format("%Y-%m-%d %H:%M UTC");
        write!(
            f,
            "<time data-time=\"short\" datetime=\"{machine}\" title=\"{whole}\">{text}</time>"
        )
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
    fn cents_are_rounded_and_keep_every_digit_at_hand() {
        let shown = |nanos| Cents(NanoUsd::from_nanos(nanos)).to_string();
        assert_eq!(
            shown(1_234_565_000_001),
            "<data class=\"amount\" value=\"1234.565000001\" title=\"$1,234.565000001\">\
             $1,234.57</data>"
        );
        assert!(shown(0).ends_with(">$0.00</data>"));
        assert!(shown(4_999_999).ends_with(">&lt;$0.01</data>"));
        assert!(shown(5_000_000).ends_with(">$0.01</data>"));
        assert!(shown(-1_500_000_000).ends_with(">\u{2212}$1.50</data>"));
        assert!(shown(-1).ends_with(">&gt;\u{2212}$0.01</data>"));
        assert!(shown(i64::MAX).ends_with(">$9,223,372,036.85</data>"));
        assert!(shown(i64::MIN).ends_with(">\u{2212}$9,223,372,036.85</data>"));
        let small = |nanos| Micros(NanoUsd::from_nanos(nanos)).to_string();
        assert!(small(1_250_499).ends_with(">$0.001250</data>"));
        assert!(small(12_000_000_000).ends_with(">$12.000000</data>"));
        assert!(small(1).ends_with(">&lt;$0.000001</data>"));
    }

    #[test]
    fn short_moments_keep_the_whole_one_at_hand() {
        assert_eq!(
            ShortTime(UnixMillis::from_millis(1_795_348_800_000)).to_string(),
            "<time data-time=\"short\" datetime=\"2026-11-22T12:00:00Z\" \
             title=\"2026-11-22 12:00 UTC\">22 Nov, 12:00</time>"
        );
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
