//! What is asked of the chains' providers. A provider is known by the operator's name for it, never
//! by its address.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::registry::DescribedRegistry;

/// Counters of calls to providers.
#[derive(Clone, Debug)]
pub struct RpcMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
}

impl RpcMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let calls = IntCounterVec::new(
            Opts::new("sluice_rpc_calls_total", "Calls to chain providers, by outcome."),
            &["chain", "provider", "method", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "sluice_rpc_request_seconds",
                "Duration of requests to chain providers.",
            ),
            &["chain", "provider"],
        )?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { calls, seconds })
    }

    /// Makes the series of a provider that does not depend on what is asked of it.
    pub(super) fn declare(&self, chain: &str, provider: &str) {
        let _series: prometheus::Histogram = self.seconds.with_label_values(&[chain, provider]);
    }

    /// Counts a call. The outcome is `ok`, `refused`, or the word of the error; a call that was
    /// never sent counts with the reason.
    pub fn count_call(&self, chain: &str, provider: &str, method: &str, outcome: &str) {
        self.calls.with_label_values(&[chain, provider, method, outcome]).inc();
    }

    /// Notes how long a request took, whatever came of it.
    pub fn observe(&self, chain: &str, provider: &str, took: Duration) {
        self.seconds.with_label_values(&[chain, provider]).observe(took.as_secs_f64());
    }
}
