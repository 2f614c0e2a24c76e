//! `/api/v1/usage`: what an account's requests came to, page by page, by day, one by one with what
//! each cost is made of, and all of it as a file.

mod document;
pub mod refusals;

use std::sync::Arc;

use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{File, Json};
use super::caller::Sees;
use super::download::download;
use super::extractors::AccountCaller;
use super::query::{self, Parameters, QueryFields, TimeSpan, format_words};
use super::refusal::Refusal;
use super::values::word_of;
use crate::accounts::keys;
use crate::accounts::usage::export::Export;
use crate::accounts::usage::{self, DAYS_MAX, UsageDocument};
use crate::db::AnyConnection;
use crate::db::models::usage_logs::{SumsBy, UsageFilter};
use crate::domain::clock::UtcDay;
use crate::domain::ids::AccountId;
use crate::domain::request_result::RequestResult;
use document::{ReceiptDocument, SeriesDocument};

/// Days of a series, if none were asked for.
const SERIES_DAYS: i64 = 30;

/// Filters for the usage.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    /// Start time (included): RFC 3339, or a day, from midnight UTC. Default: no limit.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// End: a time (excluded) or a day (included). Default: now.
    #[param(example = "2026-11-22")]
    to: Option<String>,
    /// A requested model, by any of its names.
    model: Option<String>,
    /// The id of a key, `key_…`.
    key: Option<String>,
    /// What became of it: `ok`, `cut_short`, `refused` (by the upstream), `error` or `you_left`.
    #[param(schema_with = result_words)]
    result: Option<String>,
    /// Number of requests.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// The id of a request: return older ones.
    before: Option<String>,
}

impl QueryFields for UsageQuery {
    const REFUSAL: Refusal = Refusal::Query(
        "Allowed are from, to, model, key, result (ok, cut_short, refused, error or you_left), \
         limit (a number) and before (the id of a request).",
    );
}

/// A page of the usage.
#[derive(Serialize, ToSchema)]
pub(super) struct UsagePage {
    /// Newest first.
    data: Vec<UsageDocument>,
    /// Whether there are older ones.
    has_more: bool,
}

/// List usage.
///
/// Newest first. Pass the id of the last one as `before` to get the next page; new requests do not
/// shift it. A key with scope `inference` but not `read` sees only its own requests, here and in
/// sums, exports and receipts.
#[utoipa::path(
    get, path = "/api/v1/usage", operation_id = "list_usage",
    responses(
        (status = 200, description = "A page of the list."),
        (status = 400, description = "`invalid_query`: invalid filters."),
        (status = 404,
            description = "`not_found`: no such request (`before`) or key (`key`) in this \
                account."),
    ),
)]
pub(super) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
    part: Parameters<UsageQuery>,
) -> Result<Json<UsagePage>, Refusal> {
    let part = part.0;
    let limit = query::limit(part.limit)?;
    let asked = RequestedFilter::new(&api, part.from, part.to, part.model, part.key)?
        .with_result(part.result, UsageQuery::REFUSAL)?;
    let (account_id, before) = (caller.account_id, query::name(part.before)?);
    let sees = caller.sees();
    let page = api.run_long(account_id, move |conn| {
        let filter = asked.filter(conn, account_id, sees)?;
        let page = usage::page(conn, &filter, before.as_deref(), limit)?;
        page.ok_or(Refusal::NotFound)
    });
    let page = page.await?;
    let data = page.rows.iter().map(UsageDocument::from).collect();
    Ok(Json(UsagePage { data, has_more: page.has_more }))
}

/// Get the usage of a request.
///
/// With its itemised cost: each type of token, its price and its multipliers. Lines plus rounding
/// equal the charge, to the nano-dollar.
#[utoipa::path(
    get, path = "/api/v1/usage/{id}", operation_id = "get_usage",
    params(("id" = String, Path, description = "The `request-id` of a response.")),
    responses(
        (status = 200, description = "The request."),
        (status = 404,
            description = "`not_found`: no request of this account, or not settled yet."),
    ),
)]
pub(super) async fn show(
    caller: AccountCaller,
    api: Data<Api>,
    id: Path<String>,
) -> Result<Json<ReceiptDocument>, Refusal> {
    let (account_id, sees) = (caller.account_id, caller.sees());
    let prices = Arc::clone(&api.parts.context.settings.prices);
    let found = api.run(move |conn| usage::explained(conn, account_id, &id, &prices));
    let found = found.await?.filter(|(row, _)| sees.key(row.row.api_key_id));
    let (row, explanation) = found.ok_or(Refusal::NotFound)?;
    Ok(Json(ReceiptDocument::new(&row, &explanation)))
}

/// Days and grouping of a usage series.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DaysQuery {
    /// The first day, UTC. Default: 30 days up to the last one.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// The last day, included. Default: today.
    #[param(example = "2026-11-22")]
    to: Option<String>,
    /// `total`, `model` or `key`.
    #[param(schema_with = by_words)]
    by: Option<String>,
}

impl QueryFields for DaysQuery {
    const REFUSAL: Refusal = Refusal::Query(
        "`from` and `to` must be days (2026-11-22), 400 at most; `by` must be total, model or key.",
    );
}

/// Sum usage by day.
///
/// Cost, tokens and requests by day in UTC, for 400 days at most. The twelve most expensive models
/// or keys have their own series; the rest share one.
#[utoipa::path(
    get, path = "/api/v1/usage/series", operation_id = "get_usage_series",
    responses(
        (status = 200, description = "The sums."),
        (status = 400, description = "`invalid_query`: invalid days or grouping."),
    ),
)]
pub(super) async fn series(
    caller: AccountCaller,
    api: Data<Api>,
    days: Parameters<DaysQuery>,
) -> Result<Json<SeriesDocument>, Refusal> {
    let DaysQuery { from, to, by } = days.0;
    let by = match by.as_deref() {
        None | Some("total") => SumsBy::Total,
        Some("model") => SumsBy::Model,
        Some("key") => SumsBy::Key,
        Some(_) => return Err(DaysQuery::REFUSAL),
    };
    let day = |text: Option<String>, otherwise: UtcDay| match text {
        None => Ok(otherwise),
        Some(text) => UtcDay::parse(&text).ok_or(DaysQuery::REFUSAL),
    };
    let last = day(to, api.now().day())?;
    let first = day(from, last.plus(1 - SERIES_DAYS))?;
    let whose = (caller.account_id, caller.sees().only());
    let series =
        api.run_long(caller.account_id, move |conn| usage::series(conn, whose, (first, last), by));
    Ok(Json(SeriesDocument::new(&series.await?.ok_or(DaysQuery::REFUSAL)?, by)))
}

/// Export options.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageExportQuery {
    /// `csv` or `jsonl`.
    #[param(schema_with = format_words)]
    format: Option<String>,
    /// Start time (included): RFC 3339, or a day, from midnight UTC. Default: no limit.
    from: Option<String>,
    /// End: a time (excluded) or a day (included). Default: now.
    to: Option<String>,
    /// A requested model.
    model: Option<String>,
    /// The id of a key, `key_…`.
    key: Option<String>,
    /// What became of it: `ok`, `cut_short`, `refused`, `error` or `you_left`.
    #[param(schema_with = result_words)]
    result: Option<String>,
    /// Begin CSV with a byte order mark, so that Excel reads it as UTF-8.
    bom: Option<bool>,
}

impl QueryFields for UsageExportQuery {
    const REFUSAL: Refusal = Refusal::Query(
        "Allowed are format (csv or jsonl), from, to, model, key, result (ok, cut_short, refused, \
         error or you_left) and bom (true or false).",
    );
}

/// Export usage.
///
/// All requests or those of a period, oldest first, as one file: CSV with a header line, or one
/// JSON object per line. If an export fails midway, the connection is cut, so that it never looks
/// complete.
#[utoipa::path(
    get, path = "/api/v1/usage/export", operation_id = "export_usage",
    responses(
        (status = 200,
            description = "The file.", content((String = "text/csv"),
                (String = "application/jsonl"))),
        (status = 400, description = "`invalid_query`: unknown format or invalid time."),
        (status = 404, description = "`not_found`: no such key in this account."),
    ),
)]
pub(super) async fn export(
    caller: AccountCaller,
    api: Data<Api>,
    wanted: Parameters<UsageExportQuery>,
) -> Result<File, Refusal> {
    let wanted = wanted.0;
    let format = query::format(wanted.format.as_deref())?;
    let asked = RequestedFilter::new(&api, wanted.from, wanted.to, wanted.model, wanted.key)?
        .with_result(wanted.result, UsageExportQuery::REFUSAL)?;
    let (account_id, sees) = (caller.account_id, caller.sees());
    let filter = api.run_long(account_id, move |conn| asked.filter(conn, account_id, sees));
    let export = Export::of_usage(filter.await?, format).with_mark(wanted.bom == Some(true));
    download(&api, "usage", export).await
}

fn result_words() -> Object {
    word_of(RequestResult::ALL.map(RequestResult::as_str), None)
}

fn by_words() -> Object {
    word_of(["total", "model", "key"], Some("total"))
}

/// A filter as it was asked for: whose key it names has still to be looked up.
struct RequestedFilter {
    filter: UsageFilter,
    key: Option<String>,
}

impl RequestedFilter {
    fn new(
        api: &Api,
        from: Option<String>,
        to: Option<String>,
        model: Option<String>,
        key: Option<String>,
    ) -> Result<Self, Refusal> {
        let (from, to) = TimeSpan { from, to }.read()?;
        let (model, key) = (query::name(model)?, query::name(key)?);
        // What is asked from now on is not in it: otherwise an export might never end.
        let to = to.min(api.now().plus_millis(1));
        let prices = &api.parts.context.settings.prices;
        let model = model.map(|name| match prices.find(&name) {
            Some(model) => model.id.as_str().to_owned(),
            None => name,
        });
        let nobody = UsageFilter::all(AccountId(0));
        Ok(Self { filter: UsageFilter { from, to, model, ..nobody }, key })
    }

    /// The same for one result.
    fn with_result(mut self, result: Option<String>, otherwise: Refusal) -> Result<Self, Refusal> {
        if let Some(name) = result {
            self.filter.result = Some(RequestResult::parse(&name).ok_or(otherwise)?);
        }
        Ok(self)
    }

    fn filter(
        self,
        conn: &mut AnyConnection,
        account_id: AccountId,
        sees: Sees,
    ) -> Result<UsageFilter, Refusal> {
        let api_key_id = match self.key {
            None => sees.only(),
            Some(id) => {
                let named = keys::show(conn, account_id, &id)?.id;
                if !sees.key(named) {
                    return Err(Refusal::NotFound);
                }
                Some(named)
            }
        };
        Ok(UsageFilter { account_id, api_key_id, ..self.filter })
    }
}

const _: () = assert!(DAYS_MAX == 400, "the sentences say so");
