//! What a reservation holds, as the operator sees it: counted from its first moment until it is
//! closed, whatever happens.

use std::sync::Arc;

use crate::domain::money::NanoUsd;
use crate::metrics::Metrics;

/// See the module.
pub(super) struct Held {
    amount: NanoUsd,
    metrics: Arc<Metrics>,
}

impl Held {
    pub(super) fn new(amount: NanoUsd, metrics: Arc<Metrics>) -> Self {
        metrics.exchanges.hold(amount);
        Self { amount, metrics }
    }

    pub(super) const fn amount(&self) -> NanoUsd {
        self.amount
    }

    pub(super) fn set(&mut self, amount: NanoUsd) {
        self.metrics.exchanges.hold_instead(self.amount, amount);
        self.amount = amount;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metrics.exchanges.release(self.amount);
    }
}
