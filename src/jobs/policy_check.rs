//! The check of policies: whether notices of a version are left, and whether the pages say what the
//! versions in force say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::job::{Batch, Job, JobError, RunJob, Turn};
use super::notices::Notices;
use super::plan::Plan;
use crate::context::AppContext;
use crate::db::AnyConnection;
use crate::db::models::policies;
use crate::domain::clock::UnixMillis;
use crate::metrics::Metrics;
use crate::policies::{Shown, UnpublishedText, Validity};
use crate::telemetry::Causes;

/// How often it is made: a version may be published by whichever process.
const POLL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone)]
struct PolicyCheck {
    /// What the pages of the policy and the terms say.
    shown: Shown,
    /// How long the last comparison holds.
    compared: Arc<Mutex<Option<Validity>>>,
    metrics: Arc<Metrics>,
}

/// At the start and every two seconds.
pub(super) fn plan(context: &AppContext, shown: Shown) -> Plan {
    let metrics = Arc::clone(&context.metrics);
    let check = PolicyCheck { shown, compared: Arc::default(), metrics };
    Plan::of(move |_| check.clone()).at_start().every(POLL)
}

impl Job for PolicyCheck {
    const NAME: &'static str = "policy_check";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let left = policies::left_to_notice(conn)?;
        self.compare(conn, now)?;
        self.metrics.policies.set_left(left.unwrap_or(0));
        let next = left.map(|_| RunJob::of::<Notices>());
        Ok(Batch { is_last: true, next, ..Batch::default() })
    }

    /// Whatever else needs the database says so louder.
    fn log_failure(error: &JobError) {
        tracing::debug!(error = %Causes(error), "policies cannot be checked");
    }
}

impl PolicyCheck {
    /// Compares the pages with the versions in force, unless nothing has changed since.
    fn compare(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<(), JobError> {
        let before = *self.compared();
        if let Some(comparison) = self.shown.compare(conn, before, now)? {
            for difference in comparison.differences {
                self.tell(difference);
            }
            *self.compared() = Some(comparison.validity);
        }
        Ok(())
    }

    fn compared(&self) -> MutexGuard<'_, Option<Validity>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the operator where a page has come to differ from what was published.
    fn tell(&self, UnpublishedText { kind, number }: UnpublishedText) {
        let policy = kind.as_str();
        if !self.metrics.policies.set_differs(policy, number.is_some()) {
            return;
        }
        if let Some(version) = number {
            self.metrics.count_alert("policy_differs");
            tracing::error!(
                policy,
                version,
                "the page says something else than the version in force: publish another, or mend \
                 the settings"
            );
        } else {
            tracing::info!(policy, "the page matches the version in force again");
        }
    }
}
