//! Links in mail: rows and queries. Only the SHA-256 of a token is ever here.

use diesel::prelude::*;

use crate::db::schema::email_tokens;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::TokenHash;

/// What a link opens, and when that ends.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = email_tokens)]
pub struct EmailTokenRow {
    /// What for; see `accounts::email_tokens`.
    pub purpose: String,
    /// Whose it is; `None` before there is an account.
    pub account_id: Option<AccountId>,
    /// The address that it was sent to.
    pub email: String,
    /// When it ends.
    pub expires_at: UnixMillis,
    /// Of its account, when it was asked for: see [`super::credentials_epoch`]. `None` before there
    /// is an account.
    pub credentials_epoch: Option<i64>,
}

// The default is for rows of an earlier version.
#[derive(Insertable)]
#[diesel(table_name = email_tokens, treat_none_as_default_value = false)]
struct NewEmailTokenRow<'a> {
    token_hash: &'a [u8],
    purpose: &'a str,
    account_id: Option<AccountId>,
    email: &'a str,
    created_at: UnixMillis,
    expires_at: UnixMillis,
    credentials_epoch: Option<i64>,
}

/// Stores a new token, and drops those whose time is up.
pub fn create(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    token: &EmailTokenRow,
    now: UnixMillis,
) -> Result<(), DbError> {
    let expired = email_tokens::table.filter(email_tokens::expires_at.le(now));
    diesel::delete(expired).execute(conn)?;
    let row = NewEmailTokenRow {
        token_hash: token_hash.as_bytes(),
        purpose: &token.purpose,
        account_id: token.account_id,
        email: &token.email,
        created_at: now,
        expires_at: token.expires_at,
        credentials_epoch: token.credentials_epoch,
    };
    diesel::insert_into(email_tokens::table).values(row).execute(conn)?;
    Ok(())
}

/// The row of a token.
pub fn find(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
) -> Result<Option<EmailTokenRow>, DbError> {
    let row = email_tokens::table
        .find(token_hash.as_bytes().as_slice())
        .select(EmailTokenRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Removes a token; `false` if somebody else was faster.
pub fn remove(conn: &mut AnyConnection, token_hash: &TokenHash) -> Result<bool, DbError> {
    let token = email_tokens::table.find(token_hash.as_bytes().as_slice());
    Ok(diesel::delete(token).execute(conn)? > 0)
}

/// Keeps others who use a link that was sent to the same address, which has no account that could
/// be locked, waiting until this transaction ends. They all take the rows in one order, so that no
/// two wait for each other. On SQLite a write transaction does so anyway.
pub fn lock_sign_ups(conn: &mut AnyConnection, email: &str) -> Result<(), DbError> {
    if let AnyConnection::Postgres(conn) = conn {
        email_tokens::table
            .filter(email_tokens::account_id.is_null().and(email_tokens::email.eq(email)))
            .order(email_tokens::token_hash)
            .select(email_tokens::token_hash)
            .for_update()
            .execute(conn)?;
    }
    Ok(())
}

/// Removes whatever was sent to an address that had no account.
pub fn remove_sign_ups(conn: &mut AnyConnection, email: &str) -> Result<(), DbError> {
    let tokens = email_tokens::table
        .filter(email_tokens::account_id.is_null().and(email_tokens::email.eq(email)));
    diesel::delete(tokens).execute(conn)?;
    Ok(())
}
