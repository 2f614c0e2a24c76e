//! How fast models have begun to respond of late, over all accounts: for the status page.

use diesel::prelude::*;

use crate::db::schema::usage_logs;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;

/// The newest requests that are looked at.
const ROWS_MAX: i64 = 4_000;

/// For each of the newest successful requests since a moment its model, and the milliseconds until
/// its response began.
pub fn first_bytes(
    conn: &mut AnyConnection,
    since: UnixMillis,
) -> Result<Vec<(String, i64)>, DbError> {
    let rows = usage_logs::table
        .filter(usage_logs::created_at.ge(since.as_millis()))
        .filter(usage_logs::http_status.eq(200))
        .filter(usage_logs::first_byte_ms.is_not_null())
        .order(usage_logs::created_at.desc())
        .limit(ROWS_MAX)
        .select((usage_logs::requested_model, usage_logs::first_byte_ms.assume_not_null()))
        .load(conn)?;
    Ok(rows)
}
