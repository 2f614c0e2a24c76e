//! Storage: the pool, the connection over both databases, and each table's rows and queries.
//! What a balance means is the ledger's business; nothing in here decides.

/// Runs one statement on whichever connection it is: diesel offers conflict clauses on each
/// database, but not on the type over both.
macro_rules! on_either {
    ($conn:ident => $statement:expr) => {
        match $conn {
            AnyConnection::Postgres($conn) => $statement,
            AnyConnection::Sqlite($conn) => $statement,
        }
    };
}

pub mod archive;
pub mod backup_copy;
pub mod books;
pub mod closing;
mod columns;
pub mod compatibility;
pub mod connection;
pub mod copying;
pub mod erasure;
pub mod file;
pub mod migrate;
pub mod models;
mod pool;
mod prepared_once;
pub mod retention;
pub mod schema;
pub mod time;
pub mod transaction;
pub mod write_ahead_log;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::{Pool, PooledConnection};
use diesel::result::{DatabaseErrorKind, Error};

pub use connection::{AnyConnection, ConnectError};
pub use pool::Manager;

use connection::Moved;
use file::DatabaseFile;

use crate::config;
use crate::config::DatabaseUrl;
use crate::domain::ids::NoRandomness;

/// A failure of storage. Outside it is always "try again later"; the chain goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The pool gave no connection in time.
    #[error("no database connection within the limit")]
    Pool(#[source] diesel::r2d2::PoolError),
    /// The database could not be reached at all.
    #[error("the database cannot be opened")]
    Connect(#[from] ConnectError),
    /// The SQLite file is not in its place.
    #[error(transparent)]
    Moved(#[from] Moved),
    /// A statement failed.
    #[error("a database statement failed")]
    Query(#[source] Error),
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migrate(Box<dyn std::error::Error + Send + Sync>),
    /// The schema is older than this program.
    #[error(
        "the database has the schema of an older version: run `sluice migrate` first \
         (docs/operating.md, Upgrading)"
    )]
    Outdated,
    /// The schema lacks what this program needs.
    #[error(
        "this program (version {}, generation {}) is too old for the database, which version {by} \
         has migrated and which is for generation {oldest} and newer: start that version, or a \
         newer one",
        compatibility::VERSION,
        compatibility::GENERATION
    )]
    Superseded {
        /// The oldest generation that it is for.
        oldest: i64,
        /// The version that has migrated it.
        by: String,
    },
    /// Not everything was copied into it.
    #[error(
        "the database is an unfinished copy: run `sluice migrate-to` again, which goes on with it"
    )]
    Unfinished,
    /// The schema has what this program does not know, and nothing says that it may serve it.
    #[error(
        "the database has migrations that this program (version {}) does not know ({migrations}), \
         and does not say which programs may serve it: start the version that ran them, or a \
         newer one",
        compatibility::VERSION
    )]
    Unfamiliar {
        /// Their versions.
        migrations: String,
    },
    /// A migration could not have its locks.
    #[error(
        "the migration {migration} could not have the tables that it changes in {tries} tries: a \
         transaction holds them, or it failed after that long: see the cause. Look for a \
         transaction that is long in pg_stat_activity, end it, and run `sluice migrate` again; \
         nothing was changed by this migration"
    )]
    MigrationWaits {
        /// Its name.
        migration: String,
        /// How often it was tried.
        tries: u32,
        /// What the last try met.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored value does not read as what this version writes.
    #[error("the database holds a {what} that this version cannot read")]
    Unreadable {
        /// What was read.
        what: &'static str,
    },
    /// A row needs a random name.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Another secret of tombstones is in use than the one that the database knows.
    #[error("the tombstone secret does not match the database")]
    OtherSecret,
    /// The blocking task was cancelled or panicked.
    #[error("the database task ended without an answer")]
    Task,
    /// It did not answer in time.
    #[error("the database does not answer")]
    Silent,
    /// The clocks are too far apart.
    #[error(
        "this machine's clock is {0} ms ahead of the database's (below zero: behind it): set it \
         right first"
    )]
    Adrift(i64),
}

/// What SQLite says when it is the database that cannot be written, whatever is written.
const SQLITE_AWAY: [&str; 4] = [
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
];

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        columns::unreadable(&error).map_or(Self::Query(error), |what| Self::Unreadable { what })
    }
}

impl DbError {
    /// Whether the database as a whole is away, so that nothing else would fare better now.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Moved(_) | Self::Silent => true,
            Self::Query(Error::DatabaseError(kind, what)) => {
                matches!(
                    kind,
                    DatabaseErrorKind::ClosedConnection
                        | DatabaseErrorKind::UnableToSendCommand
                        | DatabaseErrorKind::ReadOnlyTransaction
                ) || SQLITE_AWAY.contains(&what.message())
            }
            _ => false,
        }
    }

    /// Whether the database refuses what it was given, so that asking again is no use. There are
    /// refusals that this does not know: diesel passes on no code of PostgreSQL's, and its words
    /// are in the server's language.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Query(Error::DatabaseError(kind, _)) => matches!(
                kind,
                DatabaseErrorKind::UniqueViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::NotNullViolation
                    | DatabaseErrorKind::CheckViolation
                    | DatabaseErrorKind::RestrictViolation
                    | DatabaseErrorKind::ExclusionViolation
            ),
            Self::Query(Error::SerializationError(_)) | Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Manager>,
    settings: Arc<config::DatabaseSettings>,
    path: Option<Arc<Path>>,
    file: Option<Arc<DatabaseFile>>,
}

impl Database {
    /// Opens the pool and proves it with one connection.
    ///
    /// # Errors
    /// [`DbError::Connect`] if the database cannot be reached, [`DbError::Pool`] if no connection
    /// came in time.
    pub fn open(settings: &config::DatabaseSettings) -> Result<Self, DbError> {
        // The pool repeats a failed attempt until its limit; asking once by hand tells why.
        let first = connect(settings)?;
        let path: Option<Arc<Path>> = match &settings.url {
            DatabaseUrl::Sqlite(path) => Some(Arc::from(path.as_path())),
            DatabaseUrl::Postgres(_) => None,
        };
        let file = match &path {
            Some(path) => Some(DatabaseFile::hold(path, first)?),
            None => None,
        };
        let file = file.map(Arc::new);
        let manager = Manager::of(settings, file.clone()).with_limit(settings.statement);
        let pool = Pool::builder()
            .max_size(settings.pool_size)
            // Nothing is opened in advance: a thread of the pool that is still connecting when the
            // process ends does not survive libpq's cleanup, nor does the exit code.
            .min_idle(Some(0))
            .connection_timeout(settings.acquire)
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build(manager)
            .map_err(DbError::Pool)?;
        Ok(Self { pool, settings: Arc::new(settings.clone()), path, file })
    }

    /// The SQLite file, or `None` on PostgreSQL.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// How long an answer of the database is waited for where nothing else may wait longer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.settings.answer
    }

    /// How many connections the ledger has: a file has one writer at a time.
    #[must_use]
    pub fn ledger_connections(&self) -> u32 {
        if self.path.is_some() { 1 } else { self.settings.ledger_connections }
    }

    /// How long a statement waits for a lock.
    #[must_use]
    pub fn lock_timeout(&self) -> Duration {
        self.settings.lock_timeout
    }

    /// Whether what is committed now can be found again: on SQLite, whether the path still names
    /// the open file.
    ///
    /// # Errors
    /// [`DbError::Moved`].
    pub fn check_place(&self) -> Result<(), DbError> {
        Ok(self.file.as_ref().map_or(Ok(()), |file| file.check())?)
    }

    /// A connection apart from the pool. It never makes a file where there is none.
    ///
    /// # Errors
    /// [`DbError::Moved`] or [`DbError::Connect`].
    pub fn connect(&self) -> Result<AnyConnection, DbError> {
        self.check_place()?;
        let manager = Manager::of(&self.settings, self.file.clone());
        Ok(diesel::r2d2::ManageConnection::connect(&manager)?)
    }

    /// A connection; blocks up to the pool's limit.
    ///
    /// # Errors
    /// [`DbError::Moved`], or [`DbError::Pool`] when the limit passes.
    pub fn connection(&self) -> Result<PooledConnection<Manager>, DbError> {
        self.check_place()?;
        self.pool.get().map_err(DbError::Pool)
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// What `work` returns, what [`Database::connection`] does, or [`DbError::Task`] if it
    /// panicked.
    pub async fn run<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
    {
        let database = self.clone();
        blocking(move || work(&mut *database.connection()?)).await
    }

    /// The same on a connection apart from the pool, so that no crowd of readers holds it up: for
    /// what the node lives by.
    ///
    /// # Errors
    /// What `work` returns, what [`Database::connect`] does, or [`DbError::Task`] if it panicked.
    pub async fn run_apart<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
    {
        let database = self.clone();
        blocking(move || work(&mut database.connect()?)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| DbError::Task)?
}

/// A connection without a pool: for a command that asks a few times and ends. (A pool's threads may
/// still be connecting when the process ends, and libpq's cleanup does not survive that.)
///
/// # Errors
/// [`DbError::Connect`].
pub fn connect(settings: &config::DatabaseSettings) -> Result<AnyConnection, DbError> {
    let manager = Manager::of(settings, None);
    Ok(diesel::r2d2::ManageConnection::connect(&manager)?)
}

/// Asks the database for a sign of life.
pub fn probe(conn: &mut AnyConnection) -> Result<(), DbError> {
    use diesel::RunQueryDsl;
    diesel::sql_query("SELECT 1").execute(conn)?;
    Ok(())
}
