//! The `ChainWatcher` actor: reads one chain forward, finds what pays us, and credits it once it is
//! final. What it owns is in the database: a cursor with the rows that it found, so that another
//! node, or the next start, goes on where it stopped. It takes no single provider's word.

mod advance;
mod arrivals;
mod assets;
mod candidates;
mod disagreements;
mod early;
mod lease;
mod lookup;
mod observe;
mod price;
mod pulse;
mod ranges;
mod rewind;
mod scan;
mod step;
mod usage;
mod verify;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::DepositError;
use super::recipients::Recipients;
use crate::chain::Provider;
use crate::config::{self, Chain};
use crate::db::models::{chains, deposit_addresses};
use crate::db::{AnyConnection, Database, DbError};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::evm::{ChainId, EvmAddress, TxHash};
use crate::domain::tombstone::TombstoneKey;
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// How long each part of a round may go on with what is due: the others want their turn, and the
/// lease runs.
const PART: Duration = Duration::from_secs(10);
/// Rounds in which reading may fail to move before it is said: near the head providers differ for a
/// moment.
const HITCHES_MAX: u32 = 3;

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
    /// What is known of the deposits of erased accounts.
    pub tombstones: TombstoneKey,
    /// Time.
    pub clock: Clock,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
}

/// Why a round stopped early. The next one begins anew from what is stored.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    /// The chain or its providers: crediting waits, and everybody may read why.
    #[error("{0}")]
    Chain(String),
    /// Another node has taken over.
    #[error("another node reads this chain now")]
    Overtaken,
    /// Storage and the books.
    #[error(transparent)]
    Deposit(#[from] DepositError),
}

impl From<DbError> for RoundError {
    fn from(error: DbError) -> Self {
        Self::Deposit(error.into())
    }
}

/// See the module.
pub struct ChainWatcher {
    parts: WatcherParts,
    /// Out while a round runs, so that no two overlap.
    state: Option<Box<WatcherState>>,
    /// The providers have changed while a round ran.
    has_changed: bool,
}

/// From now on these providers are asked, of whom so many must agree.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChangeProviders {
    /// Who is asked.
    pub providers: Vec<Provider>,
    /// The chain with its providers as they are configured now.
    pub chain: Arc<Chain>,
}

/// What a watcher remembers between two rounds. All of it can be found out again.
struct WatcherState {
    parts: WatcherParts,
    /// Blocks that a query for logs may span, by provider.
    log_ranges: ranges::LogRanges,
    /// Whole blocks that are asked for at once.
    piece: u64,
    /// What providers said of where the chain stands.
    known: observe::ProviderReports,
    /// How fast blocks come.
    pulse: pulse::Pulse,
    /// Whether something waits to be looked into, or is in the way.
    is_busy: bool,
    /// Whether the last block that was read has to be held against the chain before the next one
    /// is.
    must_compare: bool,
    /// The coins as they were last held against the chain.
    coins: assets::CheckedCoins,
    /// Derived addresses, and the counters when they were read.
    derived: Option<DerivedAddresses>,
    /// Candidates of recent blocks that were looked into, by their block.
    looked_into: BTreeMap<u64, HashSet<TxHash>>,
    /// Look-ups of claims that may still be made for the blocks that came.
    claim_budget: u32,
    /// What providers do not agree on.
    doubts: disagreements::Disagreements,
    /// Looks at what arrives at own addresses.
    arrivals: arrivals::Looks,
    /// Deposits that the tiers did not let through.
    passed: early::Passed,
    /// When unattributed deposits were last held against the wallets.
    swept_at: Option<UnixMillis>,
    /// Rounds in a row in which reading did not move although it should have.
    hitches: u32,
    /// What the chain's row says of its state, and since when it was not repeated in the log.
    told: lease::ReportedStatus,
    /// How much providers were asked, and when that was written down.
    usage: usage::ProviderUsage,
}

type DerivedAddresses = (Vec<(String, i64)>, Arc<HashSet<EvmAddress>>);

impl ChainWatcher {
    /// Starts to watch on the given thread.
    pub fn start_in(arbiter: &ArbiterHandle, parts: WatcherParts) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |_| {
            let state = Box::new(WatcherState::new(parts.clone()));
            Self { parts, state: Some(state), has_changed: false }
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
            let pause = state.pause();
            watcher.state = Some(state);
            watcher.begin_anew_if_changed();
            if !watcher.parts.tracker.is_draining() {
                ctx.run_later(pause, Self::round);
            }
        }));
    }
}

impl ChainWatcher {
    /// What other providers have said is worth nothing; all of it can be found out again.
    fn begin_anew_if_changed(&mut self) {
        if self.has_changed && self.state.is_some() {
            self.state = Some(Box::new(WatcherState::new(self.parts.clone())));
            self.has_changed = false;
        }
    }
}

impl Handler<ChangeProviders> for ChainWatcher {
    type Result = ();

    fn handle(&mut self, change: ChangeProviders, _: &mut Self::Context) {
        self.parts.providers = change.providers;
        self.parts.chain = change.chain;
        self.has_changed = true;
        self.begin_anew_if_changed();
    }
}

impl WatcherState {
    fn new(parts: WatcherParts) -> Self {
        Self {
            log_ranges: ranges::LogRanges::new(parts.chain.log_range_max),
            piece: scan::PIECE,
            known: observe::ProviderReports::default(),
            pulse: pulse::Pulse::default(),
            is_busy: true,
            must_compare: true,
            coins: assets::CheckedCoins::default(),
            derived: None,
            looked_into: BTreeMap::new(),
            claim_budget: parts.deposits.claims_per_block,
            doubts: disagreements::Disagreements::default(),
            arrivals: arrivals::Looks::default(),
            passed: early::Passed::default(),
            swept_at: None,
            hitches: 0,
            told: lease::ReportedStatus::default(),
            usage: usage::ProviderUsage::default(),
            parts,
        }
    }

    async fn round(&mut self) {
        let outcome = self.try_round().await;
        self.is_busy |= outcome.is_err();
        match outcome {
            Ok(()) | Err(RoundError::Overtaken) => {}
            Err(RoundError::Deposit(error)) => {
                let chain = &self.parts.chain.name;
                tracing::warn!(chain, error = %Causes(&error), "a round failed; trying again");
            }
            Err(RoundError::Chain(detail)) => self.say("degraded", Some(detail)).await,
        }
    }

    async fn try_round(&mut self) -> Result<(), RoundError> {
        let Some(mut row) = self.take_lease().await? else { return Ok(()) };
        let waiting = self.waiting(row.final_number).await?;
        self.is_busy = waiting.is_due;
        self.write_usage().await?;
        let is_behind =
            height(row.scanned_number).saturating_add(scan::PIECE) < height(row.head_number);
        let view = self.observe(waiting.for_finality || is_behind).await?;
        if let Some(head) = view.agreed_head() {
            self.pulse.beat(head.number, head.time);
        }
        self.check_assets(&view).await;
        // Only now: a payment in a block that is known went to an address that was issued before.
        let ours = self.ours().await?;
        let before = row.scanned_number;
        self.begin(&view, &mut row).await?;
        let unclear = self.rewind(&view, &mut row).await?;
        let is_on_chain = unclear.is_none();
        let hitch = match unclear {
            None => self.scan(&view, &ours, &mut row).await?,
            hitch => hitch,
        };
        let has_moved = row.scanned_number != before;
        self.is_busy |= hitch.is_some() || height(row.scanned_number) < view.head;
        self.earn_look_ups(row.scanned_number.saturating_sub(before));
        self.look_into_candidates(&view, &ours).await?;
        // Where what was read cannot be held against the chain, nothing is credited that it may
        // have left.
        let read = (is_on_chain && !self.must_compare).then_some(&row);
        self.settle(&view, &ours, read).await?;
        self.look_up_claims(&view, &ours, &row).await?;
        self.look_for_arrivals(&view, &ours, &row).await?;

        let is_stuck = hitch.is_some() && !has_moved;
        self.hitches = if is_stuck { self.hitches.saturating_add(1) } else { 0 };
        let hitch = hitch.filter(|_| self.hitches >= HITCHES_MAX);
        if let Some(detail) = hitch.or_else(|| self.doubts.first(self.parts.clock.now())) {
            return Err(RoundError::Chain(detail));
        }
        let (status, remark) = self.coins.standing();
        self.say(status, remark).await;
        Ok(())
    }

    /// How long to wait before the next look.
    fn pause(&self) -> Duration {
        let chosen = self.parts.chain.poll;
        chosen.unwrap_or_else(|| self.pulse.wait(self.is_busy, self.now()))
    }

    /// What waits on this chain.
    async fn waiting(&self, final_number: i64) -> Result<chains::PendingWork, DbError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let waiting =
            move |conn: &mut AnyConnection| chains::waiting(conn, chain_id, final_number, now);
        self.parts.database.run(waiting).await
    }

    /// Look-ups of claims for the blocks that came.
    fn earn_look_ups(&mut self, new_blocks: i64) {
        let most = self.parts.deposits.claims_per_block;
        let new_blocks = u32::try_from(new_blocks.clamp(0, 1000)).unwrap_or(0);
        let earned = most.saturating_mul(new_blocks);
        self.claim_budget = self.claim_budget.saturating_add(earned).min(most);
    }

    /// Our addresses. The derived ones are read again only when another was issued.
    async fn ours(&mut self) -> Result<Recipients, DbError> {
        let known = self.derived.take();
        let read = move |conn: &mut AnyConnection| {
            // Before the addresses: one that is issued in between is read once more.
            let counters = deposit_addresses::counters(conn)?;
            if let Some(known) = known.filter(|(before, _)| *before == counters) {
                return Ok(known);
            }
            let all = deposit_addresses::all(conn)?;
            Ok((counters, Arc::new(all.into_iter().collect())))
        };
        let derived = self.parts.database.run(read).await?;
        let addresses = Arc::clone(&derived.1);
        self.derived = Some(derived);
        Ok(Recipients::new(&self.parts.chain, &self.parts.deposits, addresses))
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

/// When a part of a round has to end.
fn part_end() -> Instant {
    let now = Instant::now();
    now.checked_add(PART).unwrap_or(now)
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
