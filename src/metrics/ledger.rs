//! The books: how they are written, and what they add up to.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntGauge, IntGaugeVec, Opts};

use super::registered;
use super::registry::DescribedRegistry;
use crate::domain::money::NanoUsd;

/// Bounds of a group's size, in commands.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// Bounds of a commit's time, in seconds.
const COMMIT: [f64; 13] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// See the module.
#[derive(Clone, Debug)]
pub struct LedgerMetrics {
    group_commands: Histogram,
    commit_seconds: Histogram,
    /// Whether the database takes writes (1) or not (0), as far as this node knows.
    pub database_answers: IntGauge,
    liabilities: IntGaugeVec,
    deposits: IntGaugeVec,
}

impl LedgerMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let histogram = |name, help, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            registered(registry, Histogram::with_opts(options))
        };
        let gauges = |name, help, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let database_answers = IntGauge::new(
            "sluice_database_answers",
            "Whether the database takes this node's writes (1) or not (0).",
        );
        let metrics = Self {
            group_commands: histogram(
                "sluice_ledger_group_commands",
                "Commands of the ledger that were committed together.",
                &SIZES,
            )?,
            commit_seconds: histogram(
                "sluice_ledger_commit_seconds",
                "Time of a commit of the ledger.",
                &COMMIT,
            )?,
            database_answers: registered(registry, database_answers)?,
            liabilities: gauges(
                "sluice_liabilities_nanousd",
                "Sum of all balances, in billionths of a dollar: what is available, and what is \
                 reserved for running requests. Only one node shows it.",
                &["part"],
            )?,
            deposits: gauges(
                "sluice_deposits",
                "Deposits by state. Only one node shows them.",
                &["chain", "state"],
            )?,
        };
        metrics.database_answers.set(1);
        Ok(metrics)
    }

    /// Notes a group that was committed.
    pub fn observe_group(&self, commands: usize, took: Duration) {
        self.group_commands.observe(u32::try_from(commands).map_or(f64::MAX, f64::from));
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Notes what is owed to all accounts together.
    pub fn set_liabilities(&self, available: NanoUsd, reserved: NanoUsd) {
        for (part, amount) in [("available", available), ("reserved", reserved)] {
            self.liabilities.with_label_values(&[part]).set(amount.as_nanos());
        }
    }

    /// Notes how many deposits of a chain are in a state.
    pub fn set_deposits(&self, chain: &str, state: &str, count: i64) {
        self.deposits.with_label_values(&[chain, state]).set(count);
    }

    /// Leaves the sums to another node.
    pub fn forget_sums(&self) {
        self.liabilities.reset();
        self.deposits.reset();
    }
}
