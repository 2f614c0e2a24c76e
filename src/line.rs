//! The line in which the requests of one account, or of one API key, wait for what others of it have in use, first come,
//! first served. Accounts do not wait for each other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

/// The lines of all that have one, by account or by key.
pub struct Lines<Id: Copy + Eq + Hash> {
    lines: Mutex<HashMap<Id, Arc<Line>>>,
}

/// One line.
struct Line {
    /// Whoever holds it is the first.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Something has come free.
    freed: Notify,
}

/// A place in a line; leaves it when dropped.
pub struct Place<'a, Id: Copy + Eq + Hash> {
    lines: &'a Lines<Id>,
    id: Id,
    line: Arc<Line>,
}

/// The first place.
pub struct Turn {
    line: Arc<Line>,
    _turn: OwnedMutexGuard<()>,
}

impl<Id: Copy + Eq + Hash> Default for Lines<Id> {
    fn default() -> Self {
        Self { lines: Mutex::default() }
    }
}

impl<Id: Copy + Eq + Hash> Lines<Id> {
    /// Joins a line at its end.
    #[must_use]
    pub fn join(&self, id: Id) -> Place<'_, Id> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines
            .entry(id)
            .or_insert_with(|| Arc::new(Line { turn: Arc::default(), freed: Notify::new() }));
        Place { lines: self, id, line: Arc::clone(line) }
    }

    /// How many wait in a line.
    #[must_use]
    pub fn waiting(&self, id: Id) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Each place has one, the table and perhaps a turn.
        lines.get(&id).map_or(0, |line| Arc::strong_count(line).saturating_sub(1))
    }

    /// Tells a line that something has come free.
    pub fn free(&self, id: Id) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&id) {
            line.freed.notify_one();
        }
    }
}

impl<Id: Copy + Eq + Hash> Place<'_, Id> {
    /// Waits until everybody who came before has gone.
    pub async fn turn(&self) -> Turn {
        let turn = Arc::clone(&self.line.turn).lock_owned().await;
        Turn { line: Arc::clone(&self.line), _turn: turn }
    }
}

impl Turn {
    /// Waits until something has come free on this node. What came free since the last time counts.
    pub async fn freed(&self) {
        self.line.freed.notified().await;
    }
}

impl<Id: Copy + Eq + Hash> Drop for Place<'_, Id> {
    fn drop(&mut self) {
        let mut lines = self.lines.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's own and this one: nobody else waits.
        if Arc::strong_count(&self.line) <= 2 {
            lines.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::ids::AccountId;

    #[actix_web::test]
    async fn the_first_in_an_account_is_served_first_and_accounts_do_not_wait_for_each_other() {
        let lines = Lines::default();
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
