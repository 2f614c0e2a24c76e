//! People who have given their password and are asked for the second factor: rows and queries. Only
//! the SHA-256 of what they hold is ever here.

use diesel::prelude::*;

use super::credentials_epoch;
use crate::db::schema::{accounts, log_in_steps};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::TokenHash;

/// Stores a step, under the credentials that its account has now, and drops those whose time is up.
pub fn create(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    account_id: AccountId,
    (now, expires_at): (UnixMillis, UnixMillis),
) -> Result<(), DbError> {
    let expired = log_in_steps::table.filter(log_in_steps::expires_at.le(now));
    diesel::delete(expired).execute(conn)?;
    let epoch = credentials_epoch::current(conn, account_id)?.unwrap_or_default();
    diesel::insert_into(log_in_steps::table)
        .values((
            log_in_steps::credentials_epoch.eq(epoch),
            log_in_steps::token_hash.eq(token_hash.as_bytes().as_slice()),
            log_in_steps::account_id.eq(account_id),
            log_in_steps::expires_at.eq(expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whose step it is, if its time is not up and the credentials are still those under which it was
/// begun.
pub fn holder(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    now: UnixMillis,
) -> Result<Option<AccountId>, DbError> {
    let id: Option<i64> = log_in_steps::table
        .inner_join(accounts::table.on(accounts::id.eq(log_in_steps::account_id)))
        .filter(log_in_steps::token_hash.eq(token_hash.as_bytes().as_slice()))
        .filter(log_in_steps::credentials_epoch.eq(accounts::credentials_epoch))
        .filter(log_in_steps::expires_at.gt(now))
        .select(log_in_steps::account_id)
        .first(conn)
        .optional()?;
    Ok(id.map(AccountId))
}

/// Counts a wrong code of a step, and removes the step with the last one that it may have.
pub fn count_wrong_code(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    most: u32,
) -> Result<(), DbError> {
    let step = log_in_steps::table.find(token_hash.as_bytes().as_slice());
    diesel::update(step)
        .set(log_in_steps::wrong_codes.eq(log_in_steps::wrong_codes + 1))
        .execute(conn)?;
    let is_over = log_in_steps::wrong_codes.ge(i64::from(most));
    diesel::delete(step.filter(is_over)).execute(conn)?;
    Ok(())
}

/// Removes a step; `false` if it was used or dropped meanwhile.
pub fn remove(conn: &mut AnyConnection, token_hash: &TokenHash) -> Result<bool, DbError> {
    let step = log_in_steps::table.find(token_hash.as_bytes().as_slice());
    Ok(diesel::delete(step).execute(conn)? > 0)
}
