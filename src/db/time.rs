//! The time that nodes have in common: the database's. Leases are written and judged by it,
//! whatever a node's own clock says.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::{AnyConnection, DbError};
use crate::domain::clock::{Clock, UnixMillis};

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = BigInt)]
    millis: i64,
}

/// The time by the database. `SQLite` has none but its only node's, and where a test sets a clock,
/// that is the time.
pub fn now(conn: &mut AnyConnection, clock: &Clock) -> Result<UnixMillis, DbError> {
    let AnyConnection::Postgres(conn) = conn else { return Ok(clock.now()) };
    if clock.is_manual() {
        return Ok(clock.now());
    }
    let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS millis";
    let now: Now = diesel::sql_query(sql).get_result(conn)?;
    Ok(UnixMillis::from_millis(now.millis))
}
