//! `/api/v1/ledger`: every change of an account's balance, page by page and as a file.

use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{File, Json};
use super::download::download;
use super::extractors::AccountCaller;
use super::query::{self, BAD_FORMAT, Parameters, QueryFields, format_words};
use super::refusal::Refusal;
use super::values::word_of;
use crate::accounts::usage::export::Export;
use crate::accounts::usage::statement::{self, EntryDocument};
use crate::ledger::EntryKind;

/// Filters for the ledger.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LedgerQuery {
    /// Only entries of this kind; they then have no `balance`.
    #[param(schema_with = kinds)]
    kind: Option<String>,
    /// Number of entries.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// The id of an entry: return older ones.
    before: Option<i64>,
}

impl QueryFields for LedgerQuery {
    const REFUSAL: Refusal = Refusal::Query(
        "Allowed are kind (deposit, usage, adjustment, refund, reversal or carry_forward), limit \
         (a number) and before (an entry's id).",
    );
}

fn kinds() -> Object {
    let kinds = ["deposit", "usage", "adjustment", "refund", "reversal", "carry_forward"];
    word_of(kinds, None)
}

/// A page of the ledger.
#[derive(Serialize, ToSchema)]
pub(super) struct LedgerPage {
    /// Newest first.
    data: Vec<EntryDocument>,
    /// Whether there are older ones.
    has_more: bool,
}

/// List ledger entries.
///
/// Every change of the account's balance, newest first, each with the resulting balance. Their sum
/// is the available plus the reserved amount.
#[utoipa::path(
    get, path = "/api/v1/ledger", operation_id = "list_ledger_entries",
    responses(
        (status = 200, description = "A page of the ledger."),
        (status = 400, description = "`invalid_query`: invalid filters."),
    ),
)]
pub(super) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
    part: Parameters<LedgerQuery>,
) -> Result<Json<LedgerPage>, Refusal> {
    let LedgerQuery { kind, limit, before } = part.0;
    let limit = query::limit(limit)?;
    let kind = match kind {
        None => None,
        Some(name) => Some(EntryKind::parse(&name).ok_or(LedgerQuery::REFUSAL)?),
    };
    let account_id = caller.account_id;
    let page = api
        .run_long(account_id, move |conn| statement::page(conn, account_id, kind, before, limit));
    let page = page.await?;
    Ok(Json(LedgerPage { data: page.entries, has_more: page.has_more }))
}

/// Export options.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LedgerExportQuery {
    /// `csv` or `jsonl`.
    #[param(schema_with = format_words)]
    format: Option<String>,
    /// Begin CSV with a byte order mark, so that Excel reads it as UTF-8.
    bom: Option<bool>,
}

impl QueryFields for LedgerExportQuery {
    const REFUSAL: Refusal = BAD_FORMAT;
}

/// Export the ledger.
///
/// All entries up to now, oldest first, as one file.
#[utoipa::path(
    get, path = "/api/v1/ledger/export", operation_id = "export_ledger",
    responses(
        (status = 200,
            description = "The file.", content((String = "text/csv"),
                (String = "application/jsonl"))),
        (status = 400, description = "`invalid_query`: unknown format."),
    ),
)]
pub(super) async fn export(
    caller: AccountCaller,
    api: Data<Api>,
    wanted: Parameters<LedgerExportQuery>,
) -> Result<File, Refusal> {
    let format = query::format(wanted.0.format.as_deref())?;
    let account_id = caller.account_id;
    let export =
        api.run_long(account_id, move |conn| Export::of_ledger(conn, account_id, format)).await?;
    download(&api, "ledger", export.with_mark(wanted.0.bom == Some(true))).await
}
