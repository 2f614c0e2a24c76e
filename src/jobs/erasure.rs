//! The job that erases accounts whose owners have deleted them, once nothing of theirs is under
//! way, and tells the operator of those that stay because of their balance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::job::{Batch, Job, JobError, Turn};
use super::plan::Plan;
use crate::accounts::deletion::erasure;
use crate::context::AppContext;
use crate::db::AnyConnection;
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use crate::metrics::Metrics;
use crate::telemetry::Causes;

/// How often it runs.
const POLL: Duration = Duration::from_secs(10);
/// How often the operator is told of the same.
const REMINDER: Duration = Duration::from_hours(24);
/// Accounts that a line of the log names.
const NAMED_MAX: usize = 10;

/// See the module.
#[derive(Clone)]
struct Erasure {
    /// What the deposits of an erased account are hashed with.
    tombstones: TombstoneKey,
    /// How long an account that is to be deleted may still be kept.
    grace: Duration,
    /// With what debt an account goes without a trace.
    debt_forgiven: NanoUsd,
    told: Arc<LastTold>,
    metrics: Arc<Metrics>,
}

/// Every ten seconds.
pub(super) fn plan(context: &AppContext) -> Plan {
    let erasure = Erasure {
        tombstones: context.tombstones.clone(),
        grace: context.settings.accounts.closing_grace,
        debt_forgiven: context.settings.deposits.debt_forgiven,
        told: Arc::default(),
        metrics: Arc::clone(&context.metrics),
    };
    Plan::of(move |_| erasure.clone()).every(POLL)
}

impl Job for Erasure {
    const NAME: &'static str = "erasure";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let rules = (self.grace, self.debt_forgiven);
        let erased = erasure::erase_due(conn, &self.tombstones, rules, now)?;
        let stuck = erasure::stuck(conn, self.grace, now)?;
        if erased > 0 {
            tracing::info!(count = erased, "accounts were erased");
        }
        self.metrics.closings_stuck.set(i64::try_from(stuck.len()).unwrap_or(i64::MAX));
        if !stuck.is_empty() && self.told.is_over(now) {
            self.metrics.count_alert("closing_with_balance");
            let accounts: Vec<&str> = stuck.iter().take(NAMED_MAX).map(String::as_str).collect();
            tracing::warn!(
                count = stuck.len(),
                ?accounts,
                "accounts cannot be erased: what came in after the wish is left on them, and was \
                 not waived"
            );
        }
        Ok(Batch { rows: erased, is_last: true, ..Batch::default() })
    }

    fn log_failure(error: &JobError) {
        tracing::warn!(error = %Causes(error), "accounts cannot be erased; trying again");
    }
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
