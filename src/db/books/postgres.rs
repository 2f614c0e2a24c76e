//! The books in PostgreSQL: one statement reads for a whole group, another writes for it.
//!
//! The write needs no transaction around it and holds an account's row for its own length only.
//! What was read may be out of date by then; so it changes an account only if its row is still in
//! the version that was read. Whoever changes anything of an account leaves a new version of its
//! row, if need be without a difference: its `xmin`, the transaction that wrote it.

mod columns;
mod read;
mod write;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::{Changes, CommandNeeds, GroupRows};
use crate::domain::ids::AccountId;
use read::{CommandRow, ReadStatement};
use write::Write;

/// See [`super::prepare`].
pub(super) fn prepare(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(
        "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
    )
}

/// See [`super::read`].
pub(super) fn read(conn: &mut PgConnection, wants: &[CommandNeeds<'_>]) -> QueryResult<GroupRows> {
    let rows: Vec<CommandRow> = ReadStatement::of(wants).load(conn)?;
    Ok(read::found(rows))
}

/// See [`super::write`].
pub(super) fn write(
    conn: &mut PgConnection,
    changes: &Changes<'_>,
) -> QueryResult<Vec<(AccountId, i64)>> {
    Write::of(changes).load(conn)
}
