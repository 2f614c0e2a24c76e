//! The `Ledger` actors: the way of every exchange to the books. What changes a balance together
//! with another row, as a deposit's credit does, is applied in that row's transaction instead.
//!
//! Each has a thread and a connection of its own and may block there, and some of the accounts: all
//! of them where the database is one file. Commands that arrive while a commit is in flight wait in
//! the mailbox; the `Flush` that ends up behind them commits them together, and each is answered
//! after the commit. A settlement outlives a database that is away: it is tried again until it
//! lands. Everything else is answered at once, so that nothing is dispatched on money that is not
//! held. A settlement that the database refuses, though it is there and takes others, is tried
//! alone a few times and then parked: it holds up nobody else.

mod aside;
mod away;
mod connection;
mod handle;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Busy, Command, Effect, LedgerError, parked};
use crate::db::Database;
use crate::domain::backoff::{self, Backoff};
use crate::domain::clock::Clock;
use crate::domain::usage_record::Outcome;
use crate::ledger;
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use aside::Aside;
use away::Away;
use connection::LedgerConnection;
pub use handle::{LedgerHandle, LedgerThreads};

/// Commands in one group at most.
const GROUP_MAX: usize = 256;
/// Commands that wait in the mailbox before senders have to wait themselves.
const MAILBOX: usize = 4096;
/// Pause before settlements are tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How often a settlement is tried that fails alone before it is parked, and the pauses in between.
/// In all that is shorter than a client waits for its answer's end.
const TRIES_MAX: u32 = 5;
const BACKOFF: Backoff = Backoff::new(RETRY, Duration::from_secs(2));
/// Pause before a settlement is tried again that can be neither stored nor parked.
const STUCK: Duration = Duration::from_secs(30);

/// The books could not be written. The command may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is not available")]
pub struct Unavailable;

type CommandResult = Result<Effect, Unavailable>;

/// See the module.
pub struct Ledger {
    /// Apart from the pool, so that no crowd of readers can keep it from settling.
    line: LedgerConnection,
    /// For how long a busy account keeps what is no settlement waiting.
    busy_max: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    pending: Vec<Submit>,
    /// Settlements that wait for a database that is away.
    backlog: VecDeque<Submit>,
    away: Away,
    aside: Aside,
    is_flush_due: bool,
    is_retry_due: bool,
    is_aside_due: bool,
}

/// One command with the place to answer it.
#[derive(Message)]
#[rtype(result = "()")]
struct Submit {
    /// Shared with whatever applies it, as often as it is tried.
    command: Arc<Command>,
    /// Since when its account has been busy whenever it was asked for.
    busy_since: Option<Instant>,
    answer: Option<oneshot::Sender<CommandResult>>,
}

/// Asks for a sign of life of the ledger and its database.
#[derive(Message)]
#[rtype(result = "Result<(), Unavailable>")]
struct Ping;

/// Commits what has gathered.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Submit> for Ledger {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        self.pending.push(submit);
        if self.pending.len() >= GROUP_MAX {
            self.commit(ctx);
        } else if !std::mem::replace(&mut self.is_flush_due, true) {
            // Lands behind everything that the mailbox holds already.
            ctx.notify(Flush);
        }
    }
}

impl Handler<Flush> for Ledger {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.is_flush_due = false;
        self.commit(ctx);
    }
}

impl Handler<Ping> for Ledger {
    type Result = Result<(), Unavailable>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        self.line
            .run(|session, _| Ok(crate::db::probe(&mut session.conn)?))
            .map_err(|_| Unavailable)
    }
}

impl Ledger {
    fn new(database: &Database, clock: &Clock, metrics: &Arc<Metrics>) -> Self {
        Self {
            line: LedgerConnection::new(database),
            busy_max: database.lock_timeout(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            pending: Vec::new(),
            backlog: VecDeque::new(),
            away: Away::default(),
            aside: Aside::default(),
            is_flush_due: false,
            is_retry_due: false,
            is_aside_due: false,
        }
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        self.wait_for_one(ctx);
        let mut group: Vec<Submit> = self.aside.take();
        group.extend(self.backlog.drain(..));
        group.append(&mut self.pending);
        while !group.is_empty() {
            let rest = group.split_off(group.len().min(GROUP_MAX));
            let group_now = std::mem::replace(&mut group, rest);
            self.commit_group(group_now, ctx);
        }
        self.retry_soon(ctx);
        self.look_aside_soon(ctx);
    }

    fn look_aside_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.aside.is_empty() && !std::mem::replace(&mut self.is_aside_due, true) {
            ctx.run_later(aside::AGAIN, |ledger, ctx| {
                ledger.is_aside_due = false;
                ledger.commit(ctx);
            });
        }
    }

    /// Waits a moment for an account that was busy for long: one that many are after is never met
    /// by asking alone.
    fn wait_for_one(&mut self, ctx: &mut Context<Self>) {
        let group = self.aside.take_longest(Instant::now());
        if group.is_empty() {
            return;
        }
        match self.apply(commands_of(&group), Busy::WaitShortly) {
            Ok(outcomes) => self.conclude(group, outcomes),
            Err(error) if error.is_away() => {
                self.put_off(group, &error);
                self.retry_soon(ctx);
            }
            Err(_) => {
                for submit in group {
                    self.put_aside(submit);
                }
            }
        }
    }

    fn conclude(&mut self, group: Vec<Submit>, outcomes: Vec<Effect>) {
        for (submit, outcome) in group.into_iter().zip(outcomes) {
            match outcome {
                Effect::AccountBusy => self.put_aside(submit),
                outcome => submit.reply(Ok(outcome)),
            }
        }
    }

    /// Settlements wait for a busy account; the rest is refused after a while.
    fn put_aside(&mut self, submit: Submit) {
        let now = Instant::now();
        let is_over =
            submit.busy_since.is_some_and(|since| now.duration_since(since) >= self.busy_max);
        if is_over && !submit.command.is_settlement() {
            self.refuse(submit);
        } else {
            self.aside.put(submit, now);
        }
    }

    fn retry_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.backlog.is_empty() && !std::mem::replace(&mut self.is_retry_due, true) {
            ctx.run_later(RETRY, |ledger, ctx| {
                ledger.is_retry_due = false;
                ledger.commit(ctx);
            });
        }
    }

    fn commit_group(&mut self, group: Vec<Submit>, ctx: &mut Context<Self>) {
        // What stands aside since this round began goes before what came behind it.
        let aside = self.aside.accounts();
        let (behind, mut group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|submit| aside.contains(&submit.command.account_id()));
        for submit in behind {
            self.put_aside(submit);
        }
        if group.is_empty() {
            return;
        }
        match self.apply_twice(&group) {
            Ok(outcomes) => self.conclude(group, outcomes),
            Err(error) if error.is_away() => self.put_off(group, &error),
            // One command may spoil the group for all: find it.
            Err(_) if group.len() > 1 => {
                let second = group.split_off(group.len().div_ceil(2));
                self.commit_group(group, ctx);
                self.commit_group(second, ctx);
            }
            Err(error) => {
                tracing::warn!(error = %Causes(&error), "the database refuses a command");
                for submit in group {
                    self.set_aside(submit, (&error, 1), ctx);
                }
            }
        }
    }

    /// Applies a group. Where its connection has not outlived a failure, it was a stale one, or the
    /// commit is unknown: asking again is safe and usually enough. So it is where a single command
    /// met with another transaction.
    fn apply_twice(&mut self, group: &[Submit]) -> Result<Vec<Effect>, LedgerError> {
        self.apply(commands_of(group), Busy::Skip).or_else(|first| {
            let is_split = group.len() > 1 && self.line.is_sound() && !first.is_away();
            if is_split || first.is_refusal() {
                return Err(first);
            }
            tracing::debug!(error = %Causes(&first), "retrying a ledger group");
            self.apply(commands_of(group), Busy::Skip)
        })
    }

    fn apply(
        &mut self,
        commands: Vec<Arc<Command>>,
        busy: Busy,
    ) -> Result<Vec<Effect>, LedgerError> {
        let (now, began, count) = (self.clock.now(), Instant::now(), commands.len());
        let outcomes = self.line.run(move |session, given_up| {
            let session = (&mut session.conn, &mut session.memory);
            let commands: Vec<&Command> = commands.iter().map(AsRef::as_ref).collect();
            ledger::apply_unless(session, commands, busy, now, &|| given_up.is_set())
        })?;
        self.metrics.ledger.observe_group(count, began.elapsed());
        if let Some(secs) = self.away.end(Instant::now()) {
            tracing::info!(secs, "the ledger can be written again");
        }
        Ok(outcomes)
    }

    /// Settlements wait for the database; the rest is refused.
    fn put_off(&mut self, group: Vec<Submit>, error: &LedgerError) {
        self.metrics.ledger.database_answers.set(0);
        if self.away.is_to_be_told(Instant::now()) {
            tracing::error!(error = %Causes(error), commands = group.len(), "ledger unavailable");
        }
        for submit in group {
            if submit.command.is_settlement() {
                self.backlog.push_back(submit);
            } else {
                self.refuse(submit);
            }
        }
    }

    /// A reservation that may have landed is voided.
    fn refuse(&mut self, submit: Submit) {
        if let Command::Reserve { record, .. } = submit.command.as_ref() {
            let (id, account_id) = (record.id.clone(), record.account_id);
            let command =
                Command::Recover { id, account_id, ending: Outcome::Killed, judged_at: None };
            self.backlog.push_back(Submit::new(command, None));
        }
        submit.reply(Err(Unavailable));
    }

    /// Has a command that failed alone, so often already, tried again alone, later; or gives it up.
    fn set_aside(
        &mut self,
        submit: Submit,
        (error, tries): (&LedgerError, u32),
        ctx: &mut Context<Self>,
    ) {
        if !submit.command.is_settlement() {
            self.refuse(submit);
        } else if error.is_refusal() || tries >= TRIES_MAX {
            self.park(submit, error, ctx);
        } else {
            let pause = BACKOFF.jittered(tries, backoff::jitter());
            ctx.run_later(pause, move |ledger, ctx| ledger.try_alone(submit, tries, ctx));
        }
    }

    fn try_alone(&mut self, submit: Submit, tries: u32, ctx: &mut Context<Self>) {
        match self.apply(vec![Arc::clone(&submit.command)], Busy::Skip) {
            Ok(outcomes) => {
                self.conclude(vec![submit], outcomes);
                self.look_aside_soon(ctx);
            }
            Err(error) if error.is_away() => {
                self.put_off(vec![submit], &error);
                self.retry_soon(ctx);
            }
            Err(error) => self.set_aside(submit, (&error, tries.saturating_add(1)), ctx),
        }
    }

    fn park(&mut self, submit: Submit, error: &LedgerError, ctx: &mut Context<Self>) {
        let (now, refusal) = (self.clock.now(), Causes(error).to_string());
        let (command, why) = (Arc::clone(&submit.command), refusal.clone());
        let settled = self.line.run(move |session, _| {
            session.memory.clear();
            parked::settle_or_park(&mut session.conn, &command, &why, now)
        });
        match settled {
            Ok(outcome) => {
                let what = match outcome {
                    Effect::Parked => {
                        "a settlement cannot be stored, and is parked: see `sluice books verify`"
                    }
                    Effect::NotOpen => {
                        "a late settlement cannot be stored: its exchange stays as it was recovered"
                    }
                    _ => "a settlement could only be stored without the names in it",
                };
                if outcome == Effect::Parked {
                    // The next beat counts them.
                    self.metrics.parked_settlements.inc();
                }
                self.metrics.count_alert(what);
                tracing::error!(error = refusal, "{what}");
                submit.reply(Ok(outcome));
            }
            Err(error) => {
                tracing::error!(
                    error = %Causes(&error),
                    "a settlement can be neither stored nor parked"
                );
                ctx.run_later(STUCK, move |ledger, ctx| ledger.try_alone(submit, TRIES_MAX, ctx));
            }
        }
    }
}

fn commands_of(group: &[Submit]) -> Vec<Arc<Command>> {
    group.iter().map(|submit| Arc::clone(&submit.command)).collect()
}

impl Submit {
    fn new(command: Command, answer: Option<oneshot::Sender<CommandResult>>) -> Self {
        Self { command: Arc::new(command), busy_since: None, answer }
    }

    fn reply(self, answer: CommandResult) {
        // Whoever asked may be gone; the books do not mind.
        if let Some(sender) = self.answer
            && sender.send(answer).is_err()
        {
            tracing::trace!("a ledger answer found nobody");
        }
    }
}
