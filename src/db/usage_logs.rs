//! The usage log, read. Its rows are written with the books.

use diesel::prelude::*;

use super::books::UsageRow;
use super::schema::usage_logs;
use super::{AnyConnection, DbError};
use crate::domain::ids::AccountId;

/// An account's latest rows, newest first.
///
/// # Errors
/// [`DbError::Query`].
pub fn latest(
    conn: &mut AnyConnection,
    account_id: AccountId,
    limit: i64,
) -> Result<Vec<UsageRow>, DbError> {
    let rows = usage_logs::table
        .filter(usage_logs::account_id.eq(account_id.0))
        .order((usage_logs::created_at.desc(), usage_logs::id.desc()))
        .limit(limit)
        .select(UsageRow::as_select())
        .load(conn)?;
    Ok(rows)
}
