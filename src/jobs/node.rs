//! The `NodeActor` actor: keeps this node's lease, and recovers what dead nodes left open (E12):
//! the recovery after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use crate::context::AppContext;
use crate::context::lease_state::{LEASE, RENEWAL};
use crate::db::models::nodes::{self, NodeReport, Renewed};
use crate::db::models::parked;
use crate::db::{DbError, compatibility};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::RequestId;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Outcome;
use crate::ledger::{Command, Effect};
use crate::telemetry::Causes;

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
/// Reservations recovered in one go.
const RECOVERY_BATCH: i64 = 256;

/// See the module.
pub struct NodeActor {
    context: Arc<AppContext>,
    is_renewing: Arc<AtomicBool>,
    is_polling: Arc<AtomicBool>,
}

impl NodeActor {
    fn start(context: Arc<AppContext>) -> Addr<Self> {
        Actor::start(Self { context, is_renewing: Arc::default(), is_polling: Arc::default() })
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The lease has a timer of its own: whatever holds up the rest does not keep it from being
        // renewed.
        ctx.run_interval(RENEWAL, |node, _| {
            let context = Arc::clone(&node.context);
            unless_running(&node.is_renewing, &node.context, async move {
                if let Err(error) = renew(&context).await {
                    let error = Causes(&error);
                    tracing::warn!(%error, "the lease could not be renewed; trying again");
                }
            });
        });
        ctx.run_interval(RENEWAL, |node, _| {
            let context = Arc::clone(&node.context);
            unless_running(&node.is_polling, &node.context, async move {
                if let Err(error) = check_schema(&context).await {
                    let error = Causes(&error);
                    tracing::warn!(%error, "the schema's version cannot be read; trying again");
                }
                if let Err(error) = look_after_the_dead(&context).await {
                    tracing::warn!(error = %Causes(&error), "recovery failed; trying again");
                }
            });
        });
    }
}

/// Spawns work, unless the same is under way: what the database holds up is not joined by another.
fn unless_running(
    is_running: &Arc<AtomicBool>,
    context: &AppContext,
    work: impl Future<Output = ()> + 'static,
) {
    if is_running.swap(true, Ordering::AcqRel) {
        return;
    }
    let is_running = Arc::clone(is_running);
    context.tracker.spawn(async move {
        work.await;
        is_running.store(false, Ordering::Release);
    });
}

/// Takes or renews the lease. Does not wait for a database that says nothing.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
pub async fn renew(context: &AppContext) -> Result<(), DbError> {
    context.standing.note_try();
    let mut renewed = renew_once(context).await;
    for _ in 1..TRIES {
        if renewed.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        renewed = renew_once(context).await;
    }
    context.metrics.ledger.database_answers.set(renewed.is_ok().into());
    let (renewed, drift_millis) = renewed?;
    if context.standing.note(&renewed) {
        context.metrics.count_alert("the lease had run out");
        tracing::warn!("the lease had run out: other nodes may have settled what runs here");
    }
    note_drift(context, drift_millis);
    Ok(())
}

/// One try; with how far this machine's clock is ahead.
async fn renew_once(context: &AppContext) -> Result<(Renewed, i64), DbError> {
    let (node_id, clock) = (Arc::clone(&context.node_id), context.clock.clone());
    let word = NodeReport {
        started_at: context.standing.started_at(),
        lapses: i64::try_from(context.standing.lapses()).unwrap_or(i64::MAX),
        open_exchanges: context.metrics.open_exchanges.get(),
        max_streams: i64::try_from(context.settings.server.max_streams).unwrap_or(i64::MAX),
    };
    let renewal = context
        .database
        .run_apart(move |conn| nodes::renew(conn, (&node_id, &word), LEASE, &clock));
    tokio::time::timeout(TRY, renewal).await.map_err(|_| DbError::Silent)?
}

/// Takes the lease, settles what dead nodes left open, and goes on renewing and recovering.
/// `is_alone` says that no other process can have this database.
///
/// # Errors
/// [`DbError`], [`DbError::Adrift`] among them.
pub async fn begin(context: Arc<AppContext>, is_alone: bool) -> Result<(), DbError> {
    if is_alone {
        context.database.run(nodes::forget_all).await?;
    }
    renew(&context).await?;
    let drift = context.metrics.clock_drift_millis.get();
    if drift.unsigned_abs() > DRIFT_MAX {
        return Err(DbError::Adrift(drift));
    }
    let recovery = look_after_the_dead(&context);
    if let Ok(done) = tokio::time::timeout(RECOVERY_AT_START, recovery).await {
        done?;
    } else {
        tracing::warn!("recovery takes long and continues while this node serves");
    }
    drop(NodeActor::start(context));
    Ok(())
}

/// Says how far this node's clock is from the database's.
fn note_drift(context: &AppContext, drift_millis: i64) {
    context.metrics.clock_drift_millis.set(drift_millis);
    if drift_millis.unsigned_abs() > DRIFT_TOLD {
        tracing::warn!(drift_millis, "this machine's clock and the database's differ");
    }
}

/// Looks whether the database is still for this program: another may have migrated it.
async fn check_schema(context: &AppContext) -> Result<(), DbError> {
    match context.database.run(compatibility::check).await {
        Err(error @ DbError::Superseded { .. }) => {
            tracing::error!(error = %Causes(&error), "the database was migrated");
            context.standing.supersede();
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
pub async fn look_after_the_dead(context: &AppContext) -> Result<(), DbError> {
    if let Some(judged_at) = context.standing.judges_at() {
        recover(context, judged_at).await?;
        let before = judged_at.minus(FORGOTTEN);
        context.database.run(move |conn| nodes::forget_dead(conn, before)).await?;
    }
    context.metrics.parked_settlements.set(context.database.run(parked::count).await?);
    Ok(())
}

/// Settles every reservation whose node was dead at `judged_at`, at its last checkpoint.
///
/// # Errors
/// [`DbError`] if the reservations cannot be listed or the ledger is gone.
pub async fn recover(context: &AppContext, judged_at: UnixMillis) -> Result<(), DbError> {
    loop {
        let orphans = context
            .database
            .run(move |conn| nodes::orphaned_reservations(conn, judged_at, RECOVERY_BATCH))
            .await?;
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::warn!(count = orphans.len(), "settling reservations of dead nodes");
        // Together, so that the ledger commits them in groups.
        let settled = join_all(orphans.into_iter().map(|(id, account_id)| {
            let id = RequestId::from_stored(id);
            let (ending, judged_at) = (Outcome::Killed, Some(judged_at));
            context.ledger.apply(Command::Recover { id, account_id, ending, judged_at })
        }));
        let mut is_progress = false;
        for outcome in settled.await {
            match outcome {
                Ok(Effect::Posted) => {
                    context.metrics.count_ending(Outcome::Killed, NanoUsd::ZERO);
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
