//! Transactions: for writing, one that takes its lock at the start; for proofs, one snapshot.
//!
//! SQLite's ordinary `BEGIN` takes the write lock at the first write, and then fails at once if
//! another writer came between; `BEGIN IMMEDIATE` waits its turn. diesel offers that only on the
//! inner connection type, so the transaction is opened and closed there and the work in between
//! sees the outer one.

use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::AnyConnection;
use crate::telemetry::Causes;

/// Runs `work` in a write transaction: commits on `Ok`, rolls back on `Err`.
///
/// # Errors
/// What `work` returned, or the database's refusal to begin or commit. After a failed commit the
/// outcome is unknown: callers must be able to repeat their work.
pub fn write<T, E>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<diesel::result::Error>,
{
    begin(conn, "BEGIN IMMEDIATE", "BEGIN")?;
    finish(conn, work)
}

/// Runs `work` against one snapshot of the database, which others may go on writing.
///
/// # Errors
/// What `work` returned, or the database's refusal to begin.
pub fn snapshot<T, E>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<diesel::result::Error>,
{
    // In WAL mode a plain SQLite transaction that only reads sees one snapshot.
    begin(conn, "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    finish(conn, work)
}

fn begin(conn: &mut AnyConnection, sqlite: &str, postgres: &str) -> diesel::QueryResult<()> {
    match conn {
        AnyConnection::Sqlite(inner) => {
            AnsiTransactionManager::begin_transaction_sql(inner, sqlite)
        }
        AnyConnection::Postgres(inner) => {
            AnsiTransactionManager::begin_transaction_sql(inner, postgres)
        }
    }
}

fn finish<T, E>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<diesel::result::Error>,
{
    match work(conn) {
        Ok(value) => {
            commit(conn)?;
            Ok(value)
        }
        Err(error) => {
            // A failed rollback leaves the connection marked as broken: the pool drops it.
            if let Err(rollback) = rollback(conn) {
                tracing::debug!(error = %Causes(&rollback), "rollback failed");
            }
            Err(error)
        }
    }
}

fn commit(conn: &mut AnyConnection) -> diesel::QueryResult<()> {
    match conn {
        AnyConnection::Sqlite(inner) => AnsiTransactionManager::commit_transaction(inner),
        AnyConnection::Postgres(inner) => AnsiTransactionManager::commit_transaction(inner),
    }
}

fn rollback(conn: &mut AnyConnection) -> diesel::QueryResult<()> {
    match conn {
        AnyConnection::Sqlite(inner) => AnsiTransactionManager::rollback_transaction(inner),
        AnyConnection::Postgres(inner) => AnsiTransactionManager::rollback_transaction(inner),
    }
}
