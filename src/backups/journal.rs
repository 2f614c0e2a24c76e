//! The journal: what a restore must not undo, in a file outside the database. Lines are only added;
//! each has a checksum, a number and a time. An event is committed in the database first, with what
//! it tells (`db::models::journal`), and leaves it once its line is on the disk: what a crash came
//! between is written by whoever comes next.

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{parent, sync_folder};
use crate::db::models::journal as rows;
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
pub use line::JournalLine;
use line::Unread;

/// The first line of the file.
const HEADER: &str = "sluice-journal 1\n";
/// How much of its end is read to find the last line.
const TAIL: u64 = 64 << 10;

/// Why the journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The file.
    #[error("the journal {} cannot be read or written", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// It is not there.
    #[error(
        "the journal {} is missing: put it back. To begin another, make an empty file there; a \
         restore then needs --journal with the old one, or --without-journal, and what it held is \
         undone",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is something else.
    #[error("{} is not a journal: its first line is not \"sluice-journal 1\"", .0.display())]
    NotOne(PathBuf),
    /// A line is not as it was written.
    #[error("the journal {} is damaged: line {line} {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It begins too late.
    #[error(
        "the journal {} begins with event {first}, but the backup needs those after {wanted}: put \
         the earlier part in front of it, in one file under its first line, and name that with \
         --journal; or add --without-journal",
        file.display()
    )]
    TooLate {
        /// The file.
        file: PathBuf,
        /// Its first event.
        first: i64,
        /// The last event of the backup.
        wanted: i64,
    },
    /// It ends too early.
    #[error(
        "the journal {} ends with event {last}, but event {wanted} is known to be in it: it is not \
         the journal of this database, or an old copy of it. Put the right one there, or name it \
         with --journal; or add --without-journal",
        file.display()
    )]
    TooShort {
        /// The file.
        file: PathBuf,
        /// Its last event.
        last: i64,
        /// An event that it should have.
        wanted: i64,
    },
}

/// What a journal holds.
#[derive(Clone, Debug, Default)]
pub struct JournalContent {
    /// Its lines, oldest first.
    pub lines: Vec<JournalLine>,
    /// Whether its last line was not written to its end.
    pub is_torn: bool,
}

impl JournalContent {
    /// The number of its last event; 0 if it has none.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.lines.last().map_or(0, |line| line.sequence)
    }
}

/// A journal's file.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The one of a path, whether or not it is there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Adds what the database has for it, and returns how many lines that were. The file is made if
    /// it is missing.
    ///
    /// # Errors
    /// [`JournalError`]; what was not added stays in the database.
    pub fn drain(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<usize, JournalError> {
        let pending = rows::pending(conn)?;
        if pending.is_empty() && self.path.exists() {
            return Ok(0);
        }
        // Nobody may take a journal that has gone, as with its disk, for an empty one.
        let waiting = i64::try_from(pending.len()).unwrap_or(i64::MAX);
        if !self.path.exists() && rows::sequence(conn)? > waiting {
            return Err(JournalError::Missing(self.path.clone()));
        }
        let _lock = self.lock().map_err(self.failed())?;
        // Behind the lock: another process may have written them meanwhile.
        let pending = rows::pending(conn)?;
        let newest = pending.last().map_or(0, |(id, _)| *id);
        let (last, added) = self.append(&pending, now)?;
        transaction::write(conn, |conn| {
            rows::forget_through(conn, newest)?;
            if last > newest {
                rows::advance(conn, last)?;
            }
            Ok::<_, DbError>(())
        })?;
        Ok(added)
    }

    /// Adds events that are not in the file yet: the number of its last line then, and how many
    /// were added.
    fn append(
        &self,
        pending: &[(i64, String)],
        now: UnixMillis,
    ) -> Result<(i64, usize), JournalError> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)
        };
        let mut file = open().map_err(self.failed())?;
        let (mut last, end) = self.tail(&mut file)?;
        let before =
            if pending.iter().any(|(id, _)| *id <= last) { self.read()?.lines } else { Vec::new() };
        let mut text = String::new();
        let mut added = 0_usize;
        for (id, event) in pending {
            // Written by a process that ended before it could say so.
            if before.iter().any(|line| line.sequence == *id && line.is_of(event)) {
                continue;
            }
            // A number that is taken is another event's: of a database that was put back by hand.
            last = if *id > last { *id } else { last.saturating_add(1) };
            text.push_str(&line::render(last, now, event));
            added = added.saturating_add(1);
        }
        let mut write = || {
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            if end == 0 {
                file.write_all(HEADER.as_bytes())?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            if end == 0 { sync_folder(parent(&self.path)) } else { Ok(()) }
        };
        write().map_err(self.failed())?;
        Ok((last, added))
    }

    /// The number of the last whole line, and where what is whole ends.
    fn tail(&self, file: &mut File) -> Result<(i64, u64), JournalError> {
        let length = file.metadata().map_err(self.failed())?.len();
        let from = length.saturating_sub(TAIL);
        let mut text = Vec::new();
        let mut read = || {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut text)
        };
        read().map_err(self.failed())?;
        let whole =
            text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let kept = text.get(..whole).unwrap_or_default();
        let end = from.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX));
        if end == 0 {
            // Of a first line that was not written to its end, and of no other file.
            let is_begun = HEADER.as_bytes().starts_with(&text);
            return if is_begun {
                Ok((0, 0))
            } else {
                Err(JournalError::NotOne(self.path.clone()))
            };
        }
        let last = kept.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let last = String::from_utf8_lossy(last);
        if last == HEADER && end == u64::try_from(HEADER.len()).unwrap_or(u64::MAX) {
            return Ok((0, end));
        }
        match JournalLine::parse(last.trim_end_matches('\n')) {
            Ok(line) => Ok((line.sequence, end)),
            // What it says is for whoever reads all of it.
            Err(_) => Ok((self.read()?.last(), end)),
        }
    }

    /// Reads all of it. A last line that was not written to its end is left out.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the line that is not as it was written.
    pub fn read(&self) -> Result<JournalContent, JournalError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(JournalError::Missing(self.path.clone()));
            }
            Err(error) => return Err(self.failed()(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let Some(body) = text.strip_prefix(HEADER) else {
            if text.is_empty() || HEADER.starts_with(&*text) {
                return Ok(JournalContent { is_torn: true, ..JournalContent::default() });
            }
            return Err(JournalError::NotOne(self.path.clone()));
        };
        let mut content = JournalContent::default();
        let mut number = 1_usize;
        for written in body.split_inclusive('\n') {
            number = number.saturating_add(1);
            let damaged =
                |why: String| JournalError::Damaged { file: self.path.clone(), line: number, why };
            let Some(whole) = written.strip_suffix('\n') else {
                content.is_torn = true;
                break;
            };
            let line = match JournalLine::parse(whole) {
                Ok(line) => line,
                Err(Unread::Damaged) => {
                    return Err(damaged("does not match its checksum".to_owned()));
                }
                Err(Unread::Unknown) => {
                    let why = "has an event that this version does not know: use a newer one";
                    return Err(damaged(why.to_owned()));
                }
            };
            let expected = content.last().saturating_add(1);
            if !content.lines.is_empty() && line.sequence != expected {
                let found = line.sequence;
                return Err(damaged(format!("is event {found}, where {expected} should be")));
            }
            content.lines.push(line);
        }
        Ok(content)
    }

    /// The lines that can be read, whatever stands between them: for their numbers alone.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn legible(&self) -> Result<JournalContent, JournalError> {
        let bytes = std::fs::read(&self.path).map_err(self.failed())?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter_map(|line| JournalLine::parse(line).ok()).collect();
        Ok(JournalContent { lines, is_torn: false })
    }

    /// What has happened after an event.
    ///
    /// # Errors
    /// [`JournalError::TooLate`] if it does not reach back so far.
    pub fn after(&self, sequence: i64) -> Result<JournalContent, JournalError> {
        let content = self.read()?;
        let first = content.lines.first().map_or(0, |line| line.sequence);
        if first > sequence.saturating_add(1) {
            let file = self.path.clone();
            return Err(JournalError::TooLate { file, first, wanted: sequence });
        }
        Ok(content)
    }

    /// An error if it ends before an event that it should have.
    ///
    /// # Errors
    /// [`JournalError::TooShort`].
    pub fn must_reach(&self, last: i64, wanted: i64) -> Result<(), JournalError> {
        if last >= wanted {
            return Ok(());
        }
        Err(JournalError::TooShort { file: self.path.clone(), last, wanted })
    }

    /// Deletes lines up to an event that are older than `before`; how many. The last line always
    /// stays, since it says which number comes next.
    ///
    /// # Errors
    /// [`JournalError`]; then the file is as it was.
    pub fn prune(&self, through: i64, before: UnixMillis) -> Result<usize, JournalError> {
        let _lock = self.lock().map_err(self.failed())?;
        let content = self.read()?;
        let last = content.last();
        let goes = |line: &&JournalLine| {
            line.sequence <= through && line.at < before && line.sequence != last
        };
        let gone = content.lines.iter().take_while(goes).count();
        if gone == 0 {
            return Ok(0);
        }
        let rest = content.lines.iter().skip(gone).map(JournalLine::text);
        let text: String = std::iter::once(HEADER.to_owned()).chain(rest).collect();
        let next = self.path.with_added_extension("new");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&next, &self.path)?;
            sync_folder(parent(&self.path))
        };
        write().map_err(self.failed())?;
        Ok(gone)
    }

    /// Has the file for this process; others wait.
    fn lock(&self) -> io::Result<File> {
        let path = self.path.with_added_extension("lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> JournalError + use<'_> {
        move |error| JournalError::File(self.path.clone(), error)
    }
}
