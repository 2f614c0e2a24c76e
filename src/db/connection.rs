//! One connection type over SQLite and PostgreSQL, and why none could be made.

#![expect(missing_docs, reason = "the derive makes items that cannot carry a comment")]

/// A connection to whichever database the configuration names.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL.
    Postgres(diesel::PgConnection),
    /// SQLite.
    Sqlite(diesel::SqliteConnection),
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The database refused or was not there.
    #[error("the database cannot be reached")]
    Establish(#[source] diesel::ConnectionError),
    /// The SQLite file could not be made.
    #[error("the database file cannot be made")]
    File(#[source] std::io::Error),
    /// The SQLite file that is in use is not in its place.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// The session's settings were refused, or a liveness probe failed.
    #[error("the database session cannot be set up")]
    Setup(#[source] diesel::result::Error),
    /// A probe of a pooled connection failed.
    #[error("the database connection is broken")]
    Ping(#[source] diesel::r2d2::Error),
}

/// The path names another file than the one that is open, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database file was moved, deleted or replaced; service resumes when it is back in its place"
)]
pub struct Moved;
