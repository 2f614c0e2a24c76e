//! What comparisons with the upstreams' usage reports came to.

use prometheus::{GaugeVec, IntGaugeVec, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UtcDay;

/// Numbers on comparisons with usage reports.
#[derive(Clone, Debug)]
pub struct ReconciliationMetrics {
    ratio: GaugeVec,
    day: IntGaugeVec,
}

impl ReconciliationMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let ratio = GaugeVec::new(
            Opts::new(
                "sluice_reconcile_drift_ratio",
                "The largest difference between the upstream's usage report and the usage log, of \
                 any model and class, on the last day compared: 0 within the tolerance, 1 where \
                 only one side has usage.",
            ),
            &["upstream"],
        )?;
        let day = IntGaugeVec::new(
            Opts::new(
                "sluice_reconcile_day_timestamp_seconds",
                "The beginning of the last day that this node has compared.",
            ),
            &["upstream"],
        )?;
        registry.register(Box::new(ratio.clone()))?;
        registry.register(Box::new(day.clone()))?;
        Ok(Self { ratio, day })
    }

    /// The series of an upstream that is compared. One that is there stays as it is.
    pub(super) fn declare(&self, upstream: &str) {
        self.ratio.with_label_values(&[upstream]).add(0.0);
        self.day.with_label_values(&[upstream]).add(0);
    }

    /// A day was compared; its largest difference in thousandths of a percent.
    pub fn note(&self, upstream: &str, day: UtcDay, worst_milli_percent: u64) {
        let (whole, rest) = (worst_milli_percent / 100_000, worst_milli_percent % 100_000);
        // Through its decimals, since nothing here computes with fractions.
        let ratio = format!("{whole}.{rest:05}").parse().unwrap_or(1.0);
        self.ratio.with_label_values(&[upstream]).set(ratio);
        let seconds = day.begin().as_millis() / 1_000;
        self.day.with_label_values(&[upstream]).set(seconds);
    }
}
