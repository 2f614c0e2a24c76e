//! Time, so that tests can hold it still. Nothing else in the crate asks the system for the date.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

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

    /// Milliseconds from `earlier` to here, never below zero.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
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

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, millis: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(millis, Ordering::SeqCst);
        }
    }
}
