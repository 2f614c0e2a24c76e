//! Makes what all parts of a node share.

use std::sync::Arc;

use super::StartError;
use crate::config::Settings;
use crate::context::reload_requests::ReloadQueue;
use crate::context::{AppContext, ReloadRequests};
use crate::db::Database;
use crate::domain::clock::Clock;
use crate::domain::ids::{NoRandomness, public_id};
use crate::domain::tombstone::TombstoneKey;
use crate::holds::Holds;
use crate::ledger::actor::{LedgerHandle, LedgerThreads};
use crate::mail::mailer::OutboxNotifier;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::places::shares::Shares;
use crate::traces;
use crate::tracker::Tracker;

/// What all parts share; with the ledger's threads, and where reloads are asked for.
pub(super) fn assemble(
    (settings, database, tombstones, clock): (Arc<Settings>, Database, TombstoneKey, Clock),
    tls: &Arc<rustls::ClientConfig>,
) -> Result<(Arc<AppContext>, LedgerThreads, ReloadQueue), StartError> {
    let metrics = Arc::new(Metrics::new().map_err(StartError::Metrics)?);
    metrics.declare(&settings);
    metrics.settings.note_loaded(clock.now());
    let (ledger, ledger_threads) = LedgerHandle::start(&database, &clock, &metrics);
    let node_id: Arc<str> = new_name(&settings)?.into();
    let traces = traces::start(&settings.otlp, (&clock, &node_id), &metrics.traces, tls)
        .map_err(StartError::Traces)?;
    let stream = &settings.stream;
    let (reloads, reload_queue) = ReloadRequests::new();
    let context = Arc::new(AppContext {
        database,
        tombstones,
        ledger,
        clock,
        tracker: Tracker::default(),
        node_id,
        standing: Arc::default(),
        drains: Places::new(Shares::new(stream.drains_max, stream.drains_max_per_account)),
        holds: Arc::new(Holds::new(&settings.reservation)),
        refusals: Arc::default(),
        metrics,
        traces,
        mail: OutboxNotifier::default(),
        reloads,
        settings,
    });
    Ok((context, ledger_threads, reload_queue))
}

/// New with every start: what the process before it left open is found by its old name.
fn new_name(settings: &Settings) -> Result<String, NoRandomness> {
    let name = settings.server.node_id.as_deref().unwrap_or("node");
    public_id(&format!("{name}_"))
}
