//! The decisions of one group, in memory: pure, so that a model can be held against it.

mod holds;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::LedgerError;
use super::account::{AccountState, difference};
use super::command::{Command, Effect, Hold};
use super::keys::{Keys, PausedKey};
use crate::db::books::{
    BalanceChange, Changes, EntryRow, GroupRows, PassRow, ReservationRow, UsageRow,
};
use crate::domain::clock::UnixMillis;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Outcome;

/// An account that has come below the threshold that its owner has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) account_id: AccountId,
    /// What is left, reserved money included.
    pub(super) balance: NanoUsd,
    pub(super) threshold: NanoUsd,
}

/// The state that a group of commands reads and changes.
pub(super) struct Group {
    now: UnixMillis,
    accounts: BTreeMap<AccountId, AccountState>,
    /// Accounts that another transaction holds.
    busy: HashSet<AccountId>,
    keys: Keys,
    reservations: BTreeMap<String, ReservationChange>,
    usage: HashMap<String, Settled>,
    entries: HashSet<(EntryKind, String)>,
    new_usage: Vec<UsageRow>,
    new_passes: Vec<PassRow>,
    new_entries: Vec<EntryRow>,
    replaced: Vec<Replaced>,
    /// Exchanges that are open again: what was written when they were settled goes.
    resumed: Vec<String>,
    /// Accounts of exchanges that were given up although nothing of them is open.
    given_up: BTreeSet<AccountId>,
    /// Nodes whose lease ends later than whoever found them dead knew, by name.
    leases: HashMap<String, UnixMillis>,
}

/// A reservation before and after the group; `None` where there is none.
struct ReservationChange {
    stored: Option<ReservationRow>,
    current: Option<ReservationRow>,
}

/// What an exchange was settled at.
struct Settled {
    cost: NanoUsd,
    is_recovered: bool,
}

/// A recovered exchange whose own post came late.
pub(super) struct Replaced {
    pub(super) usage: UsageRow,
    pub(super) passes: Vec<PassRow>,
    pub(super) entry: EntryRow,
}

impl Group {
    pub(super) fn new(now: UnixMillis) -> Self {
        Self {
            now,
            accounts: BTreeMap::new(),
            busy: HashSet::new(),
            keys: Keys::default(),
            reservations: BTreeMap::new(),
            usage: HashMap::new(),
            entries: HashSet::new(),
            new_usage: Vec::new(),
            new_passes: Vec::new(),
            new_entries: Vec::new(),
            replaced: Vec::new(),
            resumed: Vec::new(),
            given_up: BTreeSet::new(),
            leases: HashMap::new(),
        }
    }

    /// Takes what was found for its commands.
    pub(super) fn set(&mut self, found: GroupRows) -> Result<(), LedgerError> {
        self.accounts
            .extend(found.balances.into_iter().map(|row| (row.id, AccountState::from(row))));
        self.reservations.extend(found.reservations.into_iter().map(|row| {
            (row.id.clone(), ReservationChange { stored: Some(row.clone()), current: Some(row) })
        }));
        self.keys.set(found.keys);
        self.keys.set_held(found.held)?;
        self.usage.extend(
            found.usage.into_iter().map(|(id, cost, ending)| {
                (id, Settled { cost, is_recovered: is_recovery(ending) })
            }),
        );
        Ok(())
    }

    pub(super) fn set_busy(&mut self, ids: Vec<AccountId>) {
        self.busy.extend(ids);
    }

    /// The node that runs an open exchange.
    pub(super) fn owner_of(&self, id: &str) -> Option<&str> {
        self.open(id).map(|row| row.node_id.as_str())
    }

    pub(super) fn set_leases(&mut self, leases: Vec<(String, UnixMillis)>) {
        self.leases.extend(leases);
    }

    pub(super) fn set_entry(&mut self, kind: EntryKind, reference: &str) {
        self.entries.insert((kind, reference.to_owned()));
    }

    /// Decides the commands in order.
    pub(super) fn decide_all(&mut self, commands: &[&Command]) -> Result<Vec<Effect>, LedgerError> {
        commands.iter().map(|command| self.decide(command)).collect()
    }

    /// Decides one command against the state that the commands before it left.
    fn decide(&mut self, command: &Command) -> Result<Effect, LedgerError> {
        if self.busy.contains(&command.account_id()) {
            return Ok(Effect::AccountBusy);
        }
        match command {
            Command::Reserve { record, hold, node_id } => self.reserve(record, hold, node_id),
            Command::Extend { id, account_id, hold } => self.extend(id.as_str(), *account_id, hold),
            Command::Resume { record, hold, node_id } => self.resume(record, hold, node_id),
            Command::Checkpoint { record, amount } => self.checkpoint(record, *amount),
            Command::Post { record } => self.post(record),
            Command::Recover { id, account_id, ending, judged_at } => {
                self.recover((id.as_str(), *account_id), *ending, *judged_at)
            }
            Command::Credit { account_id, kind, reference, amount } => {
                self.credit(*account_id, *kind, reference, *amount)
            }
            Command::Withdraw { account_id, kind, reference, amount } => {
                self.withdraw(*account_id, *kind, reference, *amount)
            }
        }
    }

    fn credit(
        &mut self,
        account_id: AccountId,
        kind: EntryKind,
        reference: &str,
        amount: NanoUsd,
    ) -> Result<Effect, LedgerError> {
        let Some(account) = self.accounts.get_mut(&account_id) else {
            return Ok(Effect::NoAccount);
        };
        if !self.entries.insert((kind, reference.to_owned())) {
            return Ok(Effect::AlreadyCredited);
        }
        account.available = account.available.plus(amount)?;
        self.new_entries.push(EntryRow {
            account_id,
            kind,
            reference: reference.to_owned(),
            amount_nanousd: amount,
            created_at: self.now,
        });
        Ok(Effect::Credited)
    }

    fn withdraw(
        &mut self,
        account_id: AccountId,
        kind: EntryKind,
        reference: &str,
        amount: NanoUsd,
    ) -> Result<Effect, LedgerError> {
        let is_new = !self.entries.contains(&(kind, reference.to_owned()));
        if let Some(account) = self.accounts.get(&account_id).filter(|_| is_new) {
            // What is at risk is no more to be had than what is held.
            let hold = Hold::exactly(amount);
            if account.available.minus(account.at_risk)? < amount {
                return Ok(Effect::Insufficient(account.shortage(NanoUsd::ZERO, &hold)?));
            }
        }
        self.credit(account_id, kind, reference, amount.negated()?)
    }

    fn open(&self, id: &str) -> Option<&ReservationRow> {
        self.reservations.get(id).and_then(|slot| slot.current.as_ref())
    }

    /// What to write of it, but for what [`Self::is_unusual`] is about. A reservation that is
    /// opened and closed within the group leaves nothing.
    pub(super) fn changes(&self) -> Changes<'_> {
        let mut changes = Changes {
            balances: Vec::new(),
            opened: Vec::new(),
            changed: Vec::new(),
            closed: Vec::new(),
            usage: &self.new_usage,
            entries: &self.new_entries,
            keys: self.keys.changes(),
            seen: self.keys.seen(),
        };
        for slot in self.reservations.values() {
            match (&slot.stored, &slot.current) {
                (None, Some(row)) => changes.opened.push(row),
                (Some(stored), Some(row)) if stored != row => changes.changed.push(row),
                (Some(stored), None) => changes.closed.push(stored),
                _ => {}
            }
        }
        changes.balances = self.balance_changes(&changes);
        changes
    }

    /// The accounts of which anything changes, be it none of their sums.
    fn balance_changes(&self, changes: &Changes<'_>) -> Vec<BalanceChange> {
        let mut touched: BTreeSet<AccountId> = self.given_up.clone();
        for rows in [&changes.opened, &changes.changed, &changes.closed] {
            touched.extend(rows.iter().map(|row| row.account_id));
        }
        touched.extend(changes.usage.iter().map(|row| row.account_id));
        touched.extend(changes.entries.iter().map(|row| row.account_id));
        touched.extend(changes.keys.iter().map(|key| key.account_id));
        touched.extend(self.replaced.iter().map(|replaced| replaced.usage.account_id));
        let change = |id: AccountId| {
            let account = self.accounts.get(&id)?;
            Some(BalanceChange {
                account_id: id,
                version: account.version,
                available_nanousd: difference(account.available, account.stored_available),
                reserved_nanousd: difference(account.reserved, account.stored_reserved),
                at_risk_nanousd: difference(account.at_risk, account.stored_at_risk),
                first_charged_at: account.first_charged_at,
            })
        };
        touched.into_iter().filter_map(change).collect()
    }

    /// Whether more is to be written than [`Self::changes`] says.
    pub(super) fn is_unusual(&self) -> Result<bool, LedgerError> {
        let has_rows = !self.replaced.is_empty()
            || !self.resumed.is_empty()
            || !self.new_passes.is_empty()
            || !self.paused_keys().is_empty();
        Ok(has_rows || !self.crossings()?.is_empty())
    }

    pub(super) fn paused_keys(&self) -> Vec<PausedKey> {
        self.keys.paused()
    }

    /// The accounts that this group has brought below what their owners want to be told of.
    pub(super) fn crossings(&self) -> Result<Vec<Crossing>, LedgerError> {
        let mut crossings = Vec::new();
        for (id, account) in &self.accounts {
            let Some(threshold) = account.low_balance else { continue };
            let before = account.stored_available.plus(account.stored_reserved)?;
            let balance = account.available.plus(account.reserved)?;
            if before >= threshold && balance < threshold {
                crossings.push(Crossing { account_id: *id, balance, threshold });
            }
        }
        Ok(crossings)
    }

    pub(super) fn new_passes(&self) -> &[PassRow] {
        &self.new_passes
    }

    pub(super) fn replaced(&self) -> &[Replaced] {
        &self.replaced
    }

    pub(super) fn resumed(&self) -> &[String] {
        &self.resumed
    }
}

/// Whether an exchange was settled at its checkpoint, so that its own post may still replace it.
const fn is_recovery(ending: Outcome) -> bool {
    matches!(ending, Outcome::Killed | Outcome::Panicked)
}
