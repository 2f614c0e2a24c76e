//! The house rules that no compiler checks: where things stand, and which way they may look.
//!
//! It reads sources as text and knows nothing else of the program.

#[path = "layout/circles.rs"]
mod circles;
#[path = "layout/links.rs"]
mod links;
#[path = "layout/names.rs"]
mod names;
#[path = "layout/privacy.rs"]
mod privacy;
#[path = "layout/promises.rs"]
mod promises;
#[path = "layout/walks.rs"]
mod walks;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The top-level modules from the ground up. A module may use those on lines above its own.
const STOREYS: [&[&str]; 22] = [
    &["domain"],
    &["config"],
    &["metrics", "places", "telemetry", "tracker"],
    &["traces"],
    &["chain", "db", "upstream"],
    &["holds", "ledger"],
    &["accounts"],
    &["deposits", "mail"],
    &["policies"],
    &["backups"],
    &["operator"],
    &["context"],
    &["jobs"],
    &["http"],
    &["gateway"],
    &["api"],
    &["site"],
    &["admin"],
    &["app"],
    &["doctor"],
    &["cli"],
    &["main"],
];

/// Stands beside the house: knows the domain alone, and only the command line knows it.
const SANDBOX: &str = "sandbox";

const LINES_MAX: usize = 450;
/// As `max_width` of rustfmt, which leaves comments and strings alone.
const COLUMNS_MAX: usize = 100;
/// Names below `src`, the file's own among them.
const DEPTH_MAX: usize = 4;

const REGISTRY: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

#[test]
fn every_file_says_what_it_owns() -> io::Result<()> {
    let mut faults = Vec::new();
    for (path, text) in rust_files(&["src", "tests", "benches", "examples"])? {
        if !text.starts_with("//! ") {
            faults.push(format!("{} does not open with `//! …`", path.display()));
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn modules_are_named_files_not_mod_rs() -> io::Result<()> {
    let mut faults = Vec::new();
    for (path, _) in rust_files(&["src", "tests", "benches", "examples"])? {
        if path.ends_with("mod.rs") {
            faults.push(format!("{}: name it after the module, beside its folder", path.display()));
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn files_stay_short_and_shallow() -> io::Result<()> {
    let mut faults = Vec::new();
    let python = files_named(&["scripts", "tests"], "py")?;
    for (path, text) in
        rust_files(&["src", "tests", "benches", "examples"])?.into_iter().chain(python)
    {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{} has {lines} lines, over {LINES_MAX}", path.display()));
        }
        if path.starts_with("src") && path.components().count() > 1 + DEPTH_MAX {
            faults.push(format!("{} is deeper than {DEPTH_MAX}", path.display()));
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn no_line_is_longer_than_a_hundred_columns() -> io::Result<()> {
    let mut faults = Vec::new();
    for (path, text) in rust_files(&["src", "tests", "benches", "examples"])? {
        for (line, number) in text.lines().zip(1..) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                faults.push(format!("{}:{number} ends at column {columns}", path.display()));
            }
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn modules_use_only_what_stands_below_them() -> io::Result<()> {
    let mut faults = Vec::new();
    for (path, text) in rust_files(&["src"])? {
        if path.ends_with("lib.rs") || path.ends_with("tests.rs") {
            continue;
        }
        let Some(from) = top_module(&path) else { continue };
        for to in used_modules(&text) {
            if !may_use(&from, &to) {
                faults.push(format!("{}: {from} may not use {to}", path.display()));
            }
        }
    }
    report(&faults);
    Ok(())
}

#[test]
fn every_module_has_its_storey() -> io::Result<()> {
    let mut faults = Vec::new();
    for (path, _) in rust_files(&["src"])? {
        if let Some(module) = top_module(&path)
            && storey(&module).is_none()
            && module != SANDBOX
            && module != "lib"
        {
            faults.push(format!("{}: give {module} a place in STOREYS", path.display()));
        }
    }
    report(&faults);
    Ok(())
}

/// Where routes are made of tables: whoever walks all of them can then be sure that there is none
/// beside.
const ROUTES: [&str; 2] = ["src/api/endpoints.rs", "src/http/table.rs"];

#[test]
fn no_route_is_served_beside_the_tables() -> io::Result<()> {
    let words = [
        "web::resource",
        "web::scope",
        ".route(",
        "web::get",
        "web::post",
        "web::method",
        "#[get(",
    ];
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in rust_files(&["src"])? {
        // Another program's server.
        if path.starts_with("src/sandbox") {
            continue;
        }
        let is_table = ROUTES.iter().any(|table| path == Path::new(table));
        seen += usize::from(is_table);
        for word in words {
            if without_comments_and_tests(&text).contains(word) && !is_table {
                faults.push(format!("{}: {word} belongs into a table", path.display()));
            }
        }
    }
    assert_eq!(seen, ROUTES.len(), "the rule looks for files that are not there");
    report(&faults);
    Ok(())
}

#[test]
fn one_file_names_the_ethereum_crate() -> io::Result<()> {
    let mut seen = 0;
    let mut faults = Vec::new();
    for (path, text) in rust_files(&["src"])? {
        if !text.contains("ethers") {
            continue;
        }
        if path == Path::new("src/chain/types.rs") {
            seen += 1;
        } else {
            faults.push(format!("{}: say it in `chain::types`", path.display()));
        }
    }
    assert_eq!(seen, 1, "the rule looks for a file that is not there");
    report(&faults);
    Ok(())
}

#[test]
fn both_databases_have_the_same_migrations() -> io::Result<()> {
    let sqlite = names(Path::new("migrations/sqlite"))?;
    let postgres = names(Path::new("migrations/postgres"))?;
    assert!(!sqlite.is_empty(), "there are no migrations");
    assert_eq!(sqlite, postgres);
    Ok(())
}

#[test]
fn lock_files_name_no_place_but_the_official_one() -> io::Result<()> {
    let mut faults = Vec::new();
    let mut seen = 0;
    for path in files(Path::new("."))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let strange: fn(&str) -> bool = match name.as_str() {
            "Cargo.lock" => |line| line.starts_with("source = ") && !line.contains(REGISTRY),
            "package-lock.json" => |line| line.contains("\"resolved\""),
            _ if name.starts_with("requirements") => {
                // Options say where packages come from; checksums do not.
                |line| {
                    line.contains("://")
                        || line.starts_with('-') && !line.starts_with("--hash=sha256:")
                }
            }
            _ => continue,
        };
        seen += 1;
        for (index, line) in fs::read_to_string(&path)?.lines().enumerate() {
            if strange(line.trim_start()) {
                faults.push(format!("{}:{}: {line}", path.display(), index + 1));
            }
        }
    }
    assert!(seen > 0, "there is no lock file");
    report(&faults);
    Ok(())
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let text = "\
//! See `crate::cli`.
use crate::{db::Database, ledger};
/// Not [`crate::admin`].
fn f() -> crate::domain::Clock { g() }
#[cfg(test)]
mod tests {
    use crate::app;
}
use crate::upstream::{\n    self, crate_like\n};
";
    let used = used_modules(text);
    let expected = ["db", "domain", "ledger", "upstream"].map(str::to_owned);
    assert_eq!(used.into_iter().collect::<Vec<_>>(), expected);
    assert!(may_use("ledger", "db") && may_use("cli", SANDBOX) && may_use(SANDBOX, "domain"));
    assert!(!may_use("db", "ledger") && !may_use("db", "upstream"));
    assert!(!may_use(SANDBOX, "config") && !may_use("gateway", SANDBOX));
}

/// Fails with every fault at once.
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

fn storey(module: &str) -> Option<usize> {
    STOREYS.iter().position(|storey| storey.contains(&module))
}

fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    if from == SANDBOX {
        return to == "domain";
    }
    if to == SANDBOX {
        return from == "cli";
    }
    matches!((storey(from), storey(to)), (Some(upper), Some(lower)) if lower < upper)
}

/// `src/ledger/group.rs` and `src/ledger.rs` belong to `ledger`.
fn top_module(path: &Path) -> Option<String> {
    let below_src = path.components().nth(1)?.as_os_str().to_str()?;
    Some(below_src.trim_end_matches(".rs").to_owned())
}

/// The modules named as `crate::x` or `crate::{x, y}` outside comments and tests.
fn used_modules(text: &str) -> BTreeSet<String> {
    let code = without_comments_and_tests(text);
    let mut used = BTreeSet::new();
    for (_, path) in code.match_indices("crate::").map(|(at, root)| code.split_at(at + root.len()))
    {
        match path.strip_prefix('{') {
            Some(list) => used.extend(heads(list)),
            None => used.extend(word(path)),
        }
    }
    // Macros and items that the crate's root exports are no modules.
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

/// The first words of a `use` list, up to the brace that ends it.
fn heads(list: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 1;
    let mut expects_head = true;
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_head = true,
            _ if expects_head && !character.is_whitespace() => {
                heads.extend(word(list.get(at..).unwrap_or_default()));
                expects_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// Drops comment lines, and each `#[cfg(test)]` module up to the brace in the module's own column.
fn without_comments_and_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let opens_tests = line.trim() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        if opens_tests {
            let end = format!("{}}}", line.split('#').next().unwrap_or_default());
            for skipped in lines.by_ref() {
                if skipped == end {
                    break;
                }
            }
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    code
}

fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn rust_files(folders: &[&str]) -> io::Result<Vec<(PathBuf, String)>> {
    files_named(folders, "rs")
}

/// Paths are relative to the package, where cargo runs tests.
fn files_named(folders: &[&str], ending: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for folder in folders {
        for path in files(Path::new(folder))? {
            if path.extension().is_some_and(|extension| extension == ending) {
                let text = fs::read_to_string(&path)?;
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folders:?}");
    Ok(found)
}

/// Every file below, but for what is built or fetched.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if ![".git", "target", "node_modules"].iter().any(|skipped| name == *skipped) {
                found.extend(files(&entry.path())?);
            }
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}
