//! How a node stands among the others: since when it may call another one dead, and how often it
//! may have been called that itself.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::db::models::nodes::Renewed;
use crate::domain::clock::UnixMillis;

/// How long a node counts as alive after its last word.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How often it says so, and looks for others that do not.
pub(crate) const RENEWAL: Duration = Duration::from_secs(10);

/// See the module. Times are those of the clock that leases are kept by.
#[derive(Debug)]
pub struct LeaseState {
    started_at: AtomicI64,
    renewed_at: AtomicI64,
    judges_from: AtomicI64,
    lapses: AtomicU64,
    /// When a renewal was last tried, in milliseconds since `began`: by a clock that goes on while
    /// the process is stopped.
    tried_at: AtomicU64,
    began: Instant,
    living: AtomicU32,
    is_superseded: AtomicBool,
}

impl Default for LeaseState {
    fn default() -> Self {
        Self {
            started_at: AtomicI64::new(i64::MIN),
            renewed_at: AtomicI64::new(i64::MIN),
            judges_from: AtomicI64::new(i64::MAX),
            lapses: AtomicU64::new(0),
            tried_at: AtomicU64::new(0),
            began: Instant::now(),
            living: AtomicU32::new(1),
            is_superseded: AtomicBool::new(false),
        }
    }
}

impl LeaseState {
    /// How often the node's lease had run out before it could be renewed. Whoever began an exchange
    /// before that asks whether it is still open. A process that was stopped for a lease knows it
    /// before it has asked anybody.
    #[must_use]
    pub fn lapses(&self) -> u64 {
        self.lapses_at(self.millis())
    }

    fn lapses_at(&self, now: u64) -> u64 {
        let lapses = self.lapses.load(Ordering::Acquire);
        lapses.saturating_add(u64::from(self.was_stopped(now)))
    }

    /// Notes that a renewal is tried.
    pub(crate) fn note_try(&self) {
        self.note_try_at(self.millis());
    }

    fn note_try_at(&self, now: u64) {
        if self.was_stopped(now) {
            self.lapses.fetch_add(1, Ordering::AcqRel);
        }
        self.tried_at.store(now, Ordering::Release);
    }

    /// Whether no renewal was even tried for a lease: nothing of this process ran, the timer of the
    /// lease least of all.
    fn was_stopped(&self, now: u64) -> bool {
        let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        self.started_at().is_some()
            && now.saturating_sub(self.tried_at.load(Ordering::Acquire)) > lease
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// This node's part of what an account or a key may have on all nodes together, whole numbers
    /// rounded up: so nodes give at most one each beyond it. Known from the last renewal.
    #[must_use]
    pub fn share(&self, whole: u32) -> u32 {
        whole.div_ceil(self.living.load(Ordering::Relaxed).max(1))
    }

    /// Whether the database has got a schema that this program may not serve: then it stops.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Acquire)
    }

    pub(crate) fn supersede(&self) {
        self.is_superseded.store(true, Ordering::Release);
    }

    /// When the first lease was taken, if it was.
    pub(crate) fn started_at(&self) -> Option<UnixMillis> {
        let at = self.started_at.load(Ordering::Acquire);
        (at != i64::MIN).then_some(UnixMillis::from_millis(at))
    }

    /// Notes that the lease was renewed; whether it had run out before. Where that came late, or
    /// where some lease has run out when a node starts, the database may have been away from all:
    /// then everybody has one whole lease to come back before anybody is called dead.
    pub(crate) fn note(&self, renewed: &Renewed) -> bool {
        let now = renewed.now.as_millis();
        self.living.store(renewed.living, Ordering::Relaxed);
        let before = self.renewed_at.swap(now, Ordering::AcqRel);
        let is_first = before == i64::MIN;
        if is_first {
            self.started_at.store(now, Ordering::Release);
        }
        let is_late = !is_first && now > before.saturating_add(millis(RENEWAL) * 2);
        if is_late || (is_first && renewed.is_another_silent) {
            let from = renewed.now.plus(LEASE).as_millis();
            self.judges_from.store(from, Ordering::Release);
        } else if is_first {
            self.judges_from.store(now, Ordering::Release);
        }
        // An earlier renewal may have come to the database though its answer did not come back.
        let has_lapsed = !is_first && now > before.saturating_add(millis(LEASE));
        if renewed.has_lapsed || has_lapsed {
            self.lapses.fetch_add(1, Ordering::AcqRel);
            return true;
        }
        false
    }

    /// By which time others may be called dead now; `None` while they may not.
    pub(crate) fn judges_at(&self) -> Option<UnixMillis> {
        let now = self.renewed_at.load(Ordering::Acquire);
        let may = now >= self.judges_from.load(Ordering::Acquire) && now != i64::MIN;
        may.then_some(UnixMillis::from_millis(now))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewed(secs: i64, has_lapsed: bool, is_another_silent: bool) -> Renewed {
        let now = UnixMillis::from_millis(secs * 1000);
        Renewed { now, has_lapsed, is_another_silent, living: 1 }
    }

    #[test]
    fn who_could_not_renew_calls_nobody_dead_for_one_lease() {
        let standing = LeaseState::default();
        assert_eq!(standing.judges_at(), None);
        let judges = [
            (100, true),
            (110, true),
            (120, true),
            // Twice the pause is late for one beat, but not yet an outage.
            (140, true),
            (161, false),
            (171, false),
            (190, false),
            (191, true),
            (200, true),
        ];
        for (secs, may) in judges {
            standing.note(&renewed(secs, false, false));
            let at = UnixMillis::from_millis(secs * 1000);
            assert_eq!(standing.judges_at(), may.then_some(at), "{secs}");
        }
    }

    #[test]
    fn who_starts_beside_a_silent_one_waits_for_one_lease_and_beside_the_living_does_not() {
        for (silent, may) in [(true, false), (false, true)] {
            let standing = LeaseState::default();
            assert_eq!(standing.started_at(), None);
            standing.note(&renewed(100, false, silent));
            assert_eq!(standing.judges_at().is_some(), may);
            standing.note(&renewed(120, false, true));
            assert_eq!(standing.judges_at().is_some(), may);
            standing.note(&renewed(130, false, true));
            assert!(standing.judges_at().is_some());
            assert_eq!(standing.started_at(), Some(UnixMillis::from_millis(100_000)));
        }
    }

    #[test]
    fn a_process_that_was_stopped_for_a_lease_knows_it_before_it_asks() {
        let standing = LeaseState::default();
        standing.note_try_at(1_000);
        standing.note(&renewed(100, false, false));
        // A database that is away for long is no such thing: it is tried.
        for millis in [11_000, 21_000, 31_000, 41_000] {
            standing.note_try_at(millis);
            assert_eq!(standing.lapses_at(millis), 0);
        }
        assert_eq!(standing.lapses_at(71_000), 0);
        assert_eq!(standing.lapses_at(71_001), 1);
        standing.note_try_at(80_000);
        assert_eq!(standing.lapses_at(80_000), 1);
    }

    #[test]
    fn a_limit_is_shared_by_the_living() {
        let standing = LeaseState::default();
        assert_eq!(standing.share(5), 5);
        for (living, shares) in [(1, [0, 1, 5]), (2, [0, 1, 3]), (3, [0, 1, 2]), (9, [0, 1, 1])] {
            standing.note(&Renewed { living, ..renewed(100, false, false) });
            assert_eq!([0, 1, 5].map(|whole| standing.share(whole)), shares, "{living}");
        }
    }

    #[test]
    fn each_lapse_is_counted_once() {
        let standing = LeaseState::default();
        // The last one is found late by this node itself: an answer was lost in between.
        let told = [(100, false), (110, true), (120, false), (130, true), (161, false)]
            .map(|(secs, has_lapsed)| standing.note(&renewed(secs, has_lapsed, false)));
        assert_eq!(told, [false, true, false, true, true]);
        assert_eq!(standing.lapses(), 3);
    }
}
