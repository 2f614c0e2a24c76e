//! Looks once a minute whether each part of the service is well, and has it counted for the history
//! on the status page.
//!
//! A minute in which the database took nothing is counted as soon as it does again: as long as it
//! is away, nothing is served. Nothing is counted of the time in which the program did not run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::handlers::Handlers;
use crate::api::status;
use crate::api::status::days::{self, MissedMinutes};
use crate::context::AppContext;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::telemetry::Causes;

/// Between two looks.
const PAUSE: Duration = Duration::from_mins(1);

/// Starts it. The first look is a minute after the start.
pub(super) fn keep(context: &Arc<AppContext>, handlers: watch::Receiver<Arc<Handlers>>) {
    let kept = Arc::clone(context);
    context.tracker.spawn(async move {
        let first = Instant::now().checked_add(PAUSE).unwrap_or_else(Instant::now);
        let mut ticks = tokio::time::interval_at(first, PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut missed = MissedMinutes::default();
        loop {
            tokio::select! {
                () = kept.tracker.draining() => return,
                _ = ticks.tick() => {}
            }
            let now = kept.clock.now();
            let current = Arc::clone(&handlers.borrow());
            match look(&kept, &current, missed.clone(), now).await {
                Ok(()) => missed = MissedMinutes::default(),
                Err(error) => {
                    tracing::debug!(error = %Causes(&error), "the status could not be counted");
                    missed.add(now.day());
                }
            }
        }
    });
}

async fn look(
    context: &AppContext,
    handlers: &Handlers,
    missed: MissedMinutes,
    now: UnixMillis,
) -> Result<(), DbError> {
    let parts = status::standing(&handlers.api).await?.parts();
    let node_id = Arc::clone(&context.node_id);
    let count = move |conn: &mut AnyConnection| days::count(conn, &node_id, (&parts, &missed), now);
    context.database.run(count).await
}
