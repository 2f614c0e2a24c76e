//! The usage log summed up by time, model and key at once: one scan of an account's index by time,
//! of which a page makes all its charts, lists and totals. And single rows in other orders than
//! that of time.

use std::fmt::Write;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::usage_logs::{UsageFilter, UsageOfKey};
use crate::db::books::UsageRow;
use crate::db::schema::{api_keys, usage_logs};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::reader_zone::ReaderZone;
use crate::domain::request_result::RequestResult;

/// Sums over the rows of one bucket of time, one model and one key.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct CubeRow {
    /// The local time in whole buckets since the epoch.
    #[diesel(sql_type = BigInt)]
    pub bucket: i64,
    /// The model that was asked for.
    #[diesel(sql_type = Text)]
    pub model: String,
    /// The key that asked.
    #[diesel(sql_type = BigInt)]
    pub api_key_id: ApiKeyId,
    /// What they cost.
    #[diesel(sql_type = BigInt)]
    pub cost_nanousd: NanoUsd,
    /// Uncached input tokens.
    #[diesel(sql_type = BigInt)]
    pub input_tokens: i64,
    /// Output tokens.
    #[diesel(sql_type = BigInt)]
    pub output_tokens: i64,
    /// Tokens written to either cache.
    #[diesel(sql_type = BigInt)]
    pub cache_write_tokens: i64,
    /// Tokens read from the cache.
    #[diesel(sql_type = BigInt)]
    pub cache_read_tokens: i64,
    /// Rows.
    #[diesel(sql_type = BigInt)]
    pub requests: i64,
    /// Rows whose result counts as an error.
    #[diesel(sql_type = BigInt)]
    pub errors: i64,
}

/// The sums of the rows that a filter lets pass, by local buckets of `bucket_millis`.
pub fn sums(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    zone: ReaderZone,
    bucket_millis: i64,
) -> Result<Vec<CubeRow>, DbError> {
    let local = local_time("created_at", zone, (filter.from, filter.to));
    let errors = word_list(RequestResult::ALL.into_iter().filter(|result| result.is_error()));
    // All that is written into the text is a number or a word of ours.
    let only = filter.result.map_or_else(String::new, |result| {
        format!(" AND ending IN ({})", word_list(std::iter::once(result)))
    });
    let query = format!(
        "SELECT ({local}) / {bucket_millis} AS bucket, requested_model AS model, api_key_id,
                CAST(SUM(cost_nanousd) AS BIGINT) AS cost_nanousd,
                CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
                CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
                CAST(SUM(cache_write_5m_tokens + cache_write_1h_tokens) AS BIGINT)
                    AS cache_write_tokens,
                CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
                COUNT(*) AS requests,
                CAST(SUM(CASE WHEN ending IN ({errors}) THEN 1 ELSE 0 END) AS BIGINT) AS errors
         FROM usage_logs WHERE account_id = $1 AND created_at >= $2 AND created_at < $3
               AND ($4 IS NULL OR api_key_id = $4) AND ($5 IS NULL OR requested_model = $5){only}
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    );
    let rows = diesel::sql_query(query)
        .bind::<BigInt, _>(filter.account_id)
        .bind::<BigInt, _>(filter.from)
        .bind::<BigInt, _>(filter.to)
        .bind::<Nullable<BigInt>, _>(filter.api_key_id)
        .bind::<Nullable<Text>, _>(filter.model.clone())
        .load(conn)?;
    Ok(rows)
}

/// A column of moments as the zone's clocks show them, in SQL.
pub(super) fn local_time(column: &str, zone: ReaderZone, span: (UnixMillis, UnixMillis)) -> String {
    let spans = zone.spans(span);
    let mut text = format!("{column} + CASE");
    for of in &spans {
        let (until, offset) = (of.until.as_millis(), of.offset_millis);
        // Writing into text does not fail.
        write!(text, " WHEN {column} < {until} THEN {offset}").unwrap_or_default();
    }
    text.push_str(" ELSE 0 END");
    text
}

/// Codes of endings, quoted.
fn word_list(results: impl Iterator<Item = RequestResult>) -> String {
    let codes = results.flat_map(RequestResult::endings);
    codes.map(|ending| format!("'{}'", ending.code())).collect::<Vec<_>>().join(", ")
}

/// The rows that cost most, dearest first, from a place in that order on. All that the filter lets
/// pass are looked at: the caller sees to it that they are not too many.
pub fn dearest(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    (skip, limit): (i64, i64),
) -> Result<Vec<UsageOfKey>, DbError> {
    let mut query = usage_logs::table
        .inner_join(api_keys::table)
        .filter(usage_logs::account_id.eq(filter.account_id))
        .filter(usage_logs::created_at.ge(filter.from))
        .filter(usage_logs::created_at.lt(filter.to))
        .order((usage_logs::cost_nanousd.desc(), usage_logs::id.desc()))
        .offset(skip)
        .limit(limit)
        .select((UsageRow::as_select(), api_keys::public_id, api_keys::name, api_keys::hint))
        .into_boxed();
    if let Some(model) = &filter.model {
        query = query.filter(usage_logs::requested_model.eq(model.clone()));
    }
    if let Some(key) = filter.api_key_id {
        query = query.filter(usage_logs::api_key_id.eq(key));
    }
    if let Some(result) = filter.result {
        query = query.filter(usage_logs::ending.eq_any(result.endings()));
    }
    Ok(query.load(conn)?)
}

/// At most two ids of an account's requests that begin with some letters. Ids are made of small
/// letters and digits, so that all with one beginning are neighbours.
pub fn beginning_with(
    conn: &mut AnyConnection,
    account_id: AccountId,
    beginning: &str,
) -> Result<Vec<String>, DbError> {
    let end = format!("{beginning}{}", "z".repeat(28));
    let ids = usage_logs::table
        .filter(usage_logs::account_id.eq(account_id))
        .filter(usage_logs::id.ge(beginning).and(usage_logs::id.le(end)))
        .order(usage_logs::id)
        .limit(2)
        .select(usage_logs::id)
        .load(conn)?;
    Ok(ids)
}
