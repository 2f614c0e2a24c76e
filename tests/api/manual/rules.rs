//! The alert rules of `packaging` agree with the program, with the manual, and with the tests: each
//! asks for metrics that exist, has a row in the manual, and fires in a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sluice::metrics::Metrics;

use crate::support::alerting::{promtool, rules};

/// What Prometheus adds by itself.
const OF_PROMETHEUS: [&str; 1] = ["up"];
/// An alert that takes more than a day, so that `sluice.rules.test.yml` tests it.
const ALERT_OF_BACKUPS: &str = "SluiceBackupTooOld";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What stands behind a mark on the lines that have it.
fn values<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim_start().strip_prefix(mark)).map(str::trim)
}

fn alerts() -> BTreeSet<String> {
    let rules = fs::read_to_string(rules()).unwrap();
    let alerts: BTreeSet<_> = values(&rules, "- alert:").map(str::to_owned).collect();
    assert!(alerts.len() > 20, "only {alerts:?}");
    alerts
}

/// Names of metrics in an expression, or in the text of several.
pub(crate) fn metrics_of(text: &str) -> BTreeSet<String> {
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_';
    let words = text.split(|one: char| !is_part(one));
    let is_metric = |word: &&str| {
        word.starts_with("sluice_") || word.starts_with("process_") || OF_PROMETHEUS.contains(word)
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Whether the program has a metric, or makes it of a histogram.
pub(crate) fn exists(name: &str) -> bool {
    let known = Metrics::new().unwrap().descriptions();
    let parts = ["_bucket", "_sum", "_count"];
    known.iter().any(|metric| {
        let is_part = |end| metric.kind == "histogram" && name == format!("{}{end}", metric.name);
        metric.name == name || parts.iter().any(is_part)
    })
}

#[test]
fn promtool_takes_the_rules_and_their_tests_pass() {
    let rules = rules();
    let tests = rules.with_file_name("sluice.rules.test.yml");
    promtool(&["check", "rules", "--lint-fatal", rules.to_str().unwrap()]).unwrap();
    promtool(&["test", "rules", tests.to_str().unwrap()]).unwrap();
}

#[test]
fn every_rule_asks_for_metrics_that_exist_and_says_what_it_is_about() {
    let text = fs::read_to_string(rules()).unwrap();
    for expression in values(&text, "expr:") {
        let metrics = metrics_of(expression);
        assert!(!metrics.is_empty(), "{expression}");
        for name in metrics {
            let is_elsewhere = OF_PROMETHEUS.contains(&name.as_str());
            assert!(exists(&name) || is_elsewhere, "{expression}: there is no {name}");
        }
    }
    let count = alerts().len();
    for mark in ["expr:", "severity:", "summary:", "description:", "runbook:"] {
        assert_eq!(values(&text, mark).count(), count, "{mark}");
    }
    for (alert, runbook) in values(&text, "- alert:").zip(values(&text, "runbook:")) {
        let expected = format!("'docs/operating.md#at-three-in-the-morning, row {alert}'");
        assert_eq!(runbook, expected);
    }
}

#[test]
fn every_alert_has_a_row_in_the_manual_and_every_row_an_alert() {
    let page = read("docs/operating.md");
    let (_, section) = page.split_once("\n## At three in the morning\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (table, _) = section.split_once("\n### ").unwrap();
    let rows: Vec<_> =
        values(table, "| `Sluice").map(|row| row.split('`').next().unwrap()).collect();
    let named: BTreeSet<_> = rows.iter().map(|name| format!("Sluice{name}")).collect();
    assert_eq!(named.len(), rows.len(), "an alert has two rows");
    assert_eq!(named, alerts());
}

#[test]
fn every_alert_fires_in_a_test_that_brings_its_cause_about() {
    let mut tests = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api"), &mut tests);
    let fired: String =
        tests.split(".fires").skip(1).map(|rest| rest.split(';').next().unwrap()).collect();
    for alert in alerts() {
        let is_fired = fired.contains(&format!("\"{alert}\""));
        assert!(is_fired || alert == ALERT_OF_BACKUPS, "no test brings about {alert}");
    }
}

fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else {
            *text += &fs::read_to_string(&path).unwrap();
        }
    }
}
