//! Links that turn notices off: rows and queries. Only the SHA-256 of a token is ever here.

use diesel::prelude::*;

use crate::db::schema::{accounts, unsubscribe_tokens};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::TokenHash;

/// Stores a new token.
pub fn create(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    id: AccountId,
    expires_at: UnixMillis,
) -> Result<(), DbError> {
    let row = (
        unsubscribe_tokens::token_hash.eq(token_hash.as_bytes().as_slice()),
        unsubscribe_tokens::account_id.eq(id),
        unsubscribe_tokens::expires_at.eq(expires_at),
    );
    diesel::insert_into(unsubscribe_tokens::table).values(row).execute(conn)?;
    Ok(())
}

/// Whose token it is, if it is in force.
pub fn account_of(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    now: UnixMillis,
) -> Result<Option<AccountId>, DbError> {
    let id: Option<i64> = unsubscribe_tokens::table
        .find(token_hash.as_bytes().as_slice())
        .filter(unsubscribe_tokens::expires_at.gt(now))
        .select(unsubscribe_tokens::account_id)
        .first(conn)
        .optional()?;
    Ok(id.map(AccountId))
}

/// Removes whatever was sent to an account.
pub fn remove_of_account(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    let tokens = unsubscribe_tokens::table.filter(unsubscribe_tokens::account_id.eq(id));
    diesel::delete(tokens).execute(conn)?;
    Ok(())
}

/// Sends an account no notices any more. Writes nothing where it gets none anyway.
pub fn silence(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    let wanted =
        accounts::table.find(id).select(accounts::wants_notices).first::<bool>(conn).optional()?;
    if wanted == Some(true) {
        diesel::update(accounts::table.find(id))
            .set(accounts::wants_notices.eq(false))
            .execute(conn)?;
    }
    Ok(())
}
