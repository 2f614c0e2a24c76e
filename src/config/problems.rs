//! What is wrong with a configuration, and where: file and line, or the environment variable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Everything that is wrong, one line each: `FILE:LINE: key: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// The sections of the manual that explain the keys, each once.
    #[must_use]
    pub fn pages(&self) -> Vec<String> {
        let mut pages = Vec::new();
        for problem in self.problems.iter().filter(|problem| !problem.key.is_empty()) {
            let page = format!("docs/configuration.md#{}", section_of(&problem.key));
            if !pages.contains(&page) {
                pages.push(page);
            }
        }
        pages
    }
}

/// The heading of a key's section as a link has it: `chainsproviders` of `chains[0].providers[1]`.
fn section_of(key: &str) -> String {
    let mut steps = key.split('.').map(|step| step.split('[').next().unwrap_or(step));
    let first = steps.next().unwrap_or_default();
    match (first, steps.next()) {
        ("chains", Some(table @ ("providers" | "tokens" | "native" | "tiers"))) => {
            format!("chains{table}")
        }
        ("models", _) => "modelsid".to_owned(),
        _ => first.to_owned(),
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: SettingLocation,
    /// The key, such as `server.listen`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong with it. Never repeats a secret.
    pub reason: String,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingLocation {
    /// In the operator's file; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, or of the table that lacks it.
        line: Option<usize>,
        /// The column, for mistakes of syntax.
        column: Option<usize>,
    },
    /// In an environment variable.
    Env(String),
    /// Nowhere: it is absent, and there is no file.
    Unwritten,
}

impl fmt::Display for SettingLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => {
                write!(f, "{}", path.display())?;
                for position in [line, column].into_iter().flatten() {
                    write!(f, ":{position}")?;
                }
                Ok(())
            }
            Self::Env(variable) => f.write_str(variable),
            Self::Unwritten => f.write_str("settings"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "{}: {}", self.place, self.reason);
        }
        write!(f, "{}: {}: {}", self.place, self.key, self.reason)
    }
}

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyStep {
    Key(String),
    Index(usize),
}

/// Way from the root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<KeyStep>);

impl KeyPath {
    /// The way to `key` below here.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(KeyStep::Key(key.to_owned()))
    }

    /// The way to an entry of the array here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(KeyStep::Index(index))
    }

    /// The way to what contains this.
    pub(super) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, parents)| Self(parents.to_vec()))
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    fn then(&self, step: KeyStep) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                KeyStep::Index(index) => write!(f, "[{index}]")?,
                KeyStep::Key(key) => {
                    let dot = if position > 0 { "." } else { "" };
                    let is_bare = key
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
                    if is_bare && !key.is_empty() {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Problems as they are found, before they have a place.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(KeyPath, String)>);

impl Problems {
    pub(super) fn add(&mut self, at: &KeyPath, reason: impl Into<String>) {
        self.0.push((at.clone(), reason.into()));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks each place up and sorts by it.
    pub(super) fn into_errors(self, places: &SettingLocations) -> ConfigErrors {
        let mut problems: Vec<Problem> = Vec::new();
        for (at, reason) in self.0 {
            let problem = Problem { place: places.of(&at), key: at.to_string(), reason };
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems.sort_by(|one, other| one.place.cmp(&other.place));
        ConfigErrors { problems }
    }
}

/// Where each key was written.
#[derive(Debug, Default)]
pub(super) struct SettingLocations {
    pub(super) file: Option<PathBuf>,
    pub(super) lines: BTreeMap<KeyPath, usize>,
    pub(super) variables: BTreeMap<KeyPath, String>,
}

impl SettingLocations {
    /// The nearest place: the key itself, otherwise what contains it. The environment wins, as it
    /// does for values; a variable below the key has made a table of it.
    fn of(&self, at: &KeyPath) -> SettingLocation {
        let has_line = self.lines.contains_key(at);
        let variable = self
            .variables
            .iter()
            .find(|(path, _)| path.starts_with(at) || (!has_line && at.starts_with(path)));
        let variable = variable.map(|(_, variable)| variable);
        if let Some(variable) = variable {
            return SettingLocation::Env(variable.clone());
        }
        let Some(path) = self.file.clone() else { return SettingLocation::Unwritten };
        let ancestors = std::iter::successors(Some(at.clone()), KeyPath::parent);
        let line = ancestors.into_iter().find_map(|way| self.lines.get(&way).copied());
        SettingLocation::File { path, line, column: None }
    }
}
