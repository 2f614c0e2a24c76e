//! Commands whose account another transaction holds: they stand aside, so that it holds up nobody
//! else.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Submit;
use crate::domain::ids::AccountId;

/// When those that stand aside are looked at again.
pub(super) const AGAIN: Duration = Duration::from_millis(20);
/// From when on an account is waited for instead of being asked for. Whoever only asks finds a busy
/// one busy each time.
const WAITED_FOR: Duration = Duration::from_millis(200);
/// How often one account is waited for: all others wait then too.
const WAITS_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Aside {
    waiting: Vec<Submit>,
    waited_at: Option<Instant>,
}

impl Aside {
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The accounts whose commands stand here.
    pub(super) fn accounts(&self) -> HashSet<AccountId> {
        self.waiting.iter().map(|submit| submit.command.account_id()).collect()
    }

    /// Puts a command aside.
    pub(super) fn put(&mut self, mut submit: Submit, now: Instant) {
        submit.busy_since.get_or_insert(now);
        self.waiting.push(submit);
    }

    /// All, to be tried with the others.
    pub(super) fn take(&mut self) -> Vec<Submit> {
        std::mem::take(&mut self.waiting)
    }

    /// The commands of one account that has kept them for long, in order, if it is time to wait for
    /// one.
    pub(super) fn take_longest(&mut self, now: Instant) -> Vec<Submit> {
        if self.waited_at.is_some_and(|at| now.duration_since(at) < WAITS_EVERY) {
            return Vec::new();
        }
        let longest = self.waiting.iter().min_by_key(|submit| submit.busy_since);
        let is_long = |since| now.duration_since(since) >= WAITED_FOR;
        let Some(submit) = longest.filter(|submit| submit.busy_since.is_some_and(is_long)) else {
            return Vec::new();
        };
        let account_id = submit.command.account_id();
        self.waited_at = Some(now);
        let (taken, left) =
            self.take().into_iter().partition(|submit| submit.command.account_id() == account_id);
        self.waiting = left;
        taken
    }
}
