//! What the operator sees at `/metrics`: numbers and the names of the contract, nothing of anyone.

pub mod rpc;

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Ending;
use rpc::RpcMetrics;

/// All counters of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    endings: IntCounterVec,
    alerts: IntCounterVec,
    billed_nanousd: IntCounter,
    /// Exchanges that are running.
    pub open_exchanges: IntGauge,
    /// Calls to providers of chains.
    pub rpc: RpcMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let endings = IntCounterVec::new(
            Opts::new("sluice_exchanges_total", "Exchanges by how they ended."),
            &["ending"],
        )?;
        let alerts = IntCounterVec::new(
            Opts::new("sluice_alerts_total", "Things that should not happen."),
            &["what"],
        )?;
        let billed_nanousd = IntCounter::new("sluice_billed_nanousd_total", "Posted cost.")?;
        let open_exchanges = IntGauge::new("sluice_open_exchanges", "Exchanges that are running.")?;
        registry.register(Box::new(endings.clone()))?;
        registry.register(Box::new(alerts.clone()))?;
        registry.register(Box::new(billed_nanousd.clone()))?;
        registry.register(Box::new(open_exchanges.clone()))?;
        let rpc = RpcMetrics::new(&registry)?;
        Ok(Self { registry, endings, alerts, billed_nanousd, open_exchanges, rpc })
    }

    /// Counts an exchange that has ended.
    pub fn count_ending(&self, ending: Ending, cost: NanoUsd) {
        self.endings.with_label_values(&[ending.as_str()]).inc();
        self.billed_nanousd.inc_by(u64::try_from(cost.as_nanos()).unwrap_or(0));
    }

    /// Counts something that should not happen.
    pub fn count_alert(&self, what: &'static str) {
        self.alerts.with_label_values(&[what]).inc();
    }

    /// Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if TextEncoder::new().encode(&self.registry.gather(), &mut text).is_err() {
            return String::new();
        }
        String::from_utf8(text).unwrap_or_default()
    }
}
