//! What exchanges hold, use and cost, and how soon and how steadily they are answered. A model is
//! known by its id in the settings, an upstream by its name there.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};

use super::registered;
use super::registry::DescribedRegistry;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::UsageRecord;

/// Bounds of the time to a response's first byte, in seconds.
const FIRST_BYTE: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];
/// Bounds of the longest silence within a stream, in seconds.
const GAP: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 120.0];
/// Kinds of tokens: each has its own price.
const KINDS: [&str; 5] = ["input", "cache_write_5m", "cache_write_1h", "cache_read", "output"];

/// See the module.
#[derive(Clone, Debug)]
pub struct ExchangeMetrics {
    endings: IntCounterVec,
    first_byte_seconds: HistogramVec,
    gap_seconds: HistogramVec,
    tokens: IntCounterVec,
    billed_nanousd: IntCounterVec,
    /// Exchanges that may be open on this node.
    pub open_max: IntGauge,
    /// Streams that are being relayed.
    pub open_streams: IntGauge,
    /// Reservations of the exchanges that run here.
    pub holds: IntGauge,
    /// What they hold.
    pub held_nanousd: IntGauge,
}

/// A stream that is counted as open until this is dropped.
pub struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ExchangeMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let counters = |name, help, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name, help| registered(registry, IntGauge::new(name, help));
        let seconds = |name, help, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            registered(registry, HistogramVec::new(options, &["upstream"]))
        };
        Ok(Self {
            endings: counters(
                "sluice_upstream_exchanges_total",
                "Settled requests by the upstream that was asked last, and ending.",
                &["upstream", "ending"],
            )?,
            first_byte_seconds: seconds(
                "sluice_first_byte_seconds",
                "Time from a request to the beginning of its response.",
                &FIRST_BYTE,
            )?,
            gap_seconds: seconds(
                "sluice_stream_gap_seconds",
                "The longest silence of the upstream within a stream, one for each stream.",
                &GAP,
            )?,
            tokens: counters(
                "sluice_tokens_total",
                "Charged tokens by the model that was asked for.",
                &["model", "kind"],
            )?,
            billed_nanousd: counters(
                "sluice_model_billed_nanousd_total",
                "Amount charged by the model that was asked for, in billionths of a dollar.",
                &["model"],
            )?,
            open_max: gauge(
                "sluice_open_exchanges_limit",
                "Requests that this node takes at once: `server.max_streams`.",
            )?,
            open_streams: gauge("sluice_open_streams", "Streams being relayed.")?,
            holds: gauge("sluice_holds", "Reservations of requests in progress on this node.")?,
            held_nanousd: gauge(
                "sluice_held_nanousd",
                "Amount held by the requests in progress on this node, in billionths of a dollar.",
            )?,
        })
    }

    /// Makes the series of an upstream.
    pub(super) fn declare_upstream(&self, upstream: &str) {
        let histograms = [&self.first_byte_seconds, &self.gap_seconds];
        let _series: [Histogram; 2] =
            histograms.map(|histogram| histogram.with_label_values(&[upstream]));
    }

    /// Makes the series of a model.
    pub(super) fn declare_model(&self, model: &str) {
        for kind in KINDS {
            self.tokens.with_label_values(&[model, kind]).inc_by(0);
        }
        self.billed_nanousd.with_label_values(&[model]).inc_by(0);
    }

    /// Counts an exchange whose charge is stored.
    pub(super) fn count(&self, record: &UsageRecord) {
        if let Some(upstream) = record.upstream.as_deref() {
            self.endings.with_label_values(&[upstream, record.ending.code()]).inc();
        }
        let model = record.requested_model.as_str();
        let counts = [
            record.input_tokens,
            record.cache_write_5m_tokens,
            record.cache_write_1h_tokens,
            record.cache_read_tokens,
            record.output_tokens,
        ];
        for (kind, tokens) in KINDS.into_iter().zip(counts) {
            let tokens = u64::try_from(tokens).unwrap_or(0);
            self.tokens.with_label_values(&[model, kind]).inc_by(tokens);
        }
        let cost = u64::try_from(record.cost.as_nanos()).unwrap_or(0);
        self.billed_nanousd.with_label_values(&[model]).inc_by(cost);
    }

    /// Notes when a response began, in milliseconds after its request.
    pub fn observe_first_byte(&self, upstream: Option<&str>, millis: i64) {
        let took = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        if let Some(upstream) = upstream {
            self.first_byte_seconds.with_label_values(&[upstream]).observe(took.as_secs_f64());
        }
    }

    /// Notes the longest silence within a stream that has ended.
    pub fn observe_gap(&self, upstream: Option<&str>, gap: Duration) {
        if let Some(upstream) = upstream {
            self.gap_seconds.with_label_values(&[upstream]).observe(gap.as_secs_f64());
        }
    }

    /// A stream begins to be relayed.
    #[must_use]
    pub fn open_stream(&self) -> OpenStream {
        self.open_streams.inc();
        OpenStream(self.open_streams.clone())
    }

    /// A reservation holds so much.
    pub fn hold(&self, amount: NanoUsd) {
        self.holds.inc();
        self.held_nanousd.add(amount.as_nanos());
    }

    /// A reservation holds another amount.
    pub fn hold_instead(&self, before: NanoUsd, amount: NanoUsd) {
        self.held_nanousd.add(amount.as_nanos().saturating_sub(before.as_nanos()));
    }

    /// A reservation is closed.
    pub fn release(&self, amount: NanoUsd) {
        self.holds.dec();
        self.held_nanousd.sub(amount.as_nanos());
    }
}
