//! SQLite's write-ahead log: when it is copied into the file. PostgreSQL looks after its own.

use diesel::prelude::*;
use diesel::sql_types::Integer;

use super::{AnyConnection, DbError};

/// Pages in the log above which no more should be written for now: 256 MiB.
const PAGES_MAX: i32 = 65_536;

/// What a checkpoint says (<https://sqlite.org/pragma.html#pragma_wal_checkpoint>).
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
    #[diesel(sql_type = Integer, column_name = "log")]
    pages: i32,
}

/// Copies what the log holds into the file, so that commits of others need not. Nobody waits for
/// it. Says whether the log has become so long, because somebody has been reading for a while, that
/// no more should be written for now.
pub fn shorten(conn: &mut AnyConnection) -> Result<bool, DbError> {
    let AnyConnection::Sqlite(conn) = conn else { return Ok(false) };
    // The second time is for what was written during the first, and takes a moment: only a log
    // that is copied to its end begins anew.
    let mut pages = 0;
    for _ in 0..2 {
        pages = checkpoint(conn, "PASSIVE")?.pages;
    }
    Ok(pages > PAGES_MAX)
}

/// Copies what the log holds and empties it; whoever writes waits. Whether that was done: not while
/// somebody reads.
pub(crate) fn empty(conn: &mut SqliteConnection) -> QueryResult<bool> {
    Ok(checkpoint(conn, "TRUNCATE")?.busy == 0)
}

fn checkpoint(conn: &mut SqliteConnection, mode: &str) -> QueryResult<Checkpoint> {
    diesel::sql_query(format!("PRAGMA wal_checkpoint({mode})")).get_result(conn)
}
