//! `docs/metrics.md` has every metric of the registry.

use std::fmt::Write as _;

use sluice::metrics::Metrics;

use super::{cell, hold};

#[test]
fn the_page_of_metrics_has_every_metric_with_type_labels_and_help() {
    let mut made = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metrics::new().unwrap().descriptions() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels, help) = (metric.kind, labels.join(", "), cell(&metric.help));
        writeln!(made, "| `{}` | {kind} | {labels} | {help} |", metric.name).unwrap();
    }
    hold("metrics.md", &made);
}
