//! The places of an upstream: how many requests for messages it has at once from this node.
//!
//! One account takes no more than half of them, rounded up, so that it cannot keep the others out.

use std::collections::HashMap;

use crate::domain::ids::AccountId;
use crate::places::{Place, Places, Rules};

/// See the module.
pub type UpstreamPlaces = Places<HalfEach>;
/// One of them.
pub type UpstreamPlace = Place<HalfEach>;

/// So many for all, and half of them for each account.
#[derive(Debug)]
pub struct HalfEach {
    /// `None` is any number.
    max: Option<usize>,
    taken: usize,
    accounts: HashMap<AccountId, usize>,
}

impl HalfEach {
    /// That many places, none of them taken.
    #[must_use]
    pub fn new(max: Option<usize>) -> Self {
        Self { max, taken: 0, accounts: HashMap::new() }
    }
}

impl Rules for HalfEach {
    type Who = AccountId;

    fn fits(&mut self, who: &AccountId) -> bool {
        let own = self.accounts.get(who).copied().unwrap_or(0);
        self.max.is_none_or(|max| self.taken < max && own < max.div_ceil(2))
    }

    fn take(&mut self, who: &AccountId) {
        self.taken = self.taken.saturating_add(1);
        let own = self.accounts.entry(*who).or_default();
        *own = own.saturating_add(1);
    }

    fn give_back(&mut self, who: &AccountId) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(own) = self.accounts.get_mut(who) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.accounts.remove(who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_takes_half_of_them() {
        const ONE: AccountId = AccountId(1);
        let places = Places::new(HalfEach::new(Some(3)));
        let own = (places.take(&ONE).unwrap(), places.take(&ONE).unwrap());
        assert!(places.take(&ONE).is_none());
        let other = places.take(&AccountId(2)).unwrap();
        assert!(places.take(&AccountId(3)).is_none(), "all are taken");
        drop(own);
        assert!(places.take(&AccountId(3)).is_some());
        drop(other);
        places.with(|rules| assert!(rules.accounts.is_empty()));
        let only = Places::new(HalfEach::new(Some(1)));
        assert!(only.take(&ONE).is_some());
        let any = Places::new(HalfEach::new(None));
        let many: Vec<_> = (0..100).map(|_| any.take(&ONE).unwrap()).collect();
        assert_eq!(any.with(|rules| rules.taken), many.len());
    }
}
