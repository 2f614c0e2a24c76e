//! Jobs: whether they run, how many rows they deleted, and when they were last done. Metrics and
//! their labels keep the word chore, which dashboards know.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UnixMillis;

/// Bounds between which batches are told apart, in seconds: a batch of a purge aims at five
/// milliseconds.
const BOUNDS: [f64; 14] =
    [0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// Numbers on jobs.
#[derive(Clone, Debug)]
pub struct JobMetrics {
    running: IntGaugeVec,
    finished_at: IntGaugeVec,
    failures: IntCounterVec,
    deleted: IntCounterVec,
    batches: HistogramVec,
}

impl JobMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["chore"]);
        let running = gauge("sluice_chore_running", "Whether a chore is running (1) or not (0).")?;
        let finished_at = gauge(
            "sluice_chore_finished_timestamp_seconds",
            "When this node last finished a chore.",
        )?;
        let failures = IntCounterVec::new(
            Opts::new("sluice_chore_failures_total", "Chores stopped by an error."),
            &["chore"],
        )?;
        let deleted = IntCounterVec::new(
            Opts::new("sluice_purged_rows_total", "Deleted expired rows."),
            &["table"],
        )?;
        let batches = HistogramVec::new(
            HistogramOpts::new(
                "sluice_chore_piece_seconds",
                "How long each step of a purge, and each compaction, blocked other writes.",
            )
            .buckets(BOUNDS.to_vec()),
            &["chore"],
        )?;
        registry.register(Box::new(batches.clone()))?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(finished_at.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(deleted.clone()))?;
        Ok(Self { running, finished_at, failures, deleted, batches })
    }

    /// Makes the series of a job.
    pub fn declare(&self, job: &str) {
        self.failures.with_label_values(&[job]).inc_by(0);
    }

    /// A job begins.
    pub fn begin(&self, job: &str) {
        self.running.with_label_values(&[job]).set(1);
    }

    /// A batch of a job was done.
    pub fn observe_batch(&self, job: &str, held: Duration) {
        self.batches.with_label_values(&[job]).observe(held.as_secs_f64());
    }

    /// Rows were deleted.
    pub fn count_deleted(&self, table: &str, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.deleted.with_label_values(&[table]).inc_by(rows);
    }

    /// A job is done.
    pub fn finish(&self, job: &str, now: UnixMillis) {
        self.running.with_label_values(&[job]).set(0);
        self.finished_at.with_label_values(&[job]).set(now.as_millis() / 1000);
    }

    /// A job failed.
    pub fn fail(&self, job: &str) {
        self.running.with_label_values(&[job]).set(0);
        self.failures.with_label_values(&[job]).inc();
    }
}
