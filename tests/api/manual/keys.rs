//! `docs/configuration.md` has every key of `config/default.toml` with its default and the
//! beginning of its comment.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sluice::config::REFERENCE;

use super::{cell, hold};

/// A comment is taken up to the sentence that reaches so many letters.
const COMMENT_MAX: usize = 180;
/// What a key means without a value, or with none: the part that is taken must not lack it.
const DEFAULTS: [&str; 3] = ["Default: ", " 0 = ", "Empty = "];

#[test]
fn the_page_of_settings_has_every_key_with_default_and_meaning() {
    let sections = sections(REFERENCE);
    let keys: usize = sections.iter().map(|section| section.keys.len()).sum();
    assert!(sections.len() > 20 && keys > 200, "{} sections, {keys} keys", sections.len());
    let names: Vec<&str> = sections.iter().map(|section| section.name.as_str()).collect();
    for header in headers(REFERENCE) {
        assert!(names.contains(&header), "{header} is no section of the page: {names:?}");
    }
    let mut made = String::new();
    for section in sections {
        writeln!(made, "## `{}`\n", section.name).unwrap();
        if !section.comment.is_empty() {
            writeln!(made, "{}\n", section.comment).unwrap();
        }
        let values = if section.is_example { "example" } else { "default" };
        writeln!(made, "| key | {values} | |\n|---|---|---|").unwrap();
        // Keys that share a comment share a row.
        for keys in section.keys.chunk_by(|_, next| next.continues) {
            let column = |part: fn(&Key) -> &str| {
                keys.iter().map(|key| cell(part(key))).collect::<Vec<_>>().join("<br>")
            };
            let (names, values) = (column(|key| &key.name), column(|key| &key.value));
            writeln!(made, "| {names} | {values} | {} |", cell(&keys[0].comment)).unwrap();
        }
        made.push('\n');
    }
    hold("configuration.md", &made);
}

/// The headers of tables, in force or commented out, up to the price list. The sections are found
/// in another way.
fn headers(reference: &str) -> impl Iterator<Item = &str> {
    let lines = reference.lines().map(|line| line.trim_start_matches(['#', ' ']));
    lines.take_while(|line| !line.starts_with("[models.\"claude")).filter_map(|line| {
        let header = line.split("  #").next().unwrap().trim();
        (header.starts_with('[') && header.ends_with(']')).then_some(header)
    })
}

struct Section {
    name: String,
    comment: String,
    /// Whether the file shows it commented out.
    is_example: bool,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    value: String,
    comment: String,
    /// Whether it shares the comment of the key before it.
    continues: bool,
}

/// Sections in the order of the file, each once, up to the price list.
fn sections(reference: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_example = false;
    let mut is_repeated = false;
    let mut comment = Comment::default();
    let mut lines = reference.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("[models.\"claude") {
            break;
        }
        is_example = line.starts_with("# [") || (is_example && line.starts_with('#'));
        let line = if is_example { line.strip_prefix("# ").unwrap_or("") } else { line };
        if line.starts_with('[') {
            let name = line.split("  #").next().unwrap().trim();
            is_repeated = !seen.insert(name.to_owned());
            let comment = std::mem::take(&mut comment).unused();
            if !is_repeated {
                sections.push(Section { name: name.to_owned(), comment, is_example, keys: vec![] });
            }
        } else if let Some((name, value, is_set)) = key_of(line) {
            if value == "[" {
                lines.by_ref().find(|line| line.trim_start_matches(['#', ' ']) == "]");
            }
            let (value, trailing) = value.split_once("  #").unwrap_or((value, ""));
            let continues = comment.is_used && trailing.is_empty();
            let comment = comment.used(trailing.trim());
            if let Some(section) = sections.last_mut().filter(|_| !is_repeated) {
                let (name, value) = (format!("`{name}`"), shown(value, is_set));
                section.keys.push(Key { name, value, comment, continues });
            }
        } else if let Some(words) = line.strip_prefix("# ") {
            comment.add(words);
        } else if line.is_empty() && !is_example {
            comment = Comment::default();
        }
    }
    sections
}

/// Name and value of a line `key = value`, and whether it is in force.
fn key_of(line: &str) -> Option<(&str, &str, bool)> {
    let bare = line.strip_prefix("# ");
    let (name, value) = bare.unwrap_or(line).split_once(" = ")?;
    let is_name = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then_some((name, value, bare.is_none()))
}

fn shown(value: &str, is_set: bool) -> String {
    match value.trim() {
        _ if !is_set => "none".to_owned(),
        "[" => "a list".to_owned(),
        value => format!("`{value}`"),
    }
}

/// The comment above a key, which counts for all keys that follow without another.
#[derive(Default)]
struct Comment {
    text: String,
    is_used: bool,
}

impl Comment {
    fn add(&mut self, words: &str) {
        if self.is_used {
            *self = Self::default();
        }
        self.text.push_str(words);
        self.text.push(' ');
    }

    /// What belongs to no key.
    fn unused(self) -> String {
        if self.is_used { String::new() } else { self.text.trim().to_owned() }
    }

    /// The beginning of what stands above, or what stands behind the key.
    fn used(&mut self, behind: &str) -> String {
        self.is_used = true;
        let text = if behind.is_empty() { self.text.trim() } else { behind };
        let ends = text.match_indices(". ").map(|(at, _)| at + 1).chain([text.len()]);
        let ends: Vec<usize> = ends.collect();
        let end = ends.iter().rev().find(|end| **end <= COMMENT_MAX).or(ends.first());
        let (taken, left) = text.split_at(*end.unwrap());
        for words in DEFAULTS {
            assert!(!left.contains(words), "{words:?} must stand earlier, or shorter: {text}");
        }
        taken.to_owned()
    }
}
