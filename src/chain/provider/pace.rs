//! How fast a provider may be asked: a bucket of calls that fills with time, and the pauses that it
//! asks for.

use std::time::{Duration, Instant};

use crate::domain::backoff::Backoff;

/// The longest pause that a provider may ask for.
pub const PAUSE_MAX: Duration = Duration::from_mins(5);
/// Pauses where it asks for one without saying how long, in a row.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(256));

/// Seconds' worth of calls that are answered before a provider that asked for a pause is asked a
/// little faster again.
const FASTER_AFTER_SECS: u64 = 30;

/// A bucket that holds one second's calls, and a pause.
#[derive(Debug)]
pub struct CallRate {
    /// What the settings allow.
    most_per_second: u32,
    /// What the provider bears, as far as it has shown: half of it after each pause that it asks
    /// for.
    calls_per_second: u32,
    /// Calls that were answered since the last change of the rate.
    answered: u64,
    /// When the bucket will be full again; each call moves it by its share of a second.
    full_at: Instant,
    pauses_until: Option<Instant>,
    /// Pauses in a row that the provider did not give a length for.
    pauses_in_row: u32,
}

impl CallRate {
    /// A full bucket.
    #[must_use]
    pub fn new(calls_per_second: u32, now: Instant) -> Self {
        let calls_per_second = calls_per_second.max(1);
        Self {
            most_per_second: calls_per_second,
            calls_per_second,
            answered: 0,
            full_at: now,
            pauses_until: None,
            pauses_in_row: 0,
        }
    }

    /// Takes `calls` out, or says how long to wait. More than a second's worth may go once the
    /// bucket is full, so that a large batch is slow and not impossible.
    ///
    /// # Errors
    /// The time to wait.
    pub fn take(&mut self, calls: usize, now: Instant) -> Result<(), Duration> {
        if let Some(pause) = self.pause_left(now) {
            return Err(pause);
        }
        let cost = self.cost(calls);
        let full_at = self.full_at.max(now);
        let debt = full_at.saturating_duration_since(now);
        let needed = cost.min(Duration::from_secs(1));
        let wait = debt.saturating_add(needed).saturating_sub(Duration::from_secs(1));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = full_at.checked_add(cost).unwrap_or(full_at);
        Ok(())
    }

    /// What is left of a pause.
    #[must_use]
    pub fn pause_left(&self, now: Instant) -> Option<Duration> {
        let left = self.pauses_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Calls that go within a second at most.
    #[must_use]
    pub const fn calls_per_second(&self) -> u32 {
        self.calls_per_second
    }

    /// The provider asked for a pause; answers how long it is. `random` shortens one without a
    /// length a little, as [`Backoff::jittered`] does. Requests that were under way in a pause say
    /// nothing new.
    pub fn pause(&mut self, asked: Option<Duration>, random: u8, now: Instant) -> Duration {
        self.pauses_in_row = self.pauses_in_row.saturating_add(1);
        if self.pause_left(now).is_none() {
            self.calls_per_second = (self.calls_per_second / 2).max(1);
            self.answered = 0;
        }
        let pause =
            asked.unwrap_or_else(|| BACKOFF.jittered(self.pauses_in_row, random)).min(PAUSE_MAX);
        self.pauses_until = self.pauses_until.max(now.checked_add(pause));
        pause
    }

    /// The provider answered so many calls.
    pub fn answered(&mut self, calls: usize) {
        self.pauses_in_row = 0;
        if self.calls_per_second == self.most_per_second {
            return;
        }
        self.answered = self.answered.saturating_add(u64::try_from(calls).unwrap_or(u64::MAX));
        if self.answered >= u64::from(self.calls_per_second).saturating_mul(FASTER_AFTER_SECS) {
            let more = self.calls_per_second.saturating_add((self.most_per_second / 10).max(1));
            self.calls_per_second = more.min(self.most_per_second);
            self.answered = 0;
        }
    }

    fn cost(&self, calls: usize) -> Duration {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let nanos =
            u64::from(calls).saturating_mul(1_000_000_000) / u64::from(self.calls_per_second);
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn calls_of_a_batch_count_one_by_one() {
        let now = Instant::now();
        let mut pace = CallRate::new(10, now);
        assert_eq!(pace.take(6, now), Ok(()));
        assert_eq!(pace.take(5, now), Err(millis(100)));
        assert_eq!(pace.take(4, now), Ok(()));
        assert_eq!(pace.take(1, now), Err(millis(100)));
        assert_eq!(pace.take(1, now + millis(99)), Err(millis(1)));
        assert_eq!(pace.take(1, now + millis(100)), Ok(()));
        // No more gathers than one second's calls, however long nothing was asked.
        let later = now + Duration::from_hours(1);
        assert_eq!(pace.take(10, later), Ok(()));
        assert_eq!(pace.take(1, later), Err(millis(100)));
    }

    #[test]
    fn a_batch_above_a_seconds_worth_goes_and_is_paid_for_afterwards() {
        let now = Instant::now();
        let mut pace = CallRate::new(10, now);
        assert_eq!(pace.take(30, now), Ok(()));
        assert_eq!(pace.take(1, now), Err(millis(2100)));
        assert_eq!(pace.take(1, now + millis(2100)), Ok(()));
        assert_eq!(CallRate::new(0, now).take(usize::MAX, now), Ok(()));
    }

    #[test]
    fn pauses_are_kept_grow_and_are_bounded() {
        let now = Instant::now();
        let mut pace = CallRate::new(10, now);
        assert_eq!(pace.pause(Some(Duration::from_secs(7)), 0, now), Duration::from_secs(7));
        assert_eq!(pace.take(1, now), Err(Duration::from_secs(7)));
        // A shorter word does not shorten it.
        assert_eq!(pace.pause(Some(millis(1)), 0, now), millis(1));
        assert_eq!(pace.take(1, now + Duration::from_secs(6)), Err(Duration::from_secs(1)));
        assert_eq!(pace.take(1, now + Duration::from_secs(7)), Ok(()));
        pace.answered(1);
        let assumed: Vec<u64> = (0..4).map(|_| pace.pause(None, 0, now).as_secs()).collect();
        assert_eq!(assumed, [1, 2, 4, 8]);
        assert_eq!(pace.pause(Some(Duration::from_hours(9)), 0, now), PAUSE_MAX);
        for _ in 0..100 {
            assert!(pace.pause(None, 0, now) <= PAUSE_MAX);
        }
    }

    #[test]
    fn each_pause_halves_the_rate_and_answers_raise_it_again() {
        let now = Instant::now();
        let mut pace = CallRate::new(20, now);
        pace.pause(None, 0, now);
        // One that was under way.
        pace.pause(None, 0, now);
        assert_eq!(pace.calls_per_second(), 10);
        let later = now + Duration::from_mins(1);
        pace.pause(None, 0, later);
        assert_eq!(pace.calls_per_second(), 5);
        assert_eq!(pace.take(5, later + Duration::from_mins(1)), Ok(()));
        assert_eq!(pace.take(1, later + Duration::from_mins(1)), Err(millis(200)));
        let rates: Vec<u32> = (0..10)
            .map(|_| {
                pace.answered(1000);
                pace.calls_per_second()
            })
            .collect();
        assert_eq!(rates, [7, 9, 11, 13, 15, 17, 19, 20, 20, 20]);
        for minutes in 2..20 {
            pace.pause(None, 0, now + Duration::from_mins(10 * minutes));
        }
        assert_eq!(pace.calls_per_second(), 1);
    }
}
