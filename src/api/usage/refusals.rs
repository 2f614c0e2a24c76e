//! `/api/v1/usage/refusals`: requests that were refused here, as counts.

use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use crate::accounts::keys;
use crate::accounts::usage::DAYS_MAX;
use crate::api::Api;
use crate::api::answer::Json;
use crate::api::extractors::AccountCaller;
use crate::api::query::{self, Parameters, QueryFields};
use crate::api::refusal::Refusal;
use crate::api::values::word_of;
use crate::db::models::refused_requests::RefusedOfKey;
use crate::domain::clock::UtcDay;
use crate::domain::refusal_cause::RefusalCause;

/// Days, if none were asked for.
const REFUSAL_DAYS: i64 = 30;

/// Days and key of refused requests.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RefusalsQuery {
    /// The first day, UTC. Default: 30 days up to the last one.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// The last day, included. Default: today.
    #[param(example = "2026-11-22")]
    to: Option<String>,
    /// The id of a key, `key_…`.
    key: Option<String>,
}

impl QueryFields for RefusalsQuery {
    const REFUSAL: Refusal = Refusal::Query(
        "Allowed are from and to, days (2026-11-22), 400 at most, and key (the id of a key).",
    );
}

/// Requests that were refused, by day, key and reason.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Refusals {
    /// All of them together.
    total: i64,
    /// Latest day first.
    data: Vec<RefusedCount>,
}

/// How often requests of a key were refused for one reason on one day.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedCount {
    /// The day, UTC.
    #[schema(example = "2026-11-22")]
    day: String,
    /// The key's id.
    key_id: String,
    /// The key's name.
    key_name: String,
    /// `balance` and `key_budget` (402), `rate_limit` and `concurrency` (429), `key` (revoked or
    /// expired, 401), `permission` (403), `model` (404), or `request` (invalid or not supported).
    #[schema(schema_with = reasons)]
    reason: &'static str,
    /// How many.
    requests: i64,
}

fn reasons() -> Object {
    word_of(RefusalCause::ALL.map(RefusalCause::as_str), None)
}

impl From<RefusedOfKey> for RefusedCount {
    fn from(RefusedOfKey { row, key_id, key_name }: RefusedOfKey) -> Self {
        Self {
            day: UtcDay::from_number(row.day).to_string(),
            key_id,
            key_name,
            reason: row.reason.as_str(),
            requests: row.requests,
        }
    }
}

/// Count refused requests.
///
/// Requests of a known key that were refused before they reached a model: how many by day (UTC),
/// key and reason. They cost nothing and have no row in the usage log. Requests without a valid key
/// are not counted.
#[utoipa::path(
    get, path = "/api/v1/usage/refusals", operation_id = "list_refusals",
    responses(
        (status = 200, description = "The counts."),
        (status = 400, description = "`invalid_query`: invalid days."),
        (status = 404, description = "`not_found`: no such key in this account."),
    ),
)]
pub(in crate::api) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
    asked: Parameters<RefusalsQuery>,
) -> Result<Json<Refusals>, Refusal> {
    let RefusalsQuery { from, to, key } = asked.0;
    let day = |text: Option<String>, otherwise: UtcDay| match text {
        None => Ok(otherwise),
        Some(text) => UtcDay::parse(&text).ok_or(RefusalsQuery::REFUSAL),
    };
    let last = day(to, api.now().day())?;
    let first = day(from, last.plus(1_i64.saturating_sub(REFUSAL_DAYS)))?;
    if !(1..=DAYS_MAX).contains(&last.days_since(first).saturating_add(1)) {
        return Err(RefusalsQuery::REFUSAL);
    }
    let (account_id, sees, key) = (caller.account_id, caller.sees(), query::name(key)?);
    let counts = std::sync::Arc::clone(&api.parts.context.refusals);
    let rows = api.run(move |conn| {
        let only = match key {
            None => sees.only(),
            Some(id) => Some(keys::show(conn, account_id, &id)?.id),
        };
        if only.is_some_and(|only| !sees.key(only)) {
            return Err(Refusal::NotFound);
        }
        Ok(counts.read(conn, (account_id, only), (first, last))?)
    });
    let data: Vec<RefusedCount> = rows.await?.into_iter().map(RefusedCount::from).collect();
    let total = data.iter().map(|count| count.requests).sum();
    Ok(Json(Refusals { total, data }))
}
