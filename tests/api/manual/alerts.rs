//! Every alert that the program counts stands on a page that says what to do about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sluice::metrics::ALERTS;

/// What counts an alert, or notes one that is counted later.
const CALLS: [&str; 4] = ["count_alert(", "alert_daily(", ".alert(", "alerts.push("];
/// What notes that a factor has no price, by the name of the factor, which stands last.
const FACTOR: &str = "= or_one(";
/// Names of alerts that are fixed elsewhere: `Anomaly::as_str`.
const ANOMALIES: &str = "impl Anomaly {";
/// Pages that say what to do.
const PAGES: [&str; 3] = ["operating.md", "endings.md", "deposits.md"];

#[test]
fn every_alert_stands_on_a_page_that_says_what_to_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut labels = BTreeSet::new();
    collect(&root.join("src"), &mut labels);
    assert!(labels.len() > 25, "only {labels:#?}");
    let known: BTreeSet<_> = ALERTS.iter().map(|label| (*label).to_owned()).collect();
    assert_eq!(labels, known, "what is counted, and what has a series from the start");
    let read = |page| fs::read_to_string(root.join("docs").join(page)).unwrap();
    let pages = PAGES.map(read).concat();
    let missing: Vec<_> = labels.iter().filter(|label| !is_named(&pages, label)).collect();
    assert!(missing.is_empty(), "on none of {PAGES:?}: {missing:#?}");
}

/// Whole, or up to its first semicolon or colon with an ellipsis behind.
fn is_named(pages: &str, label: &str) -> bool {
    let is_begun = |mark: &str| {
        let begin = label.split_once(mark).map(|(begin, _)| format!("`{begin}{mark}…`"));
        begin.is_some_and(|begin| pages.contains(&begin))
    };
    pages.contains(&format!("`{label}`")) || is_begun("; ") || is_begun(": ")
}

fn collect(folder: &Path, labels: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, labels);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            labels.extend(labels_of(&fs::read_to_string(&path).unwrap(), &path));
        }
    }
}

/// The alerts of one file.
fn labels_of(source: &str, path: &Path) -> Vec<String> {
    let mut labels = Vec::new();
    if let Some((_, rest)) = source.split_once(ANOMALIES) {
        labels.extend(literals(rest.split_once("\n}").unwrap().0));
    }
    labels.extend(source.split(FACTOR).skip(1).filter_map(|rest| literals(rest).next()));
    for (at, call) in CALLS.iter().flat_map(|call| source.match_indices(call)) {
        let (before, rest) = source.split_at(at);
        let after = rest.strip_prefix(call).unwrap().trim_start();
        let argument = after.split([',', ')']).next().unwrap();
        let is_constant = argument.chars().all(|one| one.is_ascii_uppercase() || one == '_');
        if after.starts_with('"') {
            labels.push(literals(after).next().unwrap());
        } else if is_constant {
            let (_, value) = source.split_once(&format!("const {argument}: &str =")).unwrap();
            labels.push(literals(value).next().unwrap());
        } else if let Some((_, arms)) = before.rsplit_once("let what = match") {
            labels.extend(literals(arms));
        } else {
            // Handed on: whoever hands it in has the name.
            let is_handed_on = ["what", "anomaly.as_str(", "&self"].contains(&argument);
            assert!(is_handed_on, "{}: {call}{argument}: whose name is that?", path.display());
        }
    }
    labels
}

/// The texts in quotation marks.
fn literals(source: &str) -> impl Iterator<Item = String> {
    source.split('"').skip(1).step_by(2).map(str::to_owned)
}
