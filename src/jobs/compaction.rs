//! The job that compacts the database. What was deleted is overwritten where it stood, but copies
//! of it may lie in pages that were split, merged or freed, and in the write-ahead log. Writing
//! everything anew is what makes them go.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::job::{Batch, Job, JobError};
use super::plan::Plan;
use crate::context::AppContext;
use crate::db::models::chores;
use crate::db::{AnyConnection, DbError, write_ahead_log};
use crate::domain::clock::UnixMillis;
use crate::telemetry::Causes;

/// A turn at the same time of day is not missed for coming a little early.
const GRACE: Duration = Duration::from_hours(12);
/// Until a compaction is tried again that a reader kept from its end.
const AGAIN: Duration = Duration::from_secs(10);

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
pub enum Compacted {
    /// Everything was written anew, and nothing of before is left in the files.
    Whole,
    /// Everything was written anew, but a reader kept the write-ahead log from being emptied: try
    /// again soon.
    LogInUse,
}

/// Writes the database anew until nothing of before is left.
pub struct Compaction {
    /// How much time lies between two of them, if not any.
    every: Option<Duration>,
    /// Until it is tried again where a reader kept it from its end.
    again: Duration,
}

/// Each day, if enough days have passed since the last time. One that was missed while no node ran
/// is made up for at the start.
pub(super) fn plan(context: &AppContext) -> Plan {
    let settings = &context.settings.privacy;
    let days = |count: u32| Duration::from_hours(24 * u64::from(count));
    let every = days(settings.compact_every_days);
    Plan::of(move |_| Compaction { every: Some(every), again: AGAIN })
        .daily(settings.compact_at)
        .missed_after(every + days(1))
}

impl Compaction {
    /// One that is due whenever the last one was, and is tried again after this.
    #[must_use]
    pub const fn at_once(again: Duration) -> Self {
        Self { every: None, again }
    }

    /// Whether enough time has passed since the last time, by whichever node.
    fn is_due(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<bool, DbError> {
        let Some(every) = self.every else { return Ok(true) };
        let last = chores::finished_at(conn, Self::NAME)?;
        Ok(last.is_none_or(|last| last.plus(every).minus(GRACE) <= now))
    }
}

impl Job for Compaction {
    const NAME: &'static str = "compact";

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let began = Instant::now();
        let is_too_early = !self.is_due(conn, now)?;
        let is_last = is_too_early || compact(conn)? == Compacted::Whole;
        Ok(Batch {
            held: began.elapsed(),
            rest: self.again,
            is_last,
            is_too_early,
            ..Batch::default()
        })
    }
}

#[derive(QueryableByName)]
struct CutoffRow {
    #[diesel(sql_type = Text)]
    limit_before: String,
}

/// Writes the database anew. On SQLite whoever writes waits meanwhile; on PostgreSQL whoever uses
/// the table in question.
pub fn compact(conn: &mut AnyConnection) -> Result<Compacted, DbError> {
    match conn {
        AnyConnection::Sqlite(conn) => {
            conn.batch_execute("VACUUM")?;
            let is_empty = write_ahead_log::empty(conn)?;
            Ok(if is_empty { Compacted::Whole } else { Compacted::LogInUse })
        }
        AnyConnection::Postgres(conn) => {
            let sql = "SELECT current_setting('statement_timeout') AS limit_before";
            let CutoffRow { limit_before } = diesel::sql_query(sql).get_result(conn)?;
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
                    Err(error) => {
                        let error = Causes(&error);
                        tracing::debug!(%error, command, "refused after compaction");
                    }
                }
            }
            Ok(Compacted::Whole)
        }
    }
}
