//! When each chore was last done to its end: rows and queries.

use diesel::prelude::*;

use crate::db::schema::chores;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;

/// When a chore was last done to its end; `None` if never.
pub fn finished_at(conn: &mut AnyConnection, name: &str) -> Result<Option<UnixMillis>, DbError> {
    let millis: Option<i64> =
        chores::table.find(name).select(chores::finished_at).first(conn).optional()?;
    Ok(millis.map(UnixMillis::from_millis))
}

/// Notes that a chore was done to its end.
pub fn finish(conn: &mut AnyConnection, name: &str, now: UnixMillis) -> Result<(), DbError> {
    let row = (chores::name.eq(name), chores::finished_at.eq(now));
    on_either!(conn => diesel::insert_into(chores::table)
        .values(row)
        .on_conflict(chores::name)
        .do_update()
        .set(chores::finished_at.eq(now))
        .execute(conn))?;
    Ok(())
}
