//! Versions of the policy and the terms: whether the pages say what was published, and how far
//! notices are.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::registry::DescribedRegistry;

/// Numbers on policies.
#[derive(Clone, Debug)]
pub struct PolicyMetrics {
    differs: IntGaugeVec,
    notices: IntCounterVec,
    left: IntGauge,
}

impl PolicyMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let differs = IntGaugeVec::new(
            Opts::new(
                "sluice_policy_differs",
                "Whether a page differs from the version in force (1) or not (0).",
            ),
            &["policy"],
        )?;
        let notices = IntCounterVec::new(
            Opts::new("sluice_policy_notices_total", "Notices queued by this node."),
            &["policy"],
        )?;
        let left = IntGauge::new(
            "sluice_policy_notices_left",
            "Accounts whose notices are still to be queued.",
        )?;
        registry.register(Box::new(differs.clone()))?;
        registry.register(Box::new(notices.clone()))?;
        registry.register(Box::new(left.clone()))?;
        Ok(Self { differs, notices, left })
    }

    /// Makes the series of a policy.
    pub(super) fn declare(&self, policy: &str) {
        self.differs.with_label_values(&[policy]).set(0);
        self.count_notices(policy, 0);
    }

    /// Whether a page differs from its version in force. Whether that is news.
    pub fn set_differs(&self, policy: &str, differs: bool) -> bool {
        let gauge = self.differs.with_label_values(&[policy]);
        let was = gauge.get();
        gauge.set(differs.into());
        was != i64::from(differs)
    }

    /// Notices were put into the outbox.
    pub fn count_notices(&self, policy: &str, mails: usize) {
        let mails = u64::try_from(mails).unwrap_or(u64::MAX);
        self.notices.with_label_values(&[policy]).inc_by(mails);
    }

    /// So many accounts are left.
    pub fn set_left(&self, accounts: i64) {
        self.left.set(accounts);
    }
}
