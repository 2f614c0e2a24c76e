//! The `Node` actor: keeps this node's lease, recovers exchanges that dead nodes left open (E12),
//! and erases accounts whose time has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use crate::accounts::deletion::erasure;
use crate::context::Standing;
use crate::context::standing::{LEASE, RENEWAL};
use crate::db::nodes::{self, Renewed, Word};
use crate::db::{AnyConnection, Database, DbError, compatibility, parked};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::{AccountId, RequestId};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::domain::usage_record::Outcome;
use crate::ledger::actor::LedgerHandle;
use crate::ledger::{Command, Effect};
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// How long a start waits for recovery.
const RECOVERY_AT_START: Duration = Duration::from_secs(20);
/// For how long a dead node of which nothing is open is remembered.
const FORGOTTEN: Duration = Duration::from_hours(1);
/// Milliseconds between this machine's clock and the database's that the operator is told of.
const DRIFT_TOLD: u64 = 2_000;
/// And beyond which a node does not start.
const DRIFT_MAX: u64 = 60_000;
/// How long one try to renew may take, how many there are within a beat, and what lies between
/// them. A lease outlives two beats in which all of them fail.
const TRY: Duration = Duration::from_secs(4);
const TRIES: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);
/// How often the operator is told of the same.
const REMINDER: Duration = Duration::from_hours(24);
/// Accounts that a line of the log names.
const NAMED_MAX: usize = 10;
/// Reservations recovered in one go.
const RECOVERY_BATCH: i64 = 256;

/// What the actor works with.
#[derive(Clone)]
pub struct NodeParts {
    /// This node's name.
    pub node_id: Arc<str>,
    /// How long an account that is to be deleted may still be kept.
    pub closing_grace: Duration,
    /// With what debt an account goes without a trace.
    pub debt_forgiven: NanoUsd,
    /// What the deposits of an erased account are hashed with.
    pub tombstones: TombstoneKey,
    /// Where leases are.
    pub database: Database,
    /// Who settles.
    pub ledger: LedgerHandle,
    /// How many streams it takes at once, for the operator to see.
    pub max_streams: usize,
    /// How this node stands among the others.
    pub standing: Arc<Standing>,
    /// Time.
    pub clock: Clock,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
}

/// See the module.
pub struct Node {
    parts: NodeParts,
    is_renewing: Arc<AtomicBool>,
    is_looking: Arc<AtomicBool>,
    told: Arc<LastTold>,
}

/// When the operator was last told of accounts that stay.
struct LastTold(AtomicI64);

impl LastTold {
    /// Whether it is time to tell again; if so, that is done now.
    fn is_over(&self, now: UnixMillis) -> bool {
        let last = UnixMillis::from_millis(self.0.load(Ordering::Acquire));
        let is_over = last.plus(REMINDER) <= now;
        if is_over {
            self.0.store(now.as_millis(), Ordering::Release);
        }
        is_over
    }
}

impl Default for LastTold {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Node {
    fn start(parts: NodeParts) -> Addr<Self> {
        Actor::start(Self {
            parts,
            is_renewing: Arc::default(),
            is_looking: Arc::default(),
            told: Arc::default(),
        })
    }
}

impl Actor for Node {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The lease has a timer of its own: whatever holds up the rest does not keep it from being
        // renewed.
        ctx.run_interval(RENEWAL, |node, _| {
            let parts = node.parts.clone();
            unless_running(&node.is_renewing, &node.parts, async move {
                if let Err(error) = renew(&parts).await {
                    tracing::warn!(error = %Causes(&error), "the lease could not be renewed; trying again");
                }
            });
        });
        ctx.run_interval(RENEWAL, |node, _| {
            let (parts, told) = (node.parts.clone(), Arc::clone(&node.told));
            unless_running(&node.is_looking, &node.parts, async move {
                if let Err(error) = check_schema(&parts).await {
                    tracing::warn!(error = %Causes(&error), "the schema's version cannot be read; trying again");
                }
                if let Err(error) = look_after_the_dead(&parts).await {
                    tracing::warn!(error = %Causes(&error), "recovery failed; trying again");
                }
                if let Err(error) = erase(&parts, &told).await {
                    tracing::warn!(error = %Causes(&error), "accounts cannot be erased; trying again");
                }
            });
        });
    }
}

/// Spawns work, unless the same is under way: what the database holds up is not joined by another.
fn unless_running(
    is_running: &Arc<AtomicBool>,
    parts: &NodeParts,
    work: impl Future<Output = ()> + 'static,
) {
    if is_running.swap(true, Ordering::AcqRel) {
        return;
    }
    let is_running = Arc::clone(is_running);
    parts.tracker.spawn(async move {
        work.await;
        is_running.store(false, Ordering::Release);
    });
}

/// Takes or renews the lease. Does not wait for a database that says nothing.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
pub async fn renew(parts: &NodeParts) -> Result<(), DbError> {
    parts.standing.note_try();
    let mut renewed = renew_once(parts).await;
    for _ in 1..TRIES {
        if renewed.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        renewed = renew_once(parts).await;
    }
    let (renewed, drift_millis) = renewed?;
    if parts.standing.note(&renewed) {
        parts.metrics.count_alert("the lease had run out");
        tracing::warn!("the lease had run out: other nodes may have settled what runs here");
    }
    note_drift(parts, drift_millis);
    Ok(())
}

/// One try; with how far this machine's clock is ahead.
async fn renew_once(parts: &NodeParts) -> Result<(Renewed, i64), DbError> {
    let (node_id, clock) = (Arc::clone(&parts.node_id), parts.clock.clone());
    let word = Word {
        started_at: parts.standing.started_at(),
        lapses: i64::try_from(parts.standing.lapses()).unwrap_or(i64::MAX),
        open_exchanges: parts.metrics.open_exchanges.get(),
        max_streams: i64::try_from(parts.max_streams).unwrap_or(i64::MAX),
    };
    let renewal =
        parts.database.run_apart(move |conn| nodes::renew(conn, (&node_id, &word), LEASE, &clock));
    tokio::time::timeout(TRY, renewal).await.map_err(|_| DbError::Silent)?
}

/// Takes the lease, settles what dead nodes left open, and goes on renewing and recovering.
/// `is_alone` says that no other process can have this database.
///
/// # Errors
/// [`DbError`], [`DbError::Adrift`] among them.
pub async fn begin(parts: NodeParts, is_alone: bool) -> Result<(), DbError> {
    if is_alone {
        parts.database.run(nodes::forget_all).await?;
    }
    renew(&parts).await?;
    let drift = parts.metrics.clock_drift_millis.get();
    if drift.unsigned_abs() > DRIFT_MAX {
        return Err(DbError::Adrift(drift));
    }
    let recovery = look_after_the_dead(&parts);
    if let Ok(done) = tokio::time::timeout(RECOVERY_AT_START, recovery).await {
        done?;
    } else {
        tracing::warn!("recovery takes long: it goes on while this node serves");
    }
    drop(Node::start(parts));
    Ok(())
}

/// Says how far this node's clock is from the database's.
fn note_drift(parts: &NodeParts, drift_millis: i64) {
    parts.metrics.clock_drift_millis.set(drift_millis);
    if drift_millis.unsigned_abs() > DRIFT_TOLD {
        tracing::warn!(drift_millis, "this machine's clock and the database's differ");
    }
}

/// Looks whether the database is still for this program: another may have migrated it.
async fn check_schema(parts: &NodeParts) -> Result<(), DbError> {
    match parts.database.run(compatibility::check).await {
        Err(error @ DbError::Superseded { .. }) => {
            tracing::error!(error = %Causes(&error), "the database was migrated");
            parts.standing.supersede();
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Settles what dead nodes left open, forgets nodes that are dead for long, and counts what is
/// parked.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
pub async fn look_after_the_dead(parts: &NodeParts) -> Result<(), DbError> {
    if let Some(judged_at) = parts.standing.judges_at() {
        recover(parts, judged_at).await?;
        let before = judged_at.minus(FORGOTTEN);
        parts.database.run(move |conn| nodes::forget_dead(conn, before)).await?;
    }
    parts.metrics.parked_settlements.set(parts.database.run(parked::count).await?);
    Ok(())
}

/// Settles every reservation whose node was dead at `judged_at`, at its last checkpoint.
///
/// # Errors
/// [`DbError`] if the reservations cannot be listed or the ledger is gone.
pub async fn recover(parts: &NodeParts, judged_at: UnixMillis) -> Result<(), DbError> {
    loop {
        let orphans = parts
            .database
            .run(move |conn| nodes::orphaned_reservations(conn, judged_at, RECOVERY_BATCH))
            .await?;
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::warn!(count = orphans.len(), "settling reservations of nodes that are gone");
        // Together, so that the ledger commits them in groups.
        let settled = join_all(orphans.into_iter().map(|(id, account_id)| {
            let (id, account_id) = (RequestId::from_stored(id), AccountId(account_id));
            let (ending, judged_at) = (Outcome::Killed, Some(judged_at));
            parts.ledger.apply(Command::Recover { id, account_id, ending, judged_at })
        }));
        let mut is_progress = false;
        for outcome in settled.await {
            match outcome {
                Ok(Effect::Posted) => {
                    parts.metrics.count_ending(Outcome::Killed, NanoUsd::ZERO);
                    is_progress = true;
                }
                Ok(outcome) => is_progress |= matches!(outcome, Effect::Parked),
                Err(_) => return Err(DbError::Task),
            }
        }
        // Others are at it, or have come back to life: the next beat looks again.
        if !is_progress {
            return Ok(());
        }
    }
}

/// Erases the accounts whose owners wanted it, once nothing of theirs is under way, and tells the
/// operator of those that stay because of their balance.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
async fn erase(parts: &NodeParts, told: &LastTold) -> Result<(), DbError> {
    let (key, grace, now) = (parts.tombstones.clone(), parts.closing_grace, parts.clock.now());
    let debt_forgiven = parts.debt_forgiven;
    let erase = move |conn: &mut AnyConnection| {
        let erased = erasure::erase_due(conn, &key, (grace, debt_forgiven), now)?;
        Ok((erased, erasure::stuck(conn, grace, now)?))
    };
    let (erased, stuck) = parts.database.run(erase).await?;
    if erased > 0 {
        tracing::info!(count = erased, "accounts were erased");
    }
    parts.metrics.closings_stuck.set(i64::try_from(stuck.len()).unwrap_or(i64::MAX));
    if !stuck.is_empty() && told.is_over(now) {
        parts.metrics.count_alert("closing_with_balance");
        let accounts: Vec<&str> = stuck.iter().take(NAMED_MAX).map(String::as_str).collect();
        tracing::warn!(
            count = stuck.len(),
            ?accounts,
            "accounts cannot be erased: what came in after the wish is left on them, and was not waived"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_told_at_once_and_then_once_a_day() {
        let (told, begin) = (LastTold::default(), UnixMillis::from_millis(1_795_348_800_000));
        let tells = [0, 1, 86_399_999, 86_400_000, 86_400_001, 200_000_000];
        let tells = tells.map(|millis| told.is_over(begin.plus_millis(millis)));
        assert_eq!(tells, [true, false, false, true, false, true]);
    }
}
