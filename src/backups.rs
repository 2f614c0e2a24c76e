//! Backups of an SQLite database: making one ([`make`]), keeping the newest ([`folder`]), and
//! putting one in place of the database ([`restore`]). What a restore must not undo is in the
//! [`journal`], outside the database, and is done again in the restored one ([`replay`]).

pub mod folder;
pub mod journal;
pub mod make;
pub mod manifest;
pub mod replay;
pub mod restore;

use std::io;
use std::path::{Path, PathBuf};

use crate::accounts::deletion::tombstones::TombstoneError;
use crate::db::DbError;
use crate::deposits::DepositError;
use journal::JournalError;

/// Why a backup cannot be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The secret, without which refunds and erasures cannot be done again.
    #[error(transparent)]
    Tombstones(#[from] TombstoneError),
    /// A refund cannot be done again.
    #[error(transparent)]
    Deposit(#[from] DepositError),
    /// A file or a folder.
    #[error("{} cannot be {how}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was to be done with it.
        how: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("the copy {} cannot be written; nothing of it was kept", .0.display())]
    Copy(PathBuf, #[source] DbError),
    /// Not for this database.
    #[error(
        "only an SQLite database is backed up and restored by this command: use PostgreSQL's own \
         tools (docs/backups.md, PostgreSQL)"
    )]
    NotSqlite,
    /// Another backup is being made.
    #[error("another process is making a backup in {}", .0.display())]
    Busy(PathBuf),
    /// Too little space.
    #[error(
        "{} has {free} bytes free, but the copy needs {needed}: make room, or name a folder on \
         another disk",
        folder.display()
    )]
    Space {
        /// Where.
        folder: PathBuf,
        /// What it takes, with some to spare.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A backup of this second is there.
    #[error("{} exists: a backup was made in this very second", .0.display())]
    Exists(PathBuf),
    /// A file of a backup is not as it was written.
    #[error(
        "the backup is damaged: {} {why}; nothing was changed. Take another backup",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Made by a later version.
    #[error(
        "the backup was made by version {version} and has migrations that this program does not \
         know ({schema}): restore it with that version, or a newer one"
    )]
    Newer {
        /// Whose.
        version: String,
        /// Up to which migration.
        schema: String,
    },
    /// There is a database already.
    #[error(
        "{} exists: add --force to move it aside, or name another path with --to",
        .0.display()
    )]
    InTheWay(PathBuf),
    /// A server runs on it.
    #[error("a server or `sluice migrate-to` has {}: end it first", .0.display())]
    InUse(PathBuf),
    /// The books of the restored copy.
    #[error("the restored books do not balance ({0}); nothing was put in place")]
    Unbalanced(String),
    /// A folder for the secret that is no other one.
    #[error("{}: the secret must not lie beside the backups; name another folder", .0.display())]
    SecretBeside(PathBuf),
    /// There is no secret to copy.
    #[error(
        "the secret is given in the settings, not in a file beside the database: keep a copy of \
         it yourself, without --secret-dir"
    )]
    NoSecretFile,
}

impl From<diesel::result::Error> for BackupError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Makes an error of a file that could not be used.
pub(crate) fn failed<'a>(
    path: &'a Path,
    how: &'static str,
) -> impl FnOnce(io::Error) -> BackupError + use<'a> {
    move |source| BackupError::File { path: path.to_owned(), how, source }
}

/// Has a folder's own entries on the disk, so that a rename in it outlives a loss of power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// The folder that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
