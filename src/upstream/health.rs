//! The breaker: an upstream that refuses the operator's own credential is left alone for a while.

use std::sync::atomic::{AtomicI64, Ordering};

/// How long an upstream is left alone after it has refused our credential.
const REST_MILLIS: i64 = 30_000;

/// One upstream's breaker on this node.
#[derive(Debug, Default)]
pub struct Health {
    /// Milliseconds since the epoch; requests go there from then on.
    rests_until: AtomicI64,
}

impl Health {
    /// Whether requests may go there.
    #[must_use]
    pub fn is_open_at(&self, now_millis: i64) -> bool {
        self.rests_until.load(Ordering::Relaxed) <= now_millis
    }

    /// Leaves it alone for a while.
    pub fn rest(&self, now_millis: i64) {
        self.rests_until.store(now_millis.saturating_add(REST_MILLIS), Ordering::Relaxed);
    }
}
