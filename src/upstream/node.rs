//! What a call to an upstream sees of the node that it runs on.

use std::sync::Arc;

use crate::domain::clock::Clock;
use crate::metrics::Metrics;
use crate::tracker::Tracker;

/// What a call sees of the node that it runs on.
#[derive(Clone)]
pub struct CallContext {
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// Time.
    pub clock: Clock,
}
