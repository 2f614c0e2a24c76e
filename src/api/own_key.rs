//! `/api/v1/key`: the key that asks, with what it may still spend.

use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Json;
use super::caller::CallerCredential;
use super::extractors::AccountCaller;
use super::keys::Key;
use super::refusal::Refusal;
use super::values::Dollars;
use crate::accounts::usage::spent_today;
use crate::db::models::api_keys;
use crate::domain::mail::BudgetPeriod;
use crate::domain::money::NanoUsd;

/// The key that asks.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnKey {
    #[serde(flatten)]
    key: Key,
    /// What it may still spend by its budgets, in dollars, requests in progress not counted; null
    /// if it has no budget.
    remaining: Option<Dollars>,
    /// Dollars spent today, UTC.
    today_spent: Dollars,
}

/// Get the calling key.
///
/// Its limits, what it has spent and what is left of its budgets. Call it with an API key of any
/// scope; a session has no key.
#[utoipa::path(
    get, path = "/api/v1/key", operation_id = "get_own_key",
    responses(
        (status = 200, description = "The key."),
        (status = 404, description = "`not_found`: the caller has a session, not a key."),
    ),
)]
pub(super) async fn show(caller: AccountCaller, api: Data<Api>) -> Result<Json<OwnKey>, Refusal> {
    let CallerCredential::ApiKey(id, _) = caller.credential else { return Err(Refusal::NotFound) };
    let (account_id, now) = (caller.account_id, api.now());
    let found = api.run_long(account_id, move |conn| {
        let row = api_keys::get(conn, id)?.ok_or(Refusal::NotFound)?;
        let today = spent_today(conn, (account_id, Some(id)), now)?;
        Ok::<_, Refusal>((row, today))
    });
    let (row, today) = found.await?;
    let (limits, spending) = (row.limits(), row.spending());
    let left = [BudgetPeriod::Month, BudgetPeriod::Total].into_iter().filter_map(|period| {
        let left = limits.budget(period)?.minus(spending.spent_in(period, now)).ok()?;
        Some(left.max(NanoUsd::ZERO))
    });
    let remaining = left.min().map(Dollars);
    let key = Key::of(&row, now);
    Ok(Json(OwnKey { key, remaining, today_spent: Dollars(today) }))
}
