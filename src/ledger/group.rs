//! The decisions of one group, in memory: pure, so that a model can be held against it.

mod holds;
mod settle;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::LedgerError;
use super::account::{Account, difference};
use super::command::{Command, EntryKind, Hold, Outcome};
use super::keys::{Keys, PausedKey};
use super::notices::Crossing;
use crate::db::books::keys::KeySpent;
use crate::db::books::{BalanceChange, BalanceRow, EntryRow, PassRow, ReservationRow, UsageRow};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Ending;

/// The state that a group of commands reads and changes.
pub(super) struct Group {
    now: UnixMillis,
    accounts: BTreeMap<i64, Account>,
    /// Accounts that another transaction holds.
    busy: HashSet<i64>,
    keys: Keys,
    reservations: BTreeMap<String, Reservation>,
    usage: HashMap<String, Settled>,
    entries: HashSet<(EntryKind, String)>,
    new_usage: Vec<UsageRow>,
    new_passes: Vec<PassRow>,
    new_entries: Vec<EntryRow>,
    replaced: Vec<Replaced>,
    /// Exchanges that are open again: what was written when they were settled goes.
    resumed: Vec<String>,
    /// Nodes whose lease ends later than whoever found them dead knew, by name.
    leases: HashMap<String, UnixMillis>,
}

/// A reservation before and after the group; `None` where there is none.
struct Reservation {
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

/// What the group did to reservations.
#[derive(Default)]
pub(super) struct ReservationChanges<'a> {
    pub(super) opened: Vec<&'a ReservationRow>,
    pub(super) changed: Vec<&'a ReservationRow>,
    pub(super) closed: Vec<&'a str>,
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
            leases: HashMap::new(),
        }
    }

    pub(super) fn set_balances(&mut self, rows: Vec<BalanceRow>) {
        self.accounts.extend(rows.into_iter().map(|row| {
            let (id, account) = (row.id, Account::from(row));
            (id, account)
        }));
    }

    pub(super) fn set_busy(&mut self, ids: Vec<i64>) {
        self.busy.extend(ids);
    }

    pub(super) fn set_reservations(&mut self, rows: Vec<ReservationRow>) {
        self.reservations.extend(rows.into_iter().map(|row| {
            (row.id.clone(), Reservation { stored: Some(row.clone()), current: Some(row) })
        }));
    }

    pub(super) const fn keys_mut(&mut self) -> &mut Keys {
        &mut self.keys
    }

    /// The key of an open reservation.
    pub(super) fn key_of(&self, id: &str) -> Option<i64> {
        self.open(id).map(|row| row.api_key_id)
    }

    /// The node that runs an open exchange.
    pub(super) fn owner_of(&self, id: &str) -> Option<&str> {
        self.open(id).map(|row| row.node_id.as_str())
    }

    pub(super) fn set_leases(&mut self, leases: Vec<(String, i64)>) {
        self.leases
            .extend(leases.into_iter().map(|(node, until)| (node, UnixMillis::from_millis(until))));
    }

    pub(super) fn has_reservation(&self, id: &str) -> bool {
        self.reservations.contains_key(id)
    }

    pub(super) fn set_usage(&mut self, rows: Vec<(String, i64, String)>) {
        self.usage.extend(rows.into_iter().map(|(id, cost, ending)| {
            let is_recovered = Ending::parse(&ending).is_some_and(is_recovery);
            (id, Settled { cost: NanoUsd::from_nanos(cost), is_recovered })
        }));
    }

    pub(super) fn set_entry(&mut self, kind: EntryKind, reference: &str) {
        self.entries.insert((kind, reference.to_owned()));
    }

    /// Decides one command against the state that the commands before it left.
    pub(super) fn decide(&mut self, command: &Command) -> Result<Outcome, LedgerError> {
        if self.busy.contains(&command.account_id().0) {
            return Ok(Outcome::AccountBusy);
        }
        match command {
            Command::Reserve { record, hold, node_id } => self.reserve(record, hold, node_id),
            Command::Extend { id, account_id, hold } => self.extend(id.as_str(), *account_id, hold),
            Command::Resume { record, hold, node_id } => self.resume(record, hold, node_id),
            Command::Checkpoint { record, amount } => self.checkpoint(record, *amount),
            Command::Post { record } => self.post(record),
            Command::Recover { id, ending, judged_at, .. } => {
                self.recover(id.as_str(), *ending, *judged_at)
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
    ) -> Result<Outcome, LedgerError> {
        let Some(account) = self.accounts.get_mut(&account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        if !self.entries.insert((kind, reference.to_owned())) {
            return Ok(Outcome::AlreadyCredited);
        }
        account.available = account.available.plus(amount)?;
        self.new_entries.push(EntryRow {
            account_id: account_id.0,
            kind: kind.as_str().to_owned(),
            reference: reference.to_owned(),
            amount_nanousd: amount.as_nanos(),
            created_at: self.now.as_millis(),
        });
        Ok(Outcome::Credited)
    }

    fn withdraw(
        &mut self,
        account_id: AccountId,
        kind: EntryKind,
        reference: &str,
        amount: NanoUsd,
    ) -> Result<Outcome, LedgerError> {
        let is_new = !self.entries.contains(&(kind, reference.to_owned()));
        if let Some(account) = self.accounts.get(&account_id.0).filter(|_| is_new) {
            // What is at risk is no more to be had than what is held.
            let hold = Hold::exactly(amount);
            if account.available.minus(account.at_risk)? < amount {
                return Ok(Outcome::Insufficient(account.shortage(NanoUsd::ZERO, &hold)?));
            }
        }
        self.credit(account_id, kind, reference, amount.negated()?)
    }

    fn open(&self, id: &str) -> Option<&ReservationRow> {
        self.reservations.get(id).and_then(|slot| slot.current.as_ref())
    }

    /// What to write of reservations; one opened and closed within the group leaves nothing.
    pub(super) fn reservation_changes(&self) -> ReservationChanges<'_> {
        let mut changes = ReservationChanges::default();
        for slot in self.reservations.values() {
            match (&slot.stored, &slot.current) {
                (None, Some(row)) => changes.opened.push(row),
                (Some(stored), Some(row)) if stored != row => changes.changed.push(row),
                (Some(stored), None) => changes.closed.push(&stored.id),
                _ => {}
            }
        }
        changes
    }

    pub(super) fn balance_changes(&self) -> Vec<BalanceChange> {
        let changes = self.accounts.iter().map(|(id, account)| BalanceChange {
            account_id: *id,
            available_nanousd: difference(account.available, account.stored_available),
            reserved_nanousd: difference(account.reserved, account.stored_reserved),
            at_risk_nanousd: difference(account.at_risk, account.stored_at_risk),
            first_charged_at: account.first_charged_at,
        });
        // Whoever pays for the first time has a change of balance as well.
        let is_change = |change: &BalanceChange| {
            [change.available_nanousd, change.reserved_nanousd, change.at_risk_nanousd] != [0; 3]
        };
        changes.filter(is_change).collect()
    }

    pub(super) fn key_changes(&self) -> Vec<KeySpent> {
        self.keys.changes()
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
                crossings.push(Crossing { account_id: AccountId(*id), balance, threshold });
            }
        }
        Ok(crossings)
    }

    pub(super) fn new_usage(&self) -> &[UsageRow] {
        &self.new_usage
    }

    pub(super) fn new_passes(&self) -> &[PassRow] {
        &self.new_passes
    }

    pub(super) fn new_entries(&self) -> &[EntryRow] {
        &self.new_entries
    }

    pub(super) fn replaced(&self) -> &[Replaced] {
        &self.replaced
    }

    pub(super) fn resumed(&self) -> &[String] {
        &self.resumed
    }
}

/// Whether an exchange was settled at its checkpoint, so that its own post may still replace it.
const fn is_recovery(ending: Ending) -> bool {
    matches!(ending, Ending::E12 | Ending::E14)
}
