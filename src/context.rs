//! What all parts of a running server share: settings, storage, the ledger, time, and how to stop.

pub mod lease_state;
pub mod reload_requests;

use std::sync::Arc;

use crate::accounts::usage::refusals::RefusalCounts;
use crate::config::Settings;
use crate::db::Database;
use crate::domain::clock::Clock;
use crate::domain::tombstone::TombstoneKey;
use crate::holds::Holds;
use crate::ledger::actor::LedgerHandle;
use crate::mail::mailer::OutboxNotifier;
use crate::metrics::Metrics;
use crate::places::shares::SharedPlaces;
use crate::traces::Tracer;
use crate::tracker::Tracker;
use crate::upstream::node::CallContext;
pub use lease_state::LeaseState;
pub use reload_requests::ReloadRequests;

/// The main components of this node. After a reload there is another one, with the same parts but
/// other settings: who has begun with one goes on with it.
#[derive(Clone)]
pub struct AppContext {
    /// Everything that can be set.
    pub settings: Arc<Settings>,
    /// Storage.
    pub database: Database,
    /// What hashes the deposits of erased accounts.
    pub tombstones: TombstoneKey,
    /// The only path of money.
    pub ledger: LedgerHandle,
    /// Time.
    pub clock: Clock,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// This node's name.
    pub node_id: Arc<str>,
    /// How this node stands among the others.
    pub standing: Arc<LeaseState>,
    /// Streams that may be drained at once.
    pub drains: Arc<SharedPlaces>,
    /// What is known for holds.
    pub holds: Arc<Holds>,
    /// Requests that were refused here.
    pub refusals: Arc<RefusalCounts>,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
    /// Records exchanges for a collector.
    pub traces: Tracer,
    /// To be rung after mail was put into the outbox.
    pub mail: OutboxNotifier,
    /// Who is asked to read the settings again.
    pub reloads: ReloadRequests,
}

impl AppContext {
    /// The same parts with other settings.
    #[must_use]
    pub fn with_settings(&self, settings: Arc<Settings>) -> Self {
        Self { settings, ..self.clone() }
    }

    /// What a call to an upstream sees of this node.
    #[must_use]
    pub fn node(&self) -> CallContext {
        CallContext {
            metrics: Arc::clone(&self.metrics),
            tracker: self.tracker.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Tells the operator of something that should not happen: each time in the metrics, once a
    /// day in the log.
    pub fn alert(&self, what: &'static str) {
        self.metrics.count_alert(what);
        if self.metrics.is_first_today(what, "", self.clock.now()) {
            tracing::warn!(what, "alert; it is counted, and not logged again today");
        }
    }
}
