//! What the operator sees at `/metrics`: numbers and the names of the contract, nothing of anyone.

mod alerts;
pub mod backups;
pub mod chains;
pub mod connections;
mod declared;
pub mod exchanges;
pub mod jobs;
pub mod ledger;
pub mod mail;
pub mod policies;
pub mod reconciliation;
pub mod registry;
pub mod rpc;
pub mod settings;
pub mod traces;
pub mod upstreams;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder};

use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::{Outcome, UsageRecord};
pub use alerts::ALERTS;
use backups::BackupMetrics;
use chains::ChainMetrics;
use connections::ConnectionMetrics;
use exchanges::ExchangeMetrics;
use jobs::JobMetrics;
use ledger::LedgerMetrics;
use mail::MailMetrics;
use policies::PolicyMetrics;
use reconciliation::ReconciliationMetrics;
use registry::{DescribedRegistry, Description};
use rpc::RpcMetrics;
use settings::SettingsMetrics;
use traces::TraceMetrics;
use upstreams::UpstreamMetrics;

/// Milliseconds of a day.
const DAY_MILLIS: i64 = 86_400_000;
/// Alerts whose day is remembered.
const DAILY_MAX: usize = 4096;

/// All counters of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: DescribedRegistry,
    endings: IntCounterVec,
    alerts: IntCounterVec,
    refusals: IntCounterVec,
    refusal_reasons: IntCounterVec,
    billed_nanousd: IntCounter,
    /// Request fields that are not in the table of fields.
    pub unknown_request_fields: IntCounter,
    /// Bytes of request bodies in memory.
    pub body_bytes: IntGauge,
    /// Exchanges that are running.
    pub open_exchanges: IntGauge,
    /// Settlements that wait for an operator.
    pub parked_settlements: IntGauge,
    /// Milliseconds by which this node's clock is ahead of the database's.
    pub clock_drift_millis: IntGauge,
    /// Accounts that stay behind their grace because something is left on them.
    pub closings_stuck: IntGauge,
    /// Connections of clients.
    pub connections: ConnectionMetrics,
    /// What becomes of mail.
    pub mail: MailMetrics,
    /// Alerts that were counted today, or lately: what, about whom, and the day.
    daily: Arc<Mutex<BTreeMap<(&'static str, String), i64>>>,
    /// What exchanges hold, use and cost.
    pub exchanges: ExchangeMetrics,
    /// The books.
    pub ledger: LedgerMetrics,
    /// Calls to upstreams.
    pub upstreams: UpstreamMetrics,
    /// Where chains stand, and what came in on them.
    pub chains: ChainMetrics,
    /// Calls to providers of chains.
    pub rpc: RpcMetrics,
    /// Spans of traces.
    pub traces: TraceMetrics,
    /// Jobs: whether they run, and what they did.
    pub jobs: JobMetrics,
    /// Versions of policies and their notices.
    pub policies: PolicyMetrics,
    /// What comparisons with usage reports came to.
    pub reconciliation: ReconciliationMetrics,
    /// How the settings in force came about.
    pub settings: SettingsMetrics,
    /// Backups on schedule.
    pub backups: BackupMetrics,
}

/// A metric, once it is in the registry.
fn registered<M: Collector + Clone + 'static>(
    registry: &DescribedRegistry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// What the system says of this process, and which program it runs.
fn register_process(registry: &DescribedRegistry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let help = "The program that runs: always 1.";
    let build = IntGaugeVec::new(Opts::new("sluice_build_info", help), &["version"]);
    registered(registry, build)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

/// Endings, alerts, refusals, and refusals by reason.
fn of_requests(registry: &DescribedRegistry) -> prometheus::Result<[IntCounterVec; 4]> {
    let counters = |name, help, labels: &[&str]| {
        registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
    };
    let endings = counters(
        "sluice_exchanges_total",
        "Requests by ending, including those charged by a recovery.",
        &["ending"],
    )?;
    let alerts = counters("sluice_alerts_total", "Things that should not happen.", &["what"])?;
    let refusals = counters(
        "sluice_refusals_total",
        "Errors returned to clients of /v1.",
        &["status", "type"],
    )?;
    let refusal_reasons = counters(
        "sluice_refusals_by_reason_total",
        "Errors returned to clients of /v1, by what was in the way.",
        &["reason"],
    )?;
    for what in ALERTS {
        alerts.with_label_values(&[what]).inc_by(0);
    }
    for ending in Outcome::all() {
        endings.with_label_values(&[ending.code()]).inc_by(0);
    }
    Ok([endings, alerts, refusals, refusal_reasons])
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = DescribedRegistry::default();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        let [endings, alerts, refusals, refusal_reasons] = of_requests(&registry)?;
        let billed_nanousd =
            counter("sluice_billed_nanousd_total", "Amount charged, in billionths of a dollar.")?;
        let unknown_request_fields = counter(
            "sluice_unknown_request_fields_total",
            "Request fields that are not in the table of fields.",
        )?;
        let body_bytes = gauge(
            "sluice_body_bytes",
            "Bytes of request bodies in memory, up to `limits.bodies_total_bytes`.",
        )?;
        let open_exchanges = gauge("sluice_open_exchanges", "Requests in progress.")?;
        let parked_settlements = gauge(
            "sluice_parked_settlements",
            "Charges refused by the database: see `sluice books verify`.",
        )?;
        let clock_drift_millis = gauge(
            "sluice_clock_drift_milliseconds",
            "How far this node's clock is ahead of the database's.",
        )?;
        let closings_stuck = gauge(
            "sluice_closings_stuck",
            "Accounts past their erasure date that still have a balance.",
        )?;
        let exchanges = ExchangeMetrics::new(&registry)?;
        let ledger = LedgerMetrics::new(&registry)?;
        let mail = MailMetrics::new(&registry)?;
        let chains = ChainMetrics::new(&registry)?;
        let rpc = RpcMetrics::new(&registry)?;
        let upstreams = UpstreamMetrics::new(&registry)?;
        let traces = TraceMetrics::new(&registry)?;
        let jobs = JobMetrics::new(&registry)?;
        let settings = SettingsMetrics::new(&registry)?;
        let policies = PolicyMetrics::new(&registry)?;
        register_process(&registry)?;
        let backups = BackupMetrics::new(&registry)?;
        Ok(Self {
            connections: ConnectionMetrics::new(&registry)?,
            reconciliation: ReconciliationMetrics::new(&registry)?,
            registry,
            endings,
            alerts,
            refusals,
            refusal_reasons,
            exchanges,
            ledger,
            billed_nanousd,
            chains,
            unknown_request_fields,
            body_bytes,
            open_exchanges,
            parked_settlements,
            clock_drift_millis,
            closings_stuck,
            mail,
            daily: Arc::default(),
            upstreams,
            rpc,
            traces,
            jobs,
            settings,
            policies,
            backups,
        })
    }

    /// Counts an exchange that has ended.
    pub fn count_ending(&self, ending: Outcome, cost: NanoUsd) {
        self.endings.with_label_values(&[ending.code()]).inc();
        self.billed_nanousd.inc_by(u64::try_from(cost.as_nanos()).unwrap_or(0));
    }

    /// Counts an exchange whose charge is stored.
    pub fn count_settled(&self, record: &UsageRecord) {
        self.count_ending(record.ending, record.cost);
        self.upstreams.count_prompt(record);
        self.exchanges.count(record);
    }

    /// Counts something that should not happen: one of [`ALERTS`].
    pub fn count_alert(&self, what: &'static str) {
        self.alerts.with_label_values(&[what]).inc();
    }

    /// Counts an error that a client was told: its status, its type where that is a word of ours,
    /// and its reason.
    pub fn count_refusal(&self, error: &ApiError) {
        let kind = match &error.kind {
            Cow::Borrowed(kind) => kind,
            // An upstream's word: there may be any number of those.
            Cow::Owned(_) => "relayed",
        };
        self.refusals.with_label_values(&[error.status.to_string().as_str(), kind]).inc();
        self.refusal_reasons.with_label_values(&[error.reason.as_str()]).inc();
    }

    /// Counts something that should not happen once a day for each `about`, a name that the
    /// operator has given. Whether it was counted now.
    pub fn alert_daily(&self, what: &'static str, about: &str, now: UnixMillis) -> bool {
        let is_new = self.is_first_today(what, about, now);
        if is_new {
            self.count_alert(what);
        }
        is_new
    }

    /// Whether an alert has not been logged today: its line says no more the second time.
    pub fn is_first_today(&self, what: &'static str, about: &str, now: UnixMillis) -> bool {
        let today = now.as_millis().div_euclid(DAY_MILLIS);
        let mut daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        if daily.len() >= DAILY_MAX {
            daily.clear();
        }
        daily.insert((what, about.to_owned()), today) != Some(today)
    }

    /// What there is to count, by name: `docs/metrics.md` is made of it.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        self.registry.descriptions()
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
