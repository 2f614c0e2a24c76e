//! Puts a backup in place of the database: checks it, copies it beside its place, does again what
//! must not be undone, proves the books, and only then renames it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::journal::{Journal, JournalContent, JournalError};
use super::make::check_space;
use super::manifest::{DATABASE, Manifest};
use super::replay::{self, ReplayRules, Replayed};
use super::{BackupError, failed, folder, parent, sync_folder};
use crate::accounts::deletion::tombstones;
use crate::config::Privacy;
use crate::db::models::journal as rows;
use crate::db::{AnyConnection, DbError, backup_copy, file, migrate, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;
use crate::ledger;

/// Files that SQLite keeps beside the database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What is restored, and to where.
#[derive(Clone, Copy)]
pub struct RestorePlan<'a> {
    /// The backup's folder.
    pub backup: &'a Path,
    /// The database's path.
    pub to: &'a Path,
    /// The journal that is done again; `None` to do without.
    pub journal: Option<&'a Path>,
    /// The journal of the settings, which a server goes on with.
    pub own_journal: Option<&'a Path>,
    /// Whether that is the database of the settings, whose newest events the journal lacks.
    pub is_in_place: bool,
    /// Whether a database that is there is moved aside.
    pub force: bool,
    /// Where the secret is.
    pub privacy: &'a Privacy,
    /// With what debt an account goes without a trace.
    pub debt_forgiven: NanoUsd,
    /// Now.
    pub now: UnixMillis,
}

/// What a restore has done.
#[derive(Clone, Debug)]
pub struct RestoredDatabase {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// What was done again.
    pub replayed: Replayed,
    /// Events of the journal that came after the backup.
    pub events: usize,
    /// Whether the journal's last line was not written to its end.
    pub is_torn: bool,
    /// Why the newest events could not be taken from the database that was there.
    pub undrained: Option<String>,
    /// Sessions that were ended.
    pub sessions: usize,
    /// Where the database is that was there before.
    pub aside: Option<PathBuf>,
    /// What the books hold now.
    pub entries: i64,
}

/// Restores a backup.
///
/// # Errors
/// [`BackupError`]; then nothing was put in place.
pub fn restore(plan: &RestorePlan<'_>) -> Result<RestoredDatabase, BackupError> {
    let manifest = Manifest::read(plan.backup)?;
    manifest.check_files(plan.backup)?;
    let lock = match file::lock_alone(plan.to) {
        Ok(lock) => lock,
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(BackupError::InUse(plan.to.to_owned()));
        }
        Err(std::fs::TryLockError::Error(error)) => {
            return Err(failed(plan.to, "locked")(error));
        }
    };
    if plan.to.exists() && !plan.force {
        return Err(BackupError::InTheWay(plan.to.to_owned()));
    }
    let undrained = drain(plan)?;
    let content = match plan.journal {
        Some(path) => Journal::at(path).after(manifest.journal_sequence)?,
        None => JournalContent::default(),
    };
    let own = own_content(plan, &content)?;
    let work = plan.to.with_added_extension("restoring");
    let filled = fill(plan, &work, &manifest, (&content, &own));
    let (replayed, events, sessions, entries) = match filled {
        Ok(filled) => filled,
        Err(error) => {
            remove(&work)?;
            return Err(error);
        }
    };
    let aside = move_aside(plan.to, plan.now)?;
    std::fs::rename(&work, plan.to).map_err(failed(&work, "renamed"))?;
    let folder = parent(plan.to);
    sync_folder(folder).map_err(failed(folder, "synced"))?;
    drop(lock);
    let is_torn = content.is_torn;
    Ok(RestoredDatabase {
        manifest,
        replayed,
        events,
        is_torn,
        undrained,
        sessions,
        aside,
        entries,
    })
}

/// Takes the newest events of the database that is there into the journal of the settings; why not,
/// if they cannot be had.
fn drain(plan: &RestorePlan<'_>) -> Result<Option<String>, BackupError> {
    let own = plan.own_journal.filter(|_| plan.is_in_place && plan.journal.is_some());
    let Some(own) = own.filter(|_| plan.to.exists()) else { return Ok(None) };
    if plan.journal == Some(own) && !own.exists() {
        return Err(JournalError::Missing(own.to_owned()).into());
    }
    let drained = backup_copy::open(plan.to)
        .map_err(BackupError::from)
        .and_then(|mut conn| Ok(Journal::at(own).drain(&mut conn, plan.now)?));
    Ok(drained.err().map(|error| crate::telemetry::Causes(&error).to_string()))
}

/// The journal of the settings, which goes on behind a restore in place: its numbers must not be
/// given twice, whatever is done again. Another one must reach as far.
fn own_content(
    plan: &RestorePlan<'_>,
    content: &JournalContent,
) -> Result<JournalContent, BackupError> {
    let own = plan.own_journal.filter(|own| plan.is_in_place && own.exists());
    let Some(own) = own.filter(|own| plan.journal != Some(*own)) else {
        return Ok(JournalContent::default());
    };
    let legible = Journal::at(own).legible()?;
    if let Some(named) = plan.journal {
        Journal::at(named).must_reach(content.last(), legible.last())?;
    }
    Ok(legible)
}

type Filled = (Replayed, usize, usize, i64);

/// Makes the restored database under another name.
fn fill(
    plan: &RestorePlan<'_>,
    work: &Path,
    manifest: &Manifest,
    (content, own): (&JournalContent, &JournalContent),
) -> Result<Filled, BackupError> {
    remove(work)?;
    let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
    check_space(parent(work), bytes)?;
    copy(&plan.backup.join(DATABASE), work)?;
    let mut conn = backup_copy::open(work)?;
    must_be_known(&mut conn, manifest)?;
    migrate::run_pending(&mut conn)?;
    if let Some(journal) = plan.journal {
        // What the backup itself was still to write is not missing.
        let first = rows::pending(&mut conn)?.first().map(|(id, _)| *id);
        let wanted = first.map_or(manifest.journal_sequence, |id| id.saturating_sub(1));
        Journal::at(journal).must_reach(content.last(), wanted)?;
    }
    let key = tombstones::unlock(&mut conn, plan.privacy)?;
    let first = content.lines.iter().position(|line| line.sequence > manifest.journal_sequence);
    let lines = first.and_then(|first| content.lines.get(first..)).unwrap_or_default();
    let rules = ReplayRules { key: &key, debt_forgiven: plan.debt_forgiven, now: plan.now };
    let replayed = replay::replay(&mut conn, lines, rules)?;
    let sessions = transaction::write(&mut conn, |conn| {
        let last = content.last().max(own.last());
        // What was just done again is in the journal already.
        rows::forget_after(conn, manifest.journal_sequence)?;
        rows::forget_through(conn, last)?;
        rows::restart(conn, manifest.journal_sequence.max(last))?;
        let lines = content.lines.iter().chain(&own.lines);
        let named = lines.filter_map(|line| line.event.account());
        rows::skip_accounts(conn, named.map(|id| id.0).max().unwrap_or_default())?;
        backup_copy::end_sessions(conn)
    })?;
    let report = ledger::verify(&mut conn)?;
    if let Some(first) = report.discrepancies.first() {
        return Err(BackupError::Unbalanced(format!("{} of {}", first.rule, first.subject)));
    }
    // The last connection takes the write-ahead log with it.
    drop(conn);
    let sync = || File::open(work)?.sync_all();
    sync().map_err(failed(work, "synced"))?;
    Ok((replayed, lines.len(), sessions, report.entries))
}

/// Refuses what a later version has made: nobody here knows what its tables mean.
fn must_be_known(conn: &mut AnyConnection, manifest: &Manifest) -> Result<(), BackupError> {
    let newer = match migrate::newer(conn) {
        Ok(newer) => newer.join(", "),
        Err(DbError::Outdated) => String::new(),
        Err(DbError::Superseded { .. }) => manifest.schema.clone(),
        Err(DbError::Unfamiliar { migrations }) => migrations,
        Err(error) => return Err(error.into()),
    };
    if newer.is_empty() {
        return Ok(());
    }
    Err(BackupError::Newer { version: manifest.version.clone(), schema: newer })
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let copy = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        std::io::copy(&mut File::open(from)?, &mut file)?;
        file.sync_all()
    };
    copy().map_err(failed(to, "written"))
}

/// Deletes what an earlier attempt has left.
fn remove(work: &Path) -> Result<(), BackupError> {
    for path in with_companions(work) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(&path, "deleted")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives the database that is there another name, with what is beside it.
fn move_aside(path: &Path, now: UnixMillis) -> Result<Option<PathBuf>, BackupError> {
    if !path.exists() {
        // A write-ahead log that is left alone would be taken for that of the restored file.
        remove(path)?;
        return Ok(None);
    }
    let stamp = folder::name(now).replace("sluice-", "before-");
    let aside = path.with_added_extension(stamp);
    // The log first: without the file it is nothing's, but the file without it would lack commits.
    for (from, to) in with_companions(path).into_iter().zip(with_companions(&aside)).rev() {
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(&from, "renamed")(error));
            }
            _ => {}
        }
    }
    Ok(Some(aside))
}

/// The file, its write-ahead log and its index.
fn with_companions(path: &Path) -> Vec<PathBuf> {
    let beside = BESIDE.iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    std::iter::once(path.to_owned()).chain(beside).collect()
}
