//! The decisions of one group, in memory: pure, so that a model can be held against it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::LedgerError;
use super::account::{Account, difference};
use super::command::{Command, EntryKind, Hold, Outcome};
use super::keys::{Keys, PausedKey};
use super::notices::Crossing;
use super::rows::{recovered, to_json, usage_entry};
use crate::db::books::keys::KeySpent;
use crate::db::books::{BalanceChange, BalanceRow, EntryRow, PassRow, ReservationRow, UsageRow};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
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
    new_passes: Vec<PassRow>,
    new_entries: Vec<EntryRow>,
    raised: Vec<Raised>,
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
            keys: Keys::default(),
            reservations: BTreeMap::new(),
            usage: HashMap::new(),
            entries: HashSet::new(),
            new_usage: Vec::new(),
            new_passes: Vec::new(),
            new_entries: Vec::new(),
            raised: Vec::new(),
        }
    }

    pub(super) fn set_balances(&mut self, rows: Vec<BalanceRow>) {
        self.accounts.extend(rows.into_iter().map(|row| {
            let (id, account) = (row.id, Account::from(row));
            (id, account)
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
            Command::Reserve { record, hold, node_id } => self.reserve(record, hold, node_id),
            Command::Extend { id, account_id, hold } => self.extend(id.as_str(), *account_id, hold),
            Command::Checkpoint { record, amount } => self.checkpoint(record, *amount),
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
        hold: &Hold,
        node_id: &str,
    ) -> Result<Outcome, LedgerError> {
        let id = record.id.as_str();
        if let Some(row) = self.open(id) {
            return Ok(Outcome::Reserved { amount: NanoUsd::from_nanos(row.amount_nanousd) });
        }
        let key_id = record.api_key_id.0;
        if let Some(refusal) = self.keys.refusal(key_id, self.now) {
            return Ok(refusal);
        }
        let Some(account) = self.accounts.get_mut(&record.account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        if account.is_closing {
            return Ok(Outcome::KeyRevoked);
        }
        if !account.is_active {
            return Ok(Outcome::AccountSuspended);
        }
        let spendable = account.spendable(hold.risk, hold)?;
        if spendable < hold.least || account.available.is_negative() {
            return Ok(Outcome::Insufficient(account.shortage(hold.risk, hold)?));
        }
        let mut amount = hold.amount.min(spendable);
        // A key's budget counts what the exchange may cost at most.
        let least = hold.least.plus(hold.risk)?;
        if let Some(exhausted) = self.keys.exhausted(key_id, least, hold.least, self.now)? {
            return Ok(Outcome::KeyBudget(exhausted));
        }
        if let Some(left) = self.keys.left(key_id, self.now)? {
            amount = amount.min(left.minus(hold.risk)?);
        }
        let most = amount.plus(hold.risk)?;
        account.hold(amount)?;
        account.at_risk = account.at_risk.plus(hold.risk)?;
        self.keys.hold(key_id, most)?;
        let row = ReservationRow {
            id: id.to_owned(),
            account_id: record.account_id.0,
            api_key_id: record.api_key_id.0,
            node_id: node_id.to_owned(),
            amount_nanousd: amount.as_nanos(),
            record: to_json(record)?,
            created_at: self.now.as_millis(),
            risk_nanousd: hold.risk.as_nanos(),
        };
        let slot = self.reservations.entry(row.id.clone());
        slot.or_insert(Reservation { stored: None, current: None }).current = Some(row);
        Ok(Outcome::Reserved { amount })
    }

    fn extend(
        &mut self,
        id: &str,
        account_id: AccountId,
        hold: &Hold,
    ) -> Result<Outcome, LedgerError> {
        let Some(row) = current(&mut self.reservations, id) else { return Ok(Outcome::NotOpen) };
        let before = NanoUsd::from_nanos(row.amount_nanousd);
        let wanted = hold.amount.minus(before)?;
        if wanted <= NanoUsd::ZERO {
            return Ok(Outcome::Extended { amount: before });
        }
        let Some(account) = self.accounts.get_mut(&account_id.0) else {
            return Ok(Outcome::NoAccount);
        };
        // What the exchange itself puts at risk is counted already.
        let spendable = account.spendable(NanoUsd::ZERO, hold)?;
        let least = hold.least.minus(before)?;
        if spendable < least || spendable <= NanoUsd::ZERO {
            return Ok(Outcome::Insufficient(account.shortage(NanoUsd::ZERO, hold)?));
        }
        let mut more = wanted.min(spendable);
        let key_id = row.api_key_id;
        // At least a nano-dollar, or nothing is extended.
        let least = least.max(NanoUsd::from_nanos(1));
        let whole = before.plus(least)?;
        if let Some(exhausted) = self.keys.exhausted(key_id, least, whole, self.now)? {
            return Ok(Outcome::KeyBudget(exhausted));
        }
        if let Some(left) = self.keys.left(key_id, self.now)? {
            more = more.min(left);
        }
        account.hold(more)?;
        self.keys.hold(key_id, more)?;
        let amount = before.plus(more)?;
        row.amount_nanousd = amount.as_nanos();
        Ok(Outcome::Extended { amount })
    }

    fn checkpoint(
        &mut self,
        record: &UsageRecord,
        amount: Option<NanoUsd>,
    ) -> Result<Outcome, LedgerError> {
        let Some(row) = current(&mut self.reservations, record.id.as_str()) else {
            return Ok(Outcome::NotOpen);
        };
        row.record = to_json(record)?;
        if let Some(amount) = amount {
            let Some(account) = self.accounts.get_mut(&record.account_id.0) else {
                return Ok(Outcome::NoAccount);
            };
            // Also where more is held than is available: the prompt has been read, and its price is due.
            let held = NanoUsd::from_nanos(row.amount_nanousd);
            let risk = NanoUsd::from_nanos(row.risk_nanousd);
            account.hold(amount.minus(held)?)?;
            account.at_risk = account.at_risk.minus(risk)?;
            self.keys.release(row.api_key_id, held.plus(risk)?)?;
            self.keys.hold(row.api_key_id, amount)?;
            row.amount_nanousd = amount.as_nanos();
            row.risk_nanousd = 0;
        }
        Ok(Outcome::Checkpointed)
    }

    fn recover(&mut self, id: &str, ending: Ending) -> Result<Outcome, LedgerError> {
        let Some(row) = self.open(id) else { return Ok(Outcome::NotOpen) };
        let record = recovered(row, ending);
        self.post(&record)
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
        let (held, risk) =
            (NanoUsd::from_nanos(row.amount_nanousd), NanoUsd::from_nanos(row.risk_nanousd));
        account.release(held)?;
        account.at_risk = account.at_risk.minus(risk)?;
        account.available = account.available.minus(record.cost)?;
        if record.cost > NanoUsd::ZERO {
            account.first_charged_at.get_or_insert(self.now.as_millis());
        }
        self.keys.release(row.api_key_id, held.plus(risk)?)?;
        self.keys.charge(record.api_key_id.0, record.cost, self.now)?;
        if record.cost > NanoUsd::ZERO {
            self.new_entries.push(usage_entry(record, self.now)?);
        }
        self.new_usage.push(UsageRow::from(record));
        self.new_passes.extend(PassRow::of(record));
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
        let passes = PassRow::of(record);
        self.raised.push(Raised { usage: UsageRow::from(record), passes, entry });
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

    pub(super) fn raised(&self) -> &[Raised] {
        &self.raised
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
