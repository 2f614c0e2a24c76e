//! What becomes of the spans of traces.

use prometheus::{IntCounterVec, Opts};

use super::registered;
use super::registry::DescribedRegistry;

/// See the module.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    spans: IntCounterVec,
}

impl TraceMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let help = "Spans of traces: sent, dropped since too many wait, or failed to be sent.";
        let spans = IntCounterVec::new(Opts::new("sluice_trace_spans_total", help), &["outcome"]);
        let metrics = Self { spans: registered(registry, spans)? };
        for outcome in ["sent", "dropped", "failed"] {
            metrics.count(outcome, 0);
        }
        Ok(metrics)
    }

    /// Counts spans: `sent`, `dropped` or `failed`.
    pub fn count(&self, outcome: &str, spans: usize) {
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        self.spans.with_label_values(&[outcome]).inc_by(spans);
    }
}
