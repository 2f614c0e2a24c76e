//! The `Node` actor: keeps this node's lease, settles what dead nodes left open (E12), and erases accounts whose time
//! has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use super::ledger::LedgerHandle;
use crate::accounts::erasure;
use crate::db::{AnyConnection, Database, DbError, nodes, parked};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::{AccountId, RequestId};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::domain::usage_record::Ending;
use crate::ledger::{Command, Outcome};
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// How long a node counts as alive after its last word.
const LEASE: Duration = Duration::from_secs(30);
/// How often it says so, and looks for others that do not.
const RENEWAL: Duration = Duration::from_secs(10);
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
    /// Starts renewing and recovering.
    #[must_use]
    pub fn start(parts: NodeParts) -> Addr<Self> {
        Actor::start(Self { parts, is_beating: Arc::default(), told: Arc::default() })
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
            let told = Arc::clone(&node.told);
            let tracker = parts.tracker.clone();
            tracker.spawn(async move {
                if let Err(error) = beat(&parts).await {
                    tracing::warn!(error = %Causes(&error), "lease or recovery failed; trying again");
                }
                if let Err(error) = erase(&parts, &told).await {
                    tracing::warn!(error = %Causes(&error), "accounts cannot be erased; trying again");
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
    parts.database.run_apart(move |conn| nodes::renew(conn, &node_id, until)).await?;
    recover(parts).await?;
    parts.metrics.parked_settlements.set(parts.database.run(parked::count).await?);
    Ok(())
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

/// Erases the accounts whose owners wanted it, once nothing of theirs is under way, and tells the operator of those that
/// stay because of their balance.
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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
