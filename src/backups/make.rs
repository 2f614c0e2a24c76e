//! Makes a backup of a live database: in one snapshot, under a name that says that it is not
//! complete, until everything of it is on the disk.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::manifest::{BooksProof, DATABASE, FileEntry, Manifest};
use super::{BackupError, failed, folder, sync_folder};
use crate::db::models::journal;
use crate::db::{AnyConnection, DbError, backup_copy, migrate};
use crate::domain::clock::{Clock, UnixMillis};
use crate::ledger;

/// Bytes that stay free beside the copy.
const SPARE: u64 = 16 << 20;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct MadeBackup {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// Where the copy is while it grows.
#[must_use]
pub fn growing(directory: &Path, begun_at: UnixMillis) -> PathBuf {
    folder::partial(directory, &folder::name(begun_at)).join(DATABASE)
}

/// Makes a backup in a folder. Writers do not wait for it; SQLite's write-ahead log grows until it
/// is copied. Books that do not balance are backed up as well, and the manifest says so.
///
/// # Errors
/// [`BackupError`]; nothing is left of it then.
pub fn make(
    conn: &mut AnyConnection,
    directory: &Path,
    begun_at: UnixMillis,
    clock: &Clock,
) -> Result<MadeBackup, BackupError> {
    let size = backup_copy::size(conn)?.ok_or(BackupError::NotSqlite)?;
    let lock = folder::enter(directory)?;
    let name = folder::name(begun_at);
    let path = directory.join(&name);
    if path.exists() {
        return Err(BackupError::Exists(path));
    }
    check_space(directory, size)?;
    let partial = folder::partial(directory, &name);
    let made = fill(conn, &partial, begun_at, clock).and_then(|manifest| {
        std::fs::rename(&partial, &path).map_err(failed(&partial, "renamed"))?;
        sync_folder(directory).map_err(failed(directory, "synced"))?;
        Ok(MadeBackup { path, manifest })
    });
    if made.is_err()
        && partial.exists()
        && let Err(error) = std::fs::remove_dir_all(&partial)
    {
        tracing::warn!(%error, "an unfinished backup cannot be deleted; the next one tries again");
    }
    drop(lock);
    made
}

fn fill(
    conn: &mut AnyConnection,
    partial: &Path,
    begun_at: UnixMillis,
    clock: &Clock,
) -> Result<Manifest, BackupError> {
    DirBuilder::new().mode(0o700).create(partial).map_err(failed(partial, "created"))?;
    let copy = partial.join(DATABASE);
    // Made here, so that it is nobody else's from the beginning.
    let create = || File::options().write(true).create_new(true).mode(0o600).open(&copy);
    let file = create().map_err(failed(&copy, "created"))?;
    let written = backup_copy::write(conn, &copy);
    written.map_err(|error| BackupError::Copy(copy.clone(), error))?;
    let mut manifest = examine(&copy, begun_at)?;
    file.sync_all().map_err(failed(&copy, "synced"))?;
    manifest.files.push(FileEntry::of(partial, DATABASE)?);
    manifest.finished_at = clock.now().to_rfc3339_secs();
    let manifest = manifest.write(partial)?;
    sync_folder(partial).map_err(failed(partial, "synced"))?;
    Ok(manifest)
}

/// Proves the books of the copy itself.
fn examine(copy: &Path, begun_at: UnixMillis) -> Result<Manifest, BackupError> {
    let unreadable = |error: DbError| BackupError::Copy(copy.to_owned(), error);
    let mut conn = backup_copy::open(copy).map_err(unreadable)?;
    let report = ledger::verify(&mut conn).map_err(unreadable)?;
    let proof = BooksProof {
        balances: report.discrepancies.is_empty(),
        discrepancies: report.discrepancies.len(),
        accounts: report.accounts,
        entries: report.entries,
        usage_rows: report.usage_rows,
        open_reservations: report.open_reservations,
    };
    let schema = migrate::newest(&mut conn).map_err(unreadable)?;
    let sequence = journal::sequence(&mut conn).map_err(unreadable)?;
    Ok(Manifest::new(begun_at.to_rfc3339_secs(), schema, sequence, proof))
}

/// Refuses a folder that cannot hold so many bytes.
///
/// # Errors
/// [`BackupError::Space`].
pub(super) fn check_space(directory: &Path, bytes: u64) -> Result<(), BackupError> {
    let stat = rustix::fs::statvfs(directory)
        .map_err(|error| failed(directory, "examined")(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes.saturating_add(SPARE);
    if free < needed {
        return Err(BackupError::Space { folder: directory.to_owned(), needed, free });
    }
    Ok(())
}

/// Copies the secret into a folder of its own, named after the backup; the file.
///
/// # Errors
/// [`BackupError::SecretBeside`] for the folder of the backups, which must not have both.
pub fn copy_secret(
    secret: &Path,
    into: &Path,
    backup: &MadeBackup,
) -> Result<PathBuf, BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(into).map_err(failed(into, "created"))?;
    let whole = |path: &Path| path.canonicalize().map_err(failed(path, "read"));
    if whole(into)?.starts_with(whole(super::parent(&backup.path))?) {
        return Err(BackupError::SecretBeside(into.to_owned()));
    }
    let name = backup.path.file_name().unwrap_or_default();
    let file = into.join(name).with_added_extension("secret");
    let copy = || {
        let text = std::fs::read(secret)?;
        let mut out = File::options().write(true).create_new(true).mode(0o600).open(&file)?;
        std::io::Write::write_all(&mut out, &text)?;
        out.sync_all()?;
        sync_folder(into)
    };
    copy().map_err(failed(&file, "written"))?;
    Ok(file)
}
