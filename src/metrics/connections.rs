//! Connections of clients: how many there are, which had to go or did not get in, and whether
//! anybody still gets in.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use super::registry::DescribedRegistry;

/// Numbers on connections of clients.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Those that are open.
    pub open: IntGauge,
    closed: IntCounterVec,
    refused: IntCounterVec,
    /// Whether clients get in (1) or not (0), as the probe found.
    pub get_in: IntGauge,
    /// Failed probes.
    pub failed_probes: IntCounter,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let counters = |name, help| IntCounterVec::new(Opts::new(name, help), &["why"]);
        let open = IntGauge::new("sluice_connections", "Open client connections.")?;
        let closed = counters(
            "sluice_connections_closed_total",
            "Client connections closed to make room: idle, with an unfinished head, or with a \
             request that waits for its client.",
        )?;
        let refused = counters(
            "sluice_connections_refused_total",
            "Refused connections: too many from one address, or the node is full.",
        )?;
        let get_in = IntGauge::new(
            "sluice_clients_get_in",
            "1 if clients can connect, by the latest probes; 0 otherwise.",
        )?;
        let failed_probes = IntCounter::new("sluice_failed_probes_total", "Failed probes.")?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(closed.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(get_in.clone()))?;
        registry.register(Box::new(failed_probes.clone()))?;
        get_in.set(1);
        Ok(Self { open, closed, refused, get_in, failed_probes })
    }

    /// Makes the series of every reason.
    pub(super) fn declare(&self) {
        for why in ["idle", "head", "stranger", "account"] {
            self.closed.with_label_values(&[why]).inc_by(0);
        }
        for why in ["address", "full"] {
            self.refused.with_label_values(&[why]).inc_by(0);
        }
    }

    /// Counts a connection that was closed to make room.
    pub fn count_closed(&self, why: &str) {
        self.closed.with_label_values(&[why]).inc();
    }

    /// Counts a connection that was not let in.
    pub fn count_refused(&self, why: &str) {
        self.refused.with_label_values(&[why]).inc();
    }
}
