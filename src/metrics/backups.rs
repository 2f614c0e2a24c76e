//! Scheduled backups: when the newest was made, and how often none could be.

use std::time::Duration;

use prometheus::{IntCounter, IntGauge};

use super::registry::DescribedRegistry;
use crate::domain::clock::UnixMillis;

/// Numbers on backups.
#[derive(Clone, Debug)]
pub struct BackupMetrics {
    finished_at: IntGauge,
    interval: IntGauge,
    failures: IntCounter,
}

impl BackupMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let finished_at = IntGauge::new(
            "sluice_backup_finished_timestamp_seconds",
            "When the newest scheduled backup was made; 0 if there is none.",
        )?;
        let interval = IntGauge::new(
            "sluice_backup_interval_seconds",
            "Time between two scheduled backups; 0 if none are scheduled.",
        )?;
        let failures =
            IntCounter::new("sluice_backup_failures_total", "Scheduled backups that failed.")?;
        registry.register(Box::new(finished_at.clone()))?;
        registry.register(Box::new(interval.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { finished_at, interval, failures })
    }

    /// The newest backup is of this moment.
    pub fn set_finished(&self, at: UnixMillis) {
        self.finished_at.set(at.as_millis() / 1000);
    }

    /// One is due so often.
    pub fn set_interval(&self, every: Duration) {
        self.interval.set(i64::try_from(every.as_secs()).unwrap_or(i64::MAX));
    }

    /// None could be made.
    pub fn count_failure(&self) {
        self.failures.inc();
    }
}
