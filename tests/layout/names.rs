//! A type's name means one thing: within a room always, and in the whole house nearly always, so
//! that a search for a name finds the type.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::{report, rust_files, top_module, without_comments_and_tests, word};

/// Names that several rooms define, each for itself: fewer than this.
const DOUBLED_BELOW: usize = 25;

/// The files that define a type, by its name.
type Definitions = BTreeMap<String, Vec<PathBuf>>;

#[test]
fn no_room_defines_a_type_name_twice() -> io::Result<()> {
    let mut faults = Vec::new();
    for (name, paths) in definitions(&rust_files(&["src"])?) {
        let rooms: BTreeSet<_> = paths.iter().filter_map(|path| top_module(path)).collect();
        if rooms.len() < paths.len() {
            faults.push(told(&name, &paths));
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn few_type_names_are_defined_in_several_rooms() -> io::Result<()> {
    let definitions = definitions(&rust_files(&["src"])?);
    assert!(definitions.len() > 500, "the rule does not find the types: {}", definitions.len());
    let doubled: Vec<String> = definitions
        .iter()
        .filter(|(_, paths)| paths.len() > 1)
        .map(|(name, paths)| told(name, paths))
        .collect();
    if doubled.len() >= DOUBLED_BELOW {
        report(&doubled);
    }
    Ok(())
}

#[test]
fn the_reader_of_definitions_sees_what_it_must() {
    let text = "\
/// A struct One.
pub(super) struct One<'a>(&'a str);
pub trait Two {
    type Other;
}
enum Three { Four }
pub type Five = u8;
impl Two for Three {
    type Other = One;
}
fn f() {
    struct Six;
    let structure = one;
}
#[cfg(test)]
mod tests {
    struct Seven;
}
";
    assert_eq!(names(text), ["One", "Two", "Three", "Five", "Six"]);
    let files = ["src/a.rs", "src/a/b.rs", "src/a/tests.rs", "src/a/tests/c.rs"]
        .map(|path| (PathBuf::from(path), text.to_owned()));
    let found = definitions(&files);
    assert_eq!(found["One"], [PathBuf::from("src/a.rs"), PathBuf::from("src/a/b.rs")]);
    assert_eq!(found.len(), 5);
}

fn told(name: &str, paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{name} is defined in {}", paths.join(", "))
}

/// Of all files but those of tests.
fn definitions(files: &[(PathBuf, String)]) -> Definitions {
    let mut found = Definitions::new();
    for (path, text) in files.iter().filter(|(path, _)| !is_of_tests(path)) {
        for name in names(text) {
            found.entry(name).or_default().push(path.clone());
        }
    }
    found
}

fn is_of_tests(path: &Path) -> bool {
    path.with_extension("").iter().any(|part| part == "tests")
}

/// Structs, enums and traits wherever they stand; aliases outside of functions and `impl`.
fn names(text: &str) -> Vec<String> {
    let code = without_comments_and_tests(text);
    code.lines().filter_map(name).collect()
}

fn name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    let is_indented = rest.len() < line.len();
    if let Some(behind) = rest.strip_prefix("pub") {
        rest = match behind.strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1,
            None => behind,
        }
        .trim_start();
    }
    let (keyword, rest) = rest.split_once(' ')?;
    match keyword {
        "struct" | "enum" | "trait" => word(rest),
        "type" if !is_indented => word(rest),
        _ => None,
    }
}
