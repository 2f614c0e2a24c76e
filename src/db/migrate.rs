//! Brings a database to the schema of this binary.

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationVersion;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{AnyConnection, DbError};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Key of the PostgreSQL advisory lock that keeps two starting nodes from migrating at once.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_lock(7361756963652)";
const ADVISORY_UNLOCK: &str = "SELECT pg_advisory_unlock(7361756963652)";

/// Runs every migration that is missing and returns their names, oldest first. Give it a connection
/// of its own: it lifts the limit on waiting for locks, since another node may be migrating.
///
/// # Errors
/// [`DbError::Migrate`] with the name of the migration that failed.
pub fn run_pending(conn: &mut AnyConnection) -> Result<Vec<String>, DbError> {
    let ran = match conn {
        AnyConnection::Sqlite(inner) => {
            inner.run_pending_migrations(SQLITE).map(|versions| names(&versions))
        }
        AnyConnection::Postgres(inner) => {
            inner.batch_execute("SET lock_timeout = 0")?;
            inner.batch_execute(ADVISORY_LOCK)?;
            // The versions borrow the connection, so they become names before it is used again.
            let ran = inner.run_pending_migrations(POSTGRES).map(|versions| names(&versions));
            inner.batch_execute(ADVISORY_UNLOCK)?;
            ran
        }
    };
    ran.map_err(DbError::Migrate)
}

/// Makes the schema of a database that has none. One of another version is left as it is.
///
/// # Errors
/// [`DbError::Outdated`] if migrations are missing from a schema that exists.
pub fn ensure(conn: &mut AnyConnection) -> Result<(), DbError> {
    let applied = match conn {
        AnyConnection::Sqlite(inner) => inner.applied_migrations().map(|all| all.len()),
        AnyConnection::Postgres(inner) => inner.applied_migrations().map(|all| all.len()),
    };
    if applied.map_err(DbError::Migrate)? == 0 {
        return run_pending(conn).map(drop);
    }
    let is_behind = match conn {
        AnyConnection::Sqlite(inner) => inner.has_pending_migration(SQLITE),
        AnyConnection::Postgres(inner) => inner.has_pending_migration(POSTGRES),
    };
    if is_behind.map_err(DbError::Migrate)? { Err(DbError::Outdated) } else { Ok(()) }
}

fn names(versions: &[MigrationVersion<'_>]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}
