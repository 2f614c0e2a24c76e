//! The database: where it is, who may read it, whether there is room, whether its schema is this
//! program's, and the secret that belongs to it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Check, aside};
use crate::accounts::deletion::tombstones;
use crate::config::{DatabaseUrl, Settings, TombstoneSecret};
use crate::db::{self, AnyConnection, DbError, migrate, transaction};
use crate::domain::clock::Clock;
use crate::telemetry::Causes;

/// Room below which a busy day may fill the disk.
const ROOM_WARN: u64 = 1 << 30;
/// Room below which nothing should be begun.
const ROOM_FAIL: u64 = 100 << 20;
/// A node whose clock is off by more does not start.
const DRIFT_MAX_MILLIS: i64 = 60_000;

const NAME: &str = "database";

pub(super) async fn examine(settings: &Arc<Settings>, clock: &Clock) -> Vec<Check> {
    let (settings, clock) = (Arc::clone(settings), clock.clone());
    aside(NAME, move || all(&settings, &clock)).await
}

fn all(settings: &Settings, clock: &Clock) -> Vec<Check> {
    let mut checks = Vec::new();
    if let DatabaseUrl::Sqlite(path) = &settings.database.url {
        let folder = folder_of(path);
        checks.extend(room(&folder));
        if !path.exists() {
            checks.push(unmade(path, &folder));
            return checks;
        }
        checks.extend(readers(path, "database"));
    }
    if let TombstoneSecret::Beside(path) = &settings.privacy.tombstones {
        checks.extend(readers(path, "secret file"));
    }
    match db::connect(&settings.database) {
        Err(error) => {
            let mend = "check that it runs, and that database.url (or url_file) leads to it with \
                        the right user and password";
            checks.push(Check::fail(NAME, Causes(&error).to_string(), mend));
        }
        Ok(mut conn) => checks.extend(inside(&mut conn, settings, clock)),
    }
    checks
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// There is no file yet: whether one can be made.
fn unmade(path: &Path, folder: &Path) -> Check {
    let (shown, folder_shown) = (path.display(), folder.display());
    if !folder.is_dir() {
        let mend = format!("mkdir -p {folder_shown}, owned by the user that runs sluice");
        return Check::fail(NAME, format!("the folder {folder_shown} does not exist"), mend);
    }
    if !may_write(folder) {
        let mend = format!("give {folder_shown} to the user that runs sluice (chown)");
        return Check::fail(NAME, format!("this user cannot write in {folder_shown}"), mend);
    }
    Check::ok(NAME, format!("{shown} does not exist yet: the first start makes it"))
}

fn may_write(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn room(folder: &Path) -> Option<Check> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} MiB are free in {}", free >> 20, folder.display());
    let mend = "make room: `sluice purge` deletes what has expired; or move the database to a \
                larger disk";
    Some(match free {
        free if free < ROOM_FAIL => Check::fail("disk", found, mend),
        free if free < ROOM_WARN => Check::warn("disk", found, mend),
        _ => Check::ok("disk", found),
    })
}

/// Warns of a file that others may read.
fn readers(path: &Path, name: &'static str) -> Option<Check> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    let shown = path.display();
    let found = format!("other users may read {shown} (mode {mode:03o})");
    (mode & 0o077 != 0).then(|| Check::warn(name, found, format!("chmod 600 {shown}")))
}

fn inside(conn: &mut AnyConnection, settings: &Settings, clock: &Clock) -> Vec<Check> {
    let mut checks = vec![schema(conn, settings)];
    if checks.iter().any(|check| check.state == super::CheckState::Fail) {
        return checks;
    }
    // Takes the lock of a write and gives it back.
    if let Err(error) = transaction::write(conn, |_| Ok::<_, DbError>(())) {
        let mend = "the user that runs sluice must own the file and its folder, on a disk that is \
                    mounted for writing and not full";
        let found = format!("it cannot be written: {}", Causes(&error));
        checks.push(Check::fail(NAME, found, mend));
    }
    checks.extend(drift(conn, clock));
    checks.push(secret(conn, settings));
    checks
}

fn schema(conn: &mut AnyConnection, settings: &Settings) -> Check {
    match migrate::newer(conn) {
        Ok(newer) if newer.is_empty() => Check::ok(NAME, "answers, and has this version's schema"),
        Ok(_) => {
            let mend = "upgrade this program when it suits you";
            Check::warn(NAME, "a newer version has migrated it; this one may serve it", mend)
        }
        Err(DbError::Outdated) if settings.database.migrate_at_start => {
            let found = "has the schema of an older version: the next start migrates it";
            Check::warn(NAME, found, "make a backup first (docs/operating.md#upgrading)")
        }
        Err(DbError::Outdated) => {
            Check::fail(NAME, "has the schema of an older version", "run `sluice migrate`")
        }
        Err(error @ (DbError::Superseded { .. } | DbError::Unfamiliar { .. })) => Check::fail(
            NAME,
            error.to_string(),
            "start the version that migrated it, or a newer one",
        ),
        Err(error) => Check::fail(NAME, Causes(&error).to_string(), "see its own log"),
    }
}

/// This machine's clock beside the database's, where that has one of its own.
fn drift(conn: &mut AnyConnection, clock: &Clock) -> Option<Check> {
    if let AnyConnection::Sqlite(_) = conn {
        return None;
    }
    let theirs = db::time::now(conn, clock).ok()?;
    let ahead = clock.now().millis_ahead_of(theirs);
    let found = format!("{ahead} ms ahead of the database's");
    let mend = "set both machines' clocks right (timedatectl set-ntp true)";
    let is_near = ahead.abs() <= DRIFT_MAX_MILLIS;
    Some(if is_near { Check::ok("clock", found) } else { Check::fail("clock", found, mend) })
}

fn secret(conn: &mut AnyConnection, settings: &Settings) -> Check {
    let name = "secret";
    match tombstones::check(conn, &settings.privacy) {
        Ok(true) => Check::ok(name, "is there, and is the one that the database knows"),
        Ok(false) => Check::ok(name, "is not made yet: the first start makes it"),
        Err(error) => {
            let mend = "see docs/operating.md#the-secret-outside-the-database";
            Check::fail(name, Causes(&error).to_string(), mend)
        }
    }
}
