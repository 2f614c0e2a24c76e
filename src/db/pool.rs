//! Makes and checks the pool's connections. The backend follows from the parsed URL and nothing
//! else: diesel's own `establish` would let any text become a new, empty SQLite file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, R2D2Connection};
use secrecy::{ExposeSecret, SecretString};

use super::connection::{AnyConnection, ConnectError};
use super::file::DatabaseFile;
use crate::config;
use crate::config::DatabaseUrl;

/// How long a server may be silent where no settings say it.
const ANSWER: Duration = Duration::from_secs(15);

/// How long one address may take to be connected to. libpq takes less than 2 for 2.
const CONNECT_SECS: u64 = 3;

/// Makes and checks the pool's connections.
pub struct Manager {
    url: DatabaseUrl,
    lock_timeout: Duration,
    answer: Duration,
    /// How long a statement may take; without it, as long as it takes.
    statement: Option<Duration>,
    /// The file that a server has in use; without it, a missing file is made.
    file: Option<Arc<DatabaseFile>>,
}

impl Manager {
    /// A manager for `url`; a statement that waits for a lock longer than `lock_timeout` fails.
    #[must_use]
    pub const fn new(url: DatabaseUrl, lock_timeout: Duration) -> Self {
        Self { url, lock_timeout, answer: ANSWER, statement: None, file: None }
    }

    /// A manager for a server that has `file` in use.
    pub(super) fn of(settings: &config::DatabaseSettings, file: Option<Arc<DatabaseFile>>) -> Self {
        let answer = settings.answer;
        Self { answer, file, ..Self::new(settings.url.clone(), settings.lock_timeout) }
    }

    /// The same for connections whose statements may take so long.
    pub(super) fn with_limit(mut self, statement: Duration) -> Self {
        self.statement = Some(statement);
        self
    }

    fn establish(&self) -> Result<AnyConnection, ConnectError> {
        let lock_timeout_ms = self.lock_timeout.as_millis();
        match &self.url {
            DatabaseUrl::Sqlite(path) => match &self.file {
                None => {
                    keep_private(path).map_err(ConnectError::File)?;
                    open_sqlite(&path.to_string_lossy(), lock_timeout_ms)
                }
                Some(file) => {
                    file.check()?;
                    open_sqlite(&existing(path), lock_timeout_ms)
                }
            },
            DatabaseUrl::Postgres(url) => {
                let statement_ms = self.statement.map(|limit| limit.as_millis());
                open_postgres(url, self.answer, (lock_timeout_ms, statement_ms))
            }
        }
    }
}

/// The path as a URI that opens a file and never makes one: an empty file beside the write-ahead
/// log of one that was moved would cost that log (<https://sqlite.org/uri.html>).
fn existing(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%25");
    // What follows two slashes would be a host.
    let scheme = if path.is_absolute() { "file://" } else { "file:" };
    format!("{scheme}{text}?mode=rw")
}

fn open_sqlite(path: &str, lock_timeout_ms: u128) -> Result<AnyConnection, ConnectError> {
    let mut conn = SqliteConnection::establish(path).map_err(ConnectError::Establish)?;
    // FULL: a commit is on the disk before anyone is told of it. secure_delete: what the purge
    // removes is overwritten. The timeout comes first, since the rest may meet a lock. A server
    // and a purge copy the log themselves (`write_ahead_log`): no commit of a request should have
    // to, as it would at 1,000 pages.
    let settings = format!(
        "PRAGMA busy_timeout = {lock_timeout_ms};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 8000;
         PRAGMA secure_delete = ON;
         PRAGMA foreign_keys = ON;"
    );
    conn.batch_execute(&settings).map_err(ConnectError::Setup)?;
    Ok(AnyConnection::Sqlite(conn))
}

/// Makes a missing file readable by its owner alone; SQLite gives its journals the same mode.
fn keep_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A URL with limits for everything that a connection waits for, unless it has its own: libpq takes
/// the last of two that say different
/// (<https://www.postgresql.org/docs/current/libpq-connect.html>).
fn limited(url: &str, answer: Duration) -> SecretString {
    let (secs, millis) = (answer.as_secs(), answer.as_millis());
    // For each host and address by itself: one that swallows everything must leave time for the
    // next.
    let connect_secs = CONNECT_SECS.min(secs);
    let ours = format!(
        "connect_timeout={connect_secs}&tcp_user_timeout={millis}&keepalives_idle={secs}\
         &keepalives_interval=5&keepalives_count=3"
    );
    SecretString::from(match url.split_once('?') {
        Some((location, "")) => format!("{location}?{ours}"),
        Some((location, own)) => format!("{location}?{ours}&{own}"),
        None => format!("{url}?{ours}"),
    })
}

fn open_postgres(
    url: &SecretString,
    answer: Duration,
    (lock_timeout_ms, statement_ms): (u128, Option<u128>),
) -> Result<AnyConnection, ConnectError> {
    let url = limited(url.expose_secret(), answer);
    let mut conn = PgConnection::establish(url.expose_secret()).map_err(ConnectError::Establish)?;
    // A node that hangs inside a transaction must not hold its account rows for ever, nor a machine
    // that is gone the locks of its session: the system's own keepalives would find that out after
    // hours. And no query of ours reads so much that compiling it, which takes milliseconds, would
    // be worth it, whatever the planner reckons without samples.
    let answer_secs = answer.as_secs();
    let settings = format!(
        "SET lock_timeout = {lock_timeout_ms};
         SET tcp_keepalives_idle = {answer_secs};
         SET tcp_keepalives_interval = 5;
         SET tcp_keepalives_count = 3;
         SET idle_in_transaction_session_timeout = 5000;
         SET synchronous_commit = on;
         SET default_transaction_isolation = 'read committed';
         SET jit = off;
         SET TIME ZONE 'UTC';"
    );
    conn.batch_execute(&settings).map_err(ConnectError::Setup)?;
    if let Some(limit) = statement_ms {
        let sql = format!("SET statement_timeout = {limit}");
        conn.batch_execute(&sql).map_err(ConnectError::Setup)?;
    }
    Ok(AnyConnection::Postgres(conn))
}

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = ConnectError;

    fn connect(&self) -> Result<AnyConnection, ConnectError> {
        self.establish()
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), ConnectError> {
        conn.ping().map_err(|error| ConnectError::Ping(diesel::r2d2::Error::QueryError(error)))
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_has_a_limit_and_the_operators_own_come_last() {
        let answer = Duration::from_secs(15);
        let url = |own: &str| limited(own, answer).expose_secret().to_owned();
        let ours = "connect_timeout=3&tcp_user_timeout=15000&keepalives_idle=15\
                    &keepalives_interval=5&keepalives_count=3";
        assert_eq!(
            url("postgres://u:p@localhost/db"),
            format!("postgres://u:p@localhost/db?{ours}")
        );
        assert_eq!(url("postgres://localhost/db?"), format!("postgres://localhost/db?{ours}"));
        let own = "postgres://h/db?sslmode=verify-full&connect_timeout=9";
        let both = format!("postgres://h/db?{ours}&sslmode=verify-full&connect_timeout=9");
        assert_eq!(url(own), both);
    }
}
