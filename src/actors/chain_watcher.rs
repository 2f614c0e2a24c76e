//! The `ChainWatcher` actor: reads one chain forward, finds what pays us, and credits it once it is final. What it
//! owns is in the database: a cursor with the rows that it found, so that another node, or the next start, goes on
//! where it stopped. It takes no single provider's word.

mod assets;
mod lookup;
mod observe;
mod rewind;
mod scan;
mod settle;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::chain::Provider;
use crate::config::{self, Chain};
use crate::db::chains::{self, ChainRow};
use crate::db::{AnyConnection, Database, DbError};
use crate::deposits::DepositError;
use crate::deposits::ours::Ours;
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::evm::{ChainId, EvmAddress, TxHash};
use crate::metrics::Metrics;
use crate::tracker::Tracker;

/// How long a node may read a chain after its last word.
const LEASE: Duration = Duration::from_mins(1);

/// What a watcher works with.
#[derive(Clone)]
pub struct WatcherParts {
    /// The chain's settings.
    pub chain: Arc<Chain>,
    /// Limits that are the same on every chain.
    pub deposits: Arc<config::Deposits>,
    /// Who is asked.
    pub providers: Vec<Provider>,
    /// This node's name.
    pub node_id: Arc<str>,
    /// Where everything is kept.
    pub database: Database,
    /// Time.
    pub clock: Clock,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
}

/// Why a round stopped early. The next one begins anew from what is stored.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The chain or its providers: crediting waits, and everybody may read why.
    #[error("{0}")]
    Chain(String),
    /// The config contradicts the chain: nothing goes on until it is mended.
    #[error("{0}")]
    Config(String),
    /// Another node has taken over.
    #[error("another node reads this chain now")]
    Overtaken,
    /// Storage and the books.
    #[error(transparent)]
    Deposit(#[from] DepositError),
}

impl From<DbError> for Trouble {
    fn from(error: DbError) -> Self {
        Self::Deposit(error.into())
    }
}

/// See the module.
pub struct ChainWatcher {
    parts: WatcherParts,
    /// Out while a round runs, so that no two overlap.
    state: Option<Box<State>>,
}

/// What a watcher remembers between two rounds. All of it can be found out again.
struct State {
    parts: WatcherParts,
    /// Blocks that the next query for logs may span.
    log_range: u64,
    /// Decimals of the feeds, once assets were checked against the chain.
    feed_decimals: Option<HashMap<EvmAddress, u8>>,
    /// Candidates of recent blocks that were looked into, by their block.
    looked_into: BTreeMap<u64, HashSet<TxHash>>,
    /// Look-ups of claims that may still be made for the blocks that came.
    claim_budget: u32,
    /// Said once, not at every round.
    last_detail: Option<String>,
    /// Set once the config is found to contradict the chain.
    stopped: Option<String>,
}

impl ChainWatcher {
    /// Starts to watch on the given thread.
    pub fn start_in(arbiter: &ArbiterHandle, parts: WatcherParts) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |_| {
            let state = Box::new(State::new(parts.clone()));
            Self { parts, state: Some(state) }
        })
    }
}

impl Actor for ChainWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.round(ctx);
    }
}

impl ChainWatcher {
    fn round(&mut self, ctx: &mut Context<Self>) {
        let Some(mut state) = self.state.take() else { return };
        let tracker = self.parts.tracker.clone();
        let token = tracker.token();
        // All that a round writes, it writes in transactions: it may be dropped between any two.
        let round = async move {
            tokio::select! {
                () = tracker.draining() => {}
                () = state.round() => {}
            }
            drop(token);
            state
        };
        ctx.spawn(round.into_actor(self).map(|state, watcher, ctx| {
            watcher.state = Some(state);
            if !watcher.parts.tracker.is_draining() {
                ctx.run_later(watcher.parts.chain.poll, Self::round);
            }
        }));
    }
}

impl State {
    fn new(parts: WatcherParts) -> Self {
        Self {
            log_range: parts.chain.log_range_max,
            feed_decimals: None,
            looked_into: BTreeMap::new(),
            claim_budget: parts.deposits.claims_per_block,
            last_detail: None,
            stopped: None,
            parts,
        }
    }

    async fn round(&mut self) {
        match self.try_round().await {
            Ok(()) | Err(Trouble::Overtaken) => {}
            Err(Trouble::Deposit(error)) => {
                let chain = &self.parts.chain.name;
                tracing::warn!(chain, error = %whole(&error), "a round failed; trying again");
            }
            Err(Trouble::Config(detail)) => {
                self.stopped = Some(detail.clone());
                self.say("stopped", Some(detail)).await;
            }
            Err(Trouble::Chain(detail)) => self.say("degraded", Some(detail)).await,
        }
    }

    async fn try_round(&mut self) -> Result<(), Trouble> {
        let Some(mut row) = self.take_lease().await? else { return Ok(()) };
        if let Some(detail) = &self.stopped {
            return Err(Trouble::Config(detail.clone()));
        }
        let view = self.observe().await?;
        self.check_assets(&view).await?;
        // Only now: a payment in a block that is known went to an address that was issued before.
        let ours = self.ours().await?;
        let before = row.scanned_number;
        self.begin(&view, &mut row).await?;
        self.rewind(&view, &mut row).await?;
        self.scan(&view, &ours, &mut row).await?;
        let new_blocks = row.scanned_number.saturating_sub(before).clamp(0, 1000);
        let earned = self.parts.deposits.claims_per_block;
        let earned = earned.saturating_mul(u32::try_from(new_blocks).unwrap_or(0));
        let most = self.parts.deposits.claims_per_block;
        self.claim_budget = self.claim_budget.saturating_add(earned).min(most);
        let mut doubts = self.look_into_candidates(&view, &ours).await?;
        doubts.extend(self.settle(&view, &ours).await?);
        doubts.extend(self.look_up_claims(&view, &ours, &row).await?);
        if let Some(doubt) = doubts.into_iter().next() {
            return Err(Trouble::Chain(doubt));
        }
        self.say("ok", None).await;
        Ok(())
    }

    /// The chain's row with this node as its reader; `None` while another node reads it.
    async fn take_lease(&self) -> Result<Option<ChainRow>, DbError> {
        let now = self.now();
        let chain_id = self.chain_id();
        let node_id = self.parts.node_id.to_string();
        let until = now.plus_millis(millis(LEASE)).as_millis();
        let lease = move |conn: &mut AnyConnection| {
            if chains::find(conn, chain_id)?.is_none() {
                chains::create(conn, &unread(chain_id, &node_id, now))?;
            }
            let Some(row) = chains::find(conn, chain_id)? else { return Ok(None) };
            let is_free = row.node_id == node_id || row.lease_expires_at < now.as_millis();
            if !is_free {
                return Ok(None);
            }
            let leased = ChainRow { node_id, lease_expires_at: until, ..row };
            let is_ours = chains::change(conn, &leased, now)?;
            let revision = leased.revision.saturating_add(1);
            Ok(is_ours.then_some(ChainRow { revision, ..leased }))
        };
        self.parts.database.run(lease).await
    }

    /// Writes down how the chain is, and says it in the log where it is new.
    async fn say(&mut self, status: &'static str, detail: Option<String>) {
        let chain = self.parts.chain.name.clone();
        self.parts.metrics.set_chain_ok(&chain, status == "ok");
        if detail != self.last_detail {
            if let Some(detail) = &detail {
                tracing::error!(chain, status, detail, "deposits wait");
            } else {
                tracing::info!(chain, "deposits go on");
            }
            self.last_detail.clone_from(&detail);
        }
        let (chain_id, now) = (self.chain_id(), self.now());
        let node_id = Arc::clone(&self.parts.node_id);
        let write = move |conn: &mut AnyConnection| {
            if let Some(row) = chains::find(conn, chain_id)?.filter(|row| *row.node_id == *node_id)
            {
                let said = ChainRow { status: status.to_owned(), status_detail: detail, ..row };
                chains::change(conn, &said, now)?;
            }
            Ok(())
        };
        if let Err(error) = self.parts.database.run(write).await {
            tracing::warn!(chain, error = %error, "the state of a chain could not be written");
        }
    }

    async fn ours(&self) -> Result<Ours, DbError> {
        let derived = self.parts.database.run(crate::db::deposit_addresses::all).await?;
        let derived = derived.iter().filter_map(|bytes| EvmAddress::from_slice(bytes)).collect();
        Ok(Ours::new(&self.parts.chain, &self.parts.deposits.own_addresses, derived))
    }

    fn chain_id(&self) -> ChainId {
        self.parts.chain.chain_id
    }

    fn now(&self) -> UnixMillis {
        self.parts.clock.now()
    }

    /// The revision of the chain's row after a write of it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, DepositError> + Send + 'static,
    ) -> Result<T, DepositError> {
        // The outer result is the pool's, the inner one the work's.
        self.parts.database.run(move |conn| Ok(work(conn))).await?
    }
}

/// A chain that was never read. Block −1 says so.
fn unread(chain_id: ChainId, node_id: &str, now: UnixMillis) -> ChainRow {
    ChainRow {
        chain_id: chain_id.0,
        revision: 0,
        scanned_number: -1,
        scanned_hash: vec![0; 32],
        final_number: -1,
        head_number: -1,
        status: "degraded".to_owned(),
        status_detail: Some("starting".to_owned()),
        node_id: node_id.to_owned(),
        lease_expires_at: 0,
        updated_at: now.as_millis(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A height as a column holds it.
fn column(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

/// A height from a column.
fn height(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

/// A whole chain of causes, for the log.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
