//! The `Node` actor: keeps this node's lease, settles what dead nodes left open (E12), and erases accounts whose time
//! has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use super::ledger::LedgerHandle;
use crate::accounts::erasure;
use crate::db::{Database, DbError, nodes};
use crate::domain::clock::Clock;
use crate::domain::ids::{AccountId, RequestId};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::domain::usage_record::Ending;
use crate::ledger::{Command, Outcome};
use crate::metrics::Metrics;
use crate::tracker::Tracker;

/// How long a node counts as alive after its last word.
const LEASE: Duration = Duration::from_secs(30);
/// How often it says so, and looks for others that do not.
const RENEWAL: Duration = Duration::from_secs(10);
/// Reservations recovered in one go.
const RECOVERY_BATCH: i64 = 256;

/// What the actor works with.
#[derive(Clone)]
pub struct NodeParts {
    /// This node's name.
    pub node_id: Arc<str>,
    /// How long an account that is to be deleted may still be kept.
    pub closing_grace: Duration,
    /// What the deposits of an erased account are hashed with.
    pub tombstones: TombstoneKey,
    /// Where leases are.
    pub database: Database,
    /// Who settles.
    pub ledger: LedgerHandle,
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
    /// A beat that the database holds up is not joined by another.
    is_beating: Arc<AtomicBool>,
}

impl Node {
    /// Starts renewing and recovering.
    #[must_use]
    pub fn start(parts: NodeParts) -> Addr<Self> {
        Actor::start(Self { parts, is_beating: Arc::default() })
    }
}

impl Actor for Node {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(RENEWAL, |node, _| {
            if node.is_beating.swap(true, Ordering::AcqRel) {
                return;
            }
            let (parts, is_beating) = (node.parts.clone(), Arc::clone(&node.is_beating));
            let tracker = parts.tracker.clone();
            tracker.spawn(async move {
                if let Err(error) = beat(&parts).await {
                    tracing::warn!(error = %error, "lease or recovery failed; trying again");
                }
                if let Err(error) = erase(&parts).await {
                    tracing::warn!(error = %error, "accounts cannot be erased; trying again");
                }
                is_beating.store(false, Ordering::Release);
            });
        });
    }
}

/// Renews the lease and recovers what is orphaned.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
pub async fn beat(parts: &NodeParts) -> Result<(), DbError> {
    let until = parts.clock.now().plus_millis(millis(LEASE));
    let node_id = Arc::clone(&parts.node_id);
    parts.database.run(move |conn| nodes::renew(conn, &node_id, until)).await?;
    recover(parts).await
}

/// Settles every reservation whose node is dead, at its last checkpoint.
///
/// # Errors
/// [`DbError`] if the reservations cannot be listed.
pub async fn recover(parts: &NodeParts) -> Result<(), DbError> {
    loop {
        let now = parts.clock.now();
        let orphans = parts
            .database
            .run(move |conn| nodes::orphaned_reservations(conn, now, RECOVERY_BATCH))
            .await?;
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::warn!(count = orphans.len(), "settling reservations of nodes that are gone");
        // Together, so that the ledger commits them in groups.
        let settled = join_all(orphans.into_iter().map(|(id, account_id)| {
            let (id, account_id) = (RequestId::from_stored(id), AccountId(account_id));
            parts.ledger.apply(Command::Recover { id, account_id, ending: Ending::E12 })
        }));
        for outcome in settled.await {
            match outcome {
                Ok(Outcome::Posted) => parts.metrics.count_ending(Ending::E12, NanoUsd::ZERO),
                Ok(_) => {}
                Err(_) => return Err(DbError::Task),
            }
        }
    }
}

/// Erases the accounts whose owners wanted it, once nothing of theirs is under way.
///
/// # Errors
/// [`DbError`]; the next beat tries again.
async fn erase(parts: &NodeParts) -> Result<(), DbError> {
    let (key, grace, now) = (parts.tombstones.clone(), parts.closing_grace, parts.clock.now());
    let erased = parts.database.run(move |conn| erasure::erase_due(conn, &key, grace, now)).await?;
    if erased > 0 {
        tracing::info!(count = erased, "accounts were erased");
    }
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
