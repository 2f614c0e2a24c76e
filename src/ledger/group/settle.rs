//! Commands that close an exchange, and those that come after it is closed.

use super::{Group, Replaced, Settled, is_recovery};
use crate::db::books::{PassRow, UsageRow};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::{Outcome, UsageRecord};
use crate::ledger::LedgerError;
use crate::ledger::command::Effect;
use crate::ledger::rows::{recovered, usage_entry};

impl Group {
    pub(super) fn recover(
        &mut self,
        (id, account_id): (&str, AccountId),
        ending: Outcome,
        judged_at: Option<UnixMillis>,
    ) -> Result<Effect, LedgerError> {
        let Some(row) = self.open(id) else {
            if judged_at.is_none() {
                // Its own node gives it up. A write that was sent to open it, and has not arrived
                // yet, must find the account changed.
                self.given_up.insert(account_id);
            }
            return Ok(Effect::NotOpen);
        };
        let lease = self.leases.get(&row.node_id);
        if let (Some(until), Some(judged_at)) = (lease, judged_at)
            && *until >= judged_at
        {
            return Ok(Effect::OwnerAlive);
        }
        let record = recovered(row, ending);
        self.post(&record)
    }

    pub(super) fn post(&mut self, record: &UsageRecord) -> Result<Effect, LedgerError> {
        let id = record.id.as_str();
        let Some(slot) = self.reservations.get_mut(id).filter(|slot| slot.current.is_some()) else {
            return self.post_again(record);
        };
        let Some(account) = self.accounts.get_mut(&record.account_id) else {
            return Ok(Effect::NoAccount);
        };
        let Some(row) = slot.current.take() else { return Ok(Effect::NotOpen) };
        let (held, risk) = (row.amount_nanousd, row.risk_nanousd);
        account.release(held)?;
        account.at_risk = account.at_risk.minus(risk)?;
        account.available = account.available.minus(record.cost)?;
        if record.cost > NanoUsd::ZERO {
            account.first_charged_at.get_or_insert(self.now);
        }
        self.keys.release(row.api_key_id, held.plus(risk)?)?;
        self.keys.charge(record.api_key_id, record.cost, self.now)?;
        if record.cost > NanoUsd::ZERO {
            self.new_entries.push(usage_entry(record, self.now)?);
        }
        self.new_usage.push(UsageRow::from(record));
        self.new_passes.extend(PassRow::of(record));
        let is_recovered = is_recovery(record.ending);
        self.usage.insert(id.to_owned(), Settled { cost: record.cost, is_recovered });
        Ok(Effect::Posted)
    }

    /// A post whose reservation is closed: a repetition, one that comes behind its recovery, or the
    /// word that the client was not told in time (E16). What an upstream has counted is the truth,
    /// whichever way it changes what was charged in its place; an estimate counts only if it is
    /// more. An answer that did not get to its end, because what was let go of its hold was spent
    /// elsewhere (E18), takes no more than there is.
    fn post_again(&mut self, record: &UsageRecord) -> Result<Effect, LedgerError> {
        let Some(settled) = self.usage.get_mut(record.id.as_str()) else {
            return Ok(Effect::NotOpen);
        };
        let is_counted = !record.is_estimated && !is_recovery(record.ending);
        let is_late = settled.is_recovered && (is_counted || record.cost > settled.cost);
        let is_unheard = record.ending == Outcome::NotDurable && record.cost == settled.cost;
        if !is_late && !is_unheard {
            return Ok(Effect::AlreadyPosted);
        }
        let Some(account) = self.accounts.get_mut(&record.account_id) else {
            return Ok(Effect::NoAccount);
        };
        let mut more = record.cost.minus(settled.cost)?;
        if record.ending == Outcome::NotExtended && more > NanoUsd::ZERO {
            more = more.min(account.available.minus(account.at_risk)?.max(NanoUsd::ZERO));
        }
        let record = &UsageRecord { cost: settled.cost.plus(more)?, ..record.clone() };
        account.available = account.available.minus(more)?;
        let key_id = record.api_key_id;
        if more.is_negative() {
            let times = (record.created_at, self.now);
            self.keys.give_back(key_id, more.negated()?, times)?;
        } else {
            self.keys.charge(key_id, more, self.now)?;
        }
        *settled = Settled { cost: record.cost, is_recovered: is_recovery(record.ending) };
        let entry = usage_entry(record, self.now)?;
        let passes = PassRow::of(record);
        self.replaced.push(Replaced { usage: UsageRow::from(record), passes, entry });
        Ok(Effect::Replaced)
    }
}
