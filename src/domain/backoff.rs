//! How long to wait before something that failed is tried again: twice as long after each failure,
//! up to a bound.

use std::time::Duration;

use super::ids::random_bytes;

/// Jitter shortens a pause by less than one part in this many.
const JITTER_PART: u32 = 8;

/// The pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses that begin with `first` and double up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after so many failures in a row. None counts as one.
    #[must_use]
    pub fn pause(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The same, shortened by less than an eighth, so that what failed together is not tried again
    /// together. `random` says by how much: 0 is not at all.
    #[must_use]
    pub fn jittered(self, failures: u32, random: u8) -> Duration {
        let pause = self.pause(failures);
        let parts = u32::from(u8::MAX).saturating_add(1).saturating_mul(JITTER_PART);
        pause.saturating_sub((pause / parts).saturating_mul(random.into()))
    }
}

/// A random number for [`Backoff::jittered`]. Where the system has none to give, pauses are whole.
#[must_use]
pub fn jitter() -> u8 {
    let [random] = random_bytes().unwrap_or_default();
    random
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(3), Duration::from_mins(1));

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [0, 1, 2, 3, 4, 5, 6, 33, u32::MAX].map(|failures| BACKOFF.pause(failures));
        assert_eq!(pauses.map(|pause| pause.as_secs()), [3, 3, 6, 12, 24, 48, 60, 60, 60]);
        let endless = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(endless.pause(u32::MAX), Duration::MAX);
    }

    proptest! {
        #[test]
        fn jitter_leaves_more_than_seven_eighths(failures: u32, random: u8) {
            let (whole, jittered) = (BACKOFF.pause(failures), BACKOFF.jittered(failures, random));
            prop_assert!(jittered <= whole);
            prop_assert!(jittered > whole * 7 / 8);
            prop_assert_eq!(BACKOFF.jittered(failures, 0), whole);
        }
    }
}
