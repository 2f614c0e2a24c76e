//! Wrong codes of the second factor, counted for each account: columns of `accounts`. Whoever reads
//! them in order to write them holds the account's lock.

use diesel::prelude::*;

use crate::db::schema::accounts;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;

/// How an account stands.
#[derive(Clone, Copy, Debug, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct WrongCodesRow {
    /// Wrong codes since the window began.
    pub wrong_codes: i64,
    /// When that was.
    pub wrong_codes_began_at: Option<UnixMillis>,
    /// When a new password last began the count anew.
    pub wrong_codes_pardoned_at: Option<UnixMillis>,
}

/// How an account stands.
pub fn get(conn: &mut AnyConnection, id: AccountId) -> Result<Option<WrongCodesRow>, DbError> {
    let account = accounts::table.find(id).select(WrongCodesRow::as_select());
    Ok(account.first(conn).optional()?)
}

/// Writes a count, and when its window began.
pub fn set(
    conn: &mut AnyConnection,
    id: AccountId,
    count: i64,
    began_at: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id))
        .set((accounts::wrong_codes.eq(count), accounts::wrong_codes_began_at.eq(began_at)))
        .execute(conn)?;
    Ok(())
}

/// Begins anew.
pub fn clear(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    let counted = accounts::table.find(id).filter(accounts::wrong_codes_began_at.is_not_null());
    diesel::update(counted)
        .set((accounts::wrong_codes.eq(0), accounts::wrong_codes_began_at.eq(None::<UnixMillis>)))
        .execute(conn)?;
    Ok(())
}

/// Forgets what was counted, and that it began anew: there is no second factor in force.
pub fn forget(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    clear(conn, id)?;
    let account = diesel::update(accounts::table.find(id));
    account.set(accounts::wrong_codes_pardoned_at.eq(None::<UnixMillis>)).execute(conn)?;
    Ok(())
}

/// Begins anew, if that was not done since `before`.
pub fn pardon(
    conn: &mut AnyConnection,
    id: AccountId,
    (before, now): (UnixMillis, UnixMillis),
) -> Result<(), DbError> {
    let last = accounts::wrong_codes_pardoned_at;
    let is_due = last.is_null().or(last.le(before));
    let counted = accounts::wrong_codes.gt(0).and(is_due);
    diesel::update(accounts::table.find(id).filter(counted))
        .set((
            accounts::wrong_codes.eq(0),
            accounts::wrong_codes_began_at.eq(None::<UnixMillis>),
            last.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}
