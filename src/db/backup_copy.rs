//! A copy of a live SQLite database in one snapshot, and what opens it again. `VACUUM INTO` reads
//! as any reader does, so that nobody waits for it, and copies no freed page
//! (<https://sqlite.org/lang_vacuum.html#vacuuminto>).

use std::path::Path;
use std::time::Duration;

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sql_types::{BigInt, Text};

use super::schema::{deposits, email_tokens, log_in_steps, outbox, sessions};
use super::{AnyConnection, DbError, Manager};
use crate::config::DatabaseUrl;
use crate::domain::evm::{ChainId, TxHash};

/// How long a copy waits for a lock: nobody else has it.
const LOCK: Duration = Duration::from_secs(5);
/// Deposits that are read in one go.
const PLACES: i64 = 1_000;

#[derive(QueryableByName)]
struct SizeRow {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// How many bytes a copy takes; `None` on PostgreSQL.
pub fn size(conn: &mut AnyConnection) -> Result<Option<u64>, DbError> {
    let AnyConnection::Sqlite(conn) = conn else { return Ok(None) };
    let sql = "SELECT (page_count - freelist_count) * page_size AS bytes
               FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let row: SizeRow = diesel::sql_query(sql).get_result(conn)?;
    Ok(u64::try_from(row.bytes).ok())
}

/// Writes the copy into an empty file.
pub fn write(conn: &mut AnyConnection, into: &Path) -> Result<(), DbError> {
    let AnyConnection::Sqlite(conn) = conn else { return Ok(()) };
    diesel::sql_query("VACUUM INTO ?")
        .bind::<Text, _>(into.to_string_lossy().as_ref())
        .execute(conn)?;
    Ok(())
}

/// Opens a copy, which is nobody else's.
pub fn open(path: &Path) -> Result<AnyConnection, DbError> {
    Ok(Manager::new(DatabaseUrl::Sqlite(path.to_owned()), LOCK).connect()?)
}

/// Ends every session, unfinished log-in and link in mail: which of them ended after the copy was
/// made, nobody knows. How many sessions that were.
pub fn end_sessions(conn: &mut AnyConnection) -> Result<usize, DbError> {
    diesel::delete(log_in_steps::table).execute(conn)?;
    diesel::delete(email_tokens::table).execute(conn)?;
    Ok(diesel::delete(sessions::table).execute(conn)?)
}

/// The newest mail that waits to be sent; 0 if there is none.
pub fn newest_mail(conn: &mut AnyConnection) -> Result<i64, DbError> {
    let newest: Option<i64> = outbox::table.select(max(outbox::id)).first(conn)?;
    Ok(newest.unwrap_or_default())
}

/// Deletes mail that was queued after `id`: its owners had it when the same was done first.
pub fn drop_mail_after(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    diesel::delete(outbox::table.filter(outbox::id.gt(id))).execute(conn)?;
    Ok(())
}

/// Where a deposit is on its chain, behind its row number.
pub type DepositPlace = (i64, ChainId, TxHash, i64);

/// Deposits behind a row number, in their order.
pub fn deposits_after(conn: &mut AnyConnection, id: i64) -> Result<Vec<DepositPlace>, DbError> {
    let rows = deposits::table.filter(deposits::id.gt(id)).order(deposits::id).limit(PLACES);
    let columns = (deposits::id, deposits::chain_id, deposits::tx_hash, deposits::ordinal);
    Ok(rows.select(columns).load(conn)?)
}
