//! Who watches which deposit. However many streams are open, one task reads the database, once for each deposit that is
//! watched, and wakes those whose document has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Bytes;
use tokio::sync::watch;

use super::document::{Deposit, DepositOrClaim};
use super::find;
use crate::config::{Chain, Deposits};
use crate::db::{Database, DbError};
use crate::deposits::DepositError;
use crate::domain::deposit::{ClaimState, DepositState};
use crate::domain::ids::AccountId;
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// Between two looks at the database.
const PACE: Duration = Duration::from_secs(1);

/// A deposit as one account may see it.
type Name = (AccountId, String);

/// What is told of it: its document, and whether that was the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) document: Bytes,
    pub(super) is_last: bool,
}

/// See the module.
pub struct Watchers {
    database: Database,
    chains: Vec<Chain>,
    max: usize,
    max_per_account: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: HashMap<Name, watch::Sender<Option<Told>>>,
    open: usize,
    open_per_account: HashMap<AccountId, usize>,
    is_polled: bool,
}

/// One who watches; leaves when it is dropped.
pub(super) struct Watcher {
    watchers: Arc<Watchers>,
    name: Name,
    pub(super) told: watch::Receiver<Option<Told>>,
}

/// Why nobody more may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// The account has as many streams as it may have.
    Account(usize),
    /// The node has.
    Node,
}

impl Watchers {
    /// Nobody watches yet.
    #[must_use]
    pub fn new(database: Database, chains: Vec<Chain>, limits: &Deposits) -> Arc<Self> {
        Arc::new(Self {
            database,
            chains,
            max: limits.event_streams_max,
            max_per_account: limits.event_streams_max_per_account,
            state: Mutex::default(),
        })
    }

    /// Watches a deposit or claim. Nothing is told of it until it is looked at for the first time.
    pub(super) fn join(
        self: &Arc<Self>,
        tracker: &Tracker,
        account_id: AccountId,
        id: &str,
    ) -> Result<Watcher, Crowded> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open >= self.max {
            return Err(Crowded::Node);
        }
        let own = state.open_per_account.entry(account_id).or_default();
        if *own >= self.max_per_account {
            return Err(Crowded::Account(self.max_per_account));
        }
        *own = own.saturating_add(1);
        state.open = state.open.saturating_add(1);
        let name = (account_id, id.to_owned());
        let sender = state.watched.entry(name.clone()).or_insert_with(|| watch::Sender::new(None));
        let told = sender.subscribe();
        if !std::mem::replace(&mut state.is_polled, true) {
            let mut polled = Polled { watchers: Arc::clone(self), is_done: false };
            let stop = tracker.clone();
            tracker.spawn(async move { polled.run(&stop).await });
        }
        Ok(Watcher { watchers: Arc::clone(self), name, told })
    }

    /// What is watched, after those are forgotten that nobody watches any more.
    fn watched(&self) -> Vec<Name> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.watched.retain(|_, sender| sender.receiver_count() > 0);
        let names: Vec<Name> = state.watched.keys().cloned().collect();
        // In one step with the look, so that who joins afterwards starts the next task.
        state.is_polled = !names.is_empty();
        names
    }

    fn tell(&self, found: Vec<(Name, Option<Told>)>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, told) in found {
            let Some(sender) = state.watched.get(&name) else { continue };
            sender.send_if_modified(|known| {
                let has_changed = told.is_some() && *known != told;
                if has_changed {
                    *known = told;
                }
                has_changed
            });
        }
    }
}

/// The word that the task runs; taken back when it ends, however it does.
struct Polled {
    watchers: Arc<Watchers>,
    /// It has taken its word back itself, in one step with its last look.
    is_done: bool,
}

impl Polled {
    async fn run(&mut self, tracker: &Tracker) {
        loop {
            let names = self.watchers.watched();
            if names.is_empty() {
                self.is_done = true;
                return;
            }
            let chains = self.watchers.chains.clone();
            let read = self.watchers.database.run(move |conn| {
                let found = names.into_iter().map(|name| {
                    let told = find(conn, &chains, name.0, &name.1)?.as_ref().map(Told::of);
                    Ok((name, told))
                });
                Ok(found.collect::<Result<Vec<_>, DepositError>>())
            });
            match read.await {
                Ok(Ok(found)) => self.watchers.tell(found),
                Ok(Err(error)) => {
                    tracing::warn!(error = %Causes(&error), "watched deposits cannot be read");
                }
                Err(error) => warn(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                () = tracker.draining() => return,
            }
        }
    }
}

fn warn(error: &DbError) {
    tracing::warn!(error = %Causes(&error), "watched deposits cannot be read");
}

impl Drop for Polled {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.watchers.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_polled = false;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.watchers.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(1);
        if let Some(own) = state.open_per_account.get_mut(&self.name.0) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                state.open_per_account.remove(&self.name.0);
            }
        }
    }
}

impl Told {
    pub(super) fn of(found: &DepositOrClaim) -> Self {
        let is_last = match found {
            DepositOrClaim::Deposit(deposit) => is_final(deposit),
            DepositOrClaim::Claim(claim) => match ClaimState::parse(&claim.state) {
                Some(ClaimState::Matched) => {
                    let deposits = claim.deposits.as_deref().unwrap_or_default();
                    !deposits.is_empty() && deposits.iter().all(is_final)
                }
                Some(ClaimState::Rejected) => true,
                _ => false,
            },
        };
        let document = serde_json::to_vec(found).unwrap_or_default();
        Self { document: document.into(), is_last }
    }
}

/// Whether nothing more is expected. A credit may still be reversed with its block; who watches is told until then.
fn is_final(deposit: &Deposit) -> bool {
    matches!(
        DepositState::parse(&deposit.state),
        Some(DepositState::Credited | DepositState::Rejected | DepositState::Refunded)
    )
}
