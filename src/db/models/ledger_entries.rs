//! The ledger, read. Its entries are written with the books.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::usage_cube::local_time;
use crate::db::schema::ledger_entries;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{DAY_MILLIS, UnixMillis};
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::reader_zone::ReaderZone;

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

/// A page of an account's entries of some kinds below a row number, newest first. Usage is not
/// among them, so that an index leads past it.
pub fn besides_usage(
    conn: &mut AnyConnection,
    account_id: AccountId,
    kinds: &[EntryKind],
    (from, to): (UnixMillis, UnixMillis),
    (below, limit): (i64, i64),
) -> Result<Vec<PlacedEntry>, DbError> {
    let rows = ledger_entries::table
        .filter(ledger_entries::account_id.eq(account_id).and(ledger_entries::id.lt(below)))
        .filter(diesel::dsl::sql::<Bool>("kind <> 'usage'"))
        .filter(ledger_entries::kind.eq_any(kinds.to_vec()))
        .filter(ledger_entries::created_at.ge(from).and(ledger_entries::created_at.lt(to)))
        .order(ledger_entries::id.desc())
        .limit(limit)
        .select(PlacedEntry::as_select())
        .load(conn)?;
    Ok(rows)
}

/// A page of an account's charges within a while, below a row number, newest first.
pub fn charges(
    conn: &mut AnyConnection,
    account_id: AccountId,
    (from, to): (UnixMillis, UnixMillis),
    (below, limit): (i64, i64),
) -> Result<Vec<PlacedEntry>, DbError> {
    let rows = ledger_entries::table
        .filter(ledger_entries::account_id.eq(account_id).and(ledger_entries::id.lt(below)))
        .filter(ledger_entries::kind.eq(EntryKind::Usage))
        .filter(ledger_entries::created_at.ge(from).and(ledger_entries::created_at.lt(to)))
        .order(ledger_entries::id.desc())
        .limit(limit)
        .select(PlacedEntry::as_select())
        .load(conn)?;
    Ok(rows)
}

/// What an account's requests of one local day and one model were charged.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct ChargedDay {
    /// The local day, counted from the epoch.
    #[diesel(sql_type = BigInt)]
    pub day: i64,
    /// The model that was asked for; nothing where models were not asked about.
    #[diesel(sql_type = Text)]
    pub model: String,
    /// The sum, negative.
    #[diesel(sql_type = BigInt)]
    pub amount_nanousd: NanoUsd,
    /// Charges.
    #[diesel(sql_type = BigInt)]
    pub requests: i64,
    /// When the last of them was made.
    #[diesel(sql_type = BigInt)]
    pub last_at: UnixMillis,
}

/// The charges of an account within a while, by local day, and by model too if that is wanted.
pub fn charged_days(
    conn: &mut AnyConnection,
    account_id: AccountId,
    span: (UnixMillis, UnixMillis),
    zone: ReaderZone,
    by_model: bool,
) -> Result<Vec<ChargedDay>, DbError> {
    let local = local_time("entry.created_at", zone, span);
    let (model, join) = if by_model {
        (
            "COALESCE(log.requested_model, 'unknown')",
            "LEFT JOIN usage_logs AS log ON log.id = entry.reference",
        )
    } else {
        ("CAST('' AS TEXT)", "")
    };
    let days = diesel::sql_query(format!(
        "SELECT ({local}) / {DAY_MILLIS} AS day, {model} AS model,
                CAST(SUM(entry.amount_nanousd) AS BIGINT) AS amount_nanousd,
                COUNT(*) AS requests, MAX(entry.created_at) AS last_at
         FROM ledger_entries AS entry {join}
         WHERE entry.account_id = $1 AND entry.kind = 'usage'
               AND entry.created_at >= $2 AND entry.created_at < $3
         GROUP BY 1, 2 ORDER BY 1 DESC, 2"
    ))
    .bind::<BigInt, _>(account_id)
    .bind::<BigInt, _>(span.0)
    .bind::<BigInt, _>(span.1)
    .load(conn)?;
    Ok(days)
}

/// The sum of an account's entries from a moment on. What old ones were merged into counts as
/// older.
pub fn sum_since(
    conn: &mut AnyConnection,
    account_id: AccountId,
    from: UnixMillis,
) -> Result<NanoUsd, DbError> {
    let sum: Sum = diesel::sql_query(
        "SELECT CAST(COALESCE(SUM(amount_nanousd), 0) AS BIGINT) AS nanos
         FROM ledger_entries
         WHERE account_id = $1 AND created_at >= $2 AND kind <> 'carry_forward'",
    )
    .bind::<BigInt, _>(account_id)
    .bind::<BigInt, _>(from)
    .get_result(conn)?;
    Ok(sum.nanos)
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
