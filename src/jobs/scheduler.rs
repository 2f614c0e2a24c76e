//! The `Scheduler` actor: runs jobs when they are due. Queued jobs run one at a time, the others
//! beside them. What a job does is its own business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio_cron_scheduler::JobSchedulerError;

use super::alarm::CronTrigger;
use super::job::{Batch, JobError, RunJob, Turn};
use super::plan::Plan;
use super::run::JobRun;
use crate::context::AppContext;
use crate::db::models::chores;

/// See the module.
pub struct Scheduler {
    context: Arc<AppContext>,
    plans: Vec<Plan>,
    /// Queued jobs that wait for their turn, by name.
    waiting: VecDeque<&'static str>,
    /// Jobs that run now.
    running: Vec<(&'static str, Turn)>,
}

impl Scheduler {
    /// Starts, with what is due at once. The alarm tells it what is due each day.
    ///
    /// # Errors
    /// [`JobSchedulerError`] if the alarm cannot be set.
    pub async fn start(
        context: Arc<AppContext>,
        plans: Vec<Plan>,
    ) -> Result<(Addr<Self>, CronTrigger), JobSchedulerError> {
        let times = plans.iter().filter_map(|plan| Some((plan.name, plan.daily_at?))).collect();
        let (waiting, running) = (VecDeque::new(), Vec::new());
        let address = Actor::start(Self { context, plans, waiting, running });
        let alarm = CronTrigger::set(&address.clone().recipient(), times).await?;
        Ok((address, alarm))
    }

    /// Begins a job, or has it wait for its turn. One that waits or runs already is left alone.
    fn due(&mut self, name: &'static str, ctx: &mut Context<Self>) {
        let is_running = self.running.iter().any(|(running, _)| *running == name);
        if is_running || self.waiting.contains(&name) {
            return;
        }
        match self.plans.iter().find(|plan| plan.name == name).map(|plan| plan.turn) {
            Some(Turn::Beside) => self.begin(name, ctx),
            Some(Turn::Queued) => {
                self.waiting.push_back(name);
                self.begin_next(ctx);
            }
            None => tracing::error!(chore = name, "there is no such job"),
        }
    }

    /// Begins the queued job that has waited longest, unless another one runs.
    fn begin_next(&mut self, ctx: &mut Context<Self>) {
        if self.running.iter().any(|(_, turn)| *turn == Turn::Queued) {
            return;
        }
        if let Some(name) = self.waiting.pop_front() {
            self.begin(name, ctx);
        }
    }

    /// Runs a job to its end, unless the server is stopping.
    fn begin(&mut self, name: &'static str, ctx: &mut Context<Self>) {
        if self.context.tracker.is_draining() {
            return;
        }
        let Some(plan) = self.plans.iter_mut().find(|plan| plan.name == name) else { return };
        let (turn, log_failure) = (plan.turn, plan.log_failure);
        let run = plan.begin(self.context.clock.now());
        if turn == Turn::Queued {
            self.context.metrics.jobs.begin(name);
            tracing::info!(chore = name, "begins");
        }
        self.running.push((name, turn));
        let work = work(Arc::clone(&self.context), run).into_actor(self);
        ctx.spawn(work.map(move |ended, scheduler, ctx| {
            scheduler.running.retain(|(running, _)| *running != name);
            match ended {
                Ok(run) => scheduler.end(&run, ctx),
                Err(error) => {
                    if turn == Turn::Queued {
                        scheduler.context.metrics.jobs.fail(name);
                    }
                    log_failure(&error);
                }
            }
            scheduler.begin_next(ctx);
        }));
    }

    /// A job is done.
    fn end(&mut self, run: &JobRun, ctx: &mut Context<Self>) {
        if run.turn == Turn::Queued {
            self.context.metrics.jobs.finish(run.name, self.context.clock.now());
            tracing::info!(chore = run.name, rows = run.rows, "is done");
        }
        if let Some(RunJob(name)) = run.next {
            self.due(name, ctx);
        }
    }

    /// Makes up for a job that was missed while no node ran.
    fn make_up_for(&self, name: &'static str, age: Duration, ctx: &mut Context<Self>) {
        let context = Arc::clone(&self.context);
        let missed = async move {
            let last = context.database.run(move |conn| chores::finished_at(conn, name)).await;
            last.is_ok_and(|last| last.is_some_and(|last| last.plus(age) <= context.clock.now()))
        };
        ctx.spawn(missed.into_actor(self).map(move |is_missed, scheduler, ctx| {
            if is_missed {
                scheduler.due(name, ctx);
            }
        }));
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut due = Vec::new();
        for plan in &self.plans {
            self.context.metrics.jobs.declare(plan.name);
            let name = plan.name;
            if let Some(pause) = plan.every {
                ctx.run_interval(pause, move |scheduler, ctx| scheduler.due(name, ctx));
            }
            if let Some(age) = plan.missed_after {
                self.make_up_for(name, age, ctx);
            }
            if plan.is_due_at_start {
                due.push(name);
            }
        }
        for name in due {
            self.due(name, ctx);
        }
    }
}

impl Handler<RunJob> for Scheduler {
    type Result = ();

    fn handle(&mut self, RunJob(name): RunJob, ctx: &mut Self::Context) {
        self.due(name, ctx);
    }
}

/// Runs a job to its end. A node that stops begins no further batch, and waits for the one that is
/// under way.
async fn work(context: Arc<AppContext>, run: JobRun) -> Result<JobRun, JobError> {
    let step = async |run: JobRun| {
        if context.tracker.is_draining() {
            std::future::pending::<()>().await;
        }
        let (token, now) = (context.tracker.token(), context.clock.now());
        let done = context.database.run(move |conn| Ok(run.step(conn, now))).await;
        drop(token);
        done?
    };
    let note = |run: &JobRun, batch: &Batch| {
        if run.turn == Turn::Queued {
            context.metrics.jobs.observe_batch(run.name, batch.held);
        }
        for (table, rows) in &batch.deleted {
            context.metrics.jobs.count_deleted(table, *rows);
        }
        Ok(())
    };
    run.to_end(step, note).await
}
