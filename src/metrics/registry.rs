//! The registry of a process, and a list of everything in it. Prometheus' own leaves a metric out
//! until it was counted once; `docs/metrics.md` needs all of them.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};

/// What an operator reads about a metric.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// Its name, `sluice_…`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it counts.
    pub help: String,
}

/// Metrics, and what each of them is.
#[derive(Clone, Debug, Default)]
pub(super) struct DescribedRegistry {
    registry: prometheus::Registry,
    descriptions: Arc<Mutex<Vec<Description>>>,
}

impl DescribedRegistry {
    /// Adds a metric.
    ///
    /// # Errors
    /// Where another has its name.
    pub(super) fn register(&self, metric: Box<dyn Collector>) -> prometheus::Result<()> {
        let described = describe(metric.as_ref());
        self.registry.register(metric)?;
        self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        Ok(())
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All metrics by name.
    pub(super) fn descriptions(&self) -> Vec<Description> {
        let mut all = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

fn describe(metric: &dyn Collector) -> Vec<Description> {
    let families = metric.collect();
    let kind = |name: &str| {
        let family = families.iter().find(|family| family.name() == name);
        family.map_or("untyped", |family| match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY | MetricType::UNTYPED => "untyped",
        })
    };
    let described = metric.desc().into_iter().map(|desc| Description {
        name: desc.fq_name.clone(),
        kind: kind(&desc.fq_name),
        labels: desc.variable_labels.clone(),
        help: desc.help.clone(),
    });
    described.collect()
}
