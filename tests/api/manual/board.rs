//! The dashboard of `packaging`: Grafana's fields where they have to be, panels that do not lie on
//! each other, and expressions that Prometheus takes and that ask for metrics that exist.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::rules::{exists, metrics_of};
use crate::support::alerting::promtool;

/// The rows, in this order.
const ROWS: [&str; 8] =
    ["Traffic", "Latency", "Money", "Ledger", "Upstreams", "Chains", "Mail and jobs", "Node"];
/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// Kinds of panels that every Grafana since 9 has, and that are used here.
const KINDS: [&str; 3] = ["row", "timeseries", "stat"];
/// What Grafana fills in, and something that it might be.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "5m"), ("$instance", ".*")];

fn board() -> Value {
    serde_json::from_str(include_str!("../../../packaging/grafana/sluice.json")).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn panels(board: &Value) -> &Vec<Value> {
    board["panels"].as_array().unwrap()
}

/// All expressions, with the title of their panel.
fn expressions(board: &Value) -> Vec<(&str, &str)> {
    let all = panels(board).iter().filter(|panel| panel["type"] != "row");
    let targets = all.flat_map(|panel| {
        let targets = panel["targets"].as_array().expect("a panel has targets");
        assert!(!targets.is_empty(), "{panel}");
        targets.iter().map(|target| (text(panel, "title"), text(target, "expr")))
    });
    targets.collect()
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let board = board();
    assert_eq!((text(&board, "title"), text(&board, "uid")), ("Sluice", "sluice"));
    assert!(board["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    assert!(board["id"].is_null(), "an id is the business of whoever imports it");
    let variables = board["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| text(variable, "name")).collect();
    assert_eq!(names, ["datasource", "instance"]);
    let titles = panels(&board).iter().filter(|panel| panel["type"] == "row");
    let titles: Vec<_> = titles.map(|panel| text(panel, "title")).collect();
    assert_eq!(titles, ROWS);
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&board) {
        assert!(KINDS.contains(&text(panel, "type")), "{panel}");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two have one id: {panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{panel}");
        for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
            assert!(cells.insert(cell), "lies on another: {panel}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
        let mut letters = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(letters.insert(text(target, "refId")), "{panel}");
            assert!(!text(target, "legendFormat").is_empty(), "{panel}");
        }
        let sources = panel["targets"].as_array().unwrap().iter().chain([panel]);
        for source in sources {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

#[test]
fn every_expression_of_the_dashboard_is_one_and_asks_for_metrics_that_exist() {
    let board = board();
    let mut rules = String::from("groups:\n- name: panels\n  rules:\n");
    for (number, (title, expression)) in expressions(&board).iter().enumerate() {
        let metrics = metrics_of(expression);
        assert!(!metrics.is_empty(), "{title}: {expression}");
        for name in metrics {
            assert!(exists(&name), "{title}: there is no {name}");
        }
        let filled = VARIABLES
            .iter()
            .fold((*expression).to_owned(), |text, (name, value)| text.replace(name, value));
        assert!(!filled.contains('$'), "{title}: {filled}");
        let filled = filled.replace('\'', "''");
        writeln!(rules, "  - record: panel:expression:{number}\n    expr: '{filled}'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]).unwrap();
}
