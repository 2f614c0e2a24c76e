//! How fast a provider may be asked: a bucket of calls that fills with time, and the pauses that it asks for.

use std::time::{Duration, Instant};

/// The longest pause that a provider may ask for.
pub const PAUSE_MAX: Duration = Duration::from_mins(5);
/// The first pause where it asks for one without saying how long; doubles with each that follows at once.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// A bucket that holds one second's calls, and a pause.
#[derive(Debug)]
pub struct Pace {
    calls_per_second: u32,
    /// When the bucket will be full again; each call moves it by its share of a second.
    full_at: Instant,
    pauses_until: Option<Instant>,
    /// Pauses in a row that the provider did not give a length for.
    pauses_in_row: u32,
}

impl Pace {
    /// A full bucket.
    #[must_use]
    pub fn new(calls_per_second: u32, now: Instant) -> Self {
        let calls_per_second = calls_per_second.max(1);
        Self { calls_per_second, full_at: now, pauses_until: None, pauses_in_row: 0 }
    }

    /// Takes `calls` out, or says how long to wait. More than a second's worth may go once the bucket is full, so that
    /// a large batch is slow and not impossible.
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

    /// The provider asked for a pause; answers how long it is.
    pub fn pause(&mut self, asked: Option<Duration>, now: Instant) -> Duration {
        let assumed = PAUSE_FIRST.saturating_mul(1 << self.pauses_in_row.min(8));
        self.pauses_in_row = self.pauses_in_row.saturating_add(1);
        let pause = asked.unwrap_or(assumed).min(PAUSE_MAX);
        self.pauses_until = self.pauses_until.max(now.checked_add(pause));
        pause
    }

    /// The provider answered.
    pub const fn answered(&mut self) {
        self.pauses_in_row = 0;
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
        let mut pace = Pace::new(10, now);
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
        let mut pace = Pace::new(10, now);
        assert_eq!(pace.take(30, now), Ok(()));
        assert_eq!(pace.take(1, now), Err(millis(2100)));
        assert_eq!(pace.take(1, now + millis(2100)), Ok(()));
        assert_eq!(Pace::new(0, now).take(usize::MAX, now), Ok(()));
    }

    #[test]
    fn pauses_are_kept_grow_and_are_bounded() {
        let now = Instant::now();
        let mut pace = Pace::new(10, now);
        assert_eq!(pace.pause(Some(Duration::from_secs(7)), now), Duration::from_secs(7));
        assert_eq!(pace.take(1, now), Err(Duration::from_secs(7)));
        // A shorter word does not shorten it.
        assert_eq!(pace.pause(Some(millis(1)), now), millis(1));
        assert_eq!(pace.take(1, now + Duration::from_secs(6)), Err(Duration::from_secs(1)));
        assert_eq!(pace.take(1, now + Duration::from_secs(7)), Ok(()));
        pace.answered();
        let assumed: Vec<u64> = (0..4).map(|_| pace.pause(None, now).as_secs()).collect();
        assert_eq!(assumed, [1, 2, 4, 8]);
        assert_eq!(pace.pause(Some(Duration::from_hours(9)), now), PAUSE_MAX);
        for _ in 0..100 {
            assert!(pace.pause(None, now) <= PAUSE_MAX);
        }
    }
}
