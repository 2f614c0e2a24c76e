//! `GET /api/v1/status`: whether messages are served, and the status of mail and of each chain.
//! Which upstreams and providers there are, and what ails them, is the operator's business.

pub mod days;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Data;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use self::days::StatusPart;
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
    /// What the operator says at the moment; null for nothing.
    pub message: Option<String>,
    /// Status of requests for messages.
    pub messages: MessagesStatus,
    /// Status of email from this service.
    pub mail: MailStatus,
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

/// Whether email is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MailStatus {
    /// `ok`; `delayed`: the last attempts have failed, and are repeated.
    #[schema(schema_with = mail_words)]
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

fn mail_words() -> Object {
    word_of(["ok", "delayed"], None)
}

impl Status {
    /// Each part, and whether it is well. Whoever has this can be shown pages.
    #[must_use]
    pub fn parts(&self) -> Vec<(StatusPart, bool)> {
        let chains = self.chains.iter().map(|chain| {
            (StatusPart::Chain(chain.chain.clone()), chain.chain_status.status == "ok")
        });
        let others = [
            (StatusPart::Api, self.messages.status == "ok"),
            (StatusPart::Pages, true),
            (StatusPart::Mail, self.mail.status == "ok"),
        ];
        others.into_iter().chain(chains).collect()
    }
}

/// Get the service status.
///
/// Whether messages are served, and the status of email and of each chain. A response may be a
/// second old.
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
    let status = Status {
        message: api.parts.context.settings.site.status_message.clone(),
        messages: messages(api),
        mail: mail(api),
        chains: chains.collect(),
    };
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

fn mail(api: &Api) -> MailStatus {
    if api.parts.context.metrics.mail.is_delayed() {
        return MailStatus {
            status: "delayed",
            detail: Some("Email is delayed. It will be sent as soon as possible."),
        };
    }
    MailStatus { status: "ok", detail: None }
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
