//! One run of a job, from its first batch to its last: the same for the server and for commands.

use super::job::{Batch, Job, JobError, RunJob, Turn};
use crate::db::AnyConnection;
use crate::db::models::chores;
use crate::domain::clock::UnixMillis;

/// A job that is under way.
pub struct JobRun {
    /// The job's name.
    pub name: &'static str,
    /// How it runs beside other jobs.
    pub turn: Turn,
    /// Rows that it has changed so far.
    pub rows: usize,
    /// The job that is due when this one ends.
    pub next: Option<RunJob>,
    began_at: UnixMillis,
    job: Box<dyn JobSteps>,
}

/// A [`Job`] without its constants, so that jobs of different types can stand in one list.
trait JobSteps: Send {
    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError>;
}

impl<J: Job> JobSteps for J {
    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        Job::step(self, conn, now)
    }
}

impl JobRun {
    /// Begins at `now`.
    pub fn new<J: Job>(job: J, now: UnixMillis) -> Self {
        let job = Box::new(job);
        Self { name: J::NAME, turn: J::TURN, rows: 0, next: None, began_at: now, job }
    }

    /// Does one batch. With the last one of a queued job the database notes that it is done.
    pub fn step(
        mut self,
        conn: &mut AnyConnection,
        now: UnixMillis,
    ) -> Result<(Self, Batch), JobError> {
        let batch = self.job.step(conn, now)?;
        self.rows = self.rows.saturating_add(batch.rows);
        self.next = self.next.or(batch.next);
        if batch.is_last && !batch.is_too_early && self.turn == Turn::Queued {
            chores::finish(conn, self.name, self.began_at)?;
        }
        Ok((self, batch))
    }

    /// Does batch after batch, with rests between them. `step` reaches the database; `note` hears
    /// of each batch.
    ///
    /// # Errors
    /// Those of `step` and `note`, which end the run.
    pub async fn to_end<E>(
        mut self,
        step: impl AsyncFn(Self) -> Result<(Self, Batch), E>,
        mut note: impl FnMut(&Self, &Batch) -> Result<(), E>,
    ) -> Result<Self, E> {
        loop {
            let (run, batch) = step(self).await?;
            note(&run, &batch)?;
            if batch.is_last {
                return Ok(run);
            }
            tokio::time::sleep(batch.rest).await;
            self = run;
        }
    }
}
