//! What an operator may decide about a deposit by hand, each time with a reason that is written
//! down.

use super::credit::credit_within;
use super::refund::write_down;
use super::{DepositError, claims};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{deposit_cases, tombstones};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewDecision {
    /// Done, and written down.
    Done,
    /// The deposit is not in a state in which this can be decided.
    NotNow,
    /// Nobody knows what it is worth: a value above zero has to be given.
    NoValue,
    /// Nobody knows whose it is: it has to be attributed first.
    NoAccount,
    /// It was changed while this was decided. Look again.
    Changed,
}

/// Credits a held deposit, with the proposed value or another one.
///
/// # Errors
/// [`DepositError`]; [`DepositError::Buried`] among them.
pub fn approve(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    value: Option<NanoUsd>,
    reason: &str,
    now: UnixMillis,
) -> Result<ReviewDecision, DepositError> {
    if row.state != DepositState::Held || is_refund(row) {
        return Ok(ReviewDecision::NotNow);
    }
    if row.account_id.is_none() {
        return Ok(ReviewDecision::NoAccount);
    }
    let value = value.or(row.value_nanousd);
    let Some(value) = value.filter(|&value| value > NanoUsd::ZERO) else {
        return Ok(ReviewDecision::NoValue);
    };
    let valued = DepositRow { value_nanousd: Some(value), ..row.clone() };
    transaction::write(conn, |conn| {
        // A person decides one by one, so each is told.
        if !credit_within(conn, key, &valued, NanoUsd::ZERO, now)? {
            return Ok(ReviewDecision::Changed);
        }
        write_down(conn, "approved", &valued, reason, now)?;
        Ok(ReviewDecision::Done)
    })
}

/// Says whose a deposit is that nobody has proven, or that was paid to an address of an account
/// that is gone.
///
/// # Errors
/// [`DepositError`]; [`DepositError::Buried`] among them.
pub fn attribute(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    account_id: AccountId,
    reason: &str,
    now: UnixMillis,
) -> Result<ReviewDecision, DepositError> {
    let is_erased = row.reason == Some(DepositReason::ErasedAccount);
    let is_open = match row.state {
        DepositState::Unattributed => true,
        DepositState::Held => is_erased,
        _ => false,
    };
    if !is_open {
        return Ok(ReviewDecision::NotNow);
    }
    if tombstones::is_buried(conn, &tombstones::of(key, row))? {
        return Err(DepositError::Buried(row.public_id.clone()));
    }
    let attributed = DepositRow {
        state: DepositState::Confirming,
        reason: None,
        account_id: Some(account_id),
        wallet_id: None,
        check_at: now,
        ..row.clone()
    };
    decide(conn, &attributed, "attributed", reason, now)
}

/// Refuses a deposit that was not credited.
pub fn reject(
    conn: &mut AnyConnection,
    row: &DepositRow,
    reason: &str,
    now: UnixMillis,
) -> Result<ReviewDecision, DepositError> {
    let is_open = match row.state {
        DepositState::Unattributed | DepositState::BelowMinimum | DepositState::Confirming => true,
        DepositState::Held => !is_refund(row),
        _ => false,
    };
    if !is_open {
        return Ok(ReviewDecision::NotNow);
    }
    let rejected = DepositRow {
        state: DepositState::Rejected,
        reason: Some(DepositReason::OperatorDecision),
        ..row.clone()
    };
    decide(conn, &rejected, "rejected", reason, now)
}

fn decide(
    conn: &mut AnyConnection,
    row: &DepositRow,
    action: &str,
    reason: &str,
    now: UnixMillis,
) -> Result<ReviewDecision, DepositError> {
    transaction::write(conn, |conn| {
        if !deposits::change(conn, row, now)? {
            return Ok(ReviewDecision::Changed);
        }
        // Nothing is in doubt about what a person has decided; what goes on may be doubted anew.
        deposit_cases::forget_deposit(conn, row)?;
        write_down(conn, action, row, reason, now)?;
        if row.account_id.is_some() {
            claims::refuse_others(conn, row.chain_id, row.tx_hash, now)?;
        }
        Ok(ReviewDecision::Done)
    })
}

fn is_refund(row: &DepositRow) -> bool {
    row.reason == Some(DepositReason::RefundPending)
}
