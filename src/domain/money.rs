//! Amounts. One type, checked arithmetic, no floating point anywhere near it.

use std::fmt;
use std::str::FromStr;

/// Nano-dollars in one dollar.
pub const NANOUSD_PER_USD: i64 = 1_000_000_000;

/// An amount of money in nano-dollars (1 USD = 10⁹). Covers ±9.2 billion dollars.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct NanoUsd(i64);

/// Why an amount could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit 64 bits of nano-dollars.
    #[error("the amount does not fit: beyond ±9.2 billion dollars")]
    Overflow,
    /// The text is not a decimal number of dollars.
    #[error("not an amount of dollars: write digits with at most nine decimals, such as \"12.50\"")]
    Malformed,
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount from its count of nano-dollars, as the database stores it.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The count of nano-dollars.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// An amount from a wide intermediate result.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where it does not fit.
    pub fn from_wide(nanos: i128) -> Result<Self, MoneyError> {
        i64::try_from(nanos).map(Self).map_err(|_| MoneyError::Overflow)
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where it does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where it does not fit.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// `self × count`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where it does not fit.
    pub fn times(self, count: u64) -> Result<Self, MoneyError> {
        Self::from_wide(i128::from(self.0).saturating_mul(i128::from(count)))
    }

    /// `−self`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] for the one amount without a counterpart.
    pub fn negated(self) -> Result<Self, MoneyError> {
        self.0.checked_neg().map(Self).ok_or(MoneyError::Overflow)
    }

    /// Whether the amount is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// Dollars with every nano-dollar and no trailing zeros beyond the cents: `0.00`, `1.50`,
/// `0.000012345`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let per_usd = NANOUSD_PER_USD.unsigned_abs();
        let fraction = format!("{:09}", nanos % per_usd);
        let (cents, rest) = fraction.split_at(2);
        let text = format!("{sign}{}.{cents}{}", nanos / per_usd, rest.trim_end_matches('0'));
        f.pad(&text)
    }
}

/// Reads decimal dollars exactly; more than nine decimals are refused rather than rounded.
impl FromStr for NanoUsd {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let nanos = parse_decimal(digits, 9)?;
        let nanos = if negative { -nanos } else { nanos };
        Self::from_wide(nanos)
    }
}

/// Reads an unsigned decimal number as a count of `10^-decimals` units.
///
/// # Errors
/// [`MoneyError::Malformed`] for anything but digits with one optional point and at most `decimals`
/// digits behind it; [`MoneyError::Overflow`] beyond 18 digits before the point.
pub fn parse_decimal(text: &str, decimals: usize) -> Result<i128, MoneyError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_dangling_point = text.contains('.') && fraction.is_empty();
    if whole.is_empty() || has_dangling_point || !is_digits(whole) || !is_digits(fraction) {
        return Err(MoneyError::Malformed);
    }
    if fraction.len() > decimals {
        return Err(MoneyError::Malformed);
    }
    if whole.len() > 18 {
        return Err(MoneyError::Overflow);
    }
    let padded = format!("{whole}{fraction:0<decimals$}");
    padded.parse::<i128>().map_err(|_| MoneyError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_print_every_nano_and_at_least_cents() {
        let shown = |nanos| NanoUsd::from_nanos(nanos).to_string();
        assert_eq!(shown(0), "0.00");
        assert_eq!(shown(1_500_000_000), "1.50");
        assert_eq!(shown(12_345), "0.000012345");
        assert_eq!(shown(-1), "-0.000000001");
        assert_eq!(shown(i64::MIN), "-9223372036.854775808");
    }

    #[test]
    fn malformed_amounts_are_refused_not_rounded() {
        for text in ["", ".", "1.", ".5", "1e3", "0x1", "1.0000000001", "+1", "--1", "1 ", "١"] {
            assert_eq!(text.parse::<NanoUsd>(), Err(MoneyError::Malformed), "{text:?}");
        }
        assert_eq!("9223372036.854775808".parse::<NanoUsd>(), Err(MoneyError::Overflow));
        assert_eq!("-9223372036.854775808".parse::<NanoUsd>(), Ok(NanoUsd::from_nanos(i64::MIN)));
    }

    #[test]
    fn sums_are_exact_and_what_does_not_fit_is_refused() {
        let nanos = NanoUsd::from_nanos;
        let (top, bottom) = (nanos(i64::MAX), nanos(i64::MIN));
        assert_eq!(nanos(7).plus(nanos(-3)), Ok(nanos(4)));
        assert_eq!(nanos(7).minus(nanos(-3)), Ok(nanos(10)));
        assert_eq!(nanos(7).negated(), Ok(nanos(-7)));
        assert_eq!(NanoUsd::from_wide(-7), Ok(nanos(-7)));
        for beyond in [
            top.plus(nanos(1)),
            bottom.minus(nanos(1)),
            bottom.negated(),
            NanoUsd::from_wide(i128::from(i64::MAX) + 1),
        ] {
            assert_eq!(beyond, Err(MoneyError::Overflow));
        }
    }

    #[test]
    fn only_less_than_nothing_is_negative() {
        let is_negative = |nanos| NanoUsd::from_nanos(nanos).is_negative();
        assert!(is_negative(-1) && !is_negative(0) && !is_negative(1));
    }

    #[test]
    fn digits_are_counted_on_both_sides_of_the_point() {
        let whole = "9".repeat(18);
        assert_eq!(parse_decimal(&whole, 0), Ok(999_999_999_999_999_999));
        assert_eq!(parse_decimal(&format!("1{whole}"), 0), Err(MoneyError::Overflow));
        assert_eq!(parse_decimal("1.25", 2), Ok(125));
        assert_eq!(parse_decimal("1.25", 3), Ok(1_250));
        assert_eq!(parse_decimal("1.25", 1), Err(MoneyError::Malformed));
    }

    proptest! {
        #[test]
        fn text_and_amount_are_each_others_inverse(nanos: i64) {
            let amount = NanoUsd::from_nanos(nanos);
            prop_assert_eq!(amount.to_string().parse::<NanoUsd>(), Ok(amount));
        }
    }
}
