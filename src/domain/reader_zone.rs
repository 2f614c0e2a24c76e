//! The zone that somebody reads in: which moment a day begins there, and which day and hour a
//! moment has. Days of such a zone are numbered as UTC's are, by [`UtcDay`], without being its.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::clock::{DAY_MILLIS, UnixMillis, UtcDay};

/// Milliseconds of an hour.
pub const HOUR_MILLIS: i64 = 3_600_000;
/// Bytes of the longest name that is looked up.
const NAME_BYTES: usize = 64;
/// Days whose distances from UTC are looked at, at most: more than any page shows.
const SPANS_DAYS_MAX: i64 = 800;

/// A time zone of the IANA database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderZone(Tz);

/// A while in which a zone keeps its distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSpan {
    /// The first moment behind it.
    pub until: UnixMillis,
    /// Milliseconds to add to UTC.
    pub offset_millis: i64,
}

impl ReaderZone {
    /// Where nothing else is known.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of a name such as `Asia/Kolkata`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > NAME_BYTES {
            return None;
        }
        name.parse().ok().map(Self)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Milliseconds to add to UTC at a moment.
    #[must_use]
    pub fn offset_millis(self, at: UnixMillis) -> i64 {
        let moment = DateTime::<Utc>::from_timestamp_millis(at.as_millis()).unwrap_or_default();
        let offset = self.0.offset_from_utc_datetime(&moment.naive_utc()).fix();
        i64::from(offset.local_minus_utc()).saturating_mul(1000)
    }

    /// A moment as clocks there show it, as a count of milliseconds.
    #[must_use]
    pub fn local_millis(self, at: UnixMillis) -> i64 {
        at.as_millis().saturating_add(self.offset_millis(at))
    }

    /// The day there.
    #[must_use]
    pub fn day(self, at: UnixMillis) -> UtcDay {
        UnixMillis::from_millis(self.local_millis(at)).day()
    }

    /// When a day begins there. Where clocks skip midnight, it begins behind the gap.
    #[must_use]
    pub fn begin(self, day: UtcDay) -> UnixMillis {
        let midnight = day.begin().as_millis();
        // Between the offsets of the days around it, the later one is in force from the gap on.
        let before = self.offset_millis(UnixMillis::from_millis(
            midnight.saturating_sub(DAY_MILLIS.saturating_div(2)),
        ));
        let first = UnixMillis::from_millis(midnight.saturating_sub(before));
        let now = self.offset_millis(first);
        if now == before {
            return first;
        }
        let second = UnixMillis::from_millis(midnight.saturating_sub(now));
        // A gap at midnight: the day begins with the new offset.
        if self.day(second) < day { first } else { second.min(first) }
    }

    /// The distances from UTC from one moment until before another, in order; the last one has no
    /// end. Of longer times the first [`SPANS_DAYS_MAX`] days are looked at.
    #[must_use]
    pub fn spans(self, (from, to): (UnixMillis, UnixMillis)) -> Vec<ZoneSpan> {
        let mut spans = Vec::new();
        let to = to.min(from.plus_millis(SPANS_DAYS_MAX.saturating_mul(DAY_MILLIS)));
        let (mut at, mut offset) = (from, self.offset_millis(from));
        while at < to {
            let next = at.plus_millis(DAY_MILLIS).min(to);
            let then = self.offset_millis(next);
            if then != offset {
                let until = self.change(at, next);
                spans.push(ZoneSpan { until, offset_millis: offset });
                offset = then;
            }
            at = next;
        }
        let until = UnixMillis::from_millis(i64::MAX);
        spans.push(ZoneSpan { until, offset_millis: offset });
        spans
    }

    /// The first moment with another offset than that of `early`, which `late` has.
    fn change(self, early: UnixMillis, late: UnixMillis) -> UnixMillis {
        let before = self.offset_millis(early);
        let (mut low, mut high) = (early.as_millis(), late.as_millis());
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if self.offset_millis(UnixMillis::from_millis(middle)) == before {
                low = middle;
            } else {
                high = middle;
            }
        }
        UnixMillis::from_millis(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis::parse_rfc3339(text).unwrap()
    }

    fn day(text: &str) -> UtcDay {
        UtcDay::parse(text).unwrap()
    }

    #[test]
    fn days_begin_at_the_readers_midnight() {
        let kolkata = ReaderZone::parse("Asia/Kolkata").unwrap();
        assert_eq!(kolkata.begin(day("2026-11-20")), at("2026-11-19T18:30:00Z"));
        assert_eq!(kolkata.day(at("2026-11-20T22:14:00Z")), day("2026-11-21"));
        let berlin = ReaderZone::parse("Europe/Berlin").unwrap();
        assert_eq!(berlin.begin(day("2026-07-01")), at("2026-06-30T22:00:00Z"));
        assert_eq!(berlin.begin(day("2026-10-26")), at("2026-10-25T23:00:00Z"));
        assert_eq!(ReaderZone::UTC.begin(day("2026-10-26")), at("2026-10-26T00:00:00Z"));
        assert_eq!(ReaderZone::parse("Nowhere/Land"), None);
        assert_eq!(ReaderZone::parse(&"x".repeat(1000)), None);
    }

    #[test]
    fn a_midnight_that_clocks_skip_is_the_first_moment_behind_it() {
        // Chile went from 24:00 to 01:00 on 6 September 2026.
        let santiago = ReaderZone::parse("America/Santiago").unwrap();
        let begin = santiago.begin(day("2026-09-06"));
        assert_eq!(begin, at("2026-09-06T04:00:00Z"));
        assert_eq!(santiago.day(begin), day("2026-09-06"));
        assert_eq!(santiago.day(begin.plus_millis(-1)), day("2026-09-05"));
    }

    #[test]
    fn a_change_of_the_clocks_is_found_to_the_millisecond() {
        let berlin = ReaderZone::parse("Europe/Berlin").unwrap();
        let spans = berlin.spans((at("2026-10-01T00:00:00Z"), at("2026-11-22T00:00:00Z")));
        assert_eq!(spans.len(), 2);
        assert_eq!(
            spans[0],
            ZoneSpan { until: at("2026-10-25T01:00:00Z"), offset_millis: 2 * HOUR_MILLIS }
        );
        assert_eq!(spans[1].offset_millis, HOUR_MILLIS);
        assert_eq!(
            ReaderZone::UTC.spans((at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"))).len(),
            1
        );
    }
}
