//! API keys: rows and queries. Only the SHA-256 of a key is ever here.

use diesel::prelude::*;

use super::schema::{accounts, api_keys};
use super::{AnyConnection, DbError};
use crate::domain::api_key::ApiKeyHash;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId};

/// One key, without its hash.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKeyRow {
    /// Row number, never shown.
    pub id: i64,
    /// The name that people and APIs use.
    pub public_id: String,
    /// Whose key it is.
    pub account_id: i64,
    /// What its owner calls it.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// When it stopped working, if it did.
    pub revoked_at: Option<i64>,
}

#[derive(Insertable)]
#[diesel(table_name = api_keys)]
struct NewApiKey<'a> {
    public_id: &'a str,
    account_id: i64,
    name: &'a str,
    hash: &'a [u8],
    created_at: i64,
}

/// Stores a new key.
///
/// # Errors
/// [`DbError::Query`].
pub fn create(
    conn: &mut AnyConnection,
    public_id: &str,
    account_id: AccountId,
    name: &str,
    hash: &ApiKeyHash,
    now: UnixMillis,
) -> Result<(), DbError> {
    let hash = hash.as_bytes().as_slice();
    let created_at = now.as_millis();
    let row = NewApiKey { public_id, account_id: account_id.0, name, hash, created_at };
    diesel::insert_into(api_keys::table).values(row).execute(conn)?;
    Ok(())
}

/// Who a key speaks for, and whether it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The account.
    pub account_id: AccountId,
    /// The key.
    pub api_key_id: ApiKeyId,
    /// The key has been revoked.
    pub is_revoked: bool,
    /// The account has been suspended.
    pub is_suspended: bool,
}

/// The holder of a key, revoked or not; `None` if no such key was ever made.
///
/// # Errors
/// [`DbError::Query`].
pub fn holder(conn: &mut AnyConnection, hash: &ApiKeyHash) -> Result<Option<KeyHolder>, DbError> {
    let row: Option<(i64, i64, Option<i64>, String)> = api_keys::table
        .inner_join(accounts::table)
        .filter(api_keys::hash.eq(hash.as_bytes().as_slice()))
        .select((api_keys::id, api_keys::account_id, api_keys::revoked_at, accounts::status))
        .first(conn)
        .optional()?;
    Ok(row.map(|(key, account, revoked_at, status)| KeyHolder {
        account_id: AccountId(account),
        api_key_id: ApiKeyId(key),
        is_revoked: revoked_at.is_some(),
        is_suspended: status != "active",
    }))
}

/// All keys of an account, oldest first.
///
/// # Errors
/// [`DbError::Query`].
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Vec<ApiKeyRow>, DbError> {
    let rows = api_keys::table
        .filter(api_keys::account_id.eq(account_id.0))
        .order(api_keys::id)
        .select(ApiKeyRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Revokes a key for good. `None` if there is no such key; else whether it had been alive.
///
/// # Errors
/// [`DbError::Query`].
pub fn revoke(
    conn: &mut AnyConnection,
    public_id: &str,
    now: UnixMillis,
) -> Result<Option<bool>, DbError> {
    let alive = api_keys::table
        .filter(api_keys::public_id.eq(public_id).and(api_keys::revoked_at.is_null()));
    let revoked =
        diesel::update(alive).set(api_keys::revoked_at.eq(now.as_millis())).execute(conn)?;
    if revoked > 0 {
        return Ok(Some(true));
    }
    let known = api_keys::table.filter(api_keys::public_id.eq(public_id)).count();
    let known: i64 = known.get_result(conn)?;
    Ok((known > 0).then_some(false))
}
