//! Commands that hold money for an exchange, or say how much of it is held from now on.

use super::{Group, ReservationChange};
use crate::db::books::ReservationRow;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::UsageRecord;
use crate::ledger::LedgerError;
use crate::ledger::command::{Effect, Hold};
use crate::ledger::rows::to_json;
use std::collections::BTreeMap;

impl Group {
    pub(super) fn reserve(
        &mut self,
        record: &UsageRecord,
        hold: &Hold,
        node_id: &str,
    ) -> Result<Effect, LedgerError> {
        let id = record.id.as_str();
        if let Some(row) = self.open(id) {
            return Ok(Effect::Reserved { amount: row.amount_nanousd });
        }
        // The answer to an earlier try was lost, and another node has taken this one for dead
        // since.
        if self.usage.contains_key(id) {
            return Ok(Effect::NotOpen);
        }
        let key_id = record.api_key_id;
        if let Some(refusal) = self.keys.refusal(key_id, self.now) {
            return Ok(refusal);
        }
        let Some(account) = self.accounts.get_mut(&record.account_id) else {
            return Ok(Effect::NoAccount);
        };
        if account.is_closing {
            return Ok(Effect::KeyRevoked);
        }
        if !account.is_active {
            return Ok(Effect::AccountSuspended);
        }
        let spendable = account.spendable(hold.risk, hold)?;
        if spendable < hold.least || account.available.is_negative() {
            return Ok(Effect::Insufficient(account.shortage(hold.risk, hold)?));
        }
        let mut amount = hold.amount.min(spendable);
        // A key's budget counts what the exchange may cost at most.
        let least = hold.least.plus(hold.risk)?;
        if let Some(exhausted) = self.keys.exhausted(key_id, least, hold.least, self.now)? {
            return Ok(Effect::KeyBudget(exhausted));
        }
        if let Some(left) = self.keys.left(key_id, self.now)? {
            amount = amount.min(left.minus(hold.risk)?);
        }
        let most = amount.plus(hold.risk)?;
        account.hold(amount)?;
        account.at_risk = account.at_risk.plus(hold.risk)?;
        self.keys.hold(key_id, most)?;
        self.open_for(record, (amount, hold.risk), node_id)?;
        Ok(Effect::Reserved { amount })
    }

    /// Puts a reservation among the open ones.
    fn open_for(
        &mut self,
        record: &UsageRecord,
        (amount, risk): (NanoUsd, NanoUsd),
        node_id: &str,
    ) -> Result<(), LedgerError> {
        let row = ReservationRow {
            id: record.id.as_str().to_owned(),
            account_id: record.account_id,
            api_key_id: record.api_key_id,
            node_id: node_id.to_owned(),
            amount_nanousd: amount,
            record: to_json(record)?,
            created_at: self.now,
            risk_nanousd: risk,
        };
        let slot = self.reservations.entry(row.id.clone());
        slot.or_insert(ReservationChange { stored: None, current: None }).current = Some(row);
        Ok(())
    }

    /// Opens an exchange again that was settled as if its node had died. It is covered like an
    /// extension; neither a key nor an account that was stopped meanwhile stops what runs.
    pub(super) fn resume(
        &mut self,
        record: &UsageRecord,
        hold: &Hold,
        node_id: &str,
    ) -> Result<Effect, LedgerError> {
        let id = record.id.as_str();
        if let Some(row) = self.open(id) {
            return Ok(Effect::Resumed { amount: row.amount_nanousd });
        }
        let settled = self.usage.get(id).filter(|settled| settled.is_recovered);
        let Some(charged) = settled.map(|settled| settled.cost) else {
            return Ok(Effect::NotOpen);
        };
        let key_id = record.api_key_id;
        let Some(account) = self.accounts.get(&record.account_id) else {
            return Ok(Effect::NoAccount);
        };
        // What it was charged comes back first.
        let funds = account.available.plus(charged)?;
        let spendable = account.spendable_of(funds, account.at_risk, hold)?;
        if spendable < hold.least {
            return Ok(Effect::Insufficient(account.shortage(NanoUsd::ZERO, hold)?));
        }
        let mut amount = hold.amount.min(spendable);
        let times = (record.created_at, self.now);
        self.keys.give_back(key_id, charged, times)?;
        if let Some(left) = self.keys.left(key_id, self.now)? {
            amount = amount.min(left.max(NanoUsd::ZERO));
        }
        if amount < hold.least {
            let exhausted = self.keys.exhausted(key_id, hold.least, hold.least, self.now)?;
            // It stays as it was settled.
            self.keys.take_again(key_id, charged, times)?;
            return Ok(exhausted.map_or(Effect::NotOpen, Effect::KeyBudget));
        }
        if let Some(account) = self.accounts.get_mut(&record.account_id) {
            account.available = funds;
            account.hold(amount)?;
        }
        self.keys.hold(key_id, amount)?;
        self.undo_settlement(id);
        self.open_for(record, (amount, NanoUsd::ZERO), node_id)?;
        Ok(Effect::Resumed { amount })
    }

    /// Forgets what was written of an exchange when it was settled.
    fn undo_settlement(&mut self, id: &str) {
        self.usage.remove(id);
        self.new_usage.retain(|row| row.id != id);
        self.new_passes.retain(|row| row.usage_id != id);
        self.new_entries.retain(|row| row.kind != EntryKind::Usage || row.reference != id);
        self.replaced.retain(|replaced| replaced.usage.id != id);
        self.resumed.push(id.to_owned());
    }

    pub(super) fn extend(
        &mut self,
        id: &str,
        account_id: AccountId,
        hold: &Hold,
    ) -> Result<Effect, LedgerError> {
        let Some(row) = current(&mut self.reservations, id) else { return Ok(Effect::NotOpen) };
        let before = row.amount_nanousd;
        let wanted = hold.amount.minus(before)?;
        if wanted <= NanoUsd::ZERO {
            return Ok(Effect::Extended { amount: before });
        }
        let Some(account) = self.accounts.get_mut(&account_id) else {
            return Ok(Effect::NoAccount);
        };
        // What the exchange itself puts at risk is counted already.
        let spendable = account.spendable(NanoUsd::ZERO, hold)?;
        let least = hold.least.minus(before)?;
        if spendable < least || spendable <= NanoUsd::ZERO {
            return Ok(Effect::Insufficient(account.shortage(NanoUsd::ZERO, hold)?));
        }
        let mut more = wanted.min(spendable);
        let key_id = row.api_key_id;
        // At least a nano-dollar, or nothing is extended.
        let least = least.max(NanoUsd::from_nanos(1));
        let whole = before.plus(least)?;
        if let Some(exhausted) = self.keys.exhausted(key_id, least, whole, self.now)? {
            return Ok(Effect::KeyBudget(exhausted));
        }
        if let Some(left) = self.keys.left(key_id, self.now)? {
            more = more.min(left);
        }
        account.hold(more)?;
        self.keys.hold(key_id, more)?;
        let amount = before.plus(more)?;
        row.amount_nanousd = amount;
        Ok(Effect::Extended { amount })
    }

    pub(super) fn checkpoint(
        &mut self,
        record: &UsageRecord,
        amount: Option<NanoUsd>,
    ) -> Result<Effect, LedgerError> {
        let Some(row) = current(&mut self.reservations, record.id.as_str()) else {
            return Ok(Effect::NotOpen);
        };
        row.record = to_json(record)?;
        if let Some(amount) = amount {
            let Some(account) = self.accounts.get_mut(&record.account_id) else {
                return Ok(Effect::NoAccount);
            };
            // Also where more is held than is available: the prompt has been read, and its price is
            // due.
            let held = row.amount_nanousd;
            let risk = row.risk_nanousd;
            account.hold(amount.minus(held)?)?;
            account.at_risk = account.at_risk.minus(risk)?;
            self.keys.release(row.api_key_id, held.plus(risk)?)?;
            self.keys.hold(row.api_key_id, amount)?;
            row.amount_nanousd = amount;
            row.risk_nanousd = NanoUsd::ZERO;
        }
        Ok(Effect::Checkpointed)
    }
}

fn current<'a>(
    reservations: &'a mut BTreeMap<String, ReservationChange>,
    id: &str,
) -> Option<&'a mut ReservationRow> {
    reservations.get_mut(id).and_then(|slot| slot.current.as_mut())
}
