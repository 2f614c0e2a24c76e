//! The breaker: an upstream that refuses the operator's own credential is left alone for a while.
//!
//! A 403 may be the client's doing (a feature that it may not use) or the operator's (a key without
//! rights). Only the clients together tell: where several accounts are refused and none is
//! answered, it is the operator's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;

/// How long an upstream is left alone after it has refused our credential.
const REST_MILLIS: i64 = 30_000;

/// One upstream's breaker on this node.
#[derive(Debug, Default)]
pub struct Health {
    /// Milliseconds since the epoch; requests go there from then on.
    rests_until: AtomicI64,
    /// Accounts that were last answered with 403 and when, each once, oldest first.
    forbidden: Mutex<VecDeque<(AccountId, UnixMillis)>>,
}

impl Health {
    /// Whether requests may go there.
    #[must_use]
    pub fn is_open_at(&self, now_millis: i64) -> bool {
        self.rests_until.load(Ordering::Relaxed) <= now_millis
    }

    /// Leaves it alone for a while.
    pub fn rest(&self, now_millis: i64) {
        self.rests_until.store(now_millis.saturating_add(REST_MILLIS), Ordering::Relaxed);
    }

    /// Notes a 403 to `account`. Whether that makes `accounts` of them within `window`, so that it
    /// counts as a refusal of our credential; with 0 accounts it never does.
    #[must_use]
    pub fn note_forbidden(
        &self,
        account: AccountId,
        now: UnixMillis,
        accounts: usize,
        window: Duration,
    ) -> bool {
        let window_millis = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let mut recent = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(who, at)| *who != account && now.millis_since(*at) < window_millis);
        recent.push_back((account, now));
        let is_reached = recent.len() >= accounts;
        // More are not needed to know it again next time.
        while recent.len() > accounts {
            recent.pop_front();
        }
        is_reached && accounts > 0
    }

    /// Notes that a request was answered: the credential has its rights.
    pub fn note_answer(&self) {
        self.forbidden.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn note(health: &Health, account: i64, secs: i64) -> bool {
        let now = UnixMillis::from_millis(secs * 1000);
        health.note_forbidden(AccountId(account), now, 3, WINDOW)
    }

    #[test]
    fn e13_accounts_are_counted_once_each_and_only_for_a_while() {
        let health = Health::default();
        assert!(!note(&health, 1, 0));
        assert!(!note(&health, 1, 1));
        assert!(!note(&health, 2, 2));
        assert!(!note(&health, 1, 3));
        assert!(note(&health, 3, 4));
        assert!(note(&health, 3, 5), "it stays so within the window");
        // Account 2 was last seen at 2, account 1 at 3.
        assert!(!note(&health, 3, 62));
        assert!(!note(&health, 4, 63));
        assert!(note(&health, 5, 64));
    }

    #[test]
    fn e13_an_answer_begins_the_count_anew() {
        let health = Health::default();
        assert!(!note(&health, 1, 0));
        assert!(!note(&health, 2, 0));
        health.note_answer();
        assert!(!note(&health, 3, 0));
        assert!(!note(&health, 4, 0));
        assert!(note(&health, 1, 0));
    }

    #[test]
    fn e13_the_memory_of_accounts_is_bounded() {
        let health = Health::default();
        for account in 0..1000 {
            note(&health, account, 0);
            assert!(health.forbidden.lock().unwrap().len() <= 3);
        }
        let never = health.note_forbidden(AccountId(1), UnixMillis::from_millis(0), 0, WINDOW);
        assert!(!never);
        assert!(health.forbidden.lock().unwrap().is_empty());
    }
}
