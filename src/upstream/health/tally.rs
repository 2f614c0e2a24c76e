//! Failures in a row, and their share among the latest requests.

use std::collections::VecDeque;

use super::Limits;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::upstream::fault::Fault;

/// The share of failures is taken of so many requests at least, and at most.
const SHARE_MIN: usize = 20;
const SHARE_MAX: usize = 100;
/// Of those of the last minute.
const SHARE_MILLIS: i64 = 60_000;
/// Accounts among which a bad share must be spread.
const SHARE_ACCOUNTS: usize = 3;

/// Failures since the last answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FailureRun {
    failures: u32,
    timeouts: u32,
    first: Option<AccountId>,
    is_spread: bool,
    is_unreachable: bool,
}

impl FailureRun {
    /// Notes a failure to an account.
    pub(super) fn note(&mut self, account: AccountId, fault: Fault) {
        self.failures = self.failures.saturating_add(1);
        self.timeouts = if fault == Fault::Slow { self.timeouts.saturating_add(1) } else { 0 };
        self.is_unreachable = fault == Fault::Unreachable;
        let first = *self.first.get_or_insert(account);
        self.is_spread |= first != account;
    }

    /// Whether it is long enough to be more than chance.
    pub(super) const fn is_enough(&self, limits: &Limits) -> bool {
        self.failures >= limits.failures_max || self.timeouts >= limits.timeouts_max
    }

    /// Whether no single account can have brought it about.
    pub(super) const fn is_everybodys(&self) -> bool {
        self.is_spread || self.is_unreachable
    }

    /// Whether there is one.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Heads in a row that did not come in time.
    pub(super) const fn timeouts(&self) -> u32 {
        self.timeouts
    }
}

/// The latest requests: when, and to whom one failed.
#[derive(Debug, Default)]
pub(super) struct RecentRequests(VecDeque<(UnixMillis, Option<AccountId>)>);

impl RecentRequests {
    /// Notes a request: to whom it failed, or that it did not.
    pub(super) fn note(&mut self, failed: Option<AccountId>, at: UnixMillis) {
        self.0.push_back((at, failed));
        while self.0.len() > SHARE_MAX {
            self.0.pop_front();
        }
    }

    /// Whether half of them or more have failed, to several accounts.
    pub(super) fn is_bad(&self, now: UnixMillis) -> bool {
        let recent = self.0.iter().filter(|(at, _)| now.millis_since(*at) < SHARE_MILLIS);
        let recent: Vec<_> = recent.map(|(_, failed)| *failed).collect();
        let mut failed: Vec<AccountId> = recent.iter().copied().flatten().collect();
        let is_half = failed.len().saturating_mul(2) >= recent.len();
        failed.sort_unstable();
        failed.dedup();
        recent.len() >= SHARE_MIN && is_half && failed.len() >= SHARE_ACCOUNTS
    }
}
