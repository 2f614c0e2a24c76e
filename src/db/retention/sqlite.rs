//! Expired usage rows in an `SQLite` file, whose one writer has it all: three statements whose text
//! is always the same, so that each is prepared once.
//!
//! Rows go in the order of their time, which is the order in which they lie in the tables and in
//! most indexes; only the two indexes by account have a page to write for nearly every row. The
//! statements choose the same rows, since nothing else writes between them.

use std::time::Instant;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;

use super::{DeletedUsage, UsageRange};
use crate::db::prepared_once::prepared_once;

/// See [`super::delete_usage`].
pub(super) fn delete_usage(
    conn: &mut SqliteConnection,
    range: &UsageRange,
) -> QueryResult<DeletedUsage> {
    let locked_at = Some(Instant::now());
    let (before, limit) = (range.before.as_millis(), range.limit);
    CarryForward { before, limit, now: range.now.as_millis() }.execute(conn)?;
    DeleteEntries { before, limit }.execute(conn)?;
    let rows = DeleteUsage { before, limit }.execute(conn)?;
    // A search has nothing to pass that went before, so it may always begin at the start.
    Ok(DeletedUsage { found: rows, rows, last: None, locked_at })
}

/// Adds the lines' sums to the carry-forwards of their accounts, which begin with the first
/// addition. A sum beyond 64 bits is an error.
struct CarryForward {
    before: i64,
    limit: i64,
    now: i64,
}

/// Deletes the lines.
struct DeleteEntries {
    before: i64,
    limit: i64,
}

/// Deletes the usage rows, and their passes by the foreign key.
struct DeleteUsage {
    before: i64,
    limit: i64,
}

/// Pushes a choice of the oldest rows.
fn push_oldest<'b>(
    column: &str,
    (before, limit): (&'b i64, &'b i64),
    out: &mut AstPass<'_, 'b, Sqlite>,
) -> QueryResult<()> {
    out.push_sql("(SELECT ");
    out.push_sql(column);
    out.push_sql(" FROM usage_logs WHERE created_at < ");
    out.push_bind_param::<BigInt, _>(before)?;
    out.push_sql(" ORDER BY created_at, rowid LIMIT ");
    out.push_bind_param::<BigInt, _>(limit)?;
    out.push_sql(")");
    Ok(())
}

impl QueryFragment<Sqlite> for CarryForward {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd, created_at)
             SELECT account_id, 'carry_forward', CAST(account_id AS TEXT), SUM(amount_nanousd), ",
        );
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" FROM ledger_entries WHERE kind = 'usage' AND reference IN ");
        push_oldest("id", (&self.before, &self.limit), &mut out)?;
        out.push_sql(
            " GROUP BY account_id
             ON CONFLICT (kind, reference) DO UPDATE
             SET amount_nanousd = amount_nanousd + excluded.amount_nanousd,
                 created_at = excluded.created_at",
        );
        Ok(())
    }
}

impl QueryFragment<Sqlite> for DeleteEntries {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ledger_entries WHERE kind = 'usage' AND reference IN ");
        push_oldest("id", (&self.before, &self.limit), &mut out)
    }
}

impl QueryFragment<Sqlite> for DeleteUsage {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("DELETE FROM usage_logs WHERE rowid IN ");
        push_oldest("rowid", (&self.before, &self.limit), &mut out)
    }
}

prepared_once! {
    SqliteConnection:
    CarryForward => CarryForward,
    DeleteEntries => DeleteEntries,
    DeleteUsage => DeleteUsage,
}
