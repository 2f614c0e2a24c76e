//! What is asked of upstreams and comes of it. An upstream is known by the operator's name for it.

use std::time::Duration;

use super::registry::DescribedRegistry;
use crate::domain::usage_record::UsageRecord;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};

/// Whose fault it may be that there is no answer, as `upstream::fault` names it.
const FAULTS: [&str; 8] =
    ["request", "not_there", "forbidden", "credential", "limited", "broken", "unreachable", "slow"];
/// What caches did for a prompt.
const CLASSES: [&str; 3] = ["uncached", "written", "read"];

/// Counters of calls to upstreams.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    requests: IntCounterVec,
    head_seconds: HistogramVec,
    resting: IntGaugeVec,
    prompt_tokens: IntCounterVec,
    open: IntGaugeVec,
    open_max: IntGaugeVec,
}

impl UpstreamMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("sluice_upstream_requests_total", "Requests to upstreams, by outcome."),
            &["upstream", "outcome"],
        )?;
        let buckets = vec![0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
        let head_seconds = HistogramVec::new(
            HistogramOpts::new(
                "sluice_upstream_head_seconds",
                "Time to the head of a response or refusal.",
            )
            .buckets(buckets),
            &["upstream"],
        )?;
        let resting = IntGaugeVec::new(
            Opts::new(
                "sluice_upstream_resting",
                "1 while no account's requests go to the upstream.",
            ),
            &["upstream"],
        )?;
        let prompt_tokens = IntCounterVec::new(
            Opts::new(
                "sluice_upstream_prompt_tokens_total",
                "Prompt tokens: uncached, written to a cache, or read from one.",
            ),
            &["upstream", "class"],
        )?;
        let gauge = |name, help| {
            super::registered(registry, IntGaugeVec::new(Opts::new(name, help), &["upstream"]))
        };
        let open = gauge("sluice_upstream_open", "Requests that an upstream has from this node.")?;
        let open_max = gauge(
            "sluice_upstream_open_limit",
            "Requests that an upstream may have from this node, if that is limited.",
        )?;
        registry.register(Box::new(prompt_tokens.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(head_seconds.clone()))?;
        registry.register(Box::new(resting.clone()))?;
        Ok(Self { requests, head_seconds, resting, prompt_tokens, open, open_max })
    }

    /// Makes the series of an upstream.
    pub(super) fn declare(&self, upstream: &str, open_max: Option<usize>) {
        for outcome in ["answered", "full"].into_iter().chain(FAULTS) {
            self.requests.with_label_values(&[upstream, outcome]).inc_by(0);
        }
        for class in CLASSES {
            self.prompt_tokens.with_label_values(&[upstream, class]).inc_by(0);
        }
        let _series: prometheus::Histogram = self.head_seconds.with_label_values(&[upstream]);
        self.resting.with_label_values(&[upstream]).add(0);
        if let Some(most) = open_max {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            self.open_max.with_label_values(&[upstream]).set(most);
        }
    }

    /// Leaves out an upstream that is no longer configured: none of its states is of use.
    pub fn forget(&self, upstream: &str) {
        // What was never shown is no error.
        drop(self.resting.remove_label_values(&[upstream]));
        drop(self.open.remove_label_values(&[upstream]));
        drop(self.open_max.remove_label_values(&[upstream]));
    }

    /// What counts the requests that an upstream has.
    #[must_use]
    pub fn open(&self, upstream: &str) -> IntGauge {
        self.open.with_label_values(&[upstream])
    }

    /// Counts a request: `answered`, or whose fault it was that it was not.
    pub fn count(&self, upstream: &str, outcome: &str) {
        self.requests.with_label_values(&[upstream, outcome]).inc();
    }

    /// Notes how long a head took, be it an answer's or a refusal's.
    pub fn observe_head(&self, upstream: &str, took: Duration) {
        self.head_seconds.with_label_values(&[upstream]).observe(took.as_secs_f64());
    }

    /// Counts the prompt of an exchange by what caches did for it.
    pub fn count_prompt(&self, record: &UsageRecord) {
        let Some(upstream) = record.upstream.as_deref() else { return };
        let written = record.cache_write_5m_tokens.saturating_add(record.cache_write_1h_tokens);
        let counts = [record.input_tokens, written, record.cache_read_tokens];
        for (class, tokens) in CLASSES.into_iter().zip(counts) {
            let tokens = u64::try_from(tokens).unwrap_or(0);
            self.prompt_tokens.with_label_values(&[upstream, class]).inc_by(tokens);
        }
    }

    /// Notes whether an upstream is left alone.
    pub fn set_resting(&self, upstream: &str, is_resting: bool) {
        self.resting.with_label_values(&[upstream]).set(is_resting.into());
    }
}
