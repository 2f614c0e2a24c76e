//! One account within a group: what it has, what is held of it, and what is at risk beyond that.

use super::LedgerError;
use super::command::{Hold, Shortage};
use crate::db::books::BalanceRow;
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

/// See the module. What is stored, and what the group has made of it so far.
pub(super) struct AccountState {
    pub(super) is_active: bool,
    /// It is about to be deleted, and has no keys in force.
    pub(super) is_closing: bool,
    pub(super) version: i64,
    pub(super) stored_available: NanoUsd,
    pub(super) stored_reserved: NanoUsd,
    pub(super) stored_at_risk: NanoUsd,
    pub(super) available: NanoUsd,
    pub(super) reserved: NanoUsd,
    pub(super) at_risk: NanoUsd,
    /// When an exchange of it was charged for the first time.
    pub(super) first_charged_at: Option<UnixMillis>,
    pub(super) low_balance: Option<NanoUsd>,
}

impl From<BalanceRow> for AccountState {
    fn from(row: BalanceRow) -> Self {
        Self {
            is_active: row.status.is_active(),
            is_closing: row.closing_at.is_some(),
            version: row.version,
            stored_available: row.available_nanousd,
            stored_reserved: row.reserved_nanousd,
            stored_at_risk: row.at_risk_nanousd,
            available: row.available_nanousd,
            reserved: row.reserved_nanousd,
            at_risk: row.at_risk_nanousd,
            first_charged_at: row.first_charged_at,
            low_balance: row.low_balance_nanousd,
        }
    }
}

impl AccountState {
    /// The most that a new hold may take that puts so much at risk: what is available now, and
    /// after the worst of all that is at risk, no less than the account may owe.
    pub(super) fn spendable(&self, risk: NanoUsd, hold: &Hold) -> Result<NanoUsd, LedgerError> {
        self.spendable_of(self.available, self.at_risk.plus(risk)?, hold)
    }

    pub(super) fn spendable_of(
        &self,
        funds: NanoUsd,
        at_risk: NanoUsd,
        hold: &Hold,
    ) -> Result<NanoUsd, LedgerError> {
        let shortfall = if self.is_known(hold) { hold.shortfall_max } else { NanoUsd::ZERO };
        Ok(funds.min(funds.minus(at_risk)?.plus(shortfall)?))
    }

    /// Whether it was charged early enough.
    fn is_known(&self, hold: &Hold) -> bool {
        self.first_charged_at.is_some_and(|at| at <= hold.charged_before)
    }

    pub(super) fn shortage(&self, risk: NanoUsd, hold: &Hold) -> Result<Shortage, LedgerError> {
        let whole = self.available.plus(self.reserved)?;
        Ok(Shortage {
            available: self.available,
            spendable: self.spendable(risk, hold)?,
            attainable: self.spendable_of(whole, risk, hold)?,
            held: self.reserved,
        })
    }

    pub(super) fn hold(&mut self, amount: NanoUsd) -> Result<(), LedgerError> {
        self.available = self.available.minus(amount)?;
        self.reserved = self.reserved.plus(amount)?;
        Ok(())
    }

    pub(super) fn release(&mut self, amount: NanoUsd) -> Result<(), LedgerError> {
        self.reserved = self.reserved.minus(amount)?;
        self.available = self.available.plus(amount)?;
        Ok(())
    }
}

/// Both fit their column, so their difference wraps only where the sum in the column would too.
pub(super) const fn difference(now: NanoUsd, before: NanoUsd) -> NanoUsd {
    NanoUsd::from_nanos(now.as_nanos().wrapping_sub(before.as_nanos()))
}
