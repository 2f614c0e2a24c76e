//! What is over: found and deleted in pieces, so that nobody waits long for the database.

mod postgres;
mod sqlite;

use std::time::Instant;

use diesel::dsl::{delete, max};
use diesel::prelude::*;

use super::schema::{
    attempts, deposit_claims, email_tokens, refused_requests, reservations, sessions,
    unsubscribe_tokens, usage_logs, wallet_challenges,
};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::ClaimState;

/// Claims in which nothing was found.
const DEAD_CLAIMS: [ClaimState; 2] = [ClaimState::NotFound, ClaimState::Rejected];

/// Which usage rows one batch deletes: the oldest of those from before a moment.
#[derive(Clone, Copy, Debug)]
pub struct UsageRange {
    /// None from before this moment are looked for, where that makes the search shorter.
    pub from: Option<UnixMillis>,
    /// Younger ones stay.
    pub before: UnixMillis,
    /// So many at most.
    pub limit: i64,
    /// The moment that the carry-forwards get.
    pub now: UnixMillis,
}

/// What a batch of usage rows came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeletedUsage {
    /// How many there were to go; fewer than the limit means that none are left.
    pub found: usize,
    /// How many of them went here, and not on another node meanwhile.
    pub rows: usize,
    /// When the last of them was made, if the next search may begin there.
    pub last: Option<UnixMillis>,
    /// Since when others had to wait, if any did.
    pub locked_at: Option<Instant>,
}

/// Deletes one batch of usage rows with their ledger lines, whose sum becomes part of each
/// account's one carry-forward. Balances are not touched, and the books balance before and after.
/// Must run in a write transaction.
pub(crate) fn delete_usage(
    conn: &mut AnyConnection,
    range: &UsageRange,
) -> QueryResult<DeletedUsage> {
    match conn {
        AnyConnection::Sqlite(conn) => sqlite::delete_usage(conn, range),
        AnyConnection::Postgres(conn) => postgres::delete_usage(conn, range),
    }
}

/// The name of the newest exchange, open or settled: another one than before means that somebody
/// uses the database, through whichever node.
pub fn newest_exchange(conn: &mut AnyConnection) -> Result<Option<String>, DbError> {
    let open: Option<String> = reservations::table.select(max(reservations::id)).first(conn)?;
    let settled: Option<String> = usage_logs::table.select(max(usage_logs::id)).first(conn)?;
    Ok(open.max(settled))
}

/// How many usage rows are from before a moment.
pub fn count_old_usage(conn: &mut AnyConnection, before: UnixMillis) -> Result<i64, DbError> {
    let old = usage_logs::table.filter(usage_logs::created_at.lt(before));
    Ok(old.count().get_result(conn)?)
}

/// Something that is of no use any more once its time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expirable {
    /// Sessions whose time is up.
    Sessions,
    /// Links in mail that do not work any more.
    EmailTokens,
    /// Links that turn notices off and do not work any more.
    UnsubscribeTokens,
    /// Messages for wallets that can not be signed any more.
    Challenges,
    /// Claims of transactions in which nothing was found.
    Claims,
    /// Counts of attempts whose window is over.
    Attempts,
    /// Counts of refused requests, by their days.
    Refusals,
}

impl Expirable {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sessions,
        Self::EmailTokens,
        Self::UnsubscribeTokens,
        Self::Challenges,
        Self::Claims,
        Self::Attempts,
        Self::Refusals,
    ];

    /// As people and metrics read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::EmailTokens => "email_tokens",
            Self::UnsubscribeTokens => "unsubscribe_tokens",
            Self::Challenges => "wallet_challenges",
            Self::Claims => "deposit_claims",
            Self::Attempts => "attempts",
            Self::Refusals => "refused_requests",
        }
    }
}

/// How many of a kind are from before a moment.
pub fn count_leftovers(
    conn: &mut AnyConnection,
    kind: Expirable,
    before: UnixMillis,
) -> Result<i64, DbError> {
    let count = match kind {
        Expirable::Sessions => {
            sessions::table.filter(sessions::expires_at.lt(before)).count().get_result(conn)?
        }
        Expirable::EmailTokens => email_tokens::table
            .filter(email_tokens::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::UnsubscribeTokens => unsubscribe_tokens::table
            .filter(unsubscribe_tokens::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Challenges => wallet_challenges::table
            .filter(wallet_challenges::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Claims => deposit_claims::table
            .filter(deposit_claims::state.eq_any(DEAD_CLAIMS))
            .filter(deposit_claims::check_at.is_null())
            .filter(deposit_claims::updated_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Attempts => {
            attempts::table.filter(attempts::expires_at.lt(before)).count().get_result(conn)?
        }
        Expirable::Refusals => {
            let old =
                refused_requests::table.filter(refused_requests::day.lt(before.day().number()));
            old.count().get_result(conn)?
        }
    };
    Ok(count)
}

/// Deletes at most `limit` of a kind from before a moment; says how many.
pub fn delete_leftovers(
    conn: &mut AnyConnection,
    kind: Expirable,
    before: UnixMillis,
    limit: i64,
) -> Result<usize, DbError> {
    let gone = match kind {
        Expirable::Sessions => {
            let ids: Vec<i64> = sessions::table
                .filter(sessions::expires_at.lt(before))
                .limit(limit)
                .select(sessions::id)
                .load(conn)?;
            delete(sessions::table.filter(sessions::id.eq_any(ids))).execute(conn)?
        }
        Expirable::EmailTokens => {
            let ids: Vec<Vec<u8>> = email_tokens::table
                .filter(email_tokens::expires_at.lt(before))
                .limit(limit)
                .select(email_tokens::token_hash)
                .load(conn)?;
            delete(email_tokens::table.filter(email_tokens::token_hash.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::UnsubscribeTokens => {
            let ids: Vec<Vec<u8>> = unsubscribe_tokens::table
                .filter(unsubscribe_tokens::expires_at.lt(before))
                .limit(limit)
                .select(unsubscribe_tokens::token_hash)
                .load(conn)?;
            delete(unsubscribe_tokens::table.filter(unsubscribe_tokens::token_hash.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::Challenges => {
            let ids: Vec<String> = wallet_challenges::table
                .filter(wallet_challenges::expires_at.lt(before))
                .limit(limit)
                .select(wallet_challenges::nonce)
                .load(conn)?;
            delete(wallet_challenges::table.filter(wallet_challenges::nonce.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::Claims => {
            let ids: Vec<i64> = deposit_claims::table
                .filter(deposit_claims::state.eq_any(DEAD_CLAIMS))
                .filter(deposit_claims::check_at.is_null())
                .filter(deposit_claims::updated_at.lt(before))
                .limit(limit)
                .select(deposit_claims::id)
                .load(conn)?;
            delete(deposit_claims::table.filter(deposit_claims::id.eq_any(ids))).execute(conn)?
        }
        Expirable::Attempts => {
            let hashes: Vec<Vec<u8>> = attempts::table
                .filter(attempts::expires_at.lt(before))
                .limit(limit)
                .select(attempts::hash)
                .load(conn)?;
            // It may have begun anew meanwhile.
            delete(attempts::table.filter(attempts::hash.eq_any(hashes)))
                .filter(attempts::expires_at.lt(before))
                .execute(conn)?
        }
        Expirable::Refusals => {
            let ids: Vec<i64> = refused_requests::table
                .filter(refused_requests::day.lt(before.day().number()))
                .limit(limit)
                .select(refused_requests::id)
                .load(conn)?;
            delete(refused_requests::table.filter(refused_requests::id.eq_any(ids)))
                .execute(conn)?
        }
    };
    Ok(gone)
}
