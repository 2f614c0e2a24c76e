//! `docs/promises.md` against the tree: each promise has an entry, whatever an entry names is
//! there, and every test that is named after a promise stands in its entry.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::{report, rust_files};

const PROMISES: u32 = 17;

#[test]
fn every_promise_is_mapped_to_code_and_tests_that_are_there() -> io::Result<()> {
    let text = fs::read_to_string("docs/promises.md")?;
    let sections: Vec<&str> = text.split("\n## P").skip(1).collect();
    let mut faults = Vec::new();
    let mut tests = BTreeSet::new();
    for (path, source) in rust_files(&["src", "tests"])? {
        for name in source.split("fn ").skip(1).filter_map(super::word) {
            tests.extend(
                promises_of(&name).into_iter().map(|one| (one, path.clone(), name.clone())),
            );
        }
    }
    assert!(tests.len() > 20, "the rule does not find the tests: {}", tests.len());
    for number in 1..=PROMISES {
        let heading = format!("{number} ");
        let Some(section) = sections.iter().find(|section| section.starts_with(&heading)) else {
            faults.push(format!("P{number} has no entry"));
            continue;
        };
        let quoted: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
        for word in &quoted {
            let is_path = ["src/", "tests/", "docs/", "config/", "migrations/", "scripts/"]
                .iter()
                .any(|root| word.starts_with(root));
            if is_path && !Path::new(word).exists() {
                faults.push(format!("P{number} names {word}, which is not there"));
            }
            if !promises_of(word).is_empty() && !tests.iter().any(|(_, _, name)| name == word) {
                faults.push(format!("P{number} names the test {word}, which is not there"));
            }
        }
        let own: Vec<_> = tests.iter().filter(|(promise, ..)| *promise == number).collect();
        if own.is_empty() {
            faults.push(format!("P{number} has no test"));
        }
        for (_, path, name) in own {
            let file = path.display().to_string();
            if !quoted.contains(&name.as_str()) || !quoted.contains(&file.as_str()) {
                faults.push(format!("P{number} does not name {name} in {file}"));
            }
        }
    }
    report(&faults);
    Ok(())
}

/// `p3_and_p5_…` is about both.
fn promises_of(name: &str) -> Vec<u32> {
    if !name.starts_with('p') || !name.contains('_') {
        return Vec::new();
    }
    let numbers = name.split('_').filter_map(|part| part.strip_prefix('p')?.parse().ok());
    numbers.filter(|number| (1..=PROMISES).contains(number)).collect()
}
