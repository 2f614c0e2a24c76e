//! The job that deletes what is over: usage rows first, then leftovers.

use std::time::{Duration, Instant};

use super::job::{Batch, Job, JobError};
use super::pacer::{self, BatchTime, Pacer};
use super::plan::Plan;
use super::retention::Cutoffs;
use crate::context::AppContext;
use crate::db::retention::{self as rows, DeletedUsage, Expirable, UsageRange};
use crate::db::{AnyConnection, DbError, transaction, write_ahead_log};
use crate::domain::clock::UnixMillis;

/// Leftovers of each kind that go in one batch.
const LEFTOVERS_AT_ONCE: i64 = 200;
/// Rows after which the purge copies SQLite's log itself, some 4,000 pages: the pages of the
/// indexes by account are written again and again, and copied once. Well before the commits of
/// others would have to (`db::pool`).
const ROWS_OF_LOG: usize = 2000;
/// How long it waits for a reader who keeps a long log in use.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// A purge under way.
#[derive(Clone, Debug)]
pub struct Purge {
    limits: Cutoffs,
    pacer: Pacer,
    stage: PurgeStage,
    /// When the last usage row that went was made: the next ones
    /// are looked for from there on, and not among the places of those that have gone, which
    /// PostgreSQL's index keeps until it is vacuumed.
    from: Option<UnixMillis>,
    /// Rows that went since the log was copied.
    unlogged: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PurgeStage {
    Usage,
    Leftovers,
    Done,
}

/// At the start and each day.
pub(super) fn plan(context: &AppContext) -> Plan {
    let settings = context.settings.privacy.clone();
    let at = settings.purge_at;
    Plan::of(move |now| Purge::new(Cutoffs::at(&settings, now))).at_start().daily(at)
}

impl Purge {
    /// A purge of what is over by `limits`.
    #[must_use]
    pub fn new(limits: Cutoffs) -> Self {
        Self { limits, pacer: Pacer::default(), stage: PurgeStage::Usage, from: None, unlogged: 0 }
    }

    /// Deletes a batch of usage rows.
    fn usage(&mut self, conn: &mut AnyConnection) -> Result<Batch, JobError> {
        self.pacer.look(rows::newest_exchange(conn)?, Instant::now());
        let range = UsageRange {
            from: self.from,
            before: self.limits.usage_before,
            limit: self.pacer.size(),
            now: self.limits.now,
        };
        let UsageBatch { deleted, time } = usage(conn, &range)?;
        if usize::try_from(range.limit).is_ok_and(|size| deleted.found < size) {
            // Rows from before the last place are looked for once more.
            if self.from.take().is_none() {
                self.stage = PurgeStage::Leftovers;
            }
        } else {
            self.from = deleted.last;
        }
        let mut rest = self.pacer.note(conn, time);
        self.unlogged = self.unlogged.saturating_add(deleted.rows);
        if self.unlogged >= ROWS_OF_LOG {
            if write_ahead_log::shorten(conn)? {
                rest = rest.max(LOG_PAUSE);
            } else {
                self.unlogged = 0;
            }
        }
        Ok(Batch {
            rows: deleted.rows,
            deleted: vec![("usage_logs", deleted.rows)],
            held: time.held,
            rest,
            ..Batch::default()
        })
    }

    /// Deletes a batch of leftovers.
    fn leftovers(&mut self, conn: &mut AnyConnection) -> Result<Batch, JobError> {
        let began = Instant::now();
        let deleted = leftovers(conn, &self.limits)?;
        let held = began.elapsed();
        let rows = deleted.iter().map(|(_, rows)| *rows).sum();
        if rows == 0 {
            self.stage = PurgeStage::Done;
        }
        let (rest, is_last) = (pacer::rest_after(conn, held), rows == 0);
        Ok(Batch { rows, deleted, held, rest, is_last, ..Batch::default() })
    }
}

impl Job for Purge {
    const NAME: &'static str = "purge";

    fn step(&mut self, conn: &mut AnyConnection, _: UnixMillis) -> Result<Batch, JobError> {
        match self.stage {
            PurgeStage::Usage => self.usage(conn),
            PurgeStage::Leftovers => self.leftovers(conn),
            PurgeStage::Done => Ok(Batch { is_last: true, ..Batch::default() }),
        }
    }
}

/// What a batch of usage rows came to.
struct UsageBatch {
    deleted: DeletedUsage,
    time: BatchTime,
}

/// Deletes one batch of old usage rows, in a transaction of its own.
fn usage(conn: &mut AnyConnection, range: &UsageRange) -> Result<UsageBatch, DbError> {
    let (deleted, worked) = transaction::write(conn, |conn| {
        let deleted = rows::delete_usage(conn, range)?;
        let worked = deleted.locked_at.map(|since| since.elapsed()).unwrap_or_default();
        Ok::<_, DbError>((deleted, worked))
    })?;
    let held = deleted.locked_at.map(|since| since.elapsed()).unwrap_or_default();
    Ok(UsageBatch { deleted, time: BatchTime { worked, held } })
}

/// Deletes one batch of leftovers; says how many of each kind went. All zero means that none are
/// left.
fn leftovers(
    conn: &mut AnyConnection,
    limits: &Cutoffs,
) -> Result<Vec<(&'static str, usize)>, DbError> {
    let mut gone = Vec::with_capacity(Expirable::ALL.len());
    for kind in Expirable::ALL {
        let count = rows::delete_leftovers(conn, kind, limits.of(kind), LEFTOVERS_AT_ONCE)?;
        gone.push((kind.as_str(), count));
    }
    Ok(gone)
}
