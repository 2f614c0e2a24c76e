//! How the settings in force came about.

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::registry::DescribedRegistry;
use crate::domain::clock::UnixMillis;

/// Of a reload.
const OUTCOMES: [&str; 2] = ["applied", "refused"];

/// See the module.
#[derive(Clone, Debug)]
pub struct SettingsMetrics {
    reloads: IntCounterVec,
    loaded_at: IntGauge,
    refused: IntGauge,
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
        let refused = IntGauge::new(
            "sluice_settings_refused",
            "1 if the last reload was refused, so that a restart would fail as well; 0 otherwise.",
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(loaded_at.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        for outcome in OUTCOMES {
            reloads.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(Self { reloads, loaded_at, refused })
    }

    /// Settings are in force since then.
    pub fn note_loaded(&self, now: UnixMillis) {
        self.loaded_at.set(now.as_millis() / 1_000);
    }

    /// A reload was applied or refused.
    pub fn count_reload(&self, is_applied: bool) {
        let [applied, refused] = OUTCOMES;
        let outcome = if is_applied { applied } else { refused };
        self.refused.set(i64::from(!is_applied));
        self.reloads.with_label_values(&[outcome]).inc();
    }
}
