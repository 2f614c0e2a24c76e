//! `docs/architecture.md` against the tree: its rooms are those of `src/lib.rs`, the files and
//! functions of its walks exist, no walk goes back to a file that it has left, each term of the
//! glossary occurs in the file that the glossary names, and every file and type on the page exists.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::{report, rust_files, without_comments_and_tests};

const PAGE: &str = "docs/architecture.md";
/// The walks, and how many different files each may name.
const WALKS: [(&str, usize); 3] = [("A request", 22), ("A deposit", 40), ("A purge", 22)];
/// Fewer lines than this are no walk: the rule would check nothing.
const STEPS_MIN: usize = 6;
const TERMS_MIN: usize = 20;

/// One line of a walk.
#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    file: &'a str,
    function: &'a str,
}

#[test]
fn every_step_of_a_walk_exists_and_no_walk_returns_to_a_file() -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let mut faults = Vec::new();
    for (title, files_max) in WALKS {
        let Some(walk) = section(&page, &format!("### {title}")) else {
            faults.push(format!("{PAGE} has no section \"### {title}\""));
            continue;
        };
        let found = faults_of(walk, files_max, STEPS_MIN);
        faults.extend(found.into_iter().map(|fault| format!("{title}: {fault}")));
    }
    report(&faults);
    Ok(())
}

#[test]
fn every_term_of_the_glossary_occurs_in_the_file_that_it_names() -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let glossary = section(&page, "## Glossary").unwrap_or_default();
    // Behind the head of the table.
    let rows: Vec<&str> = glossary.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= TERMS_MIN, "{PAGE}: \"## Glossary\" has only {} terms", rows.len());
    let mut faults = Vec::new();
    let mut known = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [term, meaning, place] = cells.as_slice() else {
            faults.push(format!("not | term | meaning | `file` |: {row}"));
            continue;
        };
        if !known.insert(term.to_lowercase()) || meaning.is_empty() {
            faults.push(format!("{term}: explained twice, or not at all"));
        }
        let file = place.trim_matches('`');
        let Ok(text) = fs::read_to_string(file) else {
            faults.push(format!("{term}: there is no file {file}"));
            continue;
        };
        // A type in the term's cell is looked for as it is written, otherwise the term itself.
        let word = term.split('`').nth(1);
        let is_there = match word {
            Some(name) => text.contains(name),
            None => text.to_lowercase().contains(&term.to_lowercase()),
        };
        if !is_there {
            faults.push(format!("{file} does not contain {:?}", word.unwrap_or(term)));
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn the_rooms_are_those_of_the_program_in_their_order() -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let rooms = section(&page, "## Rooms").unwrap_or_default();
    let headings = rooms.lines().filter(|line| line.starts_with("### "));
    let named: Vec<&str> = headings.flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let root = fs::read_to_string("src/lib.rs")?;
    let modules = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: Vec<&str> = modules.collect();
    assert!(modules.len() > 10, "the rule does not find the modules");
    assert_eq!(named, modules, "headings of \"## Rooms\" in {PAGE}, and modules of src/lib.rs");
    Ok(())
}

#[test]
fn every_file_and_type_on_the_page_exists() -> io::Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let sources: Vec<String> = rust_files(&["src"])?.into_iter().map(|(_, text)| text).collect();
    let mut faults = Vec::new();
    let mut count = 0;
    for quoted in page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let is_path = ["src/", "tests/", "docs/", "config/", "migrations/", "scripts/"]
            .iter()
            .any(|root| quoted.starts_with(root));
        let file = quoted.split(": ").next().unwrap_or_default();
        if is_path && !Path::new(file).exists() {
            faults.push(format!("there is no file {file}"));
        }
        for name in quoted.split("::").filter(|name| is_type(name)) {
            count += 1;
            if !sources.iter().any(|text| has_word(text, name)) {
                faults.push(format!("`{quoted}`: src has no {name}"));
            }
        }
    }
    assert!(count > 20, "only {count} types were found");
    report(&faults);
    Ok(())
}

#[test]
fn a_walk_that_is_wrong_is_found() {
    let right = "Words.\n\n1. `src/main.rs: main` – begins\n2. `src/cli.rs: run` – goes on\n";
    assert_eq!(faults_of(right, 2, 2), Vec::<String>::new());
    assert_eq!(faults_of(right, 1, 2), ["names 2 files, over 1"]);
    assert_eq!(faults_of("", 1, 2), ["has 0 steps, fewer than 2"]);
    let wrong = "\
1. `src/main.rs: main` – begins
2. `src/cli.rs: run` – goes on
3. `src/main.rs: main` – once more
5. `src/cli.rs: no_such` – nowhere
6. `src/no_such.rs: run` – nowhere
7. somewhere else
";
    let expected = [
        "step 3 returns to src/main.rs, which the walk has left",
        "step 4 is numbered 5",
        "step 4 returns to src/cli.rs, which the walk has left",
        "step 4: src/cli.rs has no `fn no_such`",
        "step 5 is numbered 6",
        "step 5: there is no file src/no_such.rs",
        "step 6 is numbered 7",
        "step 6 is not \"`file: function` – what it does\": somewhere else",
    ];
    assert_eq!(faults_of(wrong, 9, 2), expected);
    let page = "## A\n\nfirst\n\n### B\n\nsecond\n\n## C\n";
    assert_eq!(section(page, "### B").map(str::trim), Some("second"));
    assert_eq!(section(page, "## A").map(str::len), Some("\nfirst\n\n### B\n\nsecond\n".len()));
    assert_eq!(section(page, "## B"), None);
    assert!(is_type("NanoUsd") && is_type("Drop") && !is_type("E12") && !is_type("clock"));
    assert!(has_word("(Clock)", "Clock") && !has_word("Clocks MyClock", "Clock"));
}

/// What a page says below a heading, up to the next one of its level or above.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let whole_line = format!("\n{heading}\n");
    let below = match page.strip_prefix(whole_line.trim_start()) {
        Some(below) => below,
        None => page.split_once(&whole_line)?.1,
    };
    let level = heading.split(' ').next().unwrap_or_default();
    let mut end = below.len();
    for (at, _) in below.match_indices("\n#") {
        let next = below.get(at + 1..)?.split(' ').next().unwrap_or_default();
        if next.len() <= level.len() {
            end = at;
            break;
        }
    }
    below.get(..end)
}

fn faults_of(walk: &str, files_max: usize, steps_min: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let mut left = BTreeSet::new();
    let mut here = "";
    let mut count = 0;
    for (number, text) in walk.lines().filter_map(numbered) {
        count += 1;
        if number != count {
            faults.push(format!("step {count} is numbered {number}"));
        }
        let Some(Step { file, function }) = step(text) else {
            faults.push(format!("step {count} is not \"`file: function` – what it does\": {text}"));
            continue;
        };
        if file != here {
            if left.contains(file) {
                faults.push(format!("step {count} returns to {file}, which the walk has left"));
            }
            left.insert(file);
            here = file;
        }
        match fs::read_to_string(file) {
            Err(_) => faults.push(format!("step {count}: there is no file {file}")),
            Ok(text) if !has_function(&text, function) => {
                faults.push(format!("step {count}: {file} has no `fn {function}`"));
            }
            Ok(_) => {}
        }
    }
    if count < steps_min {
        faults.push(format!("has {count} steps, fewer than {steps_min}"));
    }
    if left.len() > files_max {
        faults.push(format!("names {} files, over {files_max}", left.len()));
    }
    faults
}

/// Whether a word is written as a type: `NanoUsd`, not `E12` or `POST /v1/messages`.
fn is_type(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && letters.any(|letter| letter.is_ascii_lowercase())
}

/// Whether a text has the word, and not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, rest) = text.split_at(at);
        let ends = rest.strip_prefix(word).is_some_and(|after| !after.starts_with(is_part));
        ends && !before.ends_with(is_part)
    })
}

/// `12. text` as 12 and the text.
fn numbered(line: &str) -> Option<(usize, &str)> {
    let (number, text) = line.split_once(". ")?;
    Some((number.parse().ok()?, text))
}

/// `` `file: function` – words `` as file and function.
fn step(text: &str) -> Option<Step<'_>> {
    let (place, words) = text.strip_prefix('`')?.split_once("` – ")?;
    let (file, function) = place.split_once(": ")?;
    (!words.trim().is_empty()).then_some(Step { file, function })
}

fn has_function(text: &str, function: &str) -> bool {
    let code = without_comments_and_tests(text);
    let ends = |rest: &str| rest.starts_with(['(', '<']);
    code.split(&format!("fn {function}")).skip(1).any(ends)
}
