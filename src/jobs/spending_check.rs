//! The check for accounts that spend far more than they used to.

use std::sync::Arc;

use super::job::{Batch, Job, JobError, Turn};
use super::plan::Plan;
use crate::accounts::spending;
use crate::config::Abuse;
use crate::context::AppContext;
use crate::db::AnyConnection;
use crate::domain::clock::UnixMillis;
use crate::metrics::Metrics;
use crate::telemetry::Causes;

/// See the module.
#[derive(Clone)]
struct SpendingCheck {
    /// What is unusual.
    settings: Abuse,
    metrics: Arc<Metrics>,
}

/// Every `abuse.spend_check`; `None` if it is switched off.
pub(super) fn plan(context: &AppContext) -> Option<Plan> {
    let settings = context.settings.abuse.clone();
    let pause = settings.watches_spending().then_some(settings.spend_check)?;
    let check = SpendingCheck { settings, metrics: Arc::clone(&context.metrics) };
    Some(Plan::of(move |_| check.clone()).every(pause))
}

impl Job for SpendingCheck {
    const NAME: &'static str = "spending_check";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        for account in spending::look(conn, &self.settings, now)? {
            self.metrics.count_alert("unusual_spending");
            tracing::warn!(account, "an account spends far more than usual");
        }
        Ok(Batch { is_last: true, ..Batch::default() })
    }

    fn log_failure(error: &JobError) {
        tracing::warn!(error = %Causes(error), "spending cannot be checked");
    }
}
