//! `/api/v1/ledger`: every change of an account's balance, page by page and as a file.

use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{Answer, answer};
use super::download::download;
use super::query::{self, format_words};
use super::refusal::{Error, Refusal};
use super::values::word_of;
use crate::accounts::usage::export::Export;
use crate::accounts::usage::statement::{self, EntryDocument};
use crate::ledger::EntryKind;

const BAD_QUERY: &str = "Taken are kind (deposit, usage, adjustment, refund, reversal or \
    carry_forward), limit (a number) and before (an entry's id).";

/// Filters for the ledger.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Only entries of this kind; they then have no `balance`.
    #[param(schema_with = kinds)]
    kind: Option<String>,
    /// Number of entries.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// The id of an entry: return older ones.
    before: Option<i64>,
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

/// Lists ledger entries.
///
/// Every change of the account's balance, newest first, each with the resulting balance. Their sum
/// is the available plus the reserved amount.
#[utoipa::path(
    get, path = "/api/v1/ledger", operation_id = "list_ledger_entries", tag = "ledger",
    params(Part),
    responses(
        (status = 200, body = LedgerPage, description = "A page of the ledger."),
        (status = 400, body = Error, description = "`invalid_query`: invalid filters."),
    ),
)]
pub(super) async fn list(
    http: HttpRequest,
    payload: Payload,
    part: Result<Query<Part>, actix_web::Error>,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let bad = || Refusal::Query(BAD_QUERY);
        let Query(Part { kind, limit, before }) = part.map_err(|_| bad())?;
        let limit = query::limit(limit)?;
        let kind = match kind {
            None => None,
            Some(name) => Some(EntryKind::parse(&name).ok_or_else(bad)?),
        };
        let account_id = call.principal.account_id;
        let page = call
            .run_long(move |conn| statement::page(conn, account_id, kind, before, limit))
            .await?;
        Answer::of(&LedgerPage { data: page.entries, has_more: page.has_more })
    })
    .await
}

/// Export options.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `csv` or `jsonl`.
    #[param(schema_with = format_words)]
    format: Option<String>,
}

/// Exports the ledger.
///
/// All entries up to now, oldest first, as one file.
#[utoipa::path(
    get, path = "/api/v1/ledger/export", operation_id = "export_ledger", tag = "ledger",
    params(Wanted),
    responses(
        (status = 200,
            description = "The file.", content((String = "text/csv"),
                (String = "application/jsonl"))),
        (status = 400, body = Error, description = "`invalid_query`: no such format."),
    ),
)]
pub(super) async fn export(
    http: HttpRequest,
    payload: Payload,
    wanted: Result<Query<Wanted>, actix_web::Error>,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let Query(Wanted { format }) =
            wanted.map_err(|_| Refusal::Query("`format` must be csv or jsonl."))?;
        let format = query::format(format.as_deref())?;
        let account_id = call.principal.account_id;
        let export = call.run_long(move |conn| Export::of_ledger(conn, account_id, format)).await?;
        download(call.api, "ledger", export).await
    })
    .await
}
