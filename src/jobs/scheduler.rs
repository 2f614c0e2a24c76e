//! The `Scheduler` actor: what is due now and then. A chore is done in pieces, one at a time, and
//! between two pieces the database is left to others; it may be broken off anywhere and goes on
//! with its next turn. cron only says when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::compaction::{self, Compaction};
use super::notices::Notices;
use super::purge::{Piece, Purge};
use super::retention::{Limits, RetentionError};
use crate::accounts::spending;
use crate::config::{Abuse, Privacy, TimeOfDay};
use crate::db::{AnyConnection, Database, DbError, chores, policies};
use crate::domain::clock::{Clock, UnixMillis};
use crate::metrics::Metrics;
use crate::policies::{Comparison, Difference, Shown, Validity};
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// A turn at the same time of day is not missed for coming a little early.
const GRACE: Duration = Duration::from_hours(12);
/// Until a compaction is tried again that a reader kept from its end.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a policy was published, by whichever process.
const LOOK: Duration = Duration::from_secs(2);

/// Something that is done now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Deletes what is over.
    Purge,
    /// Empties the pages of what was deleted.
    Compact,
    /// Puts notices of a policy into the outbox.
    Notices,
}

impl Chore {
    /// As logs, metrics and the database name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Compact => "compact",
            Self::Notices => "notices",
        }
    }
}

/// A chore is due.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Due(pub Chore);

/// What the actor works with.
#[derive(Clone)]
pub struct SchedulerParts {
    /// Storage.
    pub database: Database,
    /// Time.
    pub clock: Clock,
    /// How long things are kept.
    pub settings: Privacy,
    /// What is unusual.
    pub abuse: Abuse,
    /// What the pages of the policy and the terms say.
    pub shown: Shown,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
}

/// See the module.
pub struct Scheduler {
    parts: SchedulerParts,
    waiting: VecDeque<Chore>,
    running: Option<Run>,
    /// A piece is being done: what else wakes the actor meanwhile begins no second one.
    is_busy: bool,
    looking: Vec<Look>,
    /// How long what was last said of the pages holds.
    compared: Option<Validity>,
}

/// Something that is looked at beside the chores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Policies,
    Spending,
}

/// A chore that is being done.
#[derive(Clone)]
struct Run {
    chore: Chore,
    began_at: UnixMillis,
    /// Of a purge: how far it is.
    purge: Purge,
    rows: usize,
    /// Of notices: how many go at once, and how many of which policy have just gone.
    notices: Notices,
    put: Option<(&'static str, usize)>,
}

impl Scheduler {
    /// Starts, with what is over at once.
    #[must_use]
    pub fn start(parts: SchedulerParts) -> Addr<Self> {
        Actor::start(Self {
            parts,
            waiting: VecDeque::new(),
            running: None,
            is_busy: false,
            looking: Vec::new(),
            compared: None,
        })
    }

    /// Does the next piece, unless the server is stopping.
    fn next(&mut self, ctx: &mut Context<Self>) {
        if self.is_busy || self.parts.tracker.is_draining() {
            return;
        }
        let Some(run) = self.running.take().or_else(|| self.begin()) else { return };
        let chore = run.chore;
        self.running = Some(run.clone());
        self.is_busy = true;
        let token = self.parts.tracker.token();
        let (database, settings) = (self.parts.database.clone(), self.parts.settings.clone());
        let now = self.parts.clock.now();
        let piece = async move {
            let done = database.run(move |conn| Ok(piece(conn, run, &settings, now))).await;
            drop(token);
            done
        };
        let piece = piece.into_actor(self).map(move |done, scheduler, ctx| {
            scheduler.is_busy = false;
            match done {
                Ok(Ok((run, piece))) => scheduler.rest(run, piece, ctx),
                Ok(Err(error)) => scheduler.break_off(chore, &error, ctx),
                Err(error) => scheduler.break_off(chore, &error.into(), ctx),
            }
        });
        ctx.spawn(piece);
    }

    fn begin(&mut self) -> Option<Run> {
        let chore = self.waiting.pop_front()?;
        let now = self.parts.clock.now();
        self.parts.metrics.chores.begin(chore.as_str());
        tracing::info!(chore = chore.as_str(), "begins");
        let purge = Purge::new(Limits::at(&self.parts.settings, now));
        let notices = Notices::default();
        Some(Run { chore, began_at: now, purge, rows: 0, notices, put: None })
    }

    /// Leaves the database to others for a while, then goes on.
    fn rest(&mut self, mut run: Run, piece: Piece, ctx: &mut Context<Self>) {
        if let Some((policy, mails)) = run.put.take() {
            self.parts.metrics.policies.count_notices(policy, mails);
        }
        let metrics = &self.parts.metrics.chores;
        metrics.observe_piece(run.chore.as_str(), piece.held);
        for (table, rows) in piece.gone {
            metrics.count_deleted(table, rows);
        }
        if piece.is_last {
            metrics.finish(run.chore.as_str(), self.parts.clock.now());
            tracing::info!(chore = run.chore.as_str(), rows = run.rows, "is done");
            self.running = None;
        } else {
            self.running = Some(run);
        }
        ctx.run_later(piece.rest, Self::next);
    }

    /// Looks whether there are notices to be put in, and whether the pages say what was published.
    fn look_at_policies(&mut self, ctx: &mut Context<Self>) {
        let (shown, before) = (self.parts.shown.clone(), self.compared);
        let now = self.parts.clock.now();
        let look = move |conn: &mut AnyConnection| {
            Ok((policies::left_to_notice(conn)?, shown.compare(conn, before, now)?))
        };
        self.look(Look::Policies, ctx, look, |scheduler, seen, ctx| match seen {
            Ok((left, comparison)) => {
                if let Some(Comparison { differences, validity }) = comparison {
                    scheduler.compare(&differences);
                    scheduler.compared = Some(validity);
                }
                scheduler.parts.metrics.policies.set_left(left.unwrap_or(0));
                if left.is_some() {
                    scheduler.put_in_line(Chore::Notices, ctx);
                }
            }
            // Whatever else needs the database says so.
            Err(error) => tracing::debug!(%error, "policies cannot be looked at"),
        });
    }

    /// Looks whether somebody spends far more than before.
    fn look_at_spending(&mut self, ctx: &mut Context<Self>) {
        let (abuse, now) = (self.parts.abuse.clone(), self.parts.clock.now());
        let look = move |conn: &mut AnyConnection| spending::look(conn, &abuse, now);
        self.look(Look::Spending, ctx, look, |scheduler, told, _| match told {
            Ok(told) => {
                for account in told {
                    scheduler.parts.metrics.count_alert("unusual_spending");
                    tracing::warn!(account, "an account spends far more than it used to");
                }
            }
            Err(error) => tracing::warn!(error = %Causes(&error), "spending cannot be looked at"),
        });
    }

    /// Looks at something beside the chores, unless it is still being looked at or the server is
    /// stopping; then does what follows from it.
    fn look<T: Send + 'static>(
        &mut self,
        what: Look,
        ctx: &mut Context<Self>,
        look: impl FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
        then: impl FnOnce(&mut Self, Result<T, DbError>, &mut Context<Self>) + 'static,
    ) {
        if self.parts.tracker.is_draining() || self.looking.contains(&what) {
            return;
        }
        self.looking.push(what);
        let (database, token) = (self.parts.database.clone(), self.parts.tracker.token());
        let look = async move {
            let seen = database.run(look).await;
            drop(token);
            seen
        };
        ctx.spawn(look.into_actor(self).map(move |seen, scheduler, ctx| {
            scheduler.looking.retain(|other| *other != what);
            then(scheduler, seen, ctx);
        }));
    }

    /// Tells the operator where a page has come to differ from what was published.
    fn compare(&self, differences: &[Difference]) {
        let metrics = &self.parts.metrics;
        for Difference { kind, number } in differences {
            let policy = kind.as_str();
            if !metrics.policies.set_differs(policy, number.is_some()) {
                continue;
            }
            if let Some(version) = number {
                metrics.count_alert("policy_differs");
                tracing::error!(
                    policy,
                    version,
                    "the page says something else than the version in force: publish another, or mend the settings"
                );
            } else {
                tracing::info!(policy, "the page says what the version in force says");
            }
        }
    }

    fn put_in_line(&mut self, chore: Chore, ctx: &mut Context<Self>) {
        let is_running = self.running.as_ref().is_some_and(|run| run.chore == chore);
        if is_running || self.waiting.contains(&chore) {
            return;
        }
        self.waiting.push_back(chore);
        if self.running.is_none() {
            self.next(ctx);
        }
    }

    /// What is left goes with the next turn.
    fn break_off(&mut self, chore: Chore, error: &RetentionError, ctx: &mut Context<Self>) {
        self.parts.metrics.chores.fail(chore.as_str());
        let error = Causes(error);
        tracing::error!(chore = chore.as_str(), %error, "is broken off until its next turn");
        self.running = None;
        ctx.run_later(Duration::ZERO, Self::next);
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.waiting.push_back(Chore::Purge);
        self.look_at_policies(ctx);
        ctx.run_interval(LOOK, Self::look_at_policies);
        if self.parts.abuse.watches_spending() {
            ctx.run_interval(self.parts.abuse.spend_check, Self::look_at_spending);
        }
        // A compaction that was missed while nothing ran.
        let (database, clock, settings) =
            (self.parts.database.clone(), self.parts.clock.clone(), self.parts.settings.clone());
        let missed = async move {
            let name = Chore::Compact.as_str();
            let last = database.run(move |conn| chores::finished_at(conn, name)).await;
            let late = Duration::from_hours(24 * (u64::from(settings.compact_every_days) + 1));
            last.is_ok_and(|last| last.is_some_and(|last| last.plus(late) <= clock.now()))
        };
        ctx.spawn(missed.into_actor(self).map(|is_missed, scheduler, ctx| {
            if is_missed {
                scheduler.waiting.push_back(Chore::Compact);
            }
            scheduler.next(ctx);
        }));
    }
}

impl Handler<Due> for Scheduler {
    type Result = ();

    fn handle(&mut self, Due(chore): Due, ctx: &mut Self::Context) {
        self.put_in_line(chore, ctx);
    }
}

/// Does one piece of a chore on a thread that may block.
fn piece(
    conn: &mut AnyConnection,
    mut run: Run,
    settings: &Privacy,
    now: UnixMillis,
) -> Result<(Run, Piece), RetentionError> {
    let piece = match run.chore {
        Chore::Purge => run.purge.step(conn)?,
        Chore::Compact => compact(conn, run.began_at, settings)?,
        Chore::Notices => {
            let put = run.notices.step(conn, now)?;
            run.put = put.kind.map(|kind| (kind.as_str(), put.mails));
            run.rows = run.rows.saturating_add(put.mails);
            Piece { gone: Vec::new(), held: put.took, rest: put.rest, is_last: put.is_last }
        }
    };
    if piece.is_last {
        chores::finish(conn, run.chore.as_str(), run.began_at)?;
    }
    let rows: usize = piece.gone.iter().map(|(_, rows)| *rows).sum();
    run.rows = run.rows.saturating_add(rows);
    Ok((run, piece))
}

/// Compacts if enough days have gone by since the last time, by whichever node.
fn compact(
    conn: &mut AnyConnection,
    now: UnixMillis,
    settings: &Privacy,
) -> Result<Piece, RetentionError> {
    let began = Instant::now();
    let last = chores::finished_at(conn, Chore::Compact.as_str())?;
    let every = Duration::from_hours(24 * u64::from(settings.compact_every_days));
    let is_due = last.is_none_or(|last| last.plus(every).minus(GRACE) <= now);
    let compaction = if is_due { compaction::compact(conn)? } else { Compaction::Done };
    let is_last = compaction == Compaction::Done;
    Ok(Piece { gone: Vec::new(), held: began.elapsed(), rest: AGAIN, is_last })
}

/// The clock that says when, for as long as it is kept.
pub struct Alarm {
    cron: JobScheduler,
}

impl Alarm {
    /// Tells the scheduler each day.
    ///
    /// # Errors
    /// [`JobSchedulerError`], never with times of day.
    pub async fn set(
        scheduler: &Addr<Scheduler>,
        settings: &Privacy,
    ) -> Result<Self, JobSchedulerError> {
        let cron = JobScheduler::new().await?;
        for (chore, at) in
            [(Chore::Purge, settings.purge_at), (Chore::Compact, settings.compact_at)]
        {
            let scheduler = scheduler.clone();
            cron.add(Job::new(daily(at), move |_, _| {
                if scheduler.try_send(Due(chore)).is_err() {
                    tracing::error!(chore = chore.as_str(), "the scheduler does not answer");
                }
            })?)
            .await?;
        }
        cron.start().await?;
        Ok(Self { cron })
    }

    /// Says nothing more.
    pub async fn stop(mut self) {
        if let Err(error) = self.cron.shutdown().await {
            tracing::debug!(%error, "cron did not stop in order");
        }
    }
}

/// Seconds, minutes, hours, day, month, weekday; in UTC.
fn daily(at: TimeOfDay) -> String {
    format!("0 {} {} * * *", at.minute, at.hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_what_cron_takes() {
        let at = TimeOfDay { hour: 3, minute: 5 };
        assert_eq!(daily(at), "0 5 3 * * *");
        assert!(Job::new(daily(at), |_, _| {}).is_ok());
    }
}
