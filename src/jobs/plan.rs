//! When a job is due, and how a run of it is made.

use std::time::Duration;

use super::job::{Job, JobError, Turn};
use super::run::JobRun;
use crate::config::TimeOfDay;
use crate::domain::clock::UnixMillis;

/// A job and its times.
pub struct Plan {
    pub(super) name: &'static str,
    pub(super) turn: Turn,
    pub(super) log_failure: fn(&JobError),
    pub(super) is_due_at_start: bool,
    pub(super) every: Option<Duration>,
    pub(super) daily_at: Option<TimeOfDay>,
    pub(super) missed_after: Option<Duration>,
    make: Box<dyn FnMut(UnixMillis) -> JobRun>,
}

impl Plan {
    /// A job that is due when another one says so. `make` makes it anew for each run, which begins
    /// at the given moment.
    pub fn of<J: Job>(mut make: impl FnMut(UnixMillis) -> J + 'static) -> Self {
        Self {
            name: J::NAME,
            turn: J::TURN,
            log_failure: J::log_failure,
            is_due_at_start: false,
            every: None,
            daily_at: None,
            missed_after: None,
            make: Box::new(move |now| JobRun::new(make(now), now)),
        }
    }

    /// Due when the node starts.
    #[must_use]
    pub fn at_start(self) -> Self {
        Self { is_due_at_start: true, ..self }
    }

    /// Due each time that this has passed.
    #[must_use]
    pub fn every(self, pause: Duration) -> Self {
        Self { every: Some(pause), ..self }
    }

    /// Due once a day.
    #[must_use]
    pub fn daily(self, at: TimeOfDay) -> Self {
        Self { daily_at: Some(at), ..self }
    }

    /// Due at the start if it was last done longer ago than this, by whichever node.
    #[must_use]
    pub fn missed_after(self, age: Duration) -> Self {
        Self { missed_after: Some(age), ..self }
    }

    /// A run that begins now.
    pub(super) fn begin(&mut self, now: UnixMillis) -> JobRun {
        (self.make)(now)
    }
}
