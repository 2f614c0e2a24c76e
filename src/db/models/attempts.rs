//! Attempts that count on all nodes together, until their window is over: rows and queries. Whose
//! they are is a keyed hash.

use diesel::prelude::*;

use crate::db::schema::attempts;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;

/// What was counted in a window that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptWindow {
    /// Attempts so far.
    pub made: i64,
    /// When it is over.
    pub expires_at: UnixMillis,
}

/// The window that is open for a hash.
pub fn open_window(
    conn: &mut AnyConnection,
    hash: &[u8; 32],
    now: UnixMillis,
) -> Result<Option<AttemptWindow>, DbError> {
    let open = attempts::table.find(&hash[..]).filter(attempts::expires_at.gt(now));
    let row: Option<(i64, UnixMillis)> =
        open.select((attempts::made, attempts::expires_at)).first(conn).optional()?;
    Ok(row.map(window))
}

/// Counts once, in the window that is open or in a new one. Must run in a write transaction:
/// whoever counts for the same hash waits for its end.
pub fn count(
    conn: &mut AnyConnection,
    hash: &[u8; 32],
    (now, expires_at): (UnixMillis, UnixMillis),
) -> Result<AttemptWindow, DbError> {
    let row = attempts::table.find(&hash[..]);
    diesel::delete(row.filter(attempts::expires_at.le(now))).execute(conn)?;
    let first =
        (attempts::hash.eq(&hash[..]), attempts::made.eq(0), attempts::expires_at.eq(expires_at));
    on_either!(conn => diesel::insert_into(attempts::table)
        .values(first)
        .on_conflict_do_nothing()
        .execute(conn))?;
    let counted: (i64, UnixMillis) = diesel::update(row)
        .set(attempts::made.eq(attempts::made + 1))
        .returning((attempts::made, attempts::expires_at))
        .get_result(conn)?;
    Ok(window(counted))
}

/// Takes back so many of the window that is open.
pub fn take_back(
    conn: &mut AnyConnection,
    hash: &[u8; 32],
    count: i64,
    now: UnixMillis,
) -> Result<(), DbError> {
    let open = attempts::table.find(&hash[..]).filter(attempts::expires_at.gt(now));
    let left = diesel::update(open.filter(attempts::made.gt(count)))
        .set(attempts::made.eq(attempts::made - count))
        .execute(conn)?;
    if left == 0 {
        forget(conn, hash)?;
    }
    Ok(())
}

/// Forgets what was counted.
pub fn forget(conn: &mut AnyConnection, hash: &[u8; 32]) -> Result<(), DbError> {
    diesel::delete(attempts::table.find(&hash[..])).execute(conn)?;
    Ok(())
}

const fn window((made, expires_at): (i64, UnixMillis)) -> AttemptWindow {
    AttemptWindow { made, expires_at }
}
