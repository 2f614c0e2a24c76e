//! What a server does now and then of its own accord, beside its jobs: nothing of it is written
//! down, and nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use crate::context::AppContext;
use crate::db::write_ahead_log;
use crate::telemetry::Causes;

/// How often it is looked whether the caches of known prompts are over.
const FORGET: Duration = Duration::from_secs(30);
/// How long refused requests are counted in memory alone.
const REFUSALS_WRITTEN: Duration = Duration::from_secs(10);
/// Between two copies of SQLite's log.
const LOG_COPIED: Duration = Duration::from_secs(1);

/// What is known of prompts lives as long as the upstream's caches, whether or not anybody sends
/// more.
pub(super) fn forget_in_time(context: &Arc<AppContext>) {
    if context.settings.reservation.known_prefixes_max == 0 {
        return;
    }
    every(FORGET, context, async |context| context.holds.forget(context.clock.now()));
}

/// Copies SQLite's log into its file while nobody waits for it. Whoever commits does it where the
/// log has grown long all the same (`wal_autocheckpoint`), and is as much slower.
pub(super) fn keep_log_short(context: &Arc<AppContext>) {
    if context.database.sqlite_path().is_none() {
        return;
    }
    every(LOG_COPIED, context, async |context| {
        if let Err(error) = context.database.run(write_ahead_log::shorten).await {
            tracing::debug!(error = %Causes(&error), "SQLite's log could not be copied");
        }
    });
}

/// Writes what was counted of refused requests.
pub(super) fn write_refusals(context: &Arc<AppContext>) {
    every(REFUSALS_WRITTEN, context, async |context| {
        let refusals = Arc::clone(&context.refusals);
        if let Err(error) = context.database.run(move |conn| refusals.write(conn)).await {
            tracing::warn!(error = %Causes(&error), "counts of refused requests wait to be stored");
        }
    });
}

/// Does some work again and again, with so long in between, until the server stops.
fn every(pause: Duration, context: &Arc<AppContext>, work: impl AsyncFn(&AppContext) + 'static) {
    let kept = Arc::clone(context);
    context.tracker.spawn(async move {
        loop {
            tokio::select! {
                () = kept.tracker.draining() => return,
                () = tokio::time::sleep(pause) => {}
            }
            work(&kept).await;
        }
    });
}
