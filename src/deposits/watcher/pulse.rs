//! When it is worth looking at a chain again: often while something waits, and otherwise when a new
//! block is likely.

use std::time::Duration;

use crate::domain::clock::UnixMillis;

/// Between two looks while something waits to be looked into, or is in the way.
const BUSY: Duration = Duration::from_secs(2);
/// Between two looks at a chain whose blocks come faster.
const IDLE: Duration = Duration::from_secs(8);
/// The longest time between two looks, however slow the blocks are.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// A block reaches providers so long after its time.
const UNDER_WAY: i64 = 1_500;
/// Blocks over which the time of one is measured at least.
const BLOCKS_MIN: u64 = 4;
/// How far back the measurement goes, in milliseconds.
const MEASURED: i64 = 3_600_000;

/// How fast blocks come.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    first: Option<(u64, UnixMillis)>,
    newest: Option<(u64, UnixMillis)>,
    /// Milliseconds from block to block, as last measured.
    block_time: Option<i64>,
}

impl Pulse {
    /// A block, and the time that it tells.
    pub(super) fn beat(&mut self, number: u64, time: UnixMillis) {
        let is_back = self.newest.is_some_and(|(newest, _)| number < newest);
        let is_over = self.first.is_none_or(|(_, at)| time.millis_since(at) > MEASURED);
        if is_back {
            self.block_time = None;
        }
        if is_back || is_over {
            self.first = Some((number, time));
        }
        self.newest = Some((number, time));
        self.block_time = self.measured().or(self.block_time);
    }

    fn measured(&self) -> Option<i64> {
        let ((first, from), (newest, to)) = (self.first?, self.newest?);
        let blocks = newest.checked_sub(first).filter(|&blocks| blocks >= BLOCKS_MIN)?;
        to.millis_since(from).checked_div(i64::try_from(blocks).ok()?)
    }

    /// Milliseconds from block to block, once they have been measured.
    pub(super) const fn block_millis(&self) -> Option<i64> {
        self.block_time
    }

    /// How long to wait before the next look.
    pub(super) fn wait(&self, is_busy: bool, now: UnixMillis) -> Duration {
        let (Some(block_time), Some((_, newest)), false) = (self.block_time, self.newest, is_busy)
        else {
            return BUSY;
        };
        let length = Duration::from_millis(u64::try_from(block_time).unwrap_or(0));
        if length <= IDLE {
            return IDLE;
        }
        let next = newest.plus_millis(block_time.saturating_add(UNDER_WAY));
        let left = Duration::from_millis(u64::try_from(next.millis_since(now)).unwrap_or(0));
        left.clamp(BUSY, length.min(IDLE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(block_millis: i64) -> (Pulse, UnixMillis) {
        let mut pulse = Pulse::default();
        let at =
            |block: i64| UnixMillis::from_millis(1_000_000 + block * block_millis / 1000 * 1000);
        for block in 0..100 {
            pulse.beat(block, at(i64::try_from(block).unwrap()));
        }
        (pulse, at(99))
    }

    #[test]
    fn a_slow_chain_is_looked_at_when_its_next_block_is_due_and_a_fast_one_now_and_then() {
        let (ethereum, newest) = pulse(12_000);
        let after = |millis| ethereum.wait(false, newest.plus_millis(millis)).as_millis();
        assert_eq!(
            [0, 3_000, 10_000, 13_000, 60_000].map(after),
            [12_000, 10_500, 3_500, 2_000, 2_000]
        );
        // A clock that is wrong makes it no slower than the blocks.
        assert_eq!(after(-60_000), 12_000);
        assert_eq!(ethereum.wait(true, newest), BUSY);
        for block_millis in [250, 1_000, 2_000] {
            let (fast, newest) = pulse(block_millis);
            assert_eq!(fast.wait(false, newest), IDLE, "{block_millis}");
        }
        let (slow, newest) = pulse(600_000);
        assert_eq!(slow.wait(false, newest), IDLE_MAX);
        assert_eq!(Pulse::default().wait(false, newest), BUSY);
    }

    #[test]
    fn a_chain_that_changes_its_pace_or_goes_back_is_measured_anew() {
        let (mut pulse, newest) = pulse(12_000);
        for block in 0..4_000_i64 {
            let number = 100 + u64::try_from(block).unwrap();
            pulse.beat(number, newest.plus_millis(2_000 * (block + 1)));
        }
        assert!((2_000..4_000).contains(&pulse.block_time.unwrap()), "{pulse:?}");
        pulse.beat(50, newest);
        assert_eq!(pulse.block_time, None);
    }
}
