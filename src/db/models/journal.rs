//! Events on their way to the journal: a row from the commit of what it tells until the journal's
//! file has it on the disk. Only SQLite has a journal: PostgreSQL's own log can be replayed.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::db::schema::journal_events;
use crate::db::{AnyConnection, DbError};
use crate::domain::journal_event::JournalEvent;

/// Rows that are taken in one go.
const PENDING_MAX: i64 = 10_000;

#[derive(QueryableByName)]
struct SequenceRow {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// Notes an event. Belongs into the transaction of what it tells.
pub fn note(conn: &mut AnyConnection, event: &JournalEvent) -> Result<(), DbError> {
    if let AnyConnection::Postgres(_) = conn {
        return Ok(());
    }
    let text = serde_json::to_string(event)
        .map_err(|_| DbError::Unreadable { what: "event of the journal" })?;
    diesel::insert_into(journal_events::table)
        .values(journal_events::event.eq(text))
        .execute(conn)?;
    Ok(())
}

/// What is not known to be in the journal yet, oldest first: numbers and events.
pub fn pending(conn: &mut AnyConnection) -> Result<Vec<(i64, String)>, DbError> {
    let rows = journal_events::table.order(journal_events::id).limit(PENDING_MAX);
    Ok(rows.select((journal_events::id, journal_events::event)).load(conn)?)
}

/// Deletes the rows up to a number, since the journal has them.
pub fn forget_through(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    diesel::delete(journal_events::table.filter(journal_events::id.le(id))).execute(conn)?;
    Ok(())
}

/// Deletes the rows behind a number.
pub fn forget_after(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    diesel::delete(journal_events::table.filter(journal_events::id.gt(id))).execute(conn)?;
    Ok(())
}

/// The number of the newest event that was ever committed; 0 before the first.
pub fn sequence(conn: &mut AnyConnection) -> Result<i64, DbError> {
    let AnyConnection::Sqlite(conn) = conn else { return Ok(0) };
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'journal_events'";
    let row: Option<SequenceRow> = diesel::sql_query(sql).get_result(conn).optional()?;
    Ok(row.map_or(0, |row| row.seq))
}

/// Has the next event come after `id`.
pub fn advance(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    raise_sequence(conn, "journal_events", id)
}

/// Has the next event come after `id`, be that less than before.
pub fn restart(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    if let AnyConnection::Sqlite(conn) = conn {
        diesel::sql_query("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'journal_events'")
            .execute(conn)?;
    }
    advance(conn, id)
}

/// Has the next account be numbered above `id`, so that an event about another account is never
/// taken for one about it.
pub fn skip_accounts(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    raise_sequence(conn, "accounts", id)
}

fn raise_sequence(conn: &mut AnyConnection, table: &str, id: i64) -> Result<(), DbError> {
    let AnyConnection::Sqlite(conn) = conn else { return Ok(()) };
    let raised = diesel::sql_query("UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = ?")
        .bind::<BigInt, _>(id)
        .bind::<diesel::sql_types::Text, _>(table)
        .execute(conn)?;
    if raised == 0 {
        diesel::sql_query("INSERT INTO sqlite_sequence (seq, name) VALUES (?, ?)")
            .bind::<BigInt, _>(id)
            .bind::<diesel::sql_types::Text, _>(table)
            .execute(conn)?;
    }
    Ok(())
}
