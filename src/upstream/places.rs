//! The places of an upstream: how many requests for messages it has at once from this node.
//!
//! One account takes no more than half of them, so that it cannot keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::domain::ids::AccountId;

/// See the module.
#[derive(Debug)]
pub struct Places {
    /// `None` is any number.
    max: Option<usize>,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    accounts: HashMap<AccountId, usize>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    /// `None` for a request that needs none.
    places: Option<Arc<Places>>,
    account: AccountId,
}

impl Places {
    /// That many places, none of them taken.
    #[must_use]
    pub fn new(max: Option<usize>) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for an account, if there is one.
    #[must_use]
    pub fn take(self: &Arc<Self>, account: AccountId) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.accounts.get(&account).copied().unwrap_or(0);
        if self.max.is_some_and(|max| taken.all >= max || own >= max.div_ceil(2)) {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        taken.accounts.insert(account, own.saturating_add(1));
        Some(Place { places: Some(Arc::clone(self)), account })
    }

    /// A place for an account as soon as there is one, or nothing by that time.
    pub async fn wait(self: &Arc<Self>, account: AccountId, until: Instant) -> Option<Place> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // What comes free behind the look counts.
            freed.as_mut().enable();
            if let Some(place) = self.take(account) {
                return Some(place);
            }
            timeout_at(until, freed).await.ok()?;
        }
    }
}

impl Place {
    /// Of a request that needs none.
    #[must_use]
    pub const fn unlimited(account: AccountId) -> Self {
        Self { places: None, account }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = &self.places else { return };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.accounts.get_mut(&self.account) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.accounts.remove(&self.account);
            }
        }
        drop(taken);
        places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ONE: AccountId = AccountId(1);
    const TWO: AccountId = AccountId(2);

    #[test]
    fn one_account_takes_half_of_them() {
        let places = Places::new(Some(3));
        let own = (places.take(ONE).unwrap(), places.take(ONE).unwrap());
        assert!(places.take(ONE).is_none());
        let other = places.take(TWO).unwrap();
        assert!(places.take(AccountId(3)).is_none(), "all are taken");
        drop(own);
        assert!(places.take(AccountId(3)).is_some());
        drop(other);
        assert!(places.taken.lock().unwrap().accounts.is_empty());
        let only = Places::new(Some(1));
        assert!(only.take(ONE).is_some());
        let any = Places::new(None);
        let many: Vec<_> = (0..100).map(|_| any.take(ONE).unwrap()).collect();
        assert_eq!(any.taken.lock().unwrap().all, many.len());
    }

    #[actix_web::test]
    async fn whoever_waits_gets_the_place_that_comes_free_and_not_for_ever() {
        let places = Places::new(Some(1));
        let place = places.take(ONE).unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(places.wait(TWO, soon).await.is_none());
        let until = Instant::now() + Duration::from_mins(1);
        let free = async {
            tokio::task::yield_now().await;
            drop(place);
        };
        let (found, ()) = tokio::join!(places.wait(TWO, until), free);
        assert!(found.is_some());
    }
}
