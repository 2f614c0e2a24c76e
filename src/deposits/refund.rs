//! Money on its way back. The amount is held first, guarded against what is spent meanwhile; then the transaction
//! that paid it is noted, or the hold is released. The payment itself is the operator's wallet's business.

use super::DepositError;
use crate::db::deposit_refunds::{self, AuditRow, RefundRow};
use crate::db::deposits::{self, DepositRow};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::TxHash;
use crate::domain::ids::public_id;
use crate::domain::money::NanoUsd;
use crate::ledger::{self, Command, EntryKind, Outcome};

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refunded {
    /// Done; the refund as it stands.
    Done(RefundRow),
    /// A refund of this deposit is held or posted already.
    Already(RefundRow),
    /// The account has spent too much of it.
    Insufficient {
        /// What it could still spend.
        available: NanoUsd,
    },
    /// More than the deposit was credited with.
    TooMuch,
    /// No refund is held.
    NoneHeld,
    /// The deposit is in a state that cannot be refunded, or was changed meanwhile.
    NotNow,
}

/// Holds a refund: of a credited deposit `amount` (all of it by default) leaves the balance; an uncredited one can no
/// longer be credited.
///
/// # Errors
/// [`DepositError`].
pub fn hold(
    conn: &mut AnyConnection,
    row: &DepositRow,
    amount: Option<NanoUsd>,
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    let refund_id = public_id("ref_")?;
    transaction::write(conn, |conn| {
        if let Some(refund) = deposit_refunds::of_deposit(conn, row.id)? {
            return Ok(Refunded::Already(refund));
        }
        let value = NanoUsd::from_nanos(row.value_nanousd.unwrap_or_default());
        let amount = match (row.state(), row.account()) {
            (Some(DepositState::Credited), Some(account_id)) => {
                let amount = amount.unwrap_or(value);
                if amount > value || amount <= NanoUsd::ZERO {
                    return Ok(Refunded::TooMuch);
                }
                let command = Command::Withdraw {
                    account_id,
                    kind: EntryKind::Refund,
                    reference: refund_id.clone(),
                    amount,
                };
                match ledger::apply_within(conn, &[command], now)?.as_slice() {
                    [Outcome::Credited] => amount,
                    [Outcome::Insufficient { available }] => {
                        return Ok(Refunded::Insufficient { available: *available });
                    }
                    _ => return Err(DepositError::Contradiction(row.public_id.clone())),
                }
            }
            (
                None
                | Some(DepositState::Credited | DepositState::Reversed | DepositState::Refunded),
                _,
            ) => {
                return Ok(Refunded::NotNow);
            }
            (Some(_), _) => NanoUsd::ZERO,
        };
        if row.state() != Some(DepositState::Credited) {
            let held = DepositRow {
                state: DepositState::Held.as_str().to_owned(),
                reason: Some(DepositReason::RefundPending.as_str().to_owned()),
                ..row.clone()
            };
            if !deposits::change(conn, &held, now)? {
                return Ok(Refunded::NotNow);
            }
        }
        let refund = RefundRow {
            id: 0,
            public_id: refund_id,
            deposit_id: row.id,
            state: "held".to_owned(),
            amount_nanousd: amount.as_nanos(),
            tx_hash: None,
            created_at: now.as_millis(),
            updated_at: now.as_millis(),
        };
        deposit_refunds::insert(conn, &refund)?;
        audit(conn, "refund_held", row, reason, now)?;
        Ok(Refunded::Done(refund))
    })
}

/// Notes the transaction that paid a held refund.
///
/// # Errors
/// [`DepositError`].
pub fn post(
    conn: &mut AnyConnection,
    row: &DepositRow,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    transaction::write(conn, |conn| {
        let Some(refund) = held(conn, row)? else { return Ok(Refunded::NoneHeld) };
        deposit_refunds::close(conn, refund.id, "posted", Some(tx_hash), now)?;
        if row.state() != Some(DepositState::Credited) {
            let refunded = DepositRow {
                state: DepositState::Refunded.as_str().to_owned(),
                reason: None,
                ..row.clone()
            };
            if !deposits::change(conn, &refunded, now)? {
                return Err(DepositError::Contradiction(row.public_id.clone()));
            }
        }
        audit(conn, "refund_posted", row, &tx_hash.to_string(), now)?;
        let state = "posted".to_owned();
        Ok(Refunded::Done(RefundRow {
            state,
            tx_hash: Some(tx_hash.as_bytes().to_vec()),
            ..refund
        }))
    })
}

/// Releases a held refund: the money returns to the balance, or the deposit goes on where it was.
///
/// # Errors
/// [`DepositError`].
pub fn cancel(
    conn: &mut AnyConnection,
    row: &DepositRow,
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    transaction::write(conn, |conn| {
        let Some(refund) = held(conn, row)? else { return Ok(Refunded::NoneHeld) };
        deposit_refunds::close(conn, refund.id, "cancelled", None, now)?;
        let amount = NanoUsd::from_nanos(refund.amount_nanousd);
        if amount > NanoUsd::ZERO {
            let unreadable = || DepositError::Unreadable(row.public_id.clone());
            let command = Command::Credit {
                account_id: row.account().ok_or_else(unreadable)?,
                kind: EntryKind::Reversal,
                reference: refund.public_id.clone(),
                amount,
            };
            if ledger::apply_within(conn, &[command], now)? != [Outcome::Credited] {
                return Err(DepositError::Contradiction(row.public_id.clone()));
            }
        } else {
            let seen = DepositRow {
                state: DepositState::Seen.as_str().to_owned(),
                reason: None,
                check_at: now.as_millis(),
                ..row.clone()
            };
            if !deposits::change(conn, &seen, now)? {
                return Err(DepositError::Contradiction(row.public_id.clone()));
            }
        }
        audit(conn, "refund_cancelled", row, reason, now)?;
        Ok(Refunded::Done(RefundRow { state: "cancelled".to_owned(), ..refund }))
    })
}

fn held(conn: &mut AnyConnection, row: &DepositRow) -> Result<Option<RefundRow>, DepositError> {
    let refund = deposit_refunds::of_deposit(conn, row.id)?;
    Ok(refund.filter(|refund| refund.state == "held"))
}

/// Writes down what was decided about a deposit.
pub(super) fn audit(
    conn: &mut AnyConnection,
    action: &str,
    row: &DepositRow,
    detail: &str,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let row = AuditRow {
        created_at: now.as_millis(),
        action: action.to_owned(),
        subject: row.public_id.clone(),
        account_id: row.account_id,
        detail: detail.to_owned(),
    };
    Ok(deposit_refunds::audit(conn, &row)?)
}
