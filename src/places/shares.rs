//! So many places for all, of which no account takes more than its share.

use std::collections::HashMap;
use std::hash::Hash;

use prometheus::IntGauge;

use super::{Place, Places, Rules};
use crate::domain::ids::AccountId;

/// Places by [`Shares`].
pub type SharedPlaces = Places<Shares>;
/// One of them.
pub type SharedPlace = Place<Shares>;

/// How many each has; nobody who has none is remembered.
#[derive(Debug)]
pub struct Tally<Id>(HashMap<Id, usize>);

/// See the module.
#[derive(Debug)]
pub struct Shares {
    max: usize,
    max_each: usize,
    taken: usize,
    accounts: Tally<AccountId>,
    /// Shows how many are taken.
    gauge: Option<IntGauge>,
}

impl<Id> Default for Tally<Id> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Id: Eq + Hash> Tally<Id> {
    /// What somebody has.
    #[must_use]
    pub fn of(&self, id: &Id) -> usize {
        self.0.get(id).copied().unwrap_or(0)
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Somebody has one more.
    pub fn add(&mut self, id: Id) {
        self.add_many(id, 1);
    }

    /// Somebody has so many more.
    pub fn add_many(&mut self, id: Id, more: usize) {
        let count = self.0.entry(id).or_default();
        *count = count.saturating_add(more);
    }

    /// Somebody has one less.
    pub fn remove(&mut self, id: &Id) {
        self.remove_many(id, 1);
    }

    /// Somebody has so many less.
    pub fn remove_many(&mut self, id: &Id, less: usize) {
        if let Some(count) = self.0.get_mut(id) {
            *count = count.saturating_sub(less);
            if *count == 0 {
                self.0.remove(id);
            }
        }
    }
}

impl Shares {
    /// So many places, and so many at most for one account.
    #[must_use]
    pub fn new(max: usize, max_each: usize) -> Self {
        Self { max, max_each, taken: 0, accounts: Tally::default(), gauge: None }
    }

    /// So many places, or any number, and half of them, rounded up, for one account: it cannot keep
    /// the others out.
    #[must_use]
    pub fn half_each(max: Option<usize>) -> Self {
        let max = max.unwrap_or(usize::MAX);
        Self::new(max, max.div_ceil(2))
    }

    /// From now on so many, or any number, of which no account takes more than half. Those that are
    /// taken stay taken.
    pub fn set_half_each(&mut self, max: Option<usize>) {
        self.max = max.unwrap_or(usize::MAX);
        self.max_each = self.max.div_ceil(2);
    }

    /// From now on shows how many are taken.
    pub fn show(&mut self, gauge: IntGauge) {
        self.gauge = Some(gauge);
        self.tell();
    }

    fn tell(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.set(i64::try_from(self.taken).unwrap_or(i64::MAX));
        }
    }

    /// Whether an account has all that it may take.
    #[must_use]
    pub fn has_share(&self, who: &AccountId) -> bool {
        self.accounts.of(who) >= self.max_each
    }
}

impl Rules for Shares {
    type Who = AccountId;

    fn fits(&mut self, who: &AccountId) -> bool {
        self.taken < self.max && !self.has_share(who)
    }

    fn take(&mut self, who: &AccountId) {
        self.taken = self.taken.saturating_add(1);
        self.accounts.add(*who);
        self.tell();
    }

    fn give_back(&mut self, who: &AccountId) {
        self.taken = self.taken.saturating_sub(1);
        self.accounts.remove(who);
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_takes_half_of_them() {
        const ONE: AccountId = AccountId(1);
        let places = Places::new(Shares::half_each(Some(3)));
        let own = (places.take(&ONE).unwrap(), places.take(&ONE).unwrap());
        assert!(places.take(&ONE).is_none());
        let other = places.take(&AccountId(2)).unwrap();
        assert!(places.take(&AccountId(3)).is_none(), "all are taken");
        drop(own);
        assert!(places.take(&AccountId(3)).is_some());
        drop(other);
        places.with(|rules| assert!(rules.accounts.is_empty()));
        let only = Places::new(Shares::half_each(Some(1)));
        assert!(only.take(&ONE).is_some());
        let any = Places::new(Shares::half_each(None));
        let many: Vec<_> = (0..100).map(|_| any.take(&ONE).unwrap()).collect();
        assert_eq!(any.with(|rules| rules.taken), many.len());
    }

    #[test]
    fn no_account_takes_more_than_its_share_and_places_come_back() {
        let drains = Places::new(Shares::new(3, 2));
        let take = |account| drains.take(&AccountId(account));
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some() && take(1).is_none());
        let other = take(2);
        assert!(other.is_some() && take(3).is_none(), "all are taken");
        drop(one);
        assert!(take(3).is_some());
        drop((two, other));
        drains.with(|rules| assert!(rules.accounts.is_empty()));
    }
}
