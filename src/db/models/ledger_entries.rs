//! The ledger, read. Its entries are written with the books.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::db::schema::ledger_entries;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// An entry with its place.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = ledger_entries)]
pub struct PlacedEntry {
    /// Row number: the order of the books.
    pub id: i64,
    /// What it is for.
    pub kind: EntryKind,
    /// Unique within its kind.
    pub reference: String,
    /// A charge is negative.
    pub amount_nanousd: NanoUsd,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A page of an account's entries below a row number, newest first; of one kind, if one is named.
pub fn page(
    conn: &mut AnyConnection,
    account_id: AccountId,
    kind: Option<EntryKind>,
    below: i64,
    limit: i64,
) -> Result<Vec<PlacedEntry>, DbError> {
    let mut query = ledger_entries::table
        .filter(ledger_entries::account_id.eq(account_id).and(ledger_entries::id.lt(below)))
        .order(ledger_entries::id.desc())
        .limit(limit)
        .select(PlacedEntry::as_select())
        .into_boxed();
    if let Some(kind) = kind {
        query = query.filter(ledger_entries::kind.eq(kind));
    }
    Ok(query.load(conn)?)
}

/// The entries of an account above a row number and up to another, oldest first.
pub fn following(
    conn: &mut AnyConnection,
    account_id: AccountId,
    (above, last): (i64, i64),
    limit: i64,
) -> Result<Vec<PlacedEntry>, DbError> {
    let rows = ledger_entries::table
        .filter(ledger_entries::account_id.eq(account_id))
        .filter(ledger_entries::id.gt(above).and(ledger_entries::id.le(last)))
        .order(ledger_entries::id)
        .limit(limit)
        .select(PlacedEntry::as_select())
        .load(conn)?;
    Ok(rows)
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    nanos: NanoUsd,
}

/// The sum of an account's entries above a row number.
pub fn sum_above(
    conn: &mut AnyConnection,
    account_id: AccountId,
    id: i64,
) -> Result<NanoUsd, DbError> {
    let sum: Sum = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(amount_nanousd), 0) AS BIGINT) AS nanos
         FROM ledger_entries WHERE account_id = $1 AND id > $2",
    )
    .bind::<BigInt, _>(account_id)
    .bind::<BigInt, _>(id)
    .get_result(conn)?;
    Ok(sum.nanos)
}
