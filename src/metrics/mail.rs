//! What becomes of mail, by its kind. Never to whom it went.

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::registry::DescribedRegistry;

/// Counters of mail.
#[derive(Clone, Debug)]
pub struct MailMetrics {
    mails: IntCounterVec,
    waiting: IntGauge,
    /// Mails that this node is sending, or about to.
    pub under_way: IntGauge,
}

impl MailMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let mails = IntCounterVec::new(
            Opts::new("sluice_mails_total", "Attempts to send emails, by outcome."),
            &["kind", "outcome"],
        )?;
        let waiting = IntGauge::new("sluice_mails_waiting", "Emails waiting to be sent.")?;
        let under_way =
            IntGauge::new("sluice_mails_under_way", "Emails being sent, or about to be.")?;
        registry.register(Box::new(under_way.clone()))?;
        registry.register(Box::new(mails.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Self { mails, waiting, under_way })
    }

    /// Makes the series of a kind of mail.
    pub(super) fn declare(&self, kind: &str) {
        for outcome in ["sent", "put_off", "dropped", "unwanted"] {
            self.mails.with_label_values(&[kind, outcome]).inc_by(0);
        }
    }

    /// Counts an attempt: `sent`, `put_off`, `dropped`, or `unwanted` where nothing was to be sent.
    pub fn count(&self, kind: &str, outcome: &'static str) {
        self.mails.with_label_values(&[kind, outcome]).inc();
    }

    /// How many mails wait, as far as this node knows.
    pub fn set_waiting(&self, count: i64) {
        self.waiting.set(count);
    }
}
