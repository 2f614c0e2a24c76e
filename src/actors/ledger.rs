//! The `Ledger` actor: the only path of money writes inside a node.
//!
//! It has a thread and a connection of its own and may block there. Commands that arrive while a commit is in
//! flight wait in the mailbox; the `Flush` that ends up behind them commits them together, and
//! each is answered after the commit. A settlement outlives a database that is away: it is tried
//! again until it lands. Everything else is answered at once, so that nothing is dispatched on
//! money that is not held. A settlement that the database refuses, though it is there and takes
//! others, is tried alone a few times and then parked: it holds up nobody else.

mod away;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use diesel::r2d2::R2D2Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::db::{AnyConnection, Database};
use crate::domain::clock::Clock;
use crate::domain::usage_record::Ending;
use crate::ledger::{self, Command, LedgerError, Outcome, parked};
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use away::Away;

/// Commands in one transaction at most.
const GROUP_MAX: usize = 256;
/// Commands that wait in the mailbox before senders have to wait themselves.
const MAILBOX: usize = 4096;
/// Pause before settlements are tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How often a settlement is tried that fails alone, with pauses that double, before it is parked. In all that is
/// shorter than a client waits for its answer's end.
const TRIES_MAX: u32 = 5;
/// Pause before a settlement is tried again that can be neither stored nor parked.
const STUCK: Duration = Duration::from_secs(30);

/// The books could not be written. The command may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is not available")]
pub struct Unavailable;

type Answer = Result<Outcome, Unavailable>;

/// See the module.
pub struct Ledger {
    database: Database,
    /// Apart from the pool, so that no crowd of readers can keep it from settling.
    conn: Option<AnyConnection>,
    clock: Clock,
    metrics: Arc<Metrics>,
    pending: Vec<Submit>,
    /// Settlements that wait for a database that is away.
    backlog: VecDeque<Submit>,
    away: Away,
    is_flush_due: bool,
    is_retry_due: bool,
}

/// One command with the place to answer it.
#[derive(Message)]
#[rtype(result = "()")]
struct Submit {
    command: Command,
    /// It may have been applied before.
    is_repeated: bool,
    answer: Option<oneshot::Sender<Answer>>,
}

/// Commits what has gathered.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

/// A handle on the ledger; cheap to clone.
#[derive(Clone)]
pub struct LedgerHandle {
    address: Addr<Ledger>,
}

impl LedgerHandle {
    /// Starts the actor on a thread of its own.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        database: &Database,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let ledger = Ledger {
            database: database.clone(),
            conn: None,
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            pending: Vec::new(),
            backlog: VecDeque::new(),
            away: Away::default(),
            is_flush_due: false,
            is_retry_due: false,
        };
        Self { address: Ledger::start_in_arbiter(arbiter, move |_| ledger) }
    }

    /// Applies a command and answers once it is durable.
    ///
    /// # Errors
    /// [`Unavailable`] if the database did not take it. A settlement does not fail: it waits.
    pub async fn apply(&self, command: Command) -> Result<Outcome, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let submit = Submit { command, is_repeated: false, answer: Some(answer) };
        match self.address.try_send(submit) {
            Ok(()) => {}
            Err(SendError::Full(submit)) => {
                self.address.send(submit).await.map_err(|_| Unavailable)?;
            }
            Err(SendError::Closed(_)) => return Err(Unavailable),
        }
        answered.await.unwrap_or(Err(Unavailable))
    }

    /// Hands a command over without waiting; used where nobody can wait.
    #[expect(clippy::disallowed_methods, reason = "a full mailbox must not lose a settlement")]
    pub fn submit(&self, command: Command) {
        self.address.do_send(Submit { command, is_repeated: false, answer: None });
    }

    /// Whether the actor is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.address.connected()
    }
}

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

impl Ledger {
    fn commit(&mut self, ctx: &mut Context<Self>) {
        let mut group: Vec<Submit> = self.backlog.drain(..).collect();
        group.append(&mut self.pending);
        while !group.is_empty() {
            let rest = group.split_off(group.len().min(GROUP_MAX));
            let group_now = std::mem::replace(&mut group, rest);
            self.commit_group(group_now, ctx);
        }
        self.retry_soon(ctx);
    }

    fn retry_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.backlog.is_empty() && !std::mem::replace(&mut self.is_retry_due, true) {
            ctx.run_later(RETRY, |ledger, ctx| {
                ledger.is_retry_due = false;
                ledger.commit(ctx);
            });
        }
    }

    fn commit_group(&mut self, mut group: Vec<Submit>, ctx: &mut Context<Self>) {
        match self.apply_twice(&group) {
            Ok(outcomes) => {
                for (submit, outcome) in group.into_iter().zip(outcomes) {
                    submit.reply(Ok(outcome));
                }
            }
            Err(error) if error.is_away() => self.put_off(group, &error),
            // One command may spoil the group for all: find it.
            Err(_) if group.len() > 1 => {
                for submit in &mut group {
                    submit.is_repeated = true;
                }
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

    /// Applies a group. Where its connection has not outlived a failure, it was a stale one, or the commit is unknown:
    /// asking again is safe and usually enough. So it is where a single command met with another transaction.
    fn apply_twice(&mut self, group: &[Submit]) -> Result<Vec<Outcome>, LedgerError> {
        let commands: Vec<Command> = group.iter().map(|submit| submit.command.clone()).collect();
        let is_repeated = group.iter().any(|submit| submit.is_repeated);
        self.apply(&commands, is_repeated).or_else(|first| {
            let is_split = commands.len() > 1 && self.conn.is_some() && !first.is_away();
            if is_split || first.is_refusal() {
                return Err(first);
            }
            tracing::debug!(error = %Causes(&first), "a ledger group is tried again");
            self.apply(&commands, true)
        })
    }

    fn apply(
        &mut self,
        commands: &[Command],
        is_repeated: bool,
    ) -> Result<Vec<Outcome>, LedgerError> {
        let now = self.clock.now();
        let apply = if is_repeated { ledger::apply_again } else { ledger::apply };
        let outcomes = self.with_connection(|conn| apply(conn, commands, now))?;
        if let Some(secs) = self.away.end(Instant::now()) {
            tracing::info!(secs, "the ledger can be written again");
        }
        Ok(outcomes)
    }

    fn with_connection<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.database.check_place()?;
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.database.connect()?,
        };
        let done = work(&mut conn);
        // A connection that a failure has spoilt is not used again; the next group has a new one.
        let is_sound = done.is_ok() || (!conn.is_broken() && conn.ping().is_ok());
        if is_sound {
            self.conn = Some(conn);
        }
        // Until here the file may have been moved from under the commit; then nobody hears of it,
        // and the same commands come again.
        self.database.check_place()?;
        done
    }

    /// Settlements wait for the database; the rest is refused.
    fn put_off(&mut self, group: Vec<Submit>, error: &LedgerError) {
        if self.away.is_to_be_told(Instant::now()) {
            tracing::error!(error = %Causes(error), commands = group.len(), "ledger unavailable");
        }
        for mut submit in group {
            if submit.command.is_settlement() {
                submit.is_repeated = true;
                self.backlog.push_back(submit);
            } else {
                self.refuse(submit);
            }
        }
    }

    /// A reservation that may have landed is voided.
    fn refuse(&mut self, submit: Submit) {
        if let Command::Reserve { record, .. } = &submit.command {
            let (id, account_id) = (record.id.clone(), record.account_id);
            let command = Command::Recover { id, account_id, ending: Ending::E12, judged_at: None };
            self.backlog.push_back(Submit { command, is_repeated: true, answer: None });
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
            let pause = RETRY.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
            ctx.run_later(pause, move |ledger, ctx| ledger.try_alone(submit, tries, ctx));
        }
    }

    fn try_alone(&mut self, submit: Submit, tries: u32, ctx: &mut Context<Self>) {
        match self.apply(std::slice::from_ref(&submit.command), true) {
            Ok(outcomes) => submit.reply(outcomes.into_iter().next().ok_or(Unavailable)),
            Err(error) if error.is_away() => {
                self.put_off(vec![submit], &error);
                self.retry_soon(ctx);
            }
            Err(error) => self.set_aside(submit, (&error, tries.saturating_add(1)), ctx),
        }
    }

    fn park(&mut self, submit: Submit, error: &LedgerError, ctx: &mut Context<Self>) {
        let (now, refusal) = (self.clock.now(), Causes(error).to_string());
        let settled = self
            .with_connection(|conn| parked::settle_or_park(conn, &submit.command, &refusal, now));
        match settled {
            Ok(outcome) => {
                let what = match outcome {
                    Outcome::Parked => {
                        "a settlement cannot be stored, and is parked: see `sluice books verify`"
                    }
                    Outcome::NotOpen => {
                        "a late settlement cannot be stored: its exchange stays as it was recovered"
                    }
                    _ => "a settlement could only be stored without the names in it",
                };
                self.metrics.count_alert(what);
                tracing::error!(error = refusal, "{what}");
                submit.reply(Ok(outcome));
            }
            Err(error) => {
                tracing::error!(error = %Causes(&error), "a settlement can be neither stored nor parked");
                ctx.run_later(STUCK, move |ledger, ctx| ledger.try_alone(submit, TRIES_MAX, ctx));
            }
        }
    }
}

impl Submit {
    fn reply(self, answer: Answer) {
        // Whoever asked may be gone; the books do not mind.
        if let Some(sender) = self.answer
            && sender.send(answer).is_err()
        {
            tracing::trace!("a ledger answer found nobody");
        }
    }
}
