//! One table into one struct, mistake by mistake.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::config::problems::{KeyPath, KeyStep, Problems};

/// Mistakes that are looked for in one table before giving up on it.
const MISTAKES_MAX: usize = 100;

/// What is read in place of a key that is missing, so that the others are looked at too: one text
/// or number is good for each kind of key that must be there.
const STAND_INS: [&str; 9] = [
    "1",
    "\"1\"",
    "\"x\"",
    "\"https://stand-in.example\"",
    "\"0x0000000000000000000000000000000000000001\"",
    "\"2026-01-01\"",
    "true",
    "[]",
    "{}",
];

/// A table as far as it could be read.
pub(super) struct ReadTable<T> {
    pub(super) entry: T,
    /// Whether no key was missing. Otherwise something else was read in its place, so that the
    /// entry is good for looking for further mistakes only.
    pub(super) is_whole: bool,
}

/// Reads `value` and notes every mistake in it; each is set back to what `reference` says, or taken
/// out. Nothing comes back where a key is missing or the table is none.
pub(super) fn read<T: DeserializeOwned>(
    value: Value,
    root: &KeyPath,
    reference: Option<&Value>,
    problems: &mut Problems,
) -> Option<T> {
    let read = read_table(value, root, reference, problems)?;
    read.is_whole.then_some(read.entry)
}

/// The same, and what could be read of a table that lacks keys.
pub(super) fn read_table<T: DeserializeOwned>(
    mut value: Value,
    root: &KeyPath,
    reference: Option<&Value>,
    problems: &mut Problems,
) -> Option<ReadTable<T>> {
    let mut taken_out = BTreeSet::new();
    let mut is_whole = true;
    for _ in 0..MISTAKES_MAX {
        let (steps, message) = match parse::<T>(&value) {
            Ok(entry) => return Some(ReadTable { entry, is_whole }),
            Err(mistake) => mistake,
        };
        if message.starts_with(MISSING) {
            is_whole = false;
            if !taken_out.contains(&steps) {
                problems.add(&below(root, &steps), "is missing");
            }
            if !stand_in::<T>(&mut value, &steps) {
                return None;
            }
            continue;
        }
        problems.add(&below(root, &steps), reason(&message));
        let default = reference.and_then(|reference| at(reference, &steps)).cloned();
        if !mend(&mut value, &steps, default) {
            return None;
        }
        taken_out.insert(steps);
    }
    None
}

/// How serde says that a key must be there.
const MISSING: &str = "missing field ";

/// The value, or the way to its first mistake and serde's word on it. The way to a key that is
/// missing ends in the key.
fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, (Vec<KeyStep>, String)> {
    serde_path_to_error::deserialize::<_, T>(value).map_err(|error| {
        let mut steps = steps(error.path());
        let message = error.inner().to_string();
        if let Some(name) = quoted(&message, MISSING) {
            steps.push(KeyStep::Key(name.to_owned()));
        }
        (steps, message)
    })
}

/// Puts something in the place of a missing key that gets past it; false if nothing does.
fn stand_in<T: DeserializeOwned>(value: &mut Value, steps: &[KeyStep]) -> bool {
    let Some((KeyStep::Key(key), parents)) = steps.split_last() else { return false };
    STAND_INS.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok()).any(|other| {
        let parent = parents.iter().try_fold(&mut *value, |value, step| match step {
            KeyStep::Key(key) => value.get_mut(key),
            KeyStep::Index(index) => value.get_mut(index),
        });
        let Some(table) = parent.and_then(Value::as_object_mut) else { return false };
        table.insert(key.clone(), other);
        parse::<T>(value).err().is_none_or(|(found, _)| !found.starts_with(steps))
    })
}

/// What to say of an unknown key.
pub(super) fn unknown_key(hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("unknown key; did you mean \"{hint}\"?"),
        None => "unknown key".to_owned(),
    }
}

/// The known name that `name` was probably meant to be: one that it begins, such as without its
/// unit, or one that differs by few letters.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    let is_begun = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
    known
        .map(|other| (if is_begun(other) { 0 } else { distance(name, other) }, other))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, other)| other)
}

/// Says it in our words; serde's own are kept where they are clear.
fn reason(message: &str) -> String {
    if let Some(name) = quoted(message, "unknown field ") {
        let known = message.split_once(", expected").map_or("", |(_, known)| known);
        return unknown_key(nearest(name, known.split('`').skip(1).step_by(2)));
    }
    if let Some((_, known)) =
        message.split_once("unknown variant").and_then(|(_, rest)| rest.split_once("expected "))
    {
        return format!("must be {}", known.trim_start_matches("one of ").replace('`', "\""));
    }
    // What was found may be a secret in the wrong place, so only what is wanted is repeated.
    if let Some((_, wanted)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        let is_table = wanted.starts_with("struct ") || wanted == "a map";
        return if is_table { "must be a table".to_owned() } else { format!("must be {wanted}") };
    }
    message.to_owned()
}

fn quoted<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

fn steps(path: &Path) -> Vec<KeyStep> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(KeyStep::Index(*index)),
            Segment::Map { key } => Some(KeyStep::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn below(root: &KeyPath, steps: &[KeyStep]) -> KeyPath {
    KeyPath(root.0.iter().chain(steps).cloned().collect())
}

fn at<'a>(value: &'a Value, steps: &[KeyStep]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        KeyStep::Key(key) => value.get(key),
        KeyStep::Index(index) => value.get(index),
    })
}

/// Sets a value to its default or takes it out of its table; false where neither changes anything.
fn mend(value: &mut Value, steps: &[KeyStep], default: Option<Value>) -> bool {
    let Some((last, parents)) = steps.split_last() else {
        let Some(default) = default.filter(|default| default != value) else { return false };
        *value = default;
        return true;
    };
    let parent = parents.iter().try_fold(value, |value, step| match step {
        KeyStep::Key(key) => value.get_mut(key),
        KeyStep::Index(index) => value.get_mut(index),
    });
    let (Some(table), KeyStep::Key(key)) = (parent.and_then(Value::as_object_mut), last) else {
        return false;
    };
    match default {
        Some(default) if table.get(key) != Some(&default) => {
            table.insert(key.clone(), default).is_some()
        }
        _ => table.remove(key).is_some(),
    }
}

/// Levenshtein's distance: insertions, deletions and replacements of characters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row, vec![line.saturating_add(1)]).into_iter();
        let mut before = diagonal.next().unwrap_or_default();
        for (above, right) in diagonal.zip(&other) {
            let replaced = before.saturating_add(usize::from(left != *right));
            let inserted = row.last().copied().unwrap_or_default().saturating_add(1);
            row.push(replaced.min(inserted).min(above.saturating_add(1)));
            before = above;
        }
    }
    row.last().copied().unwrap_or_default()
}
