//! `GET /api/v1/status`: whether messages are served, and how each chain stands. Which upstreams
//! and providers there are, and what ails them, is the operator's business.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Data;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::Api;
use super::answer::Json;
use super::deposits::document::{ChainStatus, ChainsView};
use super::extractors::Visitor;
use super::refusal::Refusal;
use super::values::word_of;
use crate::db::DbError;
use crate::db::models::chains;

/// How old an answer may be. Anybody may ask, so the database is not asked each time.
const AGE: Duration = Duration::from_secs(1);

/// The status of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// Status of requests for messages.
    pub messages: MessagesStatus,
    /// The chains that accept deposits, in the operator's order.
    pub chains: Vec<ChainStanding>,
}

/// Whether messages are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessagesStatus {
    /// `ok`; `unavailable`: requests are refused at the moment.
    #[schema(schema_with = words)]
    pub status: &'static str,
    /// The meaning, if not `ok`.
    pub detail: Option<&'static str>,
}

/// The status of deposits on a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainStanding {
    /// Its name in this API.
    pub chain: String,
    /// Its display name.
    pub display_name: String,
    /// Its EIP-155 number.
    pub chain_id: i64,
    /// Its status.
    pub chain_status: ChainStatus,
}

/// The latest answer.
#[derive(Default)]
pub(super) struct Latest(Mutex<Option<(Instant, Status)>>);

fn words() -> Object {
    word_of(["ok", "unavailable"], None)
}

/// Shows the status of the service.
///
/// Whether messages are served, and the status of each chain. A response may be a second old.
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "get_status",
    responses((status = 200, description = "The status.")),
)]
pub(super) async fn show(_: Visitor, api: Data<Api>) -> Result<Json<Status>, Refusal> {
    Ok(Json(standing(&api).await?))
}

/// How the service stands, as of a second ago at most.
///
/// # Errors
/// [`DbError`] where the database does not answer; then nothing is served.
pub async fn standing(api: &Api) -> Result<Status, DbError> {
    if let Some(status) = api.latest_status.recall() {
        return Ok(status);
    }
    let stands = api.parts.context.database.run(chains::all).await?;
    let configured = api.chains();
    let known = ChainsView::new(configured, stands);
    let chains = configured.iter().map(|chain| ChainStanding {
        chain: chain.name.clone(),
        display_name: chain.display_name.clone(),
        chain_id: chain.chain_id.0,
        chain_status: known.status(chain.chain_id),
    });
    let status = Status { messages: messages(api), chains: chains.collect() };
    api.latest_status.keep(status.clone());
    Ok(status)
}

fn messages(api: &Api) -> MessagesStatus {
    let now = api.now();
    let has_upstream = api.parts.upstreams.iter().any(|one| one.health.is_asked_at(now));
    if has_upstream && api.parts.context.ledger.is_alive() {
        return MessagesStatus { status: "ok", detail: None };
    }
    MessagesStatus {
        status: "unavailable",
        detail: Some(
            "Requests for messages are refused at the moment. Refused requests cost nothing.",
        ),
    }
}

impl Latest {
    fn recall(&self) -> Option<Status> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, status) = latest.as_ref()?;
        (at.elapsed() < AGE).then(|| status.clone())
    }

    fn keep(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), status));
    }
}
