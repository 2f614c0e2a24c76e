//! Streams that are read to their end without a client: a bounded number, of which no account takes more than its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::AccountId;

/// The places of a node.
#[derive(Debug)]
pub struct Drains {
    max: usize,
    max_per_account: usize,
    running: Mutex<HashMap<i64, usize>>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Drain {
    drains: Arc<Drains>,
    account_id: i64,
}

impl Drains {
    /// So many places, and so many at most for one account.
    #[must_use]
    pub fn new(max: usize, max_per_account: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_account, running: Mutex::default() })
    }

    /// A place for an account, if there is one.
    #[must_use]
    pub fn take(self: &Arc<Self>, account_id: AccountId) -> Option<Drain> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = running.values().sum();
        let own = running.get(&account_id.0).copied().unwrap_or(0);
        if all >= self.max || own >= self.max_per_account {
            return None;
        }
        running.insert(account_id.0, own.saturating_add(1));
        Some(Drain { drains: Arc::clone(self), account_id: account_id.0 })
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut running = self.drains.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&self.account_id) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => {
                running.remove(&self.account_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_account_takes_more_than_its_share_and_places_come_back() {
        let drains = Drains::new(3, 2);
        let take = |account| drains.take(AccountId(account));
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some() && take(1).is_none());
        let other = take(2);
        assert!(other.is_some() && take(3).is_none(), "all are taken");
        drop(one);
        assert!(take(3).is_some());
        drop((two, other));
        assert!(drains.running.lock().unwrap().is_empty());
    }
}
