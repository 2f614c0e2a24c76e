//! Refunds and their states. The amount is held first, so that it cannot be spent meanwhile; then
//! the transaction that paid it is noted, or the hold is released. The operator pays from a wallet
//! of his own.

use super::{DepositError, notices};
use crate::db::models::audit::{self, Decision};
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{accounts, chains, deposit_cases, journal, tombstones};
use crate::db::{AnyConnection, books, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState, RefundState};
use crate::domain::evm::TxHash;
use crate::domain::ids::{AccountId, public_id};
use crate::domain::journal_event::{HashText, JournalEvent};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::ledger::{self, Command, Effect, EntryKind};

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
    /// Its block is not final: it may still leave the chain, and then there is nothing to pay back.
    NotFinal,
}

/// Holds a refund: of a credited deposit `amount` (all of it by default) leaves the balance; an
/// uncredited one can no longer be credited.
pub fn hold(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    amount: Option<NanoUsd>,
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    let is_credited = match row.state {
        // What has left the chain is not there to be paid back.
        DepositState::Orphaned
        | DepositState::Reversed
        | DepositState::Refunded
        | DepositState::Erased => return Ok(Refunded::NotNow),
        state => state == DepositState::Credited,
    };
    let value = row.value_nanousd.unwrap_or_default();
    let amount = if is_credited { amount.unwrap_or(value) } else { NanoUsd::ZERO };
    if is_credited && (amount > value || amount <= NanoUsd::ZERO) {
        return Ok(Refunded::TooMuch);
    }
    let refund = held(row, public_id("ref_")?, amount, now);
    // Nobody looks at an uncredited one any more while it is held for this, and one that was
    // credited early may yet be undone.
    let must_be_final = !is_credited || row.is_provisional_at(now);
    let event = JournalEvent::RefundHeld {
        refund: refund.public_id.clone(),
        deposit: HashText(tombstones::of(key, row)),
        amount_nanousd: amount.as_nanos(),
        is_whole: !is_credited || amount == value,
    };
    transaction::write(conn, |conn| {
        if must_be_final && !is_final(conn, row)? {
            let before = deposit_refunds::of_deposit(conn, row.id)?;
            return Ok(before.map_or(Refunded::NotFinal, Refunded::Already));
        }
        let done = begin(conn, row, &refund, reason, now)?;
        if matches!(done, Refunded::Done(_)) {
            journal::note(conn, &event)?;
        }
        Ok(done)
    })
}

/// Holds a refund anew that a restored backup has lost, under its public id. Its block was final
/// when it was held first.
pub fn hold_again(
    conn: &mut AnyConnection,
    row: &DepositRow,
    (public_id, amount): (&str, NanoUsd),
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    let is_credited = row.state == DepositState::Credited;
    let amount = if is_credited { amount } else { NanoUsd::ZERO };
    let refund = held(row, public_id.to_owned(), amount, now);
    transaction::write(conn, |conn| begin(conn, row, &refund, reason, now))
}

fn held(row: &DepositRow, public_id: String, amount: NanoUsd, now: UnixMillis) -> RefundRow {
    RefundRow {
        id: 0,
        public_id,
        deposit_id: row.id,
        state: RefundState::Held,
        amount_nanousd: amount,
        tx_hash: None,
        created_at: now,
        updated_at: now,
    }
}

/// Takes the amount, or keeps an uncredited deposit from being credited, and stores the refund.
/// Must run in a write transaction.
fn begin(
    conn: &mut AnyConnection,
    row: &DepositRow,
    refund: &RefundRow,
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    let is_credited = row.state == DepositState::Credited;
    let next = if is_credited { row.clone() } else { pending(row) };
    // The account before the deposit, as everywhere, so that no two wait for each other.
    if let Some(account_id) = row.account_id.filter(|_| is_credited) {
        accounts::lock(conn, account_id)?;
    }
    if let Some(refund) = deposit_refunds::of_deposit(conn, row.id)? {
        return Ok(Refunded::Already(refund));
    }
    // A credited row stays as it is, but not its revision: a reversal that came first is
    // noticed, and one that comes now waits.
    if !deposits::change(conn, &next, now)? {
        return Ok(Refunded::NotNow);
    }
    if is_credited && let Some(available) = withdraw(conn, row, refund, now)? {
        return Ok(Refunded::Insufficient { available });
    }
    deposit_refunds::insert(conn, refund)?;
    deposit_cases::forget_deposit(conn, row)?;
    write_down(conn, "refund_held", row, reason, now)?;
    Ok(Refunded::Done(refund.clone()))
}

/// Whether the chain's reader has seen the block become final.
fn is_final(conn: &mut AnyConnection, row: &DepositRow) -> Result<bool, DepositError> {
    let chain = chains::find(conn, row.chain_id)?;
    Ok(chain.is_some_and(|chain| row.block_number <= chain.final_number))
}

/// The row of an uncredited deposit that is being paid back.
fn pending(row: &DepositRow) -> DepositRow {
    DepositRow {
        state: DepositState::Held,
        reason: Some(DepositReason::RefundPending),
        ..row.clone()
    }
}

/// Takes a refund from the balance; what is there instead, where that is too little.
fn withdraw(
    conn: &mut AnyConnection,
    row: &DepositRow,
    refund: &RefundRow,
    now: UnixMillis,
) -> Result<Option<NanoUsd>, DepositError> {
    let unreadable = || DepositError::Unreadable(row.public_id.clone());
    let command = Command::Withdraw {
        account_id: row.account_id.ok_or_else(unreadable)?,
        kind: EntryKind::Refund,
        reference: refund.public_id.clone(),
        amount: refund.amount_nanousd,
    };
    match ledger::apply_within(conn, &[command], now)?.as_slice() {
        [Effect::Credited] => Ok(None),
        [Effect::Insufficient(shortage)] => Ok(Some(shortage.available)),
        _ => Err(DepositError::Contradiction(row.public_id.clone())),
    }
}

/// Notes the transaction that paid a held refund.
pub fn post(
    conn: &mut AnyConnection,
    row: &DepositRow,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    transaction::write(conn, |conn| {
        let Some(refund) = close(conn, row, RefundState::Posted, Some(tx_hash), now)? else {
            return Ok(Refunded::NoneHeld);
        };
        // One that was credited goes on by itself: its money was taken from the balance, whatever
        // its chain does.
        if refund.amount_nanousd == NanoUsd::ZERO {
            end_pending(conn, row, DepositState::Refunded, None, now)?;
        }
        write_down(conn, "refund_posted", row, &tx_hash.to_string(), now)?;
        notices::refunded(conn, row, &refund, now)?;
        Ok(Refunded::Done(refund))
    })
}

/// Releases a held refund: the money returns to the balance, or the deposit goes on where it was.
pub fn cancel(
    conn: &mut AnyConnection,
    row: &DepositRow,
    reason: &str,
    now: UnixMillis,
) -> Result<Refunded, DepositError> {
    transaction::write(conn, |conn| {
        let Some(refund) = close(conn, row, RefundState::Cancelled, None, now)? else {
            return Ok(Refunded::NoneHeld);
        };
        let amount = refund.amount_nanousd;
        if amount > NanoUsd::ZERO {
            let command = Command::Credit {
                account_id: whose(conn, row, &refund)?,
                kind: EntryKind::Reversal,
                reference: refund.public_id.clone(),
                amount,
            };
            if ledger::apply_within(conn, &[command], now)? != [Effect::Credited] {
                return Err(DepositError::Contradiction(row.public_id.clone()));
            }
        } else {
            // It is looked at anew, but what was rejected before stays so.
            let decisions = audit::of(conn, &row.public_id)?;
            let (state, reason) = if decisions.iter().any(|one| one.action == "rejected") {
                (DepositState::Rejected, Some(DepositReason::OperatorDecision))
            } else {
                (DepositState::Seen, None)
            };
            end_pending(conn, row, state, reason, now)?;
        }
        write_down(conn, "refund_cancelled", row, reason, now)?;
        Ok(Refunded::Done(refund))
    })
}

/// From whose balance a refund was taken. After a reorganisation the deposit itself may be
/// another's.
fn whose(
    conn: &mut AnyConnection,
    row: &DepositRow,
    refund: &RefundRow,
) -> Result<AccountId, DepositError> {
    let entries = books::entries_of(conn, std::slice::from_ref(&refund.public_id))?;
    let taken = entries.iter().find(|entry| entry.kind == EntryKind::Refund);
    let contradiction = || DepositError::Contradiction(row.public_id.clone());
    taken.map(|entry| entry.account_id).ok_or_else(contradiction)
}

/// Ends the refund that is held, if it still is; how it stands then. Who ends it first has ended
/// it.
fn close(
    conn: &mut AnyConnection,
    row: &DepositRow,
    state: RefundState,
    tx_hash: Option<TxHash>,
    now: UnixMillis,
) -> Result<Option<RefundRow>, DepositError> {
    let refund = deposit_refunds::of_deposit(conn, row.id)?;
    let Some(refund) = refund.filter(|refund| refund.state == RefundState::Held) else {
        return Ok(None);
    };
    if !deposit_refunds::close(conn, refund.id, state, tx_hash, now)? {
        return Ok(None);
    }
    Ok(Some(RefundRow { state, tx_hash, updated_at: now, ..refund }))
}

/// Moves on a deposit that was held for a refund. Nobody else does, so it is read afresh.
fn end_pending(
    conn: &mut AnyConnection,
    row: &DepositRow,
    state: DepositState,
    reason: Option<DepositReason>,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let contradiction = || DepositError::Contradiction(row.public_id.clone());
    let current = deposits::get(conn, row.id)?.ok_or_else(contradiction)?;
    let next = DepositRow { state, reason, check_at: now, ..current };
    if deposits::change(conn, &next, now)? { Ok(()) } else { Err(contradiction()) }
}

/// Writes down what was decided about a deposit.
pub(super) fn write_down(
    conn: &mut AnyConnection,
    action: &str,
    row: &DepositRow,
    detail: &str,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let account_id = row.account_id;
    let decision = Decision { action, subject: &row.public_id, account_id, detail };
    Ok(audit::write(conn, &decision, now)?)
}
