//! Commands whose account another transaction holds: they stand aside, so that it holds up nobody else.

use std::time::Duration;

use tokio::time::Instant;

use super::Submit;
use crate::domain::ids::AccountId;

/// When those that stand aside are looked at again.
pub(super) const AGAIN: Duration = Duration::from_millis(20);
/// From when on an account is waited for instead of being asked for. Whoever only asks finds a busy one busy each time.
const WAITED_FOR: Duration = Duration::from_millis(200);
/// How often one account is waited for: all others wait then too.
const WAITS_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Aside {
    /// With the time since when each stands here.
    waiting: Vec<(Submit, Instant)>,
    waited_at: Option<Instant>,
}

impl Aside {
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether commands of an account stand here.
    pub(super) fn has(&self, account_id: AccountId) -> bool {
        self.waiting.iter().any(|(submit, _)| submit.command.account_id() == account_id)
    }

    /// Puts a command aside.
    pub(super) fn put(&mut self, mut submit: Submit, now: Instant) {
        let since = *submit.busy_since.get_or_insert(now);
        self.waiting.push((submit, since));
    }

    /// All, to be tried with the others.
    pub(super) fn take(&mut self) -> Vec<Submit> {
        std::mem::take(&mut self.waiting).into_iter().map(|(submit, _)| submit).collect()
    }

    /// The commands of one account that has kept them for long, in order, if it is time to wait for one.
    pub(super) fn take_longest(&mut self, now: Instant) -> Vec<Submit> {
        let waited = self.waited_at.is_some_and(|at| now.duration_since(at) < WAITS_EVERY);
        let longest = self.waiting.iter().min_by_key(|(_, since)| *since);
        let longest = longest.filter(|(_, since)| now.duration_since(*since) >= WAITED_FOR);
        let Some(account_id) = longest.map(|(submit, _)| submit.command.account_id()) else {
            return Vec::new();
        };
        if waited {
            return Vec::new();
        }
        self.waited_at = Some(now);
        let (taken, left) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(submit, _)| submit.command.account_id() == account_id);
        self.waiting = left;
        let taken: Vec<(Submit, Instant)> = taken;
        taken.into_iter().map(|(submit, _)| submit).collect()
    }
}
