//! Counts of more keys than there is room for: a count-min sketch, which knows no key, has a fixed
//! size, and never says less than was counted. What it says too much comes from others, and grows
//! with all that is counted in it.

use std::mem::take;
use std::time::Duration;

use super::CountKey;
use crate::domain::clock::UnixMillis;

/// Counters of a row. A million counts of as many keys make a count too high by some 4.
const COUNTERS: usize = 1 << 18;
/// Rows, each with eight bytes of a key of its own.
const ROWS: usize = 4;

/// Two sketches: what is counted now, and what was counted in the span before. Together they have
/// at least all that was counted within the last span.
pub(super) struct Sketch {
    began: UnixMillis,
    now: Rows,
    before: Rows,
}

/// Empty until something is counted.
#[derive(Default)]
struct Rows(Vec<u32>);

impl Rows {
    fn places(key: &CountKey) -> impl Iterator<Item = usize> {
        key.as_chunks().0.iter().take(ROWS).enumerate().map(|(row, bytes)| {
            let hash = usize::try_from(u64::from_le_bytes(*bytes) >> 32).unwrap_or(0);
            row * COUNTERS + hash % COUNTERS
        })
    }

    fn of(&self, key: &CountKey) -> u32 {
        Self::places(key).filter_map(|place| self.0.get(place).copied()).min().unwrap_or(0)
    }

    /// Raises no counter beyond what the key needs: that keeps down what others get of it. It is
    /// also why nothing can be taken out again.
    fn add(&mut self, key: &CountKey) {
        self.0.resize(ROWS * COUNTERS, 0);
        let count = self.of(key).saturating_add(1);
        for place in Self::places(key) {
            if let Some(counter) = self.0.get_mut(place) {
                *counter = count.max(*counter);
            }
        }
    }
}

impl Sketch {
    /// Nothing counted so far.
    pub(super) fn new() -> Self {
        let began = UnixMillis::from_millis(0);
        Self { began, now: Rows::default(), before: Rows::default() }
    }

    /// Forgets what was counted more than a span ago, and maybe two.
    pub(super) fn turn(&mut self, now: UnixMillis, span: Duration) {
        if self.began.plus(span).plus(span) <= now {
            *self = Self { began: now, ..Self::new() };
        } else if self.began.plus(span) <= now {
            self.began = self.began.plus(span);
            self.before = take(&mut self.now);
        }
    }

    /// What was counted of a key, or more.
    pub(super) fn count(&self, key: &CountKey) -> u32 {
        self.now.of(key).saturating_add(self.before.of(key))
    }

    /// When less than `most` will be left of it, if nothing comes to it.
    pub(super) fn ends(&self, key: &CountKey, most: u32, span: Duration) -> UnixMillis {
        let next = self.began.plus(span);
        if self.now.of(key) >= most { next.plus(span) } else { next }
    }

    /// Counts once. What is here stays until its time is over.
    pub(super) fn add(&mut self, key: &CountKey) {
        self.now.add(key);
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn key(number: u32) -> CountKey {
        Sha256::digest(number.to_be_bytes()).into()
    }

    #[test]
    fn a_count_is_never_too_low_and_hardly_ever_too_high() {
        let mut sketch = Sketch::new();
        let times = |number: u32| number % 3 + 1;
        for number in 0..300_000 {
            for _ in 0..times(number) {
                sketch.add(&key(number));
            }
        }
        let excess = |number: u32| sketch.count(&key(number)).checked_sub(times(number)).unwrap();
        assert!((0..300_000).map(excess).all(|excess| excess <= 9));
        let strangers = (300_000..310_000).map(|number| sketch.count(&key(number)));
        assert!(strangers.filter(|count| *count > 3).count() < 100);
    }

    #[test]
    fn what_was_counted_stays_for_a_span_at_least_and_for_two_at_most() {
        let (mut sketch, span) = (Sketch::new(), Duration::from_millis(100));
        let at = UnixMillis::from_millis;
        for (now, count) in [(1_000, 0), (1_099, 1), (1_100, 2), (1_199, 3)] {
            sketch.turn(at(now), span);
            assert_eq!(sketch.count(&key(1)), count);
            sketch.add(&key(1));
        }
        assert_eq!(sketch.ends(&key(1), 4, span), at(1_200));
        assert_eq!(sketch.ends(&key(1), 2, span), at(1_300));
        sketch.turn(at(1_200), span);
        assert_eq!(sketch.count(&key(1)), 2);
        sketch.turn(at(1_300), span);
        assert_eq!(sketch.count(&key(1)), 0);
    }
}
