//! The decisions of one group, in memory: pure, so that a model can be held against it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::LedgerError;
use super::command::{Command, EntryKind, Outcome};
use super::keys::{Keys, PausedKey};
use super::notices::Crossing;
use crate::db::books::keys::KeySpent;
use crate::db::books::{BalanceChange, BalanceRow, EntryRow, ReservationRow, UsageRow};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId, RequestId};
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::{Ending, UsageRecord};

/// The state that a group of commands reads and changes.
pub(super) struct Group {
    now: UnixMillis,
    accounts: BTreeMap<i64, Account>,
    keys: Keys,
    reservations: BTreeMap<String, Reservation>,
    usage: HashMap<String, Settled>,
    entries: HashSet<(EntryKind, String)>,
    new_usage: Vec<UsageRow>,
    new_entries: Vec<EntryRow>,
    raised: Vec<Raised>,
}

struct Account {
    is_active: bool,
    stored_available: NanoUsd,
    stored_reserved: NanoUsd,
    available: NanoUsd,
    reserved: NanoUsd,
    low_balance: Option<NanoUsd>,
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
pub(super) struct Raised {
    pub(super) usage: UsageRow,
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
            keys: Keys::default(),
            reservations: BTreeMap::new(),
            usage: HashMap::new(),
            entries: HashSet::new(),
            new_usage: Vec::new(),
            new_entries: Vec::new(),
            raised: Vec::new(),
        }
    }

    pub(super) fn set_balances(&mut self, rows: Vec<BalanceRow>) {
        self.accounts.extend(rows.into_iter().map(|row| {
            let available = NanoUsd::from_nanos(row.available_nanousd);
            let reserved = NanoUsd::from_nanos(row.reserved_nanousd);
            let account = Account {
                is_active: row.status == "active",
                stored_available: available,
                stored_reserved: reserved,
                available,
                reserved,
                low_balance: row.low_balance_nanousd.map(NanoUsd::from_nanos),
            };
            (row.id, account)
        }));
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
        match command {
            Command::Reserve { record, amount, node_id } => self.reserve(record, *amount, node_id),
            Command::Extend { id, account_id, amount } => {
                self.extend(id.as_str(), *account_id, *amount)
            }
            Command::Checkpoint { record } => self.checkpoint(record),
            Command::Post { record } => self.post(record),
            Command::Recover { id, ending, .. } => self.recover(id.as_str(), *ending),
            Command::Credit { account_id, kind, reference, amount } => {
                self.credit(*account_id, *kind, reference, *amount)
            }
            Command::Withdraw { account_id, kind, reference, amount } => {
                self.withdraw(*account_id, *kind, reference, *amount)
            }
        }
    }

    fn reserve(
        &mut self,
        record: &UsageRecord,
        amount: NanoUsd,
        node_id: &str,
    ) -> Result<Outcome, LedgerError> {
        let id = record.id.as_str();
        if self.open(id).is_some() {
            return Ok(Outcome::Reserved);
        }
        let key_id = record.api_key_id.0;
        if let Some(refusal) = self.keys.refusal(key_id, self.now) {
            return Ok(refusal);
        }
        let Some(account) = self.accounts.get_mut(&record.account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        if !account.is_active {
            return Ok(Outcome::AccountSuspended);
        }
        if account.available < amount || account.available.is_negative() {
            return Ok(Outcome::Insufficient { available: account.available });
        }
        if let Some(exhausted) = self.keys.exhausted(key_id, amount, amount, self.now)? {
            return Ok(Outcome::KeyBudget(exhausted));
        }
        account.hold(amount)?;
        self.keys.hold(key_id, amount)?;
        let row = ReservationRow {
            id: id.to_owned(),
            account_id: record.account_id.0,
            api_key_id: record.api_key_id.0,
            node_id: node_id.to_owned(),
            amount_nanousd: amount.as_nanos(),
            record: to_json(record)?,
            created_at: self.now.as_millis(),
        };
        let slot = self.reservations.entry(row.id.clone());
        slot.or_insert(Reservation { stored: None, current: None }).current = Some(row);
        Ok(Outcome::Reserved)
    }

    fn extend(
        &mut self,
        id: &str,
        account_id: AccountId,
        amount: NanoUsd,
    ) -> Result<Outcome, LedgerError> {
        let Some(row) = current(&mut self.reservations, id) else { return Ok(Outcome::NotOpen) };
        let more = amount.minus(NanoUsd::from_nanos(row.amount_nanousd))?;
        if more <= NanoUsd::ZERO {
            return Ok(Outcome::Extended);
        }
        let Some(account) = self.accounts.get_mut(&account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        if account.available < more {
            return Ok(Outcome::Insufficient { available: account.available });
        }
        let key_id = row.api_key_id;
        if let Some(exhausted) = self.keys.exhausted(key_id, more, amount, self.now)? {
            return Ok(Outcome::KeyBudget(exhausted));
        }
        account.hold(more)?;
        self.keys.hold(key_id, more)?;
        row.amount_nanousd = amount.as_nanos();
        Ok(Outcome::Extended)
    }

    fn checkpoint(&mut self, record: &UsageRecord) -> Result<Outcome, LedgerError> {
        let Some(row) = current(&mut self.reservations, record.id.as_str()) else {
            return Ok(Outcome::NotOpen);
        };
        row.record = to_json(record)?;
        Ok(Outcome::Checkpointed)
    }

    fn recover(&mut self, id: &str, ending: Ending) -> Result<Outcome, LedgerError> {
        let Some(row) = self.open(id) else { return Ok(Outcome::NotOpen) };
        // A record of another version must not keep the money held: without it the charge is 0.
        let record = serde_json::from_str(&row.record).unwrap_or_else(|_| blank_record(row));
        self.post(&UsageRecord { ending, ..record })
    }

    fn post(&mut self, record: &UsageRecord) -> Result<Outcome, LedgerError> {
        let id = record.id.as_str();
        let Some(slot) = self.reservations.get_mut(id).filter(|slot| slot.current.is_some()) else {
            return self.post_again(record);
        };
        let Some(account) = self.accounts.get_mut(&record.account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        let Some(row) = slot.current.take() else { return Ok(Outcome::NotOpen) };
        account.release(NanoUsd::from_nanos(row.amount_nanousd))?;
        account.available = account.available.minus(record.cost)?;
        self.keys.release(row.api_key_id, NanoUsd::from_nanos(row.amount_nanousd))?;
        self.keys.charge(record.api_key_id.0, record.cost, self.now)?;
        if record.cost > NanoUsd::ZERO {
            self.new_entries.push(usage_entry(record, self.now)?);
        }
        self.new_usage.push(UsageRow::from(record));
        let is_recovered = is_recovery(record.ending);
        self.usage.insert(id.to_owned(), Settled { cost: record.cost, is_recovered });
        Ok(Outcome::Posted)
    }

    /// A post whose reservation is closed: a repetition, one that comes behind its recovery, or
    /// the word that the client was not told in time (E16).
    fn post_again(&mut self, record: &UsageRecord) -> Result<Outcome, LedgerError> {
        let Some(settled) = self.usage.get_mut(record.id.as_str()) else {
            return Ok(Outcome::NotOpen);
        };
        let is_late = settled.is_recovered && !is_recovery(record.ending);
        let is_unheard = record.ending == Ending::E16 && record.cost == settled.cost;
        let is_raise = is_late && record.cost > settled.cost;
        if !is_raise && !is_unheard {
            return Ok(Outcome::AlreadyPosted);
        }
        let Some(account) = self.accounts.get_mut(&record.account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        let more = record.cost.minus(settled.cost)?;
        account.available = account.available.minus(more)?;
        self.keys.charge(record.api_key_id.0, more, self.now)?;
        *settled = Settled { cost: record.cost, is_recovered: false };
        let entry = usage_entry(record, self.now)?;
        self.raised.push(Raised { usage: UsageRow::from(record), entry });
        Ok(Outcome::Raised)
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
        let available = self.accounts.get(&account_id.0).map(|account| account.available);
        let is_new = !self.entries.contains(&(kind, reference.to_owned()));
        match available {
            Some(available) if is_new && available < amount => {
                Ok(Outcome::Insufficient { available })
            }
            _ => self.credit(account_id, kind, reference, amount.negated()?),
        }
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
        });
        changes
            .filter(|change| change.available_nanousd != 0 || change.reserved_nanousd != 0)
            .collect()
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

    pub(super) fn new_entries(&self) -> &[EntryRow] {
        &self.new_entries
    }

    pub(super) fn raised(&self) -> &[Raised] {
        &self.raised
    }
}

impl Account {
    fn hold(&mut self, amount: NanoUsd) -> Result<(), LedgerError> {
        self.available = self.available.minus(amount)?;
        self.reserved = self.reserved.plus(amount)?;
        Ok(())
    }

    fn release(&mut self, amount: NanoUsd) -> Result<(), LedgerError> {
        self.reserved = self.reserved.minus(amount)?;
        self.available = self.available.plus(amount)?;
        Ok(())
    }
}

/// What can be said of an exchange whose own record cannot be read.
fn blank_record(row: &ReservationRow) -> UsageRecord {
    UsageRecord {
        requested_model: "unknown".to_owned(),
        price_version: "unknown".to_owned(),
        is_estimated: true,
        ..UsageRecord::blank(
            RequestId::from_stored(row.id.clone()),
            AccountId(row.account_id),
            ApiKeyId(row.api_key_id),
            UnixMillis::from_millis(row.created_at),
        )
    }
}

/// Whether an exchange was settled at its checkpoint, so that its own post may still raise it.
const fn is_recovery(ending: Ending) -> bool {
    matches!(ending, Ending::E12 | Ending::E14)
}

fn current<'a>(
    reservations: &'a mut BTreeMap<String, Reservation>,
    id: &str,
) -> Option<&'a mut ReservationRow> {
    reservations.get_mut(id).and_then(|slot| slot.current.as_mut())
}

/// Both fit their column, so their difference wraps only where the sum in the column would too.
fn difference(now: NanoUsd, before: NanoUsd) -> i64 {
    now.as_nanos().wrapping_sub(before.as_nanos())
}

fn usage_entry(record: &UsageRecord, now: UnixMillis) -> Result<EntryRow, LedgerError> {
    Ok(EntryRow {
        account_id: record.account_id.0,
        kind: EntryKind::Usage.as_str().to_owned(),
        reference: record.id.as_str().to_owned(),
        amount_nanousd: record.cost.negated()?.as_nanos(),
        created_at: now.as_millis(),
    })
}

fn to_json(record: &UsageRecord) -> Result<String, LedgerError> {
    serde_json::to_string(record).map_err(LedgerError::Record)
}
