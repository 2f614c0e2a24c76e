//! Time, so that tests can hold it still. Nothing else in the crate asks the system for the date.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};

/// A moment in milliseconds since the Unix epoch, UTC: the unit of every `_at` column.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// A moment from its count of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The count of milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `millis` later, held at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The moment a span later, held at the end of the range.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        self.plus_millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }

    /// The moment a span earlier, held at the end of the range.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC without a fraction, `2026-11-22T10:00:00Z`.
    #[must_use]
    pub fn to_rfc3339_secs(self) -> String {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        moment.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Reads RFC 3339, to the millisecond.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(moment.timestamp_millis()))
    }

    /// Its day in UTC.
    #[must_use]
    pub const fn day(self) -> UtcDay {
        UtcDay(self.0.div_euclid(DAY_MILLIS))
    }

    /// Its month in UTC.
    #[must_use]
    pub fn month(self) -> CalendarMonth {
        let moment = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        let year = i64::from(moment.year());
        CalendarMonth(year.saturating_mul(12).saturating_add(i64::from(moment.month0())))
    }

    /// Milliseconds from `earlier` to here, never below zero.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.millis_ahead_of(earlier).max(0)
    }

    /// Milliseconds from `other` to here, below zero where this is the earlier one: for two clocks,
    /// and for one that may have been set back.
    #[must_use]
    pub const fn millis_ahead_of(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

/// Milliseconds in a day: UTC has no other.
pub const DAY_MILLIS: i64 = 86_400_000;

/// A day in UTC, counted from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcDay(i64);

impl UtcDay {
    /// The day of that number.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Its number: 0 is 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Reads `2026-11-22`; years of four digits from 1970 on, as whatever is kept has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        if !(1970..=9999).contains(&day.year()) {
            return None;
        }
        let begin = day.and_hms_opt(0, 0, 0)?.and_utc();
        Some(UnixMillis(begin.timestamp_millis()).day())
    }

    /// Its first moment.
    #[must_use]
    pub const fn begin(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(DAY_MILLIS))
    }

    /// The day so many days later.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `earlier` to here.
    #[must_use]
    pub const fn days_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// `2026-11-22`
impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.begin().0) {
            Some(moment) => write!(f, "{}", moment.format("%Y-%m-%d")),
            None => write!(f, "day {}", self.0),
        }
    }
}

/// A calendar month in UTC: year × 12 + month − 1, as the database stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarMonth(i64);

impl CalendarMonth {
    /// The month of that number.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The month after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its first moment.
    #[must_use]
    pub fn begin(self) -> UnixMillis {
        let year = i32::try_from(self.0.div_euclid(12)).ok();
        let month = u32::try_from(self.0.rem_euclid(12).saturating_add(1)).ok();
        let day = year.zip(month).and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, 1));
        let begin = day.and_then(|day| day.and_hms_opt(0, 0, 0));
        UnixMillis(begin.map_or(i64::MAX, |begin| begin.and_utc().timestamp_millis()))
    }
}

/// RFC 3339 in UTC with milliseconds, `2026-11-22T10:00:00.000Z`.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(moment) => f.write_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// The system's clock, or one that a test turns by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Reads the operating system's time.
    System,
    /// Stands still until it is set.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `millis` until [`Clock::advance`] is called.
    #[must_use]
    pub fn manual(millis: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(millis)))
    }

    /// The current moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> UnixMillis {
        match self {
            Self::System => UnixMillis(Utc::now().timestamp_millis()),
            Self::Manual(millis) => UnixMillis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Whether it stands until it is set.
    #[must_use]
    pub const fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, millis: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(millis, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_in_utc() {
        let last = UnixMillis::parse_rfc3339("2026-12-31T23:59:59.999Z").unwrap();
        assert_eq!((last.day().to_string(), last.month().number()), ("2026-12-31".into(), 24_323));
        let next = last.plus_millis(1);
        assert_eq!(next.month(), last.month().next());
        assert_eq!((next.month().begin(), next.day().begin()), (next, next));
        assert_eq!(next.day().days_since(last.day()), 1);
        assert_eq!(UtcDay::parse("2027-01-01"), Some(next.day()));
        assert_eq!(UnixMillis::parse_rfc3339("2027-01-01T01:00:00+01:00"), Some(next));
        // Years that only a calendar knows, through which one would walk day by day.
        for text in ["+262142-12-01", "1969-12-31", "10000-01-01"] {
            assert_eq!(UtcDay::parse(text), None, "{text}");
        }
        assert_eq!(
            (UtcDay::parse("2027-1"), UnixMillis::parse_rfc3339("2027-01-01")),
            (None, None)
        );
    }

    #[test]
    fn a_clock_that_is_behind_is_off_as_much_as_one_that_is_ahead() {
        let (early, late) = (UnixMillis::from_millis(1_000), UnixMillis::from_millis(91_000));
        assert_eq!((late.millis_ahead_of(early), early.millis_ahead_of(late)), (90_000, -90_000));
        assert_eq!((late.millis_since(early), early.millis_since(late)), (90_000, 0));
    }
}
