//! The moves of a deposit that touch money, each with its row and its ledger entry in one
//! transaction.

use super::{DepositError, notices};
use crate::config::Tier;
use crate::db::models::chains::{self, ChainRow};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{accounts, deposit_cases, tombstones};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::ledger::{self, Command, Effect, EntryKind};

/// Milliseconds of the time in which early credits are added up.
const DAY: i64 = 86_400_000;

/// Name of a deposit's n-th credit in the books.
#[must_use]
pub fn reference(row: &DepositRow) -> String {
    format!("{}:{}", row.public_id, row.credit_number)
}

/// Credits `row` with its value, from the revision that was read, and tells its owner, of what is
/// worth less than `mail_above` at most once an hour. `false` if somebody has changed it since:
/// then nothing was credited.
///
/// # Errors
/// [`DepositError`]; nothing was credited, unless the commit's outcome is unknown, and then the row
/// tells.
pub fn credit(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    mail_above: NanoUsd,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    transaction::write(conn, |conn| credit_within(conn, key, row, mail_above, now))
}

/// Credits `row` before its block is final, if `tier` has room for it: in what it lets through of
/// the account's within a day, and in what may be lost of everybody's. What was taken back counts
/// for its day. `chain` is how far the caller has read it, and that it is the one who reads it.
///
/// # Errors
/// As [`credit`], and [`DepositError::Overtaken`].
pub fn credit_early(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    (tier, chain): (Tier, &ChainRow),
    mail_above: NanoUsd,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    let unreadable = || DepositError::Unreadable(row.public_id.clone());
    let account_id = row.account_id.ok_or_else(unreadable)?;
    let value = row.value_nanousd.ok_or_else(unreadable)?;
    transaction::write(conn, |conn| {
        // Another node may have gone back below the block; and what is credited meanwhile is in the
        // sums.
        if !chains::hold(conn, chain)? {
            return Err(DepositError::Overtaken);
        }
        accounts::lock(conn, account_id)?;
        let since = now.plus_millis(-DAY);
        let chain_id = row.chain_id;
        let (own, at_risk) = deposits::credited_early(conn, chain_id, account_id, since)?;
        let has_room = |spent: NanoUsd, most: NanoUsd| {
            spent.as_nanos().saturating_add(value.as_nanos()) <= most.as_nanos()
        };
        let was_early = row.early_credit_at.is_some();
        if was_early || !has_room(own, tier.up_to) || !has_room(at_risk, tier.total) {
            return Ok(false);
        }
        let early = DepositRow {
            early_credit_at: Some(now),
            early_value_nanousd: Some(value),
            is_provisional: true,
            ..row.clone()
        };
        credit_within(conn, key, &early, mail_above, now)
    })
}

/// The same within a write transaction of the caller's.
///
/// # Errors
/// [`DepositError`]; the transaction must then be given up.
pub fn credit_within(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    row: &DepositRow,
    mail_above: NanoUsd,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    let unreadable = || DepositError::Unreadable(row.public_id.clone());
    let account_id = row.account_id.ok_or_else(unreadable)?;
    // Before the deposit, as an erasure does it.
    accounts::lock(conn, account_id)?;
    if tombstones::is_buried(conn, &tombstones::of(key, row))? {
        return Err(DepositError::Buried(row.public_id.clone()));
    }
    let amount = row.value_nanousd.ok_or_else(unreadable)?;
    let credited = DepositRow {
        state: DepositState::Credited,
        reason: None,
        credit_number: row.credit_number.saturating_add(1),
        ..row.clone()
    };
    let command = Command::Credit {
        account_id,
        kind: EntryKind::Deposit,
        reference: reference(&credited),
        amount,
    };
    let is_moved = move_with_entry(conn, &credited, command, now)?;
    if is_moved {
        deposit_cases::forget_deposit(conn, &credited)?;
        notices::credited(conn, &credited, mail_above, now)?;
    }
    Ok(is_moved)
}

/// Takes a credit back, because its block left the chain. The balance may go below zero.
///
/// # Errors
/// As [`credit`].
pub fn reverse(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    let unreadable = || DepositError::Unreadable(row.public_id.clone());
    let account_id = row.account_id.ok_or_else(unreadable)?;
    let value = row.value_nanousd.ok_or_else(unreadable)?;
    let reversed = DepositRow {
        state: DepositState::Reversed,
        reason: None,
        is_provisional: false,
        ..row.clone()
    };
    let command = Command::Credit {
        account_id,
        kind: EntryKind::Reversal,
        reference: reference(row),
        amount: value.negated().map_err(ledger::LedgerError::from)?,
    };
    transaction::write(conn, |conn| {
        accounts::lock(conn, account_id)?;
        let is_moved = move_with_entry(conn, &reversed, command, now)?;
        if is_moved {
            notices::reversed(conn, &reversed, now)?;
        }
        Ok(is_moved)
    })
}

fn move_with_entry(
    conn: &mut AnyConnection,
    row: &DepositRow,
    command: Command,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    if !deposits::change(conn, row, now)? {
        return Ok(false);
    }
    match ledger::apply_within(conn, &[command], now)?.as_slice() {
        [Effect::Credited] => Ok(true),
        // The row said that this entry was not made; the transaction is given up.
        _ => Err(DepositError::Contradiction(row.public_id.clone())),
    }
}

/// What became of a deposit that was held against the minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It may be credited.
    Yes,
    /// Not yet: it waits for more of its kind.
    NotYet,
    /// Somebody has changed it since it was read.
    Changed,
}

/// Holds a valued deposit against the minimum of its coin, together with those of the account that
/// were too small so far. If they reach it together, the others are sent on as well.
pub fn hold_against_minimum(
    conn: &mut AnyConnection,
    row: &DepositRow,
    minimum: NanoUsd,
    now: UnixMillis,
) -> Result<Reached, DepositError> {
    let value = row.value_nanousd.unwrap_or_default();
    let has_reached = row.reason == Some(DepositReason::MinimumReached);
    if has_reached || value >= minimum {
        return Ok(Reached::Yes);
    }
    let unreadable = || DepositError::Unreadable(row.public_id.clone());
    let account_id = row.account_id.ok_or_else(unreadable)?;
    transaction::write(conn, |conn| {
        let chain_id = row.chain_id;
        let others = deposits::below_minimum(conn, account_id, chain_id, row.token)?;
        let values = others.iter().filter_map(|other| other.value_nanousd);
        let total = values.map(NanoUsd::as_nanos).fold(value.as_nanos(), i64::saturating_add);
        let is_reached = total >= minimum.as_nanos();
        let (state, reason) = if is_reached {
            (DepositState::Confirming, Some(DepositReason::MinimumReached))
        } else {
            (DepositState::BelowMinimum, None)
        };
        let moved = |row: &DepositRow| DepositRow { state, reason, check_at: now, ..row.clone() };
        if !deposits::change(conn, &moved(row), now)? {
            return Ok(Reached::Changed);
        }
        if is_reached {
            for other in &others {
                deposits::change(conn, &moved(other), now)?;
            }
        }
        // All of them come round again, now exempt, and each is credited by itself.
        Ok(Reached::NotYet)
    })
}
