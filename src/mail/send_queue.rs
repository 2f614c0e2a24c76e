//! Three lanes out of the outbox: for what somebody waits for, for notices of an account's own use,
//! and for what goes to everybody. They share the pace and the places, of which the latter two
//! together leave some to the first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Mail;
use crate::domain::mail::MailLine;

/// How often the mails that wait are counted at most.
const COUNT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone)]
pub(super) struct Lane {
    /// What it is for.
    pub(super) line: MailLine,
    /// Held by who fills it: one at a time.
    turn: Arc<Semaphore>,
    /// Places of this lane, or of the two that leave some to the first.
    own: Arc<Semaphore>,
    /// Places of all.
    shared: Arc<Semaphore>,
    /// Mails that are begun in one go at most, since the pace counts them together.
    at_once: usize,
    taken: IntGauge,
}

/// Where one mail is being sent.
pub(super) struct SendPermit {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
    taken: IntGauge,
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        self.taken.dec();
    }
}

impl Lane {
    /// `taken` shows how many places are.
    pub(super) fn all(settings: &Mail, taken: &IntGauge) -> [Self; 3] {
        let at_once = usize::try_from(settings.at_once).unwrap_or(usize::MAX);
        let shared = Arc::new(Semaphore::new(at_once));
        let lane = |line, own: &Arc<Semaphore>, at_once| Self {
            line,
            turn: Arc::new(Semaphore::new(1)),
            own: Arc::clone(own),
            shared: Arc::clone(&shared),
            at_once,
            taken: taken.clone(),
        };
        // What nobody waits for never spends more than a second of the pace before somebody's own
        // mail may go.
        let in_a_second = usize::try_from(settings.per_minute / 60).unwrap_or(usize::MAX);
        let later = at_once.saturating_sub(at_once.div_ceil(4)).max(1);
        let later_at_once = later.min(in_a_second).max(1);
        let (any, later) = (Arc::new(Semaphore::new(at_once)), Arc::new(Semaphore::new(later)));
        [
            lane(MailLine::Awaited, &any, at_once),
            lane(MailLine::Notices, &later, later_at_once),
            lane(MailLine::Bulk, &later, later_at_once),
        ]
    }

    /// The right to fill the lane, if nobody does.
    pub(super) fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turn).try_acquire_owned().ok()
    }

    /// Waits for a place, and takes what others are free.
    pub(super) async fn free(&self) -> Vec<SendPermit> {
        let mut places = Vec::new();
        let first = (
            Arc::clone(&self.own).acquire_owned().await,
            Arc::clone(&self.shared).acquire_owned().await,
        );
        // They are never closed.
        let (Ok(own), Ok(shared)) = first else { return places };
        places.push(self.place(own, shared));
        while places.len() < self.at_once {
            let Ok(own) = Arc::clone(&self.own).try_acquire_owned() else { break };
            let Ok(shared) = Arc::clone(&self.shared).try_acquire_owned() else { break };
            places.push(self.place(own, shared));
        }
        places
    }

    fn place(&self, own: OwnedSemaphorePermit, shared: OwnedSemaphorePermit) -> SendPermit {
        self.taken.inc();
        SendPermit { _own: own, _shared: shared, taken: self.taken.clone() }
    }
}

/// How fast mails may be begun.
pub(super) struct SendRate {
    interval: Duration,
    state: Mutex<SendRateState>,
}

struct SendRateState {
    /// When the next one may be.
    next_at: Instant,
    counted_at: Option<Instant>,
}

impl SendRate {
    pub(super) fn new(per_minute: u32) -> Self {
        let interval = Duration::from_mins(1) / per_minute.max(1);
        let state = SendRateState { next_at: Instant::now(), counted_at: None };
        Self { interval, state: Mutex::new(state) }
    }

    /// Waits until another mail may be begun.
    pub(super) async fn wait(&self) {
        loop {
            let next_at = self.with(|state| state.next_at);
            if next_at <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(next_at).await;
        }
    }

    /// So many are begun.
    pub(super) fn spend(&self, mails: usize) {
        let span = self.interval.saturating_mul(u32::try_from(mails).unwrap_or(u32::MAX));
        self.with(|state| state.next_at = state.next_at.max(Instant::now()) + span);
    }

    /// Whether those that wait have not been counted for a while. They are now.
    pub(super) fn is_time_to_count(&self) -> bool {
        self.with(|state| {
            let now = Instant::now();
            let is_time = state.counted_at.is_none_or(|counted_at| counted_at + COUNT <= now);
            if is_time {
                state.counted_at = Some(now);
            }
            is_time
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut SendRateState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(at_once: u32, per_minute: u32) -> [Lane; 3] {
        let env = vec![
            ("SLUICE__MAIL__AT_ONCE".to_owned(), at_once.to_string()),
            ("SLUICE__MAIL__PER_MINUTE".to_owned(), per_minute.to_string()),
        ];
        let sources = crate::config::Sources { file: None, env };
        let settings =
            crate::config::load_for(&sources, crate::config::LoadPurpose::Command).unwrap();
        Lane::all(&settings.mail, &IntGauge::new("taken", "places").unwrap())
    }

    #[tokio::test]
    async fn what_nobody_waits_for_leaves_a_place_and_a_second_to_what_somebody_waits_for() {
        let [urgent, notices, bulk] = lanes(4, 60_000);
        assert_eq!(notices.free().await.len(), 3);
        let one = notices.place(
            Arc::clone(&notices.own).try_acquire_owned().unwrap(),
            Arc::clone(&notices.shared).try_acquire_owned().unwrap(),
        );
        let mut taken = bulk.free().await;
        assert_eq!(taken.len(), 2, "with those of notices");
        taken.push(one);
        assert_eq!(urgent.free().await.len(), 1);
        drop(taken);
        assert_eq!(urgent.free().await.len(), 4);
        for slow in &lanes(16, 120)[1..] {
            assert_eq!(slow.free().await.len(), 2, "a second of the pace");
        }
        let [urgent, _, bulk] = lanes(1, 1);
        assert_eq!(bulk.free().await.len(), 1);
        assert_eq!(urgent.free().await.len(), 1);
    }

    #[tokio::test]
    async fn the_pace_counts_every_mail() {
        let pace = SendRate::new(60_000);
        let began = Instant::now();
        for mails in [30, 10, 20] {
            pace.wait().await;
            pace.spend(mails);
        }
        pace.wait().await;
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }
}
