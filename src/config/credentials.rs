//! `${CREDENTIALS_DIRECTORY}` at the beginning of a path in a key that ends in `_file`: the folder
//! in which systemd's `LoadCredential=` puts files for a service alone.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What stands for the folder, and the variable that systemd sets.
const WORD: &str = "${CREDENTIALS_DIRECTORY}/";
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Where the files are when no variable says so: beside the settings file, from where systemd
/// takes them. So a command that root runs finds the same files as the service.
const BESIDE: &str = "credentials";

/// Puts the folder in the place of the word. Paths without it stay as they are.
pub(super) fn place(tree: &mut Value, file: Option<&Path>, env: &[(String, String)]) {
    let given = env.iter().find(|(name, _)| name == VARIABLE);
    let folder = given.map_or_else(
        || file.and_then(Path::parent).unwrap_or(Path::new("")).join(BESIDE),
        |(_, folder)| PathBuf::from(folder),
    );
    place_in(tree, &folder);
}

fn place_in(tree: &mut Value, folder: &Path) {
    match tree {
        Value::Object(keys) => {
            for (key, value) in keys {
                let name = match value {
                    Value::String(path) if key.ends_with("_file") => path.strip_prefix(WORD),
                    _ => None,
                };
                match name {
                    Some(name) => {
                        *value = Value::String(folder.join(name).to_string_lossy().into_owned());
                    }
                    None => place_in(value, folder),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| place_in(entry, folder)),
        _ => {}
    }
}
