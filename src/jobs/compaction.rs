//! Compaction: what was deleted is overwritten where it stood, but copies of it may lie in pages
//! that were split, merged or freed, and in the write-ahead log. Writing everything anew is what
//! makes them go.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use crate::db::{AnyConnection, DbError};

/// What of PostgreSQL is written anew: everything that holds something of a person.
const TABLES: [&str; 21] = [
    "accounts",
    "address_balances",
    "api_keys",
    "audit_log",
    "chain_candidates",
    "deposit_addresses",
    "deposit_arrivals",
    "deposit_cases",
    "deposit_claims",
    "deposit_refunds",
    "deposits",
    "email_tokens",
    "ledger_entries",
    "log_in_steps",
    "outbox",
    "recovery_codes",
    "reservations",
    "sessions",
    "usage_logs",
    "wallet_challenges",
    "wallets",
];

/// How far a compaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// Everything was written anew, and nothing of before is left in the files.
    Done,
    /// Everything was written anew, but a reader kept the write-ahead log from being emptied: try
    /// again soon.
    LogInUse,
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

#[derive(QueryableByName)]
struct Limit {
    #[diesel(sql_type = Text)]
    limit_before: String,
}

/// Writes the database anew. On SQLite whoever writes waits meanwhile; on PostgreSQL whoever uses
/// the table in question.
///
/// # Errors
/// [`DbError::Query`].
pub fn compact(conn: &mut AnyConnection) -> Result<Compaction, DbError> {
    match conn {
        AnyConnection::Sqlite(conn) => {
            conn.batch_execute("VACUUM")?;
            let checkpoint: Checkpoint =
                diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(conn)?;
            Ok(if checkpoint.busy == 0 { Compaction::Done } else { Compaction::LogInUse })
        }
        AnyConnection::Postgres(conn) => {
            let sql = "SELECT current_setting('statement_timeout') AS limit_before";
            let Limit { limit_before } = diesel::sql_query(sql).get_result(conn)?;
            conn.batch_execute("SET statement_timeout = 0")?;
            // No transaction around it: the command begins its own.
            let vacuum = |table| conn.batch_execute(&format!("VACUUM (FULL, ANALYZE) {table}"));
            let written = TABLES.into_iter().try_for_each(vacuum);
            conn.batch_execute(&format!("SET statement_timeout = '{limit_before}'"))?;
            written?;
            // So that the log's segments of before become free to be reused, or go where
            // `wal_recycle` is off.
            for command in ["SELECT pg_switch_wal()", "CHECKPOINT"] {
                match conn.batch_execute(command) {
                    Ok(()) => {}
                    // Not everybody may; the server does so by itself within minutes.
                    Err(error) => tracing::debug!(%error, command, "refused after compaction"),
                }
            }
            Ok(Compaction::Done)
        }
    }
}
