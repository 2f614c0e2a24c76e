//! Brings a database to the schema of this binary, and refuses one that is not for it.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{AnyConnection, DbError, compatibility, transaction};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The migration since which a schema says which programs may serve it.
const SAYS_WHO_MAY_SERVE: &str = "20261130000014";

/// Of the PostgreSQL advisory lock that keeps two starting nodes from migrating at once.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(7361756963652) AS is_held";
const UNLOCK: &str = "SELECT pg_advisory_unlock(7361756963652)";
const PAUSE: &str = "SELECT pg_sleep(1)";
/// Tries for the lock between two lines of the log.
const TOLD_EVERY: u32 = 10;
/// So many limits on waiting for a lock are longer than a wait.
const LONG: u32 = 5;

/// How long a migration waits for the tables that it changes. Whoever wants such a table meanwhile
/// stands behind it, so that it waits briefly, and again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For each lock.
    pub lock: Duration,
    /// Before it is given up.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { lock: Duration::from_secs(2), tries: 20 }
    }
}

/// How a database stands to this binary.
#[derive(Debug)]
struct SchemaState {
    /// Nothing was ever migrated.
    is_empty: bool,
    /// Migrations that this binary has and the database lacks.
    missing: usize,
    /// Migrations that the database has and this binary does not know.
    unknown: Vec<String>,
}

/// The newest migration that a database has; empty before the first.
pub fn newest(conn: &mut AnyConnection) -> Result<String, DbError> {
    let applied = match conn {
        AnyConnection::Sqlite(inner) => inner.applied_migrations(),
        AnyConnection::Postgres(inner) => inner.applied_migrations(),
    };
    let newest = applied.map_err(DbError::Migrate)?.into_iter().max();
    Ok(newest.map(|version| version.to_string()).unwrap_or_default())
}

/// Runs every migration that is missing and returns their names, oldest first. Give it a connection
/// of its own: on PostgreSQL it has another limit on waiting for locks meanwhile.
///
/// # Errors
/// [`DbError::Superseded`] and [`DbError::Unfamiliar`] for a database that is not for this program,
/// [`DbError::Migrate`] with the name of the migration that failed, [`DbError::MigrationWaits`]
/// with that of one that could not have its locks.
pub fn run_pending(conn: &mut AnyConnection) -> Result<Vec<String>, DbError> {
    run_pending_within(conn, Patience::default())
}

/// The same with limits of one's own.
///
/// # Errors
/// Those of [`run_pending`].
pub fn run_pending_within(
    conn: &mut AnyConnection,
    patience: Patience,
) -> Result<Vec<String>, DbError> {
    alone(conn, patience, |conn| run_all(conn, patience))
}

/// Does something while no other process migrates the database.
fn alone<T>(
    conn: &mut AnyConnection,
    patience: Patience,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    // One transaction around all of it: nobody sees half a schema.
    if let AnyConnection::Sqlite(_) = conn {
        return transaction::write(conn, work);
    }
    let before = lock(conn, patience)?;
    let done = work(conn);
    let unlocked = before.map_or(Ok(()), |before| unlock(conn, &before));
    let done = done?;
    unlocked.map(|()| done)
}

/// Makes the schema of a database that has none. One of another version is left as it is.
///
/// # Errors
/// [`DbError::Outdated`] if migrations are missing from a schema that exists, and those of
/// [`run_pending`].
pub fn ensure(conn: &mut AnyConnection) -> Result<(), DbError> {
    // Where nothing was ever migrated, looking makes a table, which only one at a time may do.
    if !has_history(conn)? {
        return run_pending(conn).map(drop);
    }
    let standing = examine(conn)?;
    if standing.is_empty {
        return run_pending(conn).map(drop);
    }
    // Perhaps somebody makes it just now.
    let is_missing = |conn: &mut AnyConnection| Ok(examine(conn)?.missing > 0);
    if standing.missing > 0 && alone(conn, Patience::default(), is_missing)? {
        return Err(DbError::Outdated);
    }
    Ok(())
}

/// Migrations that the database has and this program does not know, oldest first.
///
/// # Errors
/// [`DbError::Outdated`] if migrations are missing, and those of [`run_pending`].
pub fn newer(conn: &mut AnyConnection) -> Result<Vec<String>, DbError> {
    let standing = examine(conn)?;
    if standing.missing > 0 { Err(DbError::Outdated) } else { Ok(standing.unknown) }
}

/// Makes a database ready to be served: runs what is missing, if that `may` be done here. Says so
/// if it has more than this program knows.
///
/// # Errors
/// Those of [`run_pending`], or of [`ensure`].
pub fn prepare(conn: &mut AnyConnection, may: bool) -> Result<(), DbError> {
    if may {
        run_pending(conn)?;
    } else {
        ensure(conn)?;
    }
    let newer = examine(conn)?.unknown;
    if !newer.is_empty() {
        tracing::info!(
            ?newer,
            "a newer version has migrated the database, which this one may serve"
        );
    }
    Ok(())
}

/// Whether a database has a list of migrations, be it an empty one.
fn has_history(conn: &mut AnyConnection) -> Result<bool, DbError> {
    let sql = match conn {
        AnyConnection::Sqlite(_) => {
            "SELECT COUNT(*) > 0 AS is_held FROM sqlite_master WHERE name = \
             '__diesel_schema_migrations'"
        }
        AnyConnection::Postgres(_) => {
            "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS is_held"
        }
    };
    let found: LockRow = diesel::sql_query(sql).get_result(conn)?;
    Ok(found.is_held)
}

/// Compares a database with this binary, and refuses one that is not for it.
fn examine(conn: &mut AnyConnection) -> Result<SchemaState, DbError> {
    let applied = match conn {
        AnyConnection::Sqlite(inner) => inner.applied_migrations(),
        AnyConnection::Postgres(inner) => inner.applied_migrations(),
    };
    let applied: Vec<String> =
        applied.map_err(DbError::Migrate)?.iter().map(ToString::to_string).collect();
    let known = match conn {
        AnyConnection::Sqlite(_) => versions::<Sqlite>(&SQLITE),
        AnyConnection::Postgres(_) => versions::<Pg>(&POSTGRES),
    }?;
    let missing = known.iter().filter(|version| !applied.contains(version)).count();
    let is_empty = applied.is_empty();
    let has_table = applied.iter().any(|version| version == SAYS_WHO_MAY_SERVE);
    let unknown: Vec<String> =
        applied.into_iter().filter(|version| !known.contains(version)).collect();
    let is_said = has_table && compatibility::check(conn)?;
    if !unknown.is_empty() && !is_said {
        return Err(DbError::Unfamiliar { migrations: unknown.join(", ") });
    }
    Ok(SchemaState { is_empty, missing, unknown })
}

fn versions<DB: diesel::backend::Backend>(
    source: &impl MigrationSource<DB>,
) -> Result<Vec<String>, DbError> {
    let all = source.migrations().map_err(DbError::Migrate)?;
    Ok(all.iter().map(|migration| migration.name().version().to_string()).collect())
}

fn run_all(conn: &mut AnyConnection, patience: Patience) -> Result<Vec<String>, DbError> {
    // Behind the lock: another program may have migrated meanwhile.
    examine(conn)?;
    let names = match conn {
        AnyConnection::Sqlite(inner) => {
            let ran = inner.run_pending_migrations(SQLITE).map_err(DbError::Migrate)?;
            ran.iter().map(ToString::to_string).collect()
        }
        AnyConnection::Postgres(inner) => run_on_postgres(inner, patience)?,
    };
    if !names.is_empty() {
        compatibility::sign(conn)?;
    }
    Ok(names)
}

fn run_on_postgres(conn: &mut PgConnection, patience: Patience) -> Result<Vec<String>, DbError> {
    let mut names = Vec::new();
    for migration in conn.pending_migrations(POSTGRES).map_err(DbError::Migrate)? {
        run_patiently(conn, &*migration, patience)?;
        names.push(migration.name().version().to_string());
    }
    Ok(names)
}

/// Runs one migration; it is a transaction, so that one that failed has done nothing.
fn run_patiently(
    conn: &mut PgConnection,
    migration: &dyn Migration<Pg>,
    patience: Patience,
) -> Result<(), DbError> {
    let mut others = 0_u32;
    for tries in 1_u32.. {
        let began = Instant::now();
        let Err(error) = conn.run_migration(migration) else { return Ok(()) };
        // It borrows the connection.
        let error = error.to_string();
        let took = began.elapsed();
        // diesel passes on no code, and the words are in the server's language. What failed sooner
        // waited for no lock to the end, and what failed far later has worked: either is tried once
        // more, for it may have been a deadlock, or a lock that was wanted late.
        let waited = took >= patience.lock && took < patience.lock.saturating_mul(LONG);
        others = others.saturating_add(u32::from(!waited));
        if took < patience.lock && others > 1 {
            return Err(DbError::Migrate(error.into()));
        }
        let migration = migration.name().to_string();
        if others > 1 || tries >= patience.tries {
            return Err(DbError::MigrationWaits { migration, tries, cause: error.into() });
        }
        let why = if waited { "it waits for a table that is in use" } else { "see the error" };
        tracing::warn!(migration, error, why, "a migration failed; trying it again");
        conn.batch_execute(PAUSE)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct LockRow {
    #[diesel(sql_type = Bool)]
    is_held: bool,
}

#[derive(QueryableByName)]
struct LockTimeoutRow {
    #[diesel(sql_type = Text)]
    lock_timeout: String,
}

/// Waits until no other node migrates, and says so; then sets the limit on waiting for locks and
/// returns the one before. For PostgreSQL.
fn lock(conn: &mut AnyConnection, patience: Patience) -> Result<Option<String>, DbError> {
    let AnyConnection::Postgres(conn) = conn else { return Ok(None) };
    for tries in 0_u32.. {
        let held: LockRow = diesel::sql_query(TRY_LOCK).get_result(conn)?;
        if held.is_held {
            break;
        }
        if tries.is_multiple_of(TOLD_EVERY) {
            tracing::info!("another process is migrating the database; waiting for its end");
        }
        conn.batch_execute(PAUSE)?;
    }
    let sql = "SELECT current_setting('lock_timeout') AS lock_timeout";
    let before: LockTimeoutRow = diesel::sql_query(sql).get_result(conn)?;
    conn.batch_execute(&format!("SET lock_timeout = {}", patience.lock.as_millis()))?;
    Ok(Some(before.lock_timeout))
}

fn unlock(conn: &mut AnyConnection, before: &str) -> Result<(), DbError> {
    conn.batch_execute(&format!("SET lock_timeout = '{before}'; {UNLOCK}"))?;
    Ok(())
}
