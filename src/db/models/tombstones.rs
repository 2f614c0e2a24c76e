//! What is left of erased accounts' deposits and of debtors' wallets, and what the secret is known
//! again by: rows and queries.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::deposits::DepositRow;
use super::journal;
use crate::db::schema::{accounts, deposit_tombstones, deposits, secret_checks, wallets};
use crate::db::{AnyConnection, DbError};
use crate::domain::deposit::DepositState;
use crate::domain::evm::{EvmAddress, RawAmount};
use crate::domain::ids::AccountId;
use crate::domain::journal_event::{HashText, JournalEvent};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::{Tombstone, TombstoneKey};

/// The secret's name among those that are known again.
const NAME: &str = "tombstones";
/// Deposits in these states are not on the chain.
const GONE: [DepositState; 2] = [DepositState::Orphaned, DepositState::Reversed];

/// The tombstone of a stored deposit.
#[must_use]
pub fn of(key: &TombstoneKey, row: &DepositRow) -> Tombstone {
    key.tombstone(row.chain_id, row.tx_hash.as_bytes(), row.ordinal)
}

/// Whether a transfer was credited to an account that is erased.
pub fn is_buried(conn: &mut AnyConnection, tombstone: &Tombstone) -> Result<bool, DbError> {
    let known = deposit_tombstones::table.find(&tombstone[..]);
    Ok(diesel::select(exists(known)).get_result(conn)?)
}

/// Whether there are any.
pub fn are_any(conn: &mut AnyConnection) -> Result<bool, DbError> {
    Ok(diesel::select(exists(deposit_tombstones::table.select(deposit_tombstones::hash)))
        .get_result(conn)?)
}

/// Keeps tombstones of deposits that are on the chain and whose rows are about to go. Must run in
/// the transaction in which they do.
///
/// # Errors
/// [`DbError::OtherSecret`] where the database knows another secret: then nothing may be hashed
/// with this one.
pub fn bury(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    rows: &[DepositRow],
) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    // What has left the chain may be mined again: then it is a new transfer of nobody's.
    let is_gone = |row: &&DepositRow| GONE.contains(&row.state);
    let stones = rows.iter().filter(|row| !is_gone(row)).map(|row| of(key, row));
    keep(conn, key, stones)
}

/// Keeps tombstones of the wallets that an account has ever linked, since it is erased with a debt.
/// Must run in the transaction in which the rows go.
///
/// # Errors
/// As [`bury`].
pub fn bury_wallets(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    id: AccountId,
) -> Result<(), DbError> {
    let addresses: Vec<EvmAddress> = wallets::table
        .filter(wallets::account_id.eq(id))
        .select(wallets::address)
        .distinct()
        .load(conn)?;
    keep(conn, key, addresses.into_iter().map(|address| key.of_debtor(address)))
}

/// Forgets the tombstone of a wallet, whose debt was paid; `false` if there is none.
pub fn exhume_wallet(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    wallet: EvmAddress,
) -> Result<bool, DbError> {
    forget_one(conn, &key.of_debtor(wallet))
}

/// Forgets a tombstone; `false` if there is none.
pub fn forget_one(conn: &mut AnyConnection, stone: &Tombstone) -> Result<bool, DbError> {
    let known = deposit_tombstones::table.find(&stone[..]);
    if diesel::delete(known).execute(conn)? == 0 {
        return Ok(false);
    }
    journal::note(conn, &JournalEvent::TombstoneForgotten { tombstone: HashText(*stone) })?;
    Ok(true)
}

/// Whether a wallet has a debt: an account that had linked it was erased with one, or has one of
/// more than `most` and is about to be.
pub fn is_of_debtor(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    wallet: EvmAddress,
    most: NanoUsd,
) -> Result<bool, DbError> {
    let closing = wallets::table
        .inner_join(accounts::table.on(accounts::id.eq(wallets::account_id)))
        .filter(wallets::address.eq(wallet))
        .filter(accounts::closing_at.is_not_null())
        .filter(
            accounts::available_nanousd.lt(NanoUsd::from_nanos(most.as_nanos().saturating_neg())),
        );
    Ok(is_buried(conn, &key.of_debtor(wallet))?
        || diesel::select(exists(closing.select(wallets::id))).get_result(conn)?)
}

fn keep(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    stones: impl Iterator<Item = Tombstone>,
) -> Result<(), DbError> {
    must_be_known(conn, key)?;
    for stone in stones {
        keep_one(conn, &stone)?;
    }
    Ok(())
}

/// Keeps a tombstone that was made with the secret that the database knows; `false` if it is there
/// already.
pub fn keep_one(conn: &mut AnyConnection, stone: &Tombstone) -> Result<bool, DbError> {
    let row = deposit_tombstones::hash.eq(stone.to_vec());
    let kept = on_either!(conn => diesel::insert_into(deposit_tombstones::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    if kept > 0 {
        journal::note(conn, &JournalEvent::TombstoneKept { tombstone: HashText(*stone) })?;
    }
    Ok(kept > 0)
}

/// Deposits that an earlier version has emptied instead of burying them: those that were erased,
/// and those that had left the chain before.
pub fn marked(conn: &mut AnyConnection, limit: i64) -> Result<Vec<DepositRow>, DbError> {
    let nobody = EvmAddress::ZERO;
    let emptied = deposits::state
        .eq_any(GONE)
        .and(deposits::account_id.is_null())
        .and(deposits::payer.eq(nobody))
        .and(deposits::raw_amount.eq(RawAmount::ZERO));
    let rows = deposits::table
        .filter(deposits::state.eq(DepositState::Erased).or(emptied))
        .order(deposits::id)
        .limit(limit)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Deletes deposits by their row numbers.
pub fn delete(conn: &mut AnyConnection, rows: &[DepositRow]) -> Result<(), DbError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    diesel::delete(deposits::table.filter(deposits::id.eq_any(ids))).execute(conn)?;
    Ok(())
}

/// What the database knows the secret again by; `None` before the first one.
pub fn check_value(conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, DbError> {
    let stored = secret_checks::table.find(NAME).select(secret_checks::value);
    Ok(stored.first(conn).optional()?)
}

/// Makes sure that the database knows this secret: with another one nothing may be hashed or
/// sealed.
///
/// # Errors
/// [`DbError::OtherSecret`].
pub fn must_be_known(conn: &mut AnyConnection, key: &TombstoneKey) -> Result<(), DbError> {
    let is_known = check_value(conn)?.as_deref() == Some(&key.check_value()[..]);
    if is_known { Ok(()) } else { Err(DbError::OtherSecret) }
}

/// Knows this secret from now on, and no other.
pub fn know(conn: &mut AnyConnection, key: &TombstoneKey) -> Result<(), DbError> {
    let value = key.check_value().to_vec();
    let row = (secret_checks::name.eq(NAME), secret_checks::value.eq(&value));
    on_either!(conn => diesel::insert_into(secret_checks::table)
        .values(row)
        .on_conflict(secret_checks::name)
        .do_update()
        .set(secret_checks::value.eq(&value))
        .execute(conn))?;
    Ok(())
}

/// Forgets the secret and what was hashed with it; how many tombstones that were.
pub fn forget(conn: &mut AnyConnection) -> Result<usize, DbError> {
    diesel::delete(secret_checks::table.find(NAME)).execute(conn)?;
    Ok(diesel::delete(deposit_tombstones::table).execute(conn)?)
}
