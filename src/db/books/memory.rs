//! What a connection remembers of accounts that it was the last to write, so that it need not read
//! them again.
//!
//! On PostgreSQL it may be out of date at any time. That costs a statement and nothing else:
//! [`super::write`] changes an account only in the version that is remembered, and what would
//! change nothing is read before it is believed. On `SQLite` the writer has the whole file, and can
//! tell whether anybody else has written since ([`super::keep_up`]): then all is forgotten.

use std::collections::{BTreeMap, HashMap};

use super::keys::KeyBookRow;
use super::{BalanceRow, Changes, CommandNeeds, GroupRows, ReservationRow};
use crate::domain::ids::{AccountId, ApiKeyId};

/// Accounts of which something is remembered at most; with more, all are forgotten.
const ACCOUNTS_MAX: usize = 10_000;

/// See the module. It goes with its connection, and with each failure.
#[derive(Default)]
pub struct BalanceCache {
    accounts: HashMap<AccountId, CachedBalance>,
    /// On `SQLite`, a number that only the commits of others change, as it was last.
    elsewhere: Option<i64>,
}

/// One account as it was written last.
struct CachedBalance {
    balance: BalanceRow,
    keys: BTreeMap<ApiKeyId, KeyBookRow>,
    open: BTreeMap<String, ReservationRow>,
}

impl BalanceCache {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.accounts.clear();
    }

    /// Forgets everything if others have written since the last time.
    pub(super) fn keep_up(&mut self, elsewhere: i64) {
        if self.elsewhere.replace(elsewhere) != Some(elsewhere) {
            self.clear();
        }
    }

    /// Whether anything is remembered of an account.
    pub(super) fn knows(&self, account_id: AccountId) -> bool {
        self.accounts.contains_key(&account_id)
    }

    /// Forgets these accounts.
    pub(crate) fn forget(&mut self, account_ids: impl IntoIterator<Item = AccountId>) {
        for id in account_ids {
            self.accounts.remove(&id);
        }
    }

    /// What is remembered for some commands; and the commands that have to be read for, all of
    /// their accounts together.
    pub(crate) fn find<'a>(
        &self,
        wants: &[CommandNeeds<'a>],
    ) -> (GroupRows, Vec<CommandNeeds<'a>>) {
        let mut found = GroupRows::default();
        let mut by_account: BTreeMap<AccountId, Vec<CommandNeeds<'a>>> = BTreeMap::new();
        for want in wants {
            by_account.entry(want.account_id).or_default().push(*want);
        }
        let mut unknown = Vec::new();
        for (id, wants) in by_account {
            match self.accounts.get(&id).filter(|known| wants.iter().all(|want| known.has(want))) {
                Some(known) => known.give(&wants, &mut found),
                None => unknown.extend(wants),
            }
        }
        (found, unknown)
    }

    /// Takes in what was read, on which something is about to be decided.
    pub(crate) fn learn(&mut self, read: &GroupRows) {
        if self.accounts.len().saturating_add(read.balances.len()) > ACCOUNTS_MAX {
            self.clear();
        }
        for balance in &read.balances {
            let now = CachedBalance::of(balance, read);
            match self.accounts.get_mut(&balance.id) {
                Some(known) if known.balance.version == balance.version => known.add(now),
                _ => drop(self.accounts.insert(balance.id, now)),
            }
        }
    }

    /// Takes in what was changed of accounts that were written, as (id, version) now.
    pub(crate) fn note(&mut self, changes: &Changes<'_>, written: &[(AccountId, i64)]) {
        for change in &changes.balances {
            let version = written.iter().find(|(id, _)| *id == change.account_id);
            match (self.accounts.get_mut(&change.account_id), version) {
                (Some(known), Some((_, version))) => {
                    known.balance.change(change, *version);
                }
                _ => self.forget([change.account_id]),
            }
        }
        for row in changes.opened.iter().chain(&changes.changed) {
            if let Some(known) = self.accounts.get_mut(&row.account_id) {
                known.open.insert(row.id.clone(), (*row).clone());
            }
        }
        for row in &changes.closed {
            if let Some(known) = self.accounts.get_mut(&row.account_id) {
                known.open.remove(&row.id);
            }
        }
        for change in &changes.keys {
            let Some(known) = self.accounts.get_mut(&change.account_id) else { continue };
            if let Some(key) = known.keys.get_mut(&change.id) {
                key.last_used_at = change.last_used_at;
                key.spending.set(change);
                // The same transaction wrote both.
                key.version = known.balance.version;
            }
        }
    }
}

impl CachedBalance {
    fn of(balance: &BalanceRow, read: &GroupRows) -> Self {
        let keys = read.keys.iter().filter(|key| key.account_id == balance.id);
        let open = read.reservations.iter().filter(|row| row.account_id == balance.id);
        Self {
            balance: balance.clone(),
            keys: keys.map(|key| (key.id, key.clone())).collect(),
            open: open.map(|row| (row.id.clone(), row.clone())).collect(),
        }
    }

    fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.open.extend(other.open);
    }

    /// Whether a command finds everything here. Of a key with a budget, what all its exchanges hold
    /// is not.
    fn has(&self, want: &CommandNeeds<'_>) -> bool {
        let open = want.exchange_id.and_then(|id| self.open.get(id));
        if open.is_none() && want.exchange_id.is_some() && !want.is_new {
            return false;
        }
        let key_id = want.key_id.or_else(|| open.map(|row| row.api_key_id));
        key_id.is_none_or(|id| {
            self.keys.get(&id).is_some_and(|key| !want.is_hold || !key.has_budget())
        })
    }

    fn give(&self, wants: &[CommandNeeds<'_>], found: &mut GroupRows) {
        found.balances.push(self.balance.clone());
        found.keys.extend(self.keys.values().cloned());
        let open = wants.iter().filter_map(|want| self.open.get(want.exchange_id?));
        found.reservations.extend(open.cloned());
    }
}
