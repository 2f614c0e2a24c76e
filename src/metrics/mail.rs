//! What becomes of mail, by its kind. Never to whom it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::registry::DescribedRegistry;

/// Attempts in a row after which mail counts as delayed: one mailbox may put off a mail or two.
const DELAYED_AFTER: u32 = 3;

/// Counters of mail.
#[derive(Clone, Debug)]
pub struct MailMetrics {
    mails: IntCounterVec,
    waiting: IntGauge,
    /// Mails that this node is sending, or about to.
    pub under_way: IntGauge,
    /// Attempts that were put off since the last one that was not.
    put_off_in_a_row: Arc<AtomicU32>,
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
        Ok(Self { mails, waiting, under_way, put_off_in_a_row: Arc::default() })
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
        match outcome {
            "put_off" => {
                self.put_off_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            "sent" => self.put_off_in_a_row.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Whether the last attempts of this node have all been put off.
    #[must_use]
    pub fn is_delayed(&self) -> bool {
        self.put_off_in_a_row.load(Ordering::Relaxed) >= DELAYED_AFTER
    }

    /// How many mails wait, as far as this node knows.
    pub fn set_waiting(&self, count: i64) {
        self.waiting.set(count);
    }
}
