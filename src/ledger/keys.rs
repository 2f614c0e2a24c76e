//! The keys of a group: what each may still cost within its budgets, decided in memory with
//! everything else that the group decides.

use std::collections::BTreeMap;

use super::LedgerError;
use super::command::Effect;
use crate::db::books::keys::{KeyBookRow, KeySpent, SeenKey};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::key_limits::{Exhausted, KeyLimits, KeySpending, pause_end};
use crate::domain::mail::BudgetPeriod;
use crate::domain::money::NanoUsd;

/// The keys that a group of commands is about.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<ApiKeyId, LedgerKey>);

struct LedgerKey {
    is_revoked: bool,
    is_paused: bool,
    /// Only budgets and end: the rest is decided before the ledger is asked.
    limits: KeyLimits,
    stored: KeySpent,
    spending: KeySpending,
    last_used_at: Option<UnixMillis>,
    version: i64,
    /// By open reservations; counted only for a key with a budget.
    held: NanoUsd,
    /// The budget that this group found to be used up or too small for a request, the first to find
    /// it, and what is left of it.
    paused_by: Option<(BudgetPeriod, NanoUsd)>,
}

/// A key with a budget that has just refused a request, or is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PausedKey {
    pub(super) id: ApiKeyId,
    pub(super) period: BudgetPeriod,
    pub(super) budget: NanoUsd,
    /// What is left of it.
    pub(super) left: NanoUsd,
}

impl Keys {
    pub(super) fn set(&mut self, rows: Vec<KeyBookRow>) {
        self.0.extend(rows.into_iter().map(|row| {
            let spending = row.spending.read();
            let key = LedgerKey {
                is_revoked: row.revoked_at.is_some(),
                is_paused: row.paused_at.is_some(),
                limits: KeyLimits {
                    monthly_budget: row.monthly_budget_nanousd,
                    total_budget: row.total_budget_nanousd,
                    expires_at: row.expires_at,
                    ..KeyLimits::default()
                },
                stored: stored((row.id, row.account_id), &spending, row.last_used_at),
                spending,
                last_used_at: row.last_used_at,
                version: row.version,
                held: NanoUsd::ZERO,
                paused_by: None,
            };
            (row.id, key)
        }));
    }

    /// Adds what open reservations hold.
    pub(super) fn set_held(&mut self, held: Vec<(ApiKeyId, NanoUsd)>) -> Result<(), LedgerError> {
        for (id, amount) in held {
            self.hold(id, amount)?;
        }
        Ok(())
    }

    /// Why a key may ask for nothing at all.
    pub(super) fn refusal(&self, id: ApiKeyId, now: UnixMillis) -> Option<Effect> {
        match self.0.get(&id) {
            Some(key) if key.is_revoked => Some(Effect::KeyRevoked),
            Some(key) if key.limits.is_expired(now) => Some(Effect::KeyExpired),
            Some(key) if key.is_paused => Some(Effect::KeyPaused),
            Some(_) => None,
            None => Some(Effect::KeyRevoked),
        }
    }

    /// The budget of a key that does not cover `more` beside what it has spent and holds. `whole`
    /// is what the exchange would hold in all.
    pub(super) fn exhausted(
        &mut self,
        id: ApiKeyId,
        more: NanoUsd,
        whole: NanoUsd,
        now: UnixMillis,
    ) -> Result<Option<Exhausted>, LedgerError> {
        let Some(key) = self.0.get_mut(&id) else { return Ok(None) };
        let exhausted = key.spending.exhausted(&key.limits, key.held, more, now)?;
        if let Some(exhausted) = exhausted {
            // What others hold comes back, and a first request that is too large has used nothing
            // up.
            let spent = key.spending.spent_in(exhausted.period, now);
            if spent > NanoUsd::ZERO && spent.plus(whole)? > exhausted.budget {
                key.pause(exhausted.period, now)?;
            }
        }
        Ok(exhausted)
    }

    /// What all budgets of a key leave beside what it has spent and holds; `None` where it has no
    /// budget.
    pub(super) fn left(
        &self,
        id: ApiKeyId,
        now: UnixMillis,
    ) -> Result<Option<NanoUsd>, LedgerError> {
        let Some(key) = self.0.get(&id) else { return Ok(None) };
        let mut least: Option<NanoUsd> = None;
        for period in [BudgetPeriod::Total, BudgetPeriod::Month] {
            let Some(budget) = key.limits.budget(period) else { continue };
            let left = budget.minus(key.spending.spent_in(period, now))?.minus(key.held)?;
            least = Some(least.map_or(left, |least| least.min(left)));
        }
        Ok(least)
    }

    pub(super) fn hold(&mut self, id: ApiKeyId, amount: NanoUsd) -> Result<(), LedgerError> {
        if let Some(key) = self.0.get_mut(&id) {
            key.held = key.held.plus(amount)?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, id: ApiKeyId, amount: NanoUsd) -> Result<(), LedgerError> {
        if let Some(key) = self.0.get_mut(&id) {
            key.held = key.held.minus(amount)?;
        }
        Ok(())
    }

    /// Counts what an exchange has cost.
    pub(super) fn charge(
        &mut self,
        id: ApiKeyId,
        cost: NanoUsd,
        now: UnixMillis,
    ) -> Result<(), LedgerError> {
        let Some(key) = self.0.get_mut(&id) else { return Ok(()) };
        key.last_used_at = key.last_used_at.max(Some(now));
        if cost == NanoUsd::ZERO {
            return Ok(());
        }
        key.spending.add(cost, now)?;
        if let Some(period) = key.spending.used_up(&key.limits, now) {
            key.pause(period, now)?;
        }
        Ok(())
    }

    /// Gives back what an exchange was charged that began at `since`. A month that may have begun
    /// after the charge keeps it, so that its budget is not spent twice.
    pub(super) fn give_back(
        &mut self,
        id: ApiKeyId,
        amount: NanoUsd,
        (since, now): (UnixMillis, UnixMillis),
    ) -> Result<(), LedgerError> {
        let Some(key) = self.0.get_mut(&id) else { return Ok(()) };
        key.spending.spent = key.spending.spent.minus(amount)?;
        if since.month() == now.month() && key.spending.month == now.month() {
            key.spending.month_spent = key.spending.month_spent.minus(amount)?;
        }
        Ok(())
    }

    /// Undoes [`Self::give_back`].
    pub(super) fn take_again(
        &mut self,
        id: ApiKeyId,
        amount: NanoUsd,
        times: (UnixMillis, UnixMillis),
    ) -> Result<(), LedgerError> {
        self.give_back(id, amount.negated()?, times)
    }

    /// What to write of keys.
    pub(super) fn changes(&self) -> Vec<KeySpent> {
        let now = |key: &LedgerKey| {
            stored((key.stored.id, key.stored.account_id), &key.spending, key.last_used_at)
        };
        self.0.values().filter(|key| now(key) != key.stored).map(now).collect()
    }

    /// All that may have been decided on.
    pub(super) fn seen(&self) -> Vec<SeenKey> {
        let seen = |key: &LedgerKey| SeenKey {
            id: key.stored.id,
            account_id: key.stored.account_id,
            version: key.version,
        };
        self.0.values().map(seen).collect()
    }

    /// The keys whose owners are to be told of a budget.
    pub(super) fn paused(&self) -> Vec<PausedKey> {
        let paused = self.0.iter().filter_map(|(id, key)| {
            let (period, left) = key.paused_by?;
            Some(PausedKey { id: *id, period, budget: key.limits.budget(period)?, left })
        });
        paused.collect()
    }
}

impl LedgerKey {
    /// Notes that a budget is used up or does not cover a request, once for each of its times.
    fn pause(&mut self, period: BudgetPeriod, now: UnixMillis) -> Result<(), LedgerError> {
        let until = pause_end(period, now);
        if self.spending.paused_until.is_none_or(|noted| noted < until) {
            self.spending.paused_until = Some(until);
            let budget = self.limits.budget(period).unwrap_or(NanoUsd::ZERO);
            let left = budget.minus(self.spending.spent_in(period, now))?;
            self.paused_by = Some((period, left.max(NanoUsd::ZERO)));
        }
        Ok(())
    }
}

fn stored(
    (id, account_id): (ApiKeyId, AccountId),
    spending: &KeySpending,
    last_used_at: Option<UnixMillis>,
) -> KeySpent {
    KeySpent {
        id,
        account_id,
        spent_nanousd: spending.spent,
        month: spending.month,
        month_spent_nanousd: spending.month_spent,
        last_used_at,
        paused_until: spending.paused_until,
    }
}
