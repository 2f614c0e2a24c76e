//! The line in which the requests of one account wait for each other's holds, first come, first
//! served. Accounts do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::domain::ids::AccountId;

/// The lines of all accounts that have one.
#[derive(Default)]
pub struct HoldQueues {
    lines: Mutex<HashMap<i64, Arc<HoldQueue>>>,
}

/// One account's line.
struct HoldQueue {
    /// Whoever holds it is the first.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Some of the account's money has come free.
    freed: Notify,
}

/// A place in a line; leaves it when dropped.
pub struct QueuePlace<'a> {
    lines: &'a HoldQueues,
    account_id: i64,
    line: Arc<HoldQueue>,
}

/// The first place.
pub struct HoldTurn {
    line: Arc<HoldQueue>,
    _turn: OwnedMutexGuard<()>,
}

impl HoldQueues {
    /// Joins an account's line at its end.
    #[must_use]
    pub fn join(&self, account_id: AccountId) -> QueuePlace<'_> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines
            .entry(account_id.0)
            .or_insert_with(|| Arc::new(HoldQueue { turn: Arc::default(), freed: Notify::new() }));
        QueuePlace { lines: self, account_id: account_id.0, line: Arc::clone(line) }
    }

    /// Whether nobody of an account waits.
    #[must_use]
    pub fn is_empty(&self, account_id: AccountId) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        !lines.contains_key(&account_id.0)
    }

    /// Tells an account's line that some of its money has come free.
    pub fn free(&self, account_id: AccountId) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&account_id.0) {
            line.freed.notify_one();
        }
    }
}

impl QueuePlace<'_> {
    /// Waits until everybody who came before has gone.
    pub async fn turn(&self) -> HoldTurn {
        let turn = Arc::clone(&self.line.turn).lock_owned().await;
        HoldTurn { line: Arc::clone(&self.line), _turn: turn }
    }
}

impl HoldTurn {
    /// Waits until some of the account's money has come free on this node. What came free since the
    /// last time counts.
    pub async fn freed(&self) {
        self.line.freed.notified().await;
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's own and this one: nobody else waits.
        if Arc::strong_count(&self.line) <= 2 {
            lines.remove(&self.account_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[actix_web::test]
    async fn the_first_in_an_account_is_served_first_and_accounts_do_not_wait_for_each_other() {
        let lines = HoldQueues::default();
        let (first, second) = (lines.join(AccountId(1)), lines.join(AccountId(1)));
        let other = lines.join(AccountId(2));
        let turn = first.turn().await;
        drop(other.turn().await);
        let waits = tokio::time::timeout(Duration::from_millis(20), second.turn()).await;
        assert!(waits.is_err());
        lines.free(AccountId(1));
        turn.freed().await;
        drop(turn);
        drop(first);
        drop(second.turn().await);
        drop(second);
        drop(other);
        assert!(lines.lines.lock().unwrap().is_empty());
    }
}
