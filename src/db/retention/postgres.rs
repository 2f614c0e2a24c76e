//! Expired usage rows in PostgreSQL: one statement finds them and locks their accounts, another
//! deletes them. There have to be two, because a statement sees nothing that was committed while
//! it waited for a lock.

use std::time::Instant;

use diesel::connection::SimpleConnection;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{Array, BigInt, Text};

use super::{DeletedUsage, UsageRange};
use crate::db::prepared_once::prepared_once;
use crate::domain::clock::UnixMillis;

/// See [`super::delete_usage`].
pub(super) fn delete_usage(
    conn: &mut PgConnection,
    range: &UsageRange,
) -> QueryResult<DeletedUsage> {
    // A plan for these very values begins with a look at the index's end, past the places of all
    // that have gone and were not vacuumed yet. One plan for any values does not.
    conn.batch_execute("SET LOCAL plan_cache_mode = force_generic_plan")?;
    let from = range.from.map_or(i64::MIN, UnixMillis::as_millis);
    let (before, limit) = (range.before.as_millis(), range.limit);
    // Whoever settles for these accounts waits, so that no line is changed while it goes.
    let old: Vec<(String, i64)> = LockOldUsage { from, before, limit }.load(conn)?;
    let locked_at = Instant::now();
    let last = old.iter().map(|(_, created_at)| *created_at).max();
    if last.is_none() {
        return Ok(DeletedUsage::default());
    }
    let ids: Vec<String> = old.into_iter().map(|(id, _)| id).collect();
    let found = ids.len();
    // Another node may have come first.
    let rows = DeleteUsageBatch { ids, now: range.now.as_millis() }.execute(conn)?;
    let last = last.map(UnixMillis::from_millis);
    Ok(DeletedUsage { found, rows, last, locked_at: Some(locked_at) })
}

/// Finds the oldest rows, as (name, when made), and locks their accounts in the order of their ids.
/// Whoever adds a row that refers to an account is not in the way.
struct LockOldUsage {
    from: i64,
    before: i64,
    limit: i64,
}

/// Deletes the lines of usage rows, adds their sums to the carry-forwards of their accounts, which
/// begin with the first addition, and deletes the rows, and their passes by the foreign key.
struct DeleteUsageBatch {
    ids: Vec<String>,
    now: i64,
}

impl QueryFragment<Pg> for LockOldUsage {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH old AS MATERIALIZED (
                 SELECT id, account_id, created_at FROM usage_logs WHERE created_at >= ",
        );
        out.push_bind_param::<BigInt, _>(&self.from)?;
        out.push_sql(" AND created_at < ");
        out.push_bind_param::<BigInt, _>(&self.before)?;
        out.push_sql(" ORDER BY created_at LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(
            "), locked AS MATERIALIZED (
                 SELECT id FROM accounts WHERE id IN (SELECT account_id FROM old)
                 ORDER BY id FOR NO KEY UPDATE
             )
             SELECT old.id, old.created_at FROM old JOIN locked ON locked.id = old.account_id",
        );
        Ok(())
    }
}

impl QueryFragment<Pg> for DeleteUsageBatch {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The planner has no samples of these columns, which would be copies of what is erased, and
        // takes a list of names for half of the table. Names of one time lie close together, in the
        // database's own order.
        out.push_sql("WITH bounds AS (SELECT min(name) AS low, max(name) AS high FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql(
            ") AS name),
             gone AS (
                 DELETE FROM ledger_entries WHERE kind = 'usage' AND reference = ANY(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql(
            ") AND reference BETWEEN (SELECT low FROM bounds) AND (SELECT high FROM bounds)
                 RETURNING account_id, amount_nanousd
             ),
             carried AS (
                 INSERT INTO ledger_entries
                     (account_id, kind, reference, amount_nanousd, created_at)
                 SELECT account_id, 'carry_forward', account_id::text,
                     sum(amount_nanousd)::bigint, ",
        );
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(
            " FROM gone GROUP BY account_id
                 ON CONFLICT (kind, reference) DO UPDATE
                 SET amount_nanousd = ledger_entries.amount_nanousd + excluded.amount_nanousd,
                     created_at = excluded.created_at
             )
             DELETE FROM usage_logs WHERE id = ANY(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql(")");
        Ok(())
    }
}

impl Query for LockOldUsage {
    type SqlType = (Text, BigInt);
}

prepared_once! {
    PgConnection:
    LockOldUsage => LockOldUsage,
    DeleteUsageBatch => DeleteUsageBatch,
}
