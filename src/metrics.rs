//! What the operator sees at `/metrics`: numbers and the names of the contract, nothing of anyone.

pub mod chores;
pub mod mail;
pub mod policies;
pub mod rpc;

use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Ending;
use chores::ChoreMetrics;
use mail::MailMetrics;
use policies::PolicyMetrics;
use rpc::RpcMetrics;

/// All counters of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    endings: IntCounterVec,
    alerts: IntCounterVec,
    billed_nanousd: IntCounter,
    chain_ok: IntGaugeVec,
    chain_blocks: IntGaugeVec,
    deposits: IntCounterVec,
    deposited_nanousd: IntCounterVec,
    /// Fields of requests that are not in the table of fields.
    pub unknown_request_fields: IntCounter,
    /// Exchanges that are running.
    pub open_exchanges: IntGauge,
    /// Accounts that stay behind their grace because something is left on them.
    pub closings_stuck: IntGauge,
    /// What becomes of mail.
    pub mail: MailMetrics,
    /// Calls to providers of chains.
    pub rpc: RpcMetrics,
    /// What is done now and then.
    pub chores: ChoreMetrics,
    /// Versions of policies and their notices.
    pub policies: PolicyMetrics,
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
        let unknown_request_fields = IntCounter::new(
            "sluice_unknown_request_fields_total",
            "Fields of requests that are not in the table of fields.",
        )?;
        registry.register(Box::new(unknown_request_fields.clone()))?;
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters = |name, help| IntCounterVec::new(Opts::new(name, help), &["chain"]);
        let chain_ok = gauges(
            "sluice_chain_ok",
            "Whether deposits of a chain go on (1) or wait (0).",
            &["chain"],
        )?;
        let chain_blocks = gauges(
            "sluice_chain_block",
            "Heights of a chain: its head, its final block, the last that was read.",
            &["chain", "which"],
        )?;
        let deposits = counters("sluice_deposits_credited_total", "Credited deposits.")?;
        let deposited_nanousd =
            counters("sluice_deposited_nanousd_total", "What was credited for deposits.")?;
        registry.register(Box::new(chain_ok.clone()))?;
        registry.register(Box::new(chain_blocks.clone()))?;
        registry.register(Box::new(deposits.clone()))?;
        registry.register(Box::new(deposited_nanousd.clone()))?;
        let open_exchanges = IntGauge::new("sluice_open_exchanges", "Exchanges that are running.")?;
        let closings_stuck = IntGauge::new(
            "sluice_closings_stuck",
            "Accounts that would be erased by now if nothing were left on them.",
        )?;
        registry.register(Box::new(closings_stuck.clone()))?;
        registry.register(Box::new(endings.clone()))?;
        registry.register(Box::new(alerts.clone()))?;
        registry.register(Box::new(billed_nanousd.clone()))?;
        registry.register(Box::new(open_exchanges.clone()))?;
        let mail = MailMetrics::new(&registry)?;
        let rpc = RpcMetrics::new(&registry)?;
        let chores = ChoreMetrics::new(&registry)?;
        let policies = PolicyMetrics::new(&registry)?;
        Ok(Self {
            registry,
            endings,
            alerts,
            billed_nanousd,
            chain_ok,
            chain_blocks,
            deposits,
            deposited_nanousd,
            unknown_request_fields,
            open_exchanges,
            closings_stuck,
            mail,
            rpc,
            chores,
            policies,
        })
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

    /// Whether deposits of a chain go on.
    pub fn set_chain_ok(&self, chain: &str, is_ok: bool) {
        self.chain_ok.with_label_values(&[chain]).set(is_ok.into());
    }

    /// Where a chain stands.
    pub fn set_chain_blocks(&self, chain: &str, head: i64, final_number: i64, scanned: i64) {
        for (which, number) in [("head", head), ("final", final_number), ("scanned", scanned)] {
            self.chain_blocks.with_label_values(&[chain, which]).set(number);
        }
    }

    /// Counts a credited deposit.
    pub fn count_deposit(&self, chain: &str, value: NanoUsd) {
        self.deposits.with_label_values(&[chain]).inc();
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(0);
        self.deposited_nanousd.with_label_values(&[chain]).inc_by(nanos);
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
