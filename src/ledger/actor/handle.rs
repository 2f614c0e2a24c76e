//! The way to the ledger: a handle that knows which of its actors has an account, and the threads
//! that they run on.

use std::sync::Arc;

use actix::dev::SendError;
use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{Ledger, Ping, Submit, Unavailable};
use crate::db::Database;
use crate::domain::clock::Clock;
use crate::ledger::{Command, Effect};
use crate::metrics::Metrics;

/// A handle on the ledger; cheap to clone.
#[derive(Clone)]
pub struct LedgerHandle {
    addresses: Arc<[Addr<Ledger>]>,
}

/// The threads of the ledger's actors.
pub struct LedgerThreads(Vec<Arbiter>);

impl LedgerThreads {
    /// Ends them; their connections are closed then.
    pub fn end(self) {
        let Self(arbiters) = self;
        for arbiter in &arbiters {
            arbiter.stop();
        }
        for arbiter in arbiters {
            if arbiter.join().is_err() {
                tracing::error!("a thread of the ledger has panicked");
            }
        }
    }
}

impl LedgerHandle {
    /// Starts the actors on threads of their own.
    #[must_use]
    pub fn start(
        database: &Database,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> (Self, LedgerThreads) {
        let arbiters: Vec<Arbiter> =
            (0..database.ledger_connections()).map(|_| Arbiter::new()).collect();
        let start = |arbiter: &Arbiter| {
            let ledger = Ledger::new(database, clock, metrics);
            Ledger::start_in_arbiter(&arbiter.handle(), move |_| ledger)
        };
        (Self { addresses: arbiters.iter().map(start).collect() }, LedgerThreads(arbiters))
    }

    /// Applies a command and answers once it is durable.
    ///
    /// # Errors
    /// [`Unavailable`] if the database did not take it. A settlement does not fail: it waits.
    pub async fn apply(&self, command: Command) -> Result<Effect, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let address = self.address_for(&command).ok_or(Unavailable)?;
        let submit = Submit::new(command, Some(answer));
        match address.try_send(submit) {
            Ok(()) => {}
            Err(SendError::Full(submit)) => {
                address.send(submit).await.map_err(|_| Unavailable)?;
            }
            Err(SendError::Closed(_)) => return Err(Unavailable),
        }
        answered.await.unwrap_or(Err(Unavailable))
    }

    /// Hands a command over without waiting; used where nobody can wait.
    #[expect(clippy::disallowed_methods, reason = "a full mailbox must not lose a settlement")]
    pub fn submit(&self, command: Command) {
        if let Some(address) = self.address_for(&command) {
            address.do_send(Submit::new(command, None));
        }
    }

    /// Makes a round trip to the database on each connection, behind what is under way.
    ///
    /// # Errors
    /// [`Unavailable`] if the database does not answer. Callers limit their wait.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        let asked = self.addresses.iter().map(|address| address.send(Ping));
        for answer in join_all(asked).await {
            answer.map_err(|_| Unavailable)??;
        }
        Ok(())
    }

    /// Whether all actors are alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.addresses.iter().all(Addr::connected)
    }

    /// An account has one of them, so that its commands stay in order.
    fn address_for(&self, command: &Command) -> Option<&Addr<Ledger>> {
        let number = usize::try_from(command.account_id().0).unwrap_or(0);
        self.addresses.get(number.checked_rem(self.addresses.len())?)
    }
}
