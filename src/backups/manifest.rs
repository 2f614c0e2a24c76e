//! What a backup says of itself: who made it and when, its files with their hashes, and whether its
//! books balance.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BackupError, failed};
use crate::policies::hex;

/// The name of its file.
pub const MANIFEST: &str = "manifest.json";
/// The name of the copy.
pub const DATABASE: &str = "sluice.db";
/// The form that this program writes.
const FORMAT: u32 = 1;
/// Bytes that are hashed in one go.
const CHUNK: usize = 1 << 20;

/// See the module. `docs/backups.md` explains it to operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub format: u32,
    /// The version of the program that made the backup.
    pub version: String,
    /// The newest migration of the copy.
    pub schema: String,
    /// When it was begun, as RFC 3339 in UTC.
    pub begun_at: String,
    /// When it was complete.
    pub finished_at: String,
    /// The newest event that the copy has: what the journal has after it is done again.
    pub journal_sequence: i64,
    /// What `sluice books verify` says of the copy.
    pub proof: BooksProof,
    /// Every file but this one.
    pub files: Vec<FileEntry>,
    /// SHA-256 of this document with an empty text here.
    pub checksum: String,
}

/// What the books of the copy hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BooksProof {
    /// Whether everything adds up.
    pub balances: bool,
    /// Things that do not.
    pub discrepancies: usize,
    /// Accounts that were looked at.
    pub accounts: i64,
    /// Ledger entries.
    pub entries: i64,
    /// Usage rows.
    pub usage_rows: i64,
    /// Requests that were running.
    pub open_reservations: i64,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// A manifest of the form that this program writes, yet without files.
    #[must_use]
    pub fn new(begun_at: String, schema: String, journal_sequence: i64, proof: BooksProof) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (finished_at, checksum) = (String::new(), String::new());
        let files = Vec::new();
        Self {
            format: FORMAT,
            version,
            schema,
            begun_at,
            finished_at,
            journal_sequence,
            proof,
            files,
            checksum,
        }
    }

    /// Writes it into a folder, with its checksum.
    ///
    /// # Errors
    /// [`BackupError::File`].
    pub fn write(mut self, folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let write = |manifest: &mut Self| {
            manifest.checksum = manifest.own_hash()?;
            let text = serde_json::to_vec_pretty(&*manifest)?;
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write(&mut self).map_err(failed(&path, "written"))?;
        Ok(self)
    }

    /// Reads that of a backup, and checks that it is as it was written.
    ///
    /// # Errors
    /// [`BackupError::Damaged`].
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let damaged = |why: String| BackupError::Damaged { file: path.clone(), why };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("is missing, so the backup is incomplete".to_owned()));
            }
            Err(error) => return Err(failed(&path, "read")(error)),
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("cannot be read ({error})")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("has the unknown format {}", manifest.format)));
        }
        let hash = manifest.own_hash().map_err(failed(&path, "read"))?;
        if hash != manifest.checksum {
            return Err(damaged("does not match its own checksum".to_owned()));
        }
        Ok(manifest)
    }

    /// Checks every file of the backup against its size and hash.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] with the first file that differs.
    pub fn check_files(&self, folder: &Path) -> Result<(), BackupError> {
        if !self.files.iter().any(|entry| entry.name == DATABASE) {
            let why = format!("does not list {DATABASE}");
            return Err(BackupError::Damaged { file: folder.join(MANIFEST), why });
        }
        self.files.iter().try_for_each(|entry| entry.check(folder))
    }

    fn own_hash(&self) -> io::Result<String> {
        let bare = Self { checksum: String::new(), ..self.clone() };
        Ok(hex(&Sha256::digest(serde_json::to_vec(&bare)?)))
    }
}

impl FileEntry {
    /// That of a file in a folder.
    ///
    /// # Errors
    /// [`BackupError::File`].
    pub fn of(folder: &Path, name: &str) -> Result<Self, BackupError> {
        let path = folder.join(name);
        let (bytes, sha256) = hash_file(&path).map_err(failed(&path, "read"))?;
        Ok(Self { name: name.to_owned(), bytes, sha256 })
    }

    fn check(&self, folder: &Path) -> Result<(), BackupError> {
        let file = folder.join(&self.name);
        let damaged = |why: String| BackupError::Damaged { file: file.clone(), why };
        if Path::new(&self.name).file_name().is_none_or(|name| *name != *self.name) {
            return Err(damaged("is not a file of the backup's own folder".to_owned()));
        }
        let (bytes, sha256) = match hash_file(&file) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("is missing".to_owned()));
            }
            Err(error) => return Err(failed(&file, "read")(error)),
        };
        if bytes != self.bytes {
            return Err(damaged(format!("has {bytes} bytes instead of {}", self.bytes)));
        }
        if sha256 != self.sha256 {
            return Err(damaged("has another SHA-256 than the manifest says".to_owned()));
        }
        Ok(())
    }
}

/// The size and the hash of a file.
fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok((bytes, hex(&hash.finalize())))
}
