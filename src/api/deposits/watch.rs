//! Who watches which deposit. However many streams are open, one task reads the database, once for
//! each deposit that is watched, and wakes those whose document has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::document::{Deposit, DepositOrClaim};
use super::{DepositPage, find, page_of};
use crate::config::{Chain, Deposits};
use crate::db::{AnyConnection, Database, DbError};
use crate::deposits::DepositError;
use crate::domain::deposit::{ClaimState, DepositState};
use crate::domain::ids::AccountId;
use crate::places::Places;
use crate::places::shares::{SharedPlace, Shares};
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// Between two looks at the database.
const PACE: Duration = Duration::from_secs(1);

/// What is watched of an account: a deposit or a claim by its name, or the list of all of them.
pub(super) type WatchedName = (AccountId, Option<String>);

/// Deposits and claims of a list that is watched.
pub(super) const LISTED: i64 = 20;

/// What is told of it: its document, and whether that was the last.
#[derive(Clone, Debug)]
pub(super) struct WatchedState {
    pub(super) document: Bytes,
    pub(super) is_last: bool,
    /// The document without what is not worth telling by itself.
    gist: Bytes,
}

impl PartialEq for WatchedState {
    fn eq(&self, other: &Self) -> bool {
        (&self.gist, self.is_last) == (&other.gist, other.is_last)
    }
}

/// See the module.
pub struct Watchers {
    database: Database,
    chains: Vec<Chain>,
    max_per_account: usize,
    /// For all who watch.
    places: Arc<Places<Shares>>,
    /// Those of them that may be taken to watch what the account has not been paid yet. Anybody can
    /// submit a hash at no cost: half of the places stay for who waits for money of his own.
    unpaid: Arc<Places<Shares>>,
    state: Mutex<WatchState>,
}

#[derive(Default)]
struct WatchState {
    watched: HashMap<WatchedName, watch::Sender<Option<WatchedState>>>,
    is_polled: bool,
}

/// One who watches; leaves when it is dropped.
pub(super) struct Watcher {
    pub(super) told: watch::Receiver<Option<WatchedState>>,
    _place: SharedPlace,
    _unpaid: Option<SharedPlace>,
}

/// Why nobody more may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// The account has as many streams as it may have.
    Account(usize),
    /// The node has, or as many as are not kept for deposits under way.
    Node,
}

impl Watchers {
    /// Nobody watches yet.
    #[must_use]
    pub fn new(database: Database, chains: Vec<Chain>, limits: &Deposits) -> Arc<Self> {
        let (max, each) = (limits.event_streams_max, limits.event_streams_max_per_account);
        Arc::new(Self {
            database,
            chains,
            max_per_account: each,
            places: Places::new(Shares::new(max, each)),
            unpaid: Places::new(Shares::new(max.div_ceil(2), each)),
            state: Mutex::default(),
        })
    }

    /// Watches a deposit, a claim or the list, `is_paid` if a deposit of the account's is among
    /// what it is about. Nothing is told of it until it is looked at for the first time.
    pub(super) fn join(
        self: &Arc<Self>,
        tracker: &Tracker,
        (name, is_paid): (WatchedName, bool),
    ) -> Result<Watcher, Crowded> {
        let account_id = name.0;
        let crowded = || {
            let has_all = self.places.with(|shares| shares.has_share(&account_id));
            if has_all { Crowded::Account(self.max_per_account) } else { Crowded::Node }
        };
        let place = self.places.take(&account_id).ok_or_else(crowded)?;
        let unpaid =
            if is_paid { None } else { Some(self.unpaid.take(&account_id).ok_or_else(crowded)?) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = state.watched.entry(name).or_insert_with(|| watch::Sender::new(None));
        let told = sender.subscribe();
        if !std::mem::replace(&mut state.is_polled, true) {
            let mut polled = Polled { watchers: Arc::clone(self), is_done: false };
            let stop = tracker.clone();
            tracker.spawn(async move { polled.run(&stop).await });
        }
        Ok(Watcher { told, _place: place, _unpaid: unpaid })
    }

    /// What is watched, after those are forgotten that nobody watches any more.
    fn watched(&self) -> Vec<WatchedName> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.watched.retain(|_, sender| sender.receiver_count() > 0);
        let names: Vec<WatchedName> = state.watched.keys().cloned().collect();
        // In one step with the look, so that who joins afterwards starts the next task.
        state.is_polled = !names.is_empty();
        names
    }

    fn tell(&self, found: Vec<(WatchedName, Option<WatchedState>)>) {
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
                    let told = WatchedState::read(conn, &chains, &name)?;
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

impl WatchedState {
    /// What is told of this now; `None` where the account may not see it.
    pub(super) fn read(
        conn: &mut AnyConnection,
        chains: &[Chain],
        (account_id, id): &WatchedName,
    ) -> Result<Option<Self>, DepositError> {
        if let Some(id) = id {
            return Ok(find(conn, chains, *account_id, id)?.as_ref().map(Self::of));
        }
        let list = page_of(conn, chains, *account_id, (i64::MAX, LISTED))?;
        Ok(Some(Self::of_list(list)))
    }

    /// Of a list there is no last word: another deposit may come. That a chain has one more block
    /// is not told with it: twenty deposits that wait for nothing would be sent with each.
    fn of_list(mut list: DepositPage) -> Self {
        let document = bytes_of(&list);
        for status in list.data.iter_mut().map(|one| &mut one.chain_status) {
            status.head = None;
        }
        for status in list.claims.iter_mut().map(|one| &mut one.chain_status) {
            status.head = None;
        }
        Self { document, is_last: false, gist: bytes_of(&list) }
    }

    fn of(found: &DepositOrClaim) -> Self {
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
        let document = bytes_of(found);
        Self { gist: document.clone(), document, is_last }
    }
}

fn bytes_of(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// Whether nothing more is expected. A credit may still be reversed with its block; who watches is
/// told until then.
fn is_final(deposit: &Deposit) -> bool {
    let is_going_back = deposit.refund.as_ref().is_some_and(|refund| refund.state == "held");
    !is_going_back
        && !deposit.is_provisional
        && matches!(
            DepositState::parse(&deposit.state),
            Some(DepositState::Credited | DepositState::Rejected | DepositState::Refunded)
        )
}
