//! The manual agrees with the program: pages that a program makes are compared with what it makes now, and the README's
//! commands are run.
//!
//! A page is written by hand up to `MARK`, and made from there on. `UPDATE_DOCS=1` writes what is made.

mod commands;
mod keys;
mod metrics;
mod readme;

use std::fs;
use std::path::Path;

/// What stands between the two parts of a page.
const MARK: &str =
    "<!-- Everything below is made by: UPDATE_DOCS=1 cargo test --test api manual:: -->\n";

/// Compares the lower part of a page with what it should be, or writes it.
fn hold(page: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (by_hand, found) = text.split_once(MARK).unwrap_or_else(|| panic!("{page} lacks: {MARK}"));
    let made = format!("\n{}\n", made.trim());
    if found == made {
        return;
    }
    if is_to_be_written() {
        fs::write(&path, format!("{by_hand}{MARK}{made}")).unwrap();
        return;
    }
    let missing: Vec<&str> = made.lines().filter(|line| !has_line(found, line)).collect();
    let stale: Vec<&str> = found.lines().filter(|line| !has_line(&made, line)).collect();
    panic!(
        "docs/{page} does not say what the program does. Run: UPDATE_DOCS=1 cargo test --test api manual::\n\
         missing: {missing:#?}\nno longer true: {stale:#?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "it is for those who run the tests, and no setting")]
fn is_to_be_written() -> bool {
    std::env::var("UPDATE_DOCS").is_ok_and(|word| word == "1")
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|other| other == line)
}

/// Text in one line of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
