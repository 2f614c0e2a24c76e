//! The folder of backups: their names, which are complete, and which go.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime};

use super::manifest::Manifest;
use super::{BackupError, failed, sync_folder};
use crate::domain::clock::UnixMillis;

/// How a name is written: `sluice-20261130T235959Z`.
const FORMAT: &str = "sluice-%Y%m%dT%H%M%SZ";
/// What is not complete yet, or about to be deleted.
const PARTIAL: &str = ".partial";
/// Held while a backup is made.
const LOCK: &str = ".sluice-backup.lock";

/// A backup that is complete: it has its name since everything else was on the disk.
#[derive(Clone, Debug)]
pub struct CompleteBackup {
    /// Its folder.
    pub path: PathBuf,
    /// When it was begun.
    pub made_at: UnixMillis,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// The name of a backup that is begun at a moment.
#[must_use]
pub fn name(at: UnixMillis) -> String {
    let moment = DateTime::from_timestamp_millis(at.as_millis()).unwrap_or_default();
    moment.format(FORMAT).to_string()
}

/// When a backup of this name was begun; `None` for any other name.
#[must_use]
pub fn moment(name: &str) -> Option<UnixMillis> {
    let moment = NaiveDateTime::parse_from_str(name, FORMAT).ok()?;
    let at = UnixMillis::from_millis(moment.and_utc().timestamp_millis());
    (self::name(at) == name).then_some(at)
}

/// Where a backup is while it is made.
#[must_use]
pub fn partial(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}{PARTIAL}"))
}

/// Makes the folder if it is missing, and has it for this process until the file is dropped.
/// Deletes what was left of backups that were not finished.
///
/// # Errors
/// [`BackupError::Busy`] while another process makes one.
pub fn enter(directory: &Path) -> Result<File, BackupError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed(directory, "created"))?;
    let path = directory.join(LOCK);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path, "created"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(directory.to_owned())),
        Err(TryLockError::Error(error)) => return Err(failed(&path, "locked")(error)),
    }
    for name in names(directory)? {
        let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL));
        if inner.and_then(moment).is_some() {
            let path = directory.join(&name);
            std::fs::remove_dir_all(&path).map_err(failed(&path, "deleted"))?;
        }
    }
    Ok(lock)
}

/// When the newest backup was begun, by its name alone; `None` if there is none. One of the future
/// is none: a clock was wrong when it was made.
///
/// # Errors
/// [`BackupError::File`]; a missing folder has no backups.
pub fn newest(directory: &Path, now: UnixMillis) -> Result<Option<UnixMillis>, BackupError> {
    Ok(names(directory)?.iter().filter_map(|name| moment(name)).filter(|at| *at <= now).max())
}

/// Every complete backup, the newest first. A folder whose manifest does not read is left out.
///
/// # Errors
/// [`BackupError::File`].
pub fn complete(directory: &Path) -> Result<Vec<CompleteBackup>, BackupError> {
    let mut found = Vec::new();
    for name in names(directory)? {
        let Some(made_at) = moment(&name) else { continue };
        let path = directory.join(name);
        match Manifest::read(&path) {
            Ok(manifest) => found.push(CompleteBackup { path, made_at, manifest }),
            Err(error) => {
                let error = crate::telemetry::Causes(&error).to_string();
                tracing::warn!(error, "a folder among the backups is not counted as one");
            }
        }
    }
    found.sort_by_key(|backup| std::cmp::Reverse(backup.made_at));
    Ok(found)
}

/// Deletes all but the newest `keep`; what is deleted, and which is the oldest left. The newest one
/// whose books balance stays in any case.
///
/// # Errors
/// [`BackupError::File`].
pub fn prune(
    directory: &Path,
    keep: usize,
) -> Result<(usize, Option<CompleteBackup>), BackupError> {
    let all = complete(directory)?;
    let last_good = all.iter().find(|backup| backup.manifest.proof.balances);
    let last_good = last_good.map(|backup| backup.path.clone());
    let mut deleted = 0_usize;
    let mut oldest = None;
    for (place, backup) in all.into_iter().enumerate() {
        if place < keep || last_good.as_ref() == Some(&backup.path) {
            oldest = Some(backup);
            continue;
        }
        // By another name first: half of it must not look like a backup.
        let gone = partial(directory, &name(backup.made_at));
        std::fs::rename(&backup.path, &gone).map_err(failed(&backup.path, "renamed"))?;
        std::fs::remove_dir_all(&gone).map_err(failed(&gone, "deleted"))?;
        deleted = deleted.saturating_add(1);
    }
    if deleted > 0 {
        sync_folder(directory).map_err(failed(directory, "synced"))?;
    }
    Ok((deleted, oldest))
}

fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(directory, "read")(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(directory, "read"))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_nothing_else_is_one() {
        let at = UnixMillis::from_millis(1_795_348_800_000);
        assert_eq!(name(at), "sluice-20261122T120000Z");
        assert_eq!(moment("sluice-20261122T120000Z"), Some(at));
        for other in ["sluice-20261122T120000", "sluice-old", "sluice-20261322T120000Z", ""] {
            assert_eq!(moment(other), None, "{other}");
        }
    }
}
