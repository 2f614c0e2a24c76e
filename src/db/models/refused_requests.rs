//! Counts of requests that this program refused itself: per key, UTC day and reason.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::api_keys::ShownName;
use crate::db::schema::{api_keys, refused_requests};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UtcDay;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::refusal_cause::RefusalCause;

/// One count.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = refused_requests)]
pub struct RefusedRow {
    /// Of which key.
    pub api_key_id: ApiKeyId,
    /// The UTC day, counted from the epoch.
    pub day: i64,
    /// Why.
    pub reason: RefusalCause,
    /// How many.
    pub requests: i64,
}

/// A count with what its key is called.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct RefusedOfKey {
    /// The count.
    pub row: RefusedRow,
    /// The key's public id.
    pub key_id: String,
    /// What its owner calls it.
    #[diesel(deserialize_as = ShownName)]
    pub key_name: String,
}

/// Adds to a count. Nothing happens where the key is gone.
pub fn add(conn: &mut AnyConnection, row: &RefusedRow) -> Result<(), DbError> {
    diesel::sql_query(
        "INSERT INTO refused_requests (account_id, api_key_id, day, reason, requests)
         SELECT account_id, id, $1, $2, $3 FROM api_keys WHERE id = $4
         ON CONFLICT (api_key_id, day, reason)
         DO UPDATE SET requests = refused_requests.requests + excluded.requests",
    )
    .bind::<BigInt, _>(row.day)
    .bind::<Text, _>(row.reason)
    .bind::<BigInt, _>(row.requests)
    .bind::<BigInt, _>(row.api_key_id)
    .execute(conn)?;
    Ok(())
}

/// The counts of an account, or of one key of it, from one UTC day to another, both included,
/// oldest first.
pub fn of_account(
    conn: &mut AnyConnection,
    (account_id, key): (AccountId, Option<ApiKeyId>),
    (first, last): (UtcDay, UtcDay),
) -> Result<Vec<RefusedOfKey>, DbError> {
    let mut query = refused_requests::table
        .inner_join(api_keys::table)
        .filter(refused_requests::account_id.eq(account_id))
        .filter(refused_requests::day.between(first.number(), last.number()))
        .order((refused_requests::day, refused_requests::api_key_id, refused_requests::reason))
        .select((RefusedRow::as_select(), api_keys::public_id, api_keys::name))
        .into_boxed();
    if let Some(key) = key {
        query = query.filter(refused_requests::api_key_id.eq(key));
    }
    Ok(query.load(conn)?)
}
