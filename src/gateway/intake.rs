//! What reading the bodies of requests takes, over all workers: memory, and threads for large ones.

use std::sync::Arc;
use std::thread::available_parallelism;

use crate::config::Settings;
use crate::http::bodies::Bodies;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::places::shares::{SharedPlaces, Shares};

/// What all workers share for it.
pub struct Intake {
    /// Bytes of bodies in memory.
    pub bodies: Arc<Bodies>,
    /// Large bodies that are read at once: one for each processor, half of them for one account.
    pub(super) large: Arc<SharedPlaces>,
}

impl Intake {
    /// Nothing in memory so far.
    #[must_use]
    pub fn new(settings: &Settings, metrics: &Metrics) -> Arc<Self> {
        let threads = available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            bodies: Bodies::new(&settings.limits, metrics.body_bytes.clone()),
            large: Places::new(Shares::half_each(Some(threads))),
        })
    }
}
