//! The SQLite file of a running server: whether its path still names the file that was opened.
//!
//! SQLite goes on writing into a file that was moved or deleted, and calls a commit durable that
//! nobody will find again. So whoever commits money asks here, and a file that is not in its place
//! counts as a database that is away. Nothing here opens the file: to close a second descriptor of
//! it would give up SQLite's locks (<https://sqlite.org/howtocorrupt.html> §2.2).

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use diesel::connection::SimpleConnection;

use super::connection::{AnyConnection, ConnectError, Moved};

/// Which files were opened, by device and inode.
pub struct DatabaseFile {
    parts: [FileIdentity; 2],
    /// While one connection is open, SQLite neither deletes the write-ahead log nor makes it anew.
    _open: Mutex<AnyConnection>,
}

struct FileIdentity {
    path: PathBuf,
    identity: (u64, u64),
}

impl DatabaseFile {
    /// Notes what `path` and its write-ahead log are now, which `open` has in use and keeps so.
    ///
    /// # Errors
    /// [`ConnectError`] where either cannot be found.
    pub(super) fn hold(path: &Path, mut open: AnyConnection) -> Result<Self, ConnectError> {
        // The first read makes the log.
        open.batch_execute("PRAGMA user_version").map_err(ConnectError::Setup)?;
        Self::find(path, open).map_err(ConnectError::File)
    }

    fn find(path: &Path, open: AnyConnection) -> std::io::Result<Self> {
        // The log lies beside the file itself, whatever symbolic links lead there.
        let mut log = std::fs::canonicalize(path)?.into_os_string();
        log.push("-wal");
        let parts = [FileIdentity::new(path.to_owned())?, FileIdentity::new(log.into())?];
        Ok(Self { parts, _open: Mutex::new(open) })
    }

    /// Whether both are still in their places; two calls of `stat`.
    ///
    /// # Errors
    /// [`Moved`].
    pub fn check(&self) -> Result<(), Moved> {
        if self.parts.iter().all(FileIdentity::is_in_place) { Ok(()) } else { Err(Moved) }
    }
}

impl FileIdentity {
    fn new(path: PathBuf) -> std::io::Result<Self> {
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }

    fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Has a SQLite file for this process alone, by a file beside it; so do servers, not commands. It
/// ends with what is returned.
///
/// # Errors
/// [`TryLockError::WouldBlock`] if another process has it.
pub fn lock_alone(path: &Path) -> Result<File, TryLockError> {
    let file = File::create(path.with_added_extension("lock")).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}
