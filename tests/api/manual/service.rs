//! The unit file fits the default settings, and `docs/operating.md` says how long a stop may take.

use std::fs;
use std::path::Path;

use sluice::config::REFERENCE;

/// Seconds that settlements get after a stop's own time, and descriptors besides those of requests:
/// as the page says.
const SETTLE_SECS: u64 = 15;
const SPARE_DESCRIPTORS: u64 = 768;

#[test]
fn the_unit_file_leaves_time_to_stop_and_descriptors_for_all_requests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let unit = fs::read_to_string(root.join("packaging/systemd/sluice.service")).unwrap();
    let stop_secs = default_of("[server]", "drain_secs")
        + default_of("[stream]", "settle_wait_secs")
        + SETTLE_SECS
        + 2 * default_of("[database]", "answer_secs");
    assert!(page.contains(&format!(": {stop_secs} s by default.")), "not {stop_secs} s");
    assert!(number(&unit, "\nTimeoutStopSec=") > stop_secs, "shorter than {stop_secs} s");
    let descriptors = 2 * default_of("[server]", "max_streams")
        + default_of("[server]", "idle_connections_max")
        + SPARE_DESCRIPTORS;
    assert!(number(&unit, "\nLimitNOFILE=") >= descriptors, "fewer than {descriptors}");
}

fn default_of(section: &str, key: &str) -> u64 {
    let (_, settings) = REFERENCE.split_once(&format!("\n{section}\n")).unwrap();
    number(settings, &format!("\n{key} = "))
}

/// What stands behind the first such words.
fn number(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}
