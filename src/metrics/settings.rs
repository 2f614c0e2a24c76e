//! How the settings in force came about.

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UnixMillis;

/// See the module.
#[derive(Clone, Debug)]
pub struct SettingsMetrics {
    reloads: IntCounterVec,
    loaded_at: IntGauge,
}

impl SettingsMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// Those of the registry.
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let reloads = IntCounterVec::new(
            Opts::new("sluice_settings_reloads_total", "Reloads of the settings, by outcome."),
            &["outcome"],
        )?;
        let loaded_at = IntGauge::new(
            "sluice_settings_loaded_timestamp_seconds",
            "When the settings in force were read.",
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(loaded_at.clone()))?;
        Ok(Self { reloads, loaded_at })
    }

    /// Settings are in force since then.
    pub fn note_loaded(&self, now: UnixMillis) {
        self.loaded_at.set(now.as_millis() / 1_000);
    }

    /// A reload was applied or refused.
    pub fn count_reload(&self, is_applied: bool) {
        let outcome = if is_applied { "applied" } else { "refused" };
        self.reloads.with_label_values(&[outcome]).inc();
    }
}
