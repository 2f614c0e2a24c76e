//! Settlements that the database has refused: open reservations that are marked, with the record
//! that should be posted. What becomes of them is the ledger's business.

use diesel::prelude::*;

use crate::db::schema::{accounts, reservations};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// A settlement that waits for an operator.
#[derive(Clone, Debug, Queryable)]
pub struct ParkedRow {
    /// The exchange's name.
    pub id: String,
    /// Its account.
    pub account_id: AccountId,
    /// The account's public id.
    pub account: String,
    /// What stays held meanwhile.
    pub held_nanousd: NanoUsd,
    /// The usage row that should be posted, as JSON of counts and names.
    pub record: String,
    /// What the database said, without values.
    pub reason: String,
    /// When it was parked.
    pub parked_at: UnixMillis,
}

/// Marks an open reservation; `false` if there is none.
pub fn park(
    conn: &mut AnyConnection,
    id: &str,
    record: &str,
    (reason, now): (&str, UnixMillis),
) -> Result<bool, DbError> {
    let marked = diesel::update(reservations::table.find(id))
        .set((
            reservations::record.eq(record),
            reservations::parked_reason.eq(reason),
            reservations::parked_at.eq(now),
        ))
        .execute(conn)?;
    Ok(marked > 0)
}

/// How many there are.
pub fn count(conn: &mut AnyConnection) -> Result<i64, DbError> {
    let parked = reservations::table.filter(reservations::parked_at.is_not_null());
    Ok(parked.count().get_result(conn)?)
}

/// All of them, the oldest first; or only those of these names.
pub fn list(conn: &mut AnyConnection, ids: Option<&[String]>) -> Result<Vec<ParkedRow>, DbError> {
    let mut query = reservations::table
        .inner_join(accounts::table.on(accounts::id.eq(reservations::account_id)))
        .filter(reservations::parked_at.is_not_null())
        .order((reservations::parked_at, reservations::id))
        .select((
            reservations::id,
            reservations::account_id,
            accounts::public_id,
            reservations::amount_nanousd,
            reservations::record,
            reservations::parked_reason.assume_not_null(),
            reservations::parked_at.assume_not_null(),
        ))
        .into_boxed();
    if let Some(ids) = ids {
        query = query.filter(reservations::id.eq_any(ids.to_vec()));
    }
    Ok(query.load(conn)?)
}
