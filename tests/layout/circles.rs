//! No two files lean on each other: a circle of `use` is a border in the wrong place. What a file
//! takes from the modules that it declares itself, and they from it, is one subject and counts not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::{report, rust_files};

/// A module's path below `src`, `lib` being the empty one.
type Module = Vec<String>;

#[test]
fn no_files_lean_on_each_other() -> io::Result<()> {
    let files = rust_files(&["src"])?.into_iter().filter_map(|(path, text)| {
        let path = path.strip_prefix("src").ok()?.with_extension("");
        let parts: Module =
            path.iter().filter_map(|part| part.to_str().map(str::to_owned)).collect();
        match parts.last().map(String::as_str) {
            Some("lib") => Some((Module::new(), text)),
            Some("main") => None,
            _ => Some((parts, text)),
        }
    });
    let circles = circles(&files.collect());
    let told: Vec<String> = circles.iter().map(|circle| circle.join(" and ")).collect();
    report(&told);
    Ok(())
}

#[test]
fn a_circle_is_found() {
    let files = |texts: &[(&str, &str)]| {
        let module = |name: &str| name.split("::").map(str::to_owned).collect::<Module>();
        let files = texts.iter().map(|(name, text)| (module(name), (*text).to_owned()));
        circles(&files.chain([(Module::new(), "pub mod a;".to_owned())]).collect())
    };
    let around = [
        ("a", "mod b;\nmod c;\npub use b::Thing;"),
        ("a::b", "use super::c::{self, Other};"),
        ("a::c", "use crate::a::Thing;"),
    ];
    assert_eq!(files(&around), [["a::b", "a::c"]]);
    // A comment, tests, and what a file declares itself.
    let fine = [
        ("a", "mod b;\nmod c;\nuse b::Thing;"),
        ("a::b", "use super::Part;\n// use super::c::Other;"),
        ("a::c", "use super::b::Thing;\n#[cfg(test)]\nmod tests {\nuse super::super::b;\n}"),
    ];
    assert!(files(&fine).is_empty());
}

/// Modules that reach each other by what they use, each circle once.
fn circles(files: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let mut used: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    let mut passed_on: BTreeMap<Module, Module> = BTreeMap::new();
    for (module, text) in files {
        for (path, is_public) in uses(text) {
            let Some(path) = absolute(module, &path, files) else { continue };
            if let (true, Some(name)) = (is_public, path.last()) {
                let mut here = module.clone();
                here.push(name.clone());
                passed_on.insert(here, path.clone());
            }
            used.entry(module).or_default().insert(path);
        }
    }
    let edges: BTreeMap<&Module, BTreeSet<&Module>> = used
        .iter()
        .map(|(module, paths)| {
            let targets = paths.iter().filter_map(|path| owner(path, &passed_on, files));
            let others = targets.filter(|target| !target.starts_with(module));
            (*module, others.collect())
        })
        .collect();
    let reached = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Module> = edges.get(from).into_iter().flatten().copied().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(edges.get(module).into_iter().flatten().copied());
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (*module, reached(module))).collect();
    let mut found = BTreeSet::new();
    for (module, those) in &reach {
        if those.contains(module) {
            let circle = those
                .iter()
                .filter(|other| reach.get(**other).is_some_and(|back| back.contains(module)));
            found.insert(circle.map(|one| one.join("::")).collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

/// The file that a path leads into, through what others pass on.
fn owner<'a>(
    path: &Module,
    passed_on: &BTreeMap<Module, Module>,
    files: &'a BTreeMap<Module, String>,
) -> Option<&'a Module> {
    let mut path = path.clone();
    for _ in 0..5 {
        let Some(further) = passed_on.get(&path) else { break };
        path.clone_from(further);
    }
    (1..=path.len())
        .rev()
        .find_map(|length| files.get_key_value(path.get(..length)?).map(|(module, _)| module))
}

/// A path as seen from the top; nothing for another crate's.
fn absolute(module: &Module, path: &[String], files: &BTreeMap<Module, String>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut whole = match first.as_str() {
        "crate" => rest.to_vec(),
        "self" => [module.as_slice(), rest].concat(),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let kept = module.len().checked_sub(up)?;
            [module.get(..kept)?, path.get(up..)?].concat()
        }
        _ => {
            let child = [module.as_slice(), std::slice::from_ref(first)].concat();
            files.contains_key(&child).then(|| [module.as_slice(), path].concat())?
        }
    };
    if whole.last().is_some_and(|last| last == "self") {
        whole.pop();
    }
    Some(whole)
}

/// The paths that a file uses outside of its tests, and whether it passes them on.
fn uses(text: &str) -> Vec<(Vec<String>, bool)> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for statement in text.split(';') {
        let Some((before, list)) = statement.rsplit_once("use ") else { continue };
        let begins = before.lines().last().unwrap_or_default().trim();
        if !(begins.is_empty() || begins.starts_with("pub")) {
            continue;
        }
        let mut paths = Vec::new();
        spread(list, &[], &mut paths);
        found.extend(paths.into_iter().map(|path| (path, begins.starts_with("pub"))));
    }
    found
}

/// `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn spread(list: &str, before: &[String], paths: &mut Vec<Vec<String>>) {
    let mut depth = 0_i32;
    let parts = list.split(|mark: char| {
        depth += i32::from(mark == '{') - i32::from(mark == '}');
        mark == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let named = |text: &str| {
            let names = text.split("::").map(str::trim).filter(|name| !name.is_empty());
            before.iter().cloned().chain(names.map(str::to_owned)).collect::<Vec<_>>()
        };
        match part.split_once('{') {
            Some((head, inner)) => {
                let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
                spread(inner, &named(head), paths);
            }
            None => paths.push(named(part.split(" as ").next().unwrap_or(part))),
        }
    }
}
