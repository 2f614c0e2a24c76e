//! What comparisons with the upstreams' usage reports came to.

use prometheus::{GaugeVec, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UtcDay;

/// Numbers on comparisons with usage reports.
#[derive(Clone, Debug)]
pub struct ReconciliationMetrics {
    ratio: GaugeVec,
    day: GaugeVec,
}

impl ReconciliationMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let gauge = |name, help| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["upstream"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            ratio: gauge(
                "sluice_reconcile_drift_ratio",
                "The largest difference between the upstream's usage report and the usage log, of \
                 any model and class, on the last day compared: 0 within the tolerance, 1 where \
                 only one side has usage.",
            )?,
            day: gauge(
                "sluice_reconcile_day_timestamp_seconds",
                "The beginning of the last day that this node has compared.",
            )?,
        })
    }

    /// A day was compared; its largest difference in thousandths of a percent.
    pub fn note(&self, upstream: &str, day: UtcDay, worst_milli_percent: u64) {
        let worst = u32::try_from(worst_milli_percent).unwrap_or(u32::MAX);
        self.ratio.with_label_values(&[upstream]).set(f64::from(worst) / 100_000.0);
        // Whole days fit for some millions of years.
        let day = i32::try_from(day.number()).unwrap_or(i32::MAX);
        self.day.with_label_values(&[upstream]).set(f64::from(day) * 86_400.0);
    }
}
