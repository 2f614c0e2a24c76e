//! The manual agrees with the program: pages that a program makes are compared with what it makes
//! now, the README's commands are run, and words of a page are held against the program.
//!
//! A page is written by hand up to `MARK`, and made from there on. `UPDATE_DOCS=1` writes what is
//! made.

mod alerts;
mod board;
mod commands;
mod keys;
mod metrics;
mod readme;
mod rules;
mod service;

use std::fs;
use std::path::Path;

/// What stands between the two parts of a page.
const MARK: &str =
    "<!-- Everything below is made by: UPDATE_DOCS=1 cargo test --test api manual:: -->\n";

/// Lines that a failure shows.
const SHOWN_MAX: usize = 12;

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
    let (missing, stale) = (lines_beyond(&made, found), lines_beyond(found, &made));
    panic!(
        "docs/{page} does not say what the program does. \
         Run: UPDATE_DOCS=1 cargo test --test api manual::\n\
         missing: {missing:#?}\nno longer true: {stale:#?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "it is for those who run the tests, and no setting")]
fn is_to_be_written() -> bool {
    std::env::var("UPDATE_DOCS").is_ok_and(|word| word == "1")
}

/// The first lines of a text that another has not.
fn lines_beyond<'a>(text: &'a str, other: &str) -> Vec<&'a str> {
    text.lines().filter(|line| other.lines().all(|known| known != *line)).take(SHOWN_MAX).collect()
}

/// Text in one line of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
