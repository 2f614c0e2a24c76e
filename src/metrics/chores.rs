//! What is done now and then: whether it runs, how much went, and when it was last done.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UnixMillis;

/// Bounds between which pieces are told apart, in seconds: a piece of a purge aims at five
/// milliseconds.
const BOUNDS: [f64; 14] =
    [0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// Numbers on chores.
#[derive(Clone, Debug)]
pub struct ChoreMetrics {
    running: IntGaugeVec,
    finished_at: IntGaugeVec,
    failures: IntCounterVec,
    deleted: IntCounterVec,
    pieces: HistogramVec,
}

impl ChoreMetrics {
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
        let pieces = HistogramVec::new(
            HistogramOpts::new(
                "sluice_chore_piece_seconds",
                "How long each step of a purge, and each compaction, blocked other writes.",
            )
            .buckets(BOUNDS.to_vec()),
            &["chore"],
        )?;
        registry.register(Box::new(pieces.clone()))?;
        registry.register(Box::new(running.clone()))?;
        registry.register(Box::new(finished_at.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(deleted.clone()))?;
        Ok(Self { running, finished_at, failures, deleted, pieces })
    }

    /// A chore begins.
    pub fn begin(&self, chore: &str) {
        self.running.with_label_values(&[chore]).set(1);
    }

    /// A piece of a chore was done.
    pub fn observe_piece(&self, chore: &str, held: Duration) {
        self.pieces.with_label_values(&[chore]).observe(held.as_secs_f64());
    }

    /// Rows have gone.
    pub fn count_deleted(&self, table: &str, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.deleted.with_label_values(&[table]).inc_by(rows);
    }

    /// A chore is done.
    pub fn finish(&self, chore: &str, now: UnixMillis) {
        self.running.with_label_values(&[chore]).set(0);
        self.finished_at.with_label_values(&[chore]).set(now.as_millis() / 1000);
    }

    /// A chore was broken off.
    pub fn fail(&self, chore: &str) {
        self.running.with_label_values(&[chore]).set(0);
        self.failures.with_label_values(&[chore]).inc();
    }
}
