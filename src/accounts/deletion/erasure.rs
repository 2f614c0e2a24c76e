//! The end of an account: once its grace is over and nothing of it is under way, everything that
//! says whose it was goes in one transaction.

use std::time::Duration;

use crate::db::models::{accounts, tombstones};
use crate::db::{AnyConnection, DbError, closing, erasure, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::telemetry::Causes;

/// Accounts that are looked at in one go.
const BATCH: i64 = 16;
/// Accounts that stay which are counted at most.
const STUCK_MAX: i64 = 1_000;

/// Erases what is due; how many accounts that were. One that cannot be erased now does not hold up
/// the others. Of one with a debt of more than `debt_forgiven` the wallets are remembered.
///
/// # Errors
/// [`DbError`] if what is due cannot be found out.
pub fn erase_due(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    (grace, debt_forgiven): (Duration, NanoUsd),
    now: UnixMillis,
) -> Result<usize, DbError> {
    let before = before(grace, now);
    let mut erased = 0_usize;
    for id in closing::due(conn, before, BATCH)? {
        match erase(conn, (key, debt_forgiven), id, before) {
            Ok(is_erased) => erased = erased.saturating_add(is_erased.into()),
            Err(error) => {
                tracing::warn!(
                    error = %Causes(&error),
                    "an account cannot be erased yet; trying again"
                );
            }
        }
    }
    Ok(erased)
}

/// The accounts that would be erased by now if nothing were left on them, by public id: what came
/// in late was not waived, and somebody has to pay it back or hear that it is.
pub fn stuck(
    conn: &mut AnyConnection,
    grace: Duration,
    now: UnixMillis,
) -> Result<Vec<String>, DbError> {
    closing::stuck(conn, before(grace, now), STUCK_MAX)
}

/// Looks again once nobody else can change the account, and erases it then; `false` if it is not
/// due, or not there.
///
/// # Errors
/// [`DbError`]; nothing was changed then.
pub fn erase(
    conn: &mut AnyConnection,
    (key, debt_forgiven): (&TombstoneKey, NanoUsd),
    id: AccountId,
    before: UnixMillis,
) -> Result<bool, DbError> {
    transaction::write(conn, |conn| {
        accounts::lock(conn, id)?;
        let Some(row) = closing::get(conn, id)? else { return Ok(false) };
        if !closing::is_due(conn, id, before)? {
            return Ok(false);
        }
        if row.available_nanousd.as_nanos() < debt_forgiven.as_nanos().saturating_neg() {
            tombstones::bury_wallets(conn, key, id)?;
        }
        erasure::erase(conn, key, id, &row.email)?;
        Ok(true)
    })
}

/// Wishes from before this moment have had their grace.
fn before(grace: Duration, now: UnixMillis) -> UnixMillis {
    now.plus_millis(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX).saturating_neg())
}
