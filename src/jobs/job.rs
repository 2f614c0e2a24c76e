//! What a job is: work that a node does by itself, batch by batch. Between two batches it leaves
//! the database to others, and it may be stopped after any of them.

use std::time::Duration;

use actix::Message;

use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::telemetry::Causes;

/// Work that a node does now and then. Each run has an instance of its own.
pub trait Job: Send + 'static {
    /// As logs, metrics and the database name it.
    const NAME: &'static str;
    /// Whether it waits for other jobs.
    const TURN: Turn = Turn::Queued;

    /// Does the next batch, on a thread that may block.
    ///
    /// # Errors
    /// [`JobError`]; nothing of the batch was done. The run ends, and the next one continues there.
    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError>;

    /// Logs the error that ended a run.
    fn log_failure(error: &JobError) {
        let error = Causes(error);
        tracing::error!(chore = Self::NAME, %error, "stopped until its next run");
    }
}

/// How a job runs beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// One of these at a time. Its runs are logged and measured, and the database keeps when it
    /// was last done.
    Queued,
    /// A short check that waits for nobody, and of which nobody hears.
    Beside,
}

/// What one batch came to.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Rows that it changed, for the log.
    pub rows: usize,
    /// Rows that it deleted, by table.
    pub deleted: Vec<(&'static str, usize)>,
    /// How long others could not write.
    pub held: Duration,
    /// How long to leave the database to others.
    pub rest: Duration,
    /// Whether nothing is left to do.
    pub is_last: bool,
    /// Whether the job turned out not to be due: then this run does not count as done.
    pub is_too_early: bool,
    /// Another job that has something to do now.
    pub next: Option<RunJob>,
}

/// A job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct RunJob(pub(super) &'static str);

impl RunJob {
    /// This job is.
    #[must_use]
    pub const fn of<J: Job>() -> Self {
        Self(J::NAME)
    }
}

/// Why a batch failed. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for JobError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(error))
    }
}
