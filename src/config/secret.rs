//! Where a secret is written: in place, in a file, or in an environment variable; in exactly one of
//! them.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::problems::{KeyPath, Problems};

/// The three keys of one secret, as written.
pub(super) struct SecretKeys<'a> {
    /// Name of the key for the secret itself; the others end in `_file` and `_env`.
    pub(super) key: &'a str,
    pub(super) written: Option<&'a SecretString>,
    pub(super) file: Option<&'a str>,
    pub(super) env: Option<&'a str>,
}

impl SecretKeys<'_> {
    /// The secret and the key that led to it, or nothing and a problem that names where it should
    /// be.
    pub(super) fn fetch(
        &self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<(KeyPath, SecretString)> {
        let (at, found) = self.find(at, env);
        match found {
            Ok(secret) => Some((at, secret)),
            Err(reason) => {
                problems.add(&at, reason);
                None
            }
        }
    }

    /// The secret or the reason why there is none, and the key that either is about.
    pub(super) fn find(
        &self,
        at: &KeyPath,
        env: &[(String, String)],
    ) -> (KeyPath, Result<SecretString, String>) {
        let key = self.key;
        let (at_file, at_env) = (at.key(&format!("{key}_file")), at.key(&format!("{key}_env")));
        let (at, fetched) = match (self.written, self.file, self.env) {
            (Some(secret), None, None) => (at.key(key), Ok(secret.clone())),
            (None, Some(file), None) => (at_file, read(Path::new(file))),
            (None, None, Some(variable)) => (at_env, from_env(variable, env)),
            (None, None, None) => {
                (at_env, Err(format!("is missing: give {key}_env, {key}_file or {key}")))
            }
            _ => (at.key(key), Err(format!("give only one of {key}, {key}_file and {key}_env"))),
        };
        let found = fetched.and_then(|secret| {
            let is_one_line = secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
            let refusal = || "must lead to one line of visible ASCII without spaces".to_owned();
            if is_one_line { Ok(secret) } else { Err(refusal()) }
        });
        (at, found)
    }
}

/// What stands in a file that holds nothing but a secret. The reason names the file, never its
/// content.
pub(super) fn read(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| unreadable(&format!("the file {shown}"), &error))?;
    if text.trim().is_empty() {
        return Err(format!("the file {shown} is empty"));
    }
    Ok(SecretString::from(text.trim()))
}

/// What an environment variable holds.
pub(super) fn from_env(variable: &str, env: &[(String, String)]) -> Result<SecretString, String> {
    match env.iter().find(|(name, _)| name == variable) {
        Some((_, secret)) if !secret.trim().is_empty() => Ok(SecretString::from(secret.trim())),
        Some(_) => Err(format!("the environment variable {variable} is empty")),
        None => Err(format!("the environment variable {variable} is not set")),
    }
}

/// Why a file cannot be read, in words that say what to do where they can.
pub(super) fn unreadable(file: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("{file} cannot be read: no such file"),
        std::io::ErrorKind::PermissionDenied => format!(
            "{file} cannot be read: permission denied; it must be readable by the user that runs \
             sluice"
        ),
        kind => format!("{file} cannot be read: {kind}"),
    }
}
