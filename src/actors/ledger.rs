//! The `Ledger` actor: the only path of money writes inside a node.
//!
//! It has a thread and a connection of its own and may block there. Commands that arrive while a commit is in
//! flight wait in the mailbox; the `Flush` that ends up behind them commits them together, and
//! each is answered after the commit. A settlement outlives a database that is away: it is tried
//! again until it lands. Everything else is answered at once, so that nothing is dispatched on
//! money that is not held.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::db::{AnyConnection, Database};
use crate::domain::clock::Clock;
use crate::domain::usage_record::Ending;
use crate::ledger::{self, Command, LedgerError, Outcome};
use crate::telemetry::Causes;

/// Commands in one transaction at most.
const GROUP_MAX: usize = 256;
/// Commands that wait in the mailbox before senders have to wait themselves.
const MAILBOX: usize = 4096;
/// Pause before settlements are tried again.
const RETRY: Duration = Duration::from_millis(250);

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
    pending: Vec<Submit>,
    /// Settlements that the database has not taken yet.
    backlog: VecDeque<Submit>,
    is_flush_due: bool,
    is_retry_due: bool,
}

/// One command with the place to answer it.
#[derive(Message)]
#[rtype(result = "()")]
struct Submit {
    command: Command,
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
    pub fn start(arbiter: &ArbiterHandle, database: Database, clock: Clock) -> Self {
        let ledger = Ledger {
            database,
            conn: None,
            clock,
            pending: Vec::new(),
            backlog: VecDeque::new(),
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
        let submit = Submit { command, answer: Some(answer) };
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
        self.address.do_send(Submit { command, answer: None });
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
            self.commit_group(group_now);
        }
        if !self.backlog.is_empty() && !std::mem::replace(&mut self.is_retry_due, true) {
            ctx.run_later(RETRY, |ledger, ctx| {
                ledger.is_retry_due = false;
                ledger.commit(ctx);
            });
        }
    }

    fn commit_group(&mut self, group: Vec<Submit>) {
        let commands: Vec<Command> = group.iter().map(|submit| submit.command.clone()).collect();
        // A stale pooled connection or an unknown commit: asking again is safe and usually enough.
        let result = self.apply(&commands).or_else(|first| {
            tracing::warn!(error = %Causes(&first), commands = commands.len(), "ledger group failed");
            self.apply(&commands)
        });
        match result {
            Ok(outcomes) => {
                for (submit, outcome) in group.into_iter().zip(outcomes) {
                    submit.reply(Ok(outcome));
                }
            }
            // One command may spoil the group for all: find it.
            Err(error) if commands.len() > 1 && !is_away(&error) => {
                for submit in group {
                    self.commit_group(vec![submit]);
                }
            }
            Err(error) => self.give_up(group, &error),
        }
    }

    fn apply(&mut self, commands: &[Command]) -> Result<Vec<Outcome>, LedgerError> {
        self.database.check_place()?;
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.database.connect()?,
        };
        let outcomes = ledger::apply(&mut conn, commands, self.clock.now())?;
        // Until here the file may have been moved from under the commit; then nobody hears of it,
        // and the same commands come again.
        self.database.check_place()?;
        // After an error its state is unknown: the next group has a new one.
        self.conn = Some(conn);
        Ok(outcomes)
    }

    /// Settlements wait for the database; the rest is refused, and a reservation that may have
    /// landed is voided. A settlement that the database cannot help with would be tried for ever:
    /// it stays open for the operator to see in `books verify`.
    fn give_up(&mut self, group: Vec<Submit>, error: &LedgerError) {
        tracing::error!(error = %Causes(error), commands = group.len(), "ledger unavailable");
        for submit in group {
            if submit.command.is_settlement() && matches!(error, LedgerError::Db(_)) {
                self.backlog.push_back(submit);
                continue;
            }
            if let Command::Reserve { record, .. } = &submit.command {
                let (id, account_id) = (record.id.clone(), record.account_id);
                let command = Command::Recover { id, account_id, ending: Ending::E12 };
                self.backlog.push_back(Submit { command, answer: None });
            }
            submit.reply(Err(Unavailable));
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

/// Whether the database is to blame and not one of the commands.
fn is_away(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Db(error) if error.is_away())
}
