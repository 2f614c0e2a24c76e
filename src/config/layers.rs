//! The three layers laid over each other by the `config` crate: reference, operator's file,
//! environment.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, File, FileFormat};
use serde_json::Value;

use super::problems::{ConfigErrors, KeyPath, KeyStep, Problem, SettingLocation, SettingLocations};
use super::{REFERENCE, Sources, credentials, lines, secret};

/// What every variable of ours begins with.
const PREFIX: &str = "SLUICE__";

/// Entries of an array that the environment may number.
const ENTRIES_MAX: usize = 64;

/// The layers as one tree, and where its parts were written.
pub(super) struct Layers {
    /// The tree in force.
    pub(super) tree: Value,
    /// The reference alone.
    pub(super) reference: Value,
    /// Where each key was written.
    pub(super) places: SettingLocations,
}

/// Lays the layers over each other.
///
/// # Errors
/// A file that cannot be read or parsed, a variable whose name leads nowhere.
pub(super) fn merge(sources: &Sources) -> Result<Layers, ConfigErrors> {
    let Some(path) = sources.file.as_deref() else { return merge_text(None, &sources.env) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| broken_file(path, secret::unreadable("the file", &error)))?;
    merge_text(Some((path, &text)), &sources.env)
}

/// The same with the text of the file, wherever it comes from.
///
/// # Errors
/// As [`merge`].
pub(super) fn merge_text(
    file: Option<(&Path, &str)>,
    env: &[(String, String)],
) -> Result<Layers, ConfigErrors> {
    let mut builder = Config::builder().add_source(File::from_str(REFERENCE, FileFormat::Toml));
    let path = file.map(|(path, _)| path);
    let mut places =
        SettingLocations { file: path.map(Path::to_owned), ..SettingLocations::default() };
    if let Some((path, text)) = file {
        places.lines = lines::of(text, path)?;
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    places.variables = variables(env)?;
    let pairs = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let values: BTreeMap<&str, &str> = pairs.collect();
    for (at, variable) in &places.variables {
        let value = values.get(variable.as_str()).copied().unwrap_or_default();
        builder = builder
            .set_override(at.to_string(), value)
            .map_err(|_| broken_variable(variable, "does not name a setting"))?;
    }
    let read = |config: Result<Config, config::ConfigError>| {
        config.and_then(Config::try_deserialize::<Value>)
    };
    // The file parsed above, so this should not happen; the crate's own text could quote the file,
    // secrets and all.
    let mut tree = read(builder.build()).map_err(|_| match path {
        Some(path) => broken_file(path, "the file cannot be merged with the reference".to_owned()),
        None => broken_variable(PREFIX, "cannot be merged with the reference"),
    })?;
    credentials::place(&mut tree, path, env);
    let reference = Config::builder().add_source(File::from_str(REFERENCE, FileFormat::Toml));
    let reference = read(reference.build()).unwrap_or_default();
    Ok(Layers { tree, reference, places })
}

/// Our variables by the key that each sets.
fn variables(env: &[(String, String)]) -> Result<BTreeMap<KeyPath, String>, ConfigErrors> {
    let mut variables = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, _) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match key_of(rest) {
            Some(at) => {
                variables.insert(at, name.clone());
            }
            None => problems.extend(broken_variable(name, "does not name a setting").problems),
        }
    }
    if problems.is_empty() { Ok(variables) } else { Err(ConfigErrors { problems }) }
}

/// `UPSTREAMS__0__NAME` is `upstreams[0].name`.
fn key_of(rest: &str) -> Option<KeyPath> {
    let mut at = KeyPath::default();
    for part in rest.split("__") {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if part.is_empty() || !part.bytes().all(is_plain) {
            return None;
        }
        at = match part.parse::<usize>() {
            Ok(index) if index < ENTRIES_MAX && !at.0.is_empty() => at.index(index),
            Ok(_) => return None,
            Err(_) => at.key(&part.to_ascii_lowercase()),
        };
    }
    let is_section_alone = at.0.len() < 2 || !matches!(at.0.first(), Some(KeyStep::Key(_)));
    if is_section_alone { None } else { Some(at) }
}

fn broken_file(path: &Path, reason: String) -> ConfigErrors {
    let place = SettingLocation::File { path: path.to_owned(), line: None, column: None };
    ConfigErrors { problems: vec![Problem { place, key: String::new(), reason }] }
}

fn broken_variable(name: &str, reason: &str) -> ConfigErrors {
    let problem = Problem {
        place: SettingLocation::Env(name.to_owned()),
        key: String::new(),
        reason: reason.to_owned(),
    };
    ConfigErrors { problems: vec![problem] }
}
