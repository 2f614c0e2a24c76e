//! The usage log, read: pages by the time of admission, one row, and sums by day. Its rows are
//! written with the books.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::api_keys::ShownName;
use crate::db::books::UsageRow;
use crate::db::schema::{api_keys, usage_logs};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::request_result::RequestResult;

/// Which rows of an account.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Whose.
    pub account_id: AccountId,
    /// Admitted at this moment or later.
    pub from: UnixMillis,
    /// Admitted before this moment.
    pub to: UnixMillis,
    /// The priced id of the model that was asked for.
    pub model: Option<String>,
    /// The key that asked.
    pub api_key_id: Option<ApiKeyId>,
    /// What became of it.
    pub result: Option<RequestResult>,
}

impl UsageFilter {
    /// All rows of an account.
    #[must_use]
    pub const fn all(account_id: AccountId) -> Self {
        Self {
            account_id,
            from: UnixMillis::from_millis(i64::MIN),
            to: UnixMillis::from_millis(i64::MAX),
            model: None,
            api_key_id: None,
            result: None,
        }
    }

    /// Whether rows of a key may be among them.
    #[must_use]
    pub fn covers_key(&self, id: ApiKeyId) -> bool {
        self.api_key_id.is_none_or(|only| only == id)
    }
}

/// A row's place in the order of admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePlace {
    /// When it was admitted.
    pub created_at: UnixMillis,
    /// The exchange's name, which decides within a millisecond.
    pub id: String,
}

impl From<&UsageRow> for UsagePlace {
    fn from(row: &UsageRow) -> Self {
        Self { created_at: row.created_at, id: row.id.clone() }
    }
}

/// A row with what its key is called.
#[derive(Clone, Debug, Queryable)]
pub struct UsageOfKey {
    /// The row.
    pub row: UsageRow,
    /// The key's public name.
    pub key_id: String,
    /// What its owner calls it.
    #[diesel(deserialize_as = ShownName)]
    pub key_name: String,
    /// What tells it apart, such as `sluice_…mpqN`; `None` for a key from before there were hints.
    pub key_hint: Option<String>,
}

/// An account's latest rows, newest first.
pub fn latest(
    conn: &mut AnyConnection,
    account_id: AccountId,
    limit: i64,
) -> Result<Vec<UsageRow>, DbError> {
    let rows = usage_logs::table
        .filter(usage_logs::account_id.eq(account_id))
        .order((usage_logs::created_at.desc(), usage_logs::id.desc()))
        .limit(limit)
        .select(UsageRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// A page of rows, newest first, behind a place. What is admitted meanwhile moves no page.
pub fn page(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    before: Option<&UsagePlace>,
    limit: i64,
) -> Result<Vec<UsageOfKey>, DbError> {
    // SQLite searches the index by one upper bound: with two it would read all newer rows again for
    // every page.
    let to = match before {
        Some(place) => filter.to.min(place.created_at.plus_millis(1)),
        None => filter.to,
    };
    let mut query = usage_logs::table
        .inner_join(api_keys::table)
        .filter(usage_logs::account_id.eq(filter.account_id))
        .filter(usage_logs::created_at.ge(filter.from))
        .filter(usage_logs::created_at.lt(to))
        .order((usage_logs::created_at.desc(), usage_logs::id.desc()))
        .limit(limit)
        .select((UsageRow::as_select(), api_keys::public_id, api_keys::name, api_keys::hint))
        .into_boxed();
    if let Some(UsagePlace { created_at, id }) = before {
        query =
            query.filter(usage_logs::created_at.lt(*created_at).or(usage_logs::id.lt(id.clone())));
    }
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

/// The rows behind a place in the order of admission, oldest first.
pub fn following(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    after: Option<&UsagePlace>,
    limit: i64,
) -> Result<Vec<UsageOfKey>, DbError> {
    // One lower bound, for the same reason as in `page`.
    let from = after.map_or(filter.from, |place| filter.from.max(place.created_at));
    let mut query = usage_logs::table
        .inner_join(api_keys::table)
        .filter(usage_logs::account_id.eq(filter.account_id))
        .filter(usage_logs::created_at.ge(from))
        .filter(usage_logs::created_at.lt(filter.to))
        .order((usage_logs::created_at, usage_logs::id))
        .limit(limit)
        .select((UsageRow::as_select(), api_keys::public_id, api_keys::name, api_keys::hint))
        .into_boxed();
    if let Some(UsagePlace { created_at, id }) = after {
        query =
            query.filter(usage_logs::created_at.gt(*created_at).or(usage_logs::id.gt(id.clone())));
    }
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

/// A row of an account.
pub fn find(
    conn: &mut AnyConnection,
    account_id: AccountId,
    id: &str,
) -> Result<Option<UsageOfKey>, DbError> {
    let row = usage_logs::table
        .inner_join(api_keys::table)
        .filter(usage_logs::id.eq(id).and(usage_logs::account_id.eq(account_id)))
        .select((UsageRow::as_select(), api_keys::public_id, api_keys::name, api_keys::hint))
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The row of a request, whoever's.
pub fn of_request(conn: &mut AnyConnection, id: &str) -> Result<Option<UsageOfKey>, DbError> {
    let row = usage_logs::table
        .inner_join(api_keys::table)
        .filter(usage_logs::id.eq(id))
        .select((UsageRow::as_select(), api_keys::public_id, api_keys::name, api_keys::hint))
        .first(conn)
        .optional()?;
    Ok(row)
}

/// By what sums are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumsBy {
    /// Not at all.
    Total,
    /// By the model that was asked for.
    Model,
    /// By the key that asked.
    Key,
}

/// Sums over the rows of one UTC day and one name.
#[derive(Clone, Debug, QueryableByName)]
pub struct DaySums {
    /// Days since the epoch.
    #[diesel(sql_type = BigInt)]
    pub day: i64,
    /// The model's id, the key's row number, or nothing for a total; `None` for what is not among
    /// the largest.
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
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
}

/// The sums by day of an account, or of one key of it, from `from` until before `to`, told apart by
/// the `most` names that cost most, and the others together.
pub fn sums_by_day(
    conn: &mut AnyConnection,
    (account_id, key): (AccountId, Option<ApiKeyId>),
    (from, to): (UnixMillis, UnixMillis),
    by: SumsBy,
    most: i64,
) -> Result<Vec<DaySums>, DbError> {
    let name = match by {
        SumsBy::Total => "CAST('' AS TEXT)",
        SumsBy::Model => "requested_model",
        SumsBy::Key => "CAST(api_key_id AS TEXT)",
    };
    // Both databases take `$1`, if the numbers come in their order, and divide whole numbers
    // without a rest.
    let query = format!(
        "WITH spent AS (
             SELECT created_at / 86400000 AS day, {name} AS name, cost_nanousd, input_tokens,
             output_tokens,
                    cache_write_5m_tokens + cache_write_1h_tokens AS cache_write_tokens,
                    cache_read_tokens
             FROM usage_logs WHERE account_id = $1 AND created_at >= $2 AND created_at < $3
                   AND ($4 IS NULL OR api_key_id = $4)),
         largest AS (
             SELECT name FROM spent GROUP BY name
             ORDER BY SUM(cost_nanousd) DESC, COUNT(*) DESC, name LIMIT $5)
         SELECT spent.day AS day, largest.name AS name,
                CAST(SUM(cost_nanousd) AS BIGINT) AS cost_nanousd,
                CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
                CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
                CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
                CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
                COUNT(*) AS requests
         FROM spent LEFT JOIN largest ON largest.name = spent.name
         GROUP BY spent.day, largest.name ORDER BY spent.day"
    );
    let sums = diesel::sql_query(query)
        .bind::<BigInt, _>(account_id)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<Nullable<BigInt>, _>(key)
        .bind::<BigInt, _>(most)
        .load(conn)?;
    Ok(sums)
}

/// What the rows have cost that a filter's account, key and time let pass.
pub fn cost(conn: &mut AnyConnection, filter: &UsageFilter) -> Result<NanoUsd, DbError> {
    let mut query = usage_logs::table
        .filter(usage_logs::account_id.eq(filter.account_id))
        .filter(usage_logs::created_at.ge(filter.from))
        .filter(usage_logs::created_at.lt(filter.to))
        .select(diesel::dsl::sql::<BigInt>("CAST(COALESCE(SUM(cost_nanousd), 0) AS BIGINT)"))
        .into_boxed();
    if let Some(key) = filter.api_key_id {
        query = query.filter(usage_logs::api_key_id.eq(key));
    }
    Ok(query.first(conn)?)
}

/// What an account has spent within a while.
#[derive(Clone, Debug, QueryableByName)]
pub struct Spent {
    /// Whose.
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    /// What they cost.
    #[diesel(sql_type = BigInt)]
    pub cost_nanousd: NanoUsd,
}

/// The accounts whose requests since `from` have cost `min` or more.
pub fn spenders(
    conn: &mut AnyConnection,
    from: UnixMillis,
    min: NanoUsd,
) -> Result<Vec<Spent>, DbError> {
    let spenders = diesel::sql_query(
        "SELECT account_id, CAST(SUM(cost_nanousd) AS BIGINT) AS cost_nanousd
         FROM usage_logs WHERE created_at >= $1
         GROUP BY account_id HAVING SUM(cost_nanousd) >= $2 ORDER BY account_id",
    )
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(min)
    .load(conn)?;
    Ok(spenders)
}

/// What requests of these accounts have cost since `from`; nothing of those that asked for nothing.
pub fn spent_since(
    conn: &mut AnyConnection,
    ids: &[AccountId],
    from: UnixMillis,
) -> Result<Vec<(AccountId, NanoUsd)>, DbError> {
    let spent = usage_logs::table
        .filter(usage_logs::account_id.eq_any(ids))
        .filter(usage_logs::created_at.ge(from))
        .group_by(usage_logs::account_id)
        .select((
            usage_logs::account_id,
            diesel::dsl::sql::<BigInt>("CAST(SUM(cost_nanousd) AS BIGINT)"),
        ))
        .load(conn)?;
    Ok(spent)
}

/// What the dearest hour of an account has cost from `from` until before `to`, counted in whole
/// hours back from `to`.
pub fn busiest_hour(
    conn: &mut AnyConnection,
    account_id: AccountId,
    (from, to): (UnixMillis, UnixMillis),
) -> Result<NanoUsd, DbError> {
    let busiest: Option<Spent> = diesel::sql_query(
        "SELECT CAST($1 AS BIGINT) AS account_id, CAST(SUM(cost_nanousd) AS BIGINT) AS cost_nanousd
         FROM usage_logs WHERE account_id = $1 AND created_at >= $2 AND created_at < $3
         GROUP BY ($3 - 1 - created_at) / 3600000 ORDER BY SUM(cost_nanousd) DESC LIMIT 1",
    )
    .bind::<BigInt, _>(account_id)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .get_result(conn)
    .optional()?;
    Ok(busiest.map_or(NanoUsd::ZERO, |hour| hour.cost_nanousd))
}
