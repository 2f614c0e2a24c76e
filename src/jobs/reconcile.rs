//! The job that compares each day with the upstreams' usage reports. A day is compared once, by
//! whichever node; one whose report is late is asked for again.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use super::job::{Batch, Job, JobError, Turn};
use super::plan::Plan;
use super::reconciler::{DayReport, DayResult, Reconciler};
use crate::context::AppContext;
use crate::db::models::chores;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::reconciliation::Verdict;
use crate::metrics::Metrics;
use crate::telemetry::Causes;

/// How often it is looked whether a day is due.
const POLL: Duration = Duration::from_hours(1);
/// From the end of a day until it is due: a report takes minutes, and so does an exchange.
const FIRST_LOOK: Duration = Duration::from_hours(1);
/// For how long nobody else asks once a node does.
const CLAIM: Duration = Duration::from_mins(30);
/// Until it is looked again whether the reports are there.
const REST: Duration = Duration::from_millis(100);
/// Days that are made up for after nobody has compared any.
const DAYS_MAX: i64 = 7;
/// When a node last asked for reports, as the database keeps it.
const ASKED: &str = "reconcile_asked";

/// See the module.
pub struct Reconcile {
    reconciler: Reconciler,
    /// Days before this moment's are not in the usage log any more.
    kept: Duration,
    metrics: Arc<Metrics>,
    /// Where the reports will come, and when they were asked for.
    asked: Option<(Receiver<Vec<DayReport>>, UnixMillis)>,
}

/// At the start and every hour; `None` where no upstream reports.
pub(super) fn plan(context: &AppContext) -> Option<Plan> {
    let reconciler = Reconciler::new(&context.settings, context.node());
    if reconciler.is_idle() {
        return None;
    }
    let (kept, metrics) = (context.settings.privacy.usage_log(), Arc::clone(&context.metrics));
    let make = move |_| {
        let (reconciler, metrics) = (reconciler.clone(), Arc::clone(&metrics));
        Reconcile { reconciler, kept, metrics, asked: None }
    };
    Some(Plan::of(make).at_start().every(POLL))
}

impl Job for Reconcile {
    const NAME: &'static str = "reconcile";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let waiting = Batch { rest: REST, ..Batch::default() };
        let done = Batch { is_last: true, ..Batch::default() };
        let Some((answers, asked_at)) = &self.asked else {
            let days = self.open_days(conn, now)?;
            if days.is_empty() {
                return Ok(done);
            }
            chores::finish(conn, ASKED, now)?;
            self.asked = Some((ask(self.reconciler.clone(), days), now));
            return Ok(waiting);
        };
        let (reports, asked_at) = match answers.try_recv() {
            Ok(reports) => (reports, *asked_at),
            Err(TryRecvError::Empty) => return Ok(waiting),
            Err(TryRecvError::Disconnected) => {
                tracing::warn!("usage reports cannot be asked for; trying again in an hour");
                return Ok(done);
            }
        };
        let mut is_late = false;
        for report in reports {
            let result = self.reconciler.judge(conn, report, asked_at)?;
            is_late |= result.comparison.verdict == Verdict::Late;
            self.tell(&result, now);
        }
        if !is_late {
            chores::finish(conn, Self::NAME, asked_at)?;
        }
        Ok(done)
    }

    fn log_failure(error: &JobError) {
        tracing::warn!(error = %Causes(error), "usage cannot be compared; trying again in an hour");
    }
}

/// Asks on a thread of its own, so that no connection to the database and no other job waits.
fn ask(reconciler: Reconciler, days: Vec<UtcDay>) -> Receiver<Vec<DayReport>> {
    let (sender, answers) = channel();
    let asking = move || {
        // Whoever waits sees by the closed channel that nothing came of it.
        if let Ok(runtime) = actix_web::rt::Runtime::new() {
            drop(sender.send(runtime.block_on(reconciler.fetch(&days))));
        }
    };
    // The same without a thread.
    drop(std::thread::Builder::new().name("reconcile".to_owned()).spawn(asking));
    answers
}

impl Reconcile {
    /// The days that are over and not compared yet; none while another node asks for them.
    fn open_days(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Vec<UtcDay>, DbError> {
        let asked = chores::finished_at(conn, ASKED)?;
        if asked.is_some_and(|asked| asked.plus(CLAIM) > now) {
            return Ok(Vec::new());
        }
        // Every day before the one on which it was last done has been compared.
        let end = now.minus(FIRST_LOOK).day();
        let compared = chores::finished_at(conn, Self::NAME)?.map(UnixMillis::day);
        let kept = now.minus(self.kept).day().plus(1);
        let first = compared.unwrap_or_else(|| end.plus(-1)).max(end.plus(-DAYS_MAX)).max(kept);
        Ok((0..end.days_since(first)).map(|days| first.plus(days)).collect())
    }

    fn note(&self, result: &DayResult) {
        let worst = result.comparison.worst_milli_percent();
        self.metrics.reconciliation.note(&result.upstream, result.day, worst);
    }

    /// Tells the operator what a day came to.
    fn tell(&self, result: &DayResult, now: UnixMillis) {
        let (upstream, day) = (result.upstream.as_str(), result.day.to_string());
        let about = format!("{upstream} {day}");
        let metrics = &self.metrics;
        match result.comparison.verdict {
            Verdict::Right => self.note(result),
            Verdict::Late => {
                let why = result.error.as_ref().map(ToString::to_string).unwrap_or_default();
                if metrics.is_first_today("reconcile_late", &about, now) {
                    tracing::warn!(upstream, day, why, "the usage report is late; trying again");
                }
            }
            Verdict::Missing => {
                let why = result.error.as_ref().map(ToString::to_string).unwrap_or_default();
                if metrics.alert_daily("reconcile_missing", &about, now) {
                    tracing::error!(upstream, day, why, "the usage report is missing");
                }
            }
            Verdict::Drifted => {
                self.note(result);
                if !metrics.alert_daily("reconcile_drift", &about, now) {
                    return;
                }
                for one in &result.comparison.differences {
                    let (model, class) = (one.model.as_str(), one.class);
                    let (ours, theirs) = (one.ours, one.theirs);
                    tracing::error!(
                        upstream,
                        day,
                        model,
                        class,
                        ours,
                        theirs,
                        "the upstream reports other usage than the usage log has"
                    );
                }
            }
        }
    }
}
