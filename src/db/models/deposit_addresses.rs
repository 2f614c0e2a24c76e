//! Addresses that are derived for one account each, and the counter that never issues an index
//! twice.

use diesel::prelude::*;

use super::journal;
use crate::db::schema::{deposit_addresses, derivation_counters};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::EvmAddress;
use crate::domain::ids::AccountId;
use crate::domain::journal_event::JournalEvent;

/// A derived address.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = deposit_addresses)]
pub struct AddressRow {
    /// The address.
    pub address: EvmAddress,
    /// Which extended key it comes from.
    pub xpub_fingerprint: String,
    /// Its place below that key.
    pub derivation_index: i64,
    /// Whose it is; `None` once that account is erased.
    pub account_id: Option<AccountId>,
    /// When it was issued.
    pub created_at: UnixMillis,
}

/// The address of an account.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Option<AddressRow>, DbError> {
    let row = deposit_addresses::table
        .filter(deposit_addresses::account_id.eq(account_id))
        .select(AddressRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The derived address that `address` is, if it is one.
pub fn find(conn: &mut AnyConnection, address: EvmAddress) -> Result<Option<AddressRow>, DbError> {
    let row = deposit_addresses::table
        .find(address)
        .select(AddressRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Every address that was ever issued: transfers to those of erased accounts are found too.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<EvmAddress>, DbError> {
    let order = (deposit_addresses::xpub_fingerprint, deposit_addresses::derivation_index);
    Ok(deposit_addresses::table.order(order).select(deposit_addresses::address).load(conn)?)
}

/// The counters of all keys: while they stand still, so does [`all`].
pub fn counters(conn: &mut AnyConnection) -> Result<Vec<(String, i64)>, DbError> {
    Ok(derivation_counters::table.order(derivation_counters::xpub_fingerprint).load(conn)?)
}

/// Takes the next index of a key. Must run in a write transaction with [`insert`].
pub fn next_index(conn: &mut AnyConnection, xpub_fingerprint: &str) -> Result<i64, DbError> {
    let first = (
        derivation_counters::xpub_fingerprint.eq(xpub_fingerprint),
        derivation_counters::next_index.eq(0),
    );
    on_either!(conn => diesel::insert_into(derivation_counters::table)
        .values(first)
        .on_conflict_do_nothing()
        .execute(conn))?;
    let next = diesel::update(derivation_counters::table.find(xpub_fingerprint))
        .set(derivation_counters::next_index.eq(derivation_counters::next_index + 1))
        .returning(derivation_counters::next_index)
        .get_result::<i64>(conn)?;
    Ok(next.saturating_sub(1))
}

/// The next index of a key; 0 for a key that was never used.
pub fn counter(conn: &mut AnyConnection, xpub_fingerprint: &str) -> Result<i64, DbError> {
    let next = derivation_counters::table
        .find(xpub_fingerprint)
        .select(derivation_counters::next_index)
        .first(conn)
        .optional()?;
    Ok(next.unwrap_or(0))
}

/// Moves the counter up to `index`, so that what lies below is never issued again; where it stands
/// then.
pub fn advance(
    conn: &mut AnyConnection,
    xpub_fingerprint: &str,
    index: i64,
) -> Result<i64, DbError> {
    let first = (
        derivation_counters::xpub_fingerprint.eq(xpub_fingerprint),
        derivation_counters::next_index.eq(index),
    );
    on_either!(conn => diesel::insert_into(derivation_counters::table)
        .values(first)
        .on_conflict_do_nothing()
        .execute(conn))?;
    let behind = derivation_counters::table
        .filter(derivation_counters::xpub_fingerprint.eq(xpub_fingerprint))
        .filter(derivation_counters::next_index.lt(index));
    diesel::update(behind).set(derivation_counters::next_index.eq(index)).execute(conn)?;
    let next = derivation_counters::table
        .find(xpub_fingerprint)
        .select(derivation_counters::next_index)
        .first(conn)?;
    Ok(next)
}

/// Stores an address that was just derived.
pub fn insert(conn: &mut AnyConnection, row: &AddressRow) -> Result<(), DbError> {
    diesel::insert_into(deposit_addresses::table).values(row).execute(conn)?;
    let (xpub, index) = (row.xpub_fingerprint.clone(), row.derivation_index);
    journal::note(conn, &JournalEvent::AddressIssued { xpub, index })
}

impl AddressRow {
    /// A row for an address that is issued now.
    #[must_use]
    pub fn issued(
        address: EvmAddress,
        xpub_fingerprint: &str,
        derivation_index: i64,
        account_id: AccountId,
        now: UnixMillis,
    ) -> Self {
        Self {
            address,
            xpub_fingerprint: xpub_fingerprint.to_owned(),
            derivation_index,
            account_id: Some(account_id),
            created_at: now,
        }
    }
}
