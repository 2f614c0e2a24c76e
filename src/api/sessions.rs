//! `/api/v1/sessions`: logging in and out, and where else one is logged in.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Body, answer, answer_whatever_standing, anyone};
use super::refusal::Error;
use super::values::{List, Moment, secret_text};
use crate::accounts::identity::sessions::OpenedSession;
use crate::db::sessions::SessionRow;
use crate::domain::unprintable::unprintable;

/// Credentials to log in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    /// The account's email address.
    #[schema(format = "email", max_length = 254, example = "someone@example.org")]
    email: String,
    /// Its password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Six digits from the authenticator app, or a recovery code; required if two-factor
    /// authentication is on.
    #[serde(default)]
    code: Option<String>,
}

unprintable!(LogIn);

impl Body for LogIn {
    const FIELDS: &'static str = "email, password, and code if the account asks for one (all text)";
}

/// A new session.
#[derive(Serialize, ToSchema)]
pub(super) struct NewSession {
    /// Its id.
    #[schema(example = "session_0123456789abcdefghjkmnpq")]
    id: String,
    /// Send it as `Authorization: Bearer`. It is shown only once.
    token: String,
    /// The latest end of the session; without requests it ends earlier.
    expires_at: Moment,
}

impl NewSession {
    /// As it is told to whom it belongs.
    pub(super) fn of(opened: &OpenedSession) -> Self {
        Self {
            id: opened.public_id.clone(),
            token: opened.token.reveal().to_owned(),
            expires_at: Moment(opened.expires_at),
        }
    }
}

/// An active session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// Its id.
    #[schema(example = "session_0123456789abcdefghjkmnpq")]
    id: String,
    /// Start of the session.
    created_at: Moment,
    /// Time of last use, accurate to some minutes.
    last_seen_at: Moment,
    /// The latest end of the session.
    expires_at: Moment,
    /// Whether it is the session of this request.
    is_current: bool,
}

/// Logs in.
///
/// With two-factor authentication, a call without `code` gets 401 `code_required` if the password
/// is right.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "log_in", tag = "sessions",
    request_body = LogIn,
    responses(
        (status = 201, body = NewSession, description = "Logged in."),
        (status = 401, body = Error,
            description = "`wrong_credentials`: no such account, or not its password. \
                `code_required`, `wrong_code`: the second factor."),
        (status = 429, body = Error,
            description = "`too_many_attempts`: on this account or from this address."),
    ),
)]
pub(super) async fn create(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let LogIn { email, password, code } = visit.body().await?;
        let people = &visit.api.parts.people;
        let opened = people.log_in(&email, password, code, visit.client()).await?;
        Answer::created(&NewSession::of(&opened))
    })
    .await
}

/// Lists sessions.
///
/// Active sessions, newest first. We do not record location or device.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "sessions",
    responses((status = 200, body = List<Session>, description = "The complete list.")),
)]
pub(super) async fn list(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?;
        let rows = call.api.parts.people.sessions(session).await?;
        let current = session.row.id;
        Answer::of(&List { data: rows.iter().map(|row| document(row, current)).collect() })
    })
    .await
}

/// Logs out everywhere.
///
/// Ends all sessions of the account, including this one.
#[utoipa::path(
    delete, path = "/api/v1/sessions", operation_id = "log_out_everywhere", tag = "sessions",
    responses((status = 204, description = "All sessions have ended.")),
)]
pub(super) async fn delete_all(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer_whatever_standing(http, payload, &api, async |call| {
        let session = call.principal.session()?;
        call.api.parts.people.log_out_everywhere(session).await?;
        Ok(Answer::Nothing)
    })
    .await
}

/// Ends a session.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", operation_id = "log_out", tag = "sessions",
    params(("id" = String, Path, description = "A session (`session_…`), or `current` for the one \
        that asks.")),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, body = Error,
            description = "`not_found`: no session of this account in force."),
    ),
)]
pub(super) async fn delete(
    http: HttpRequest,
    payload: Payload,
    id: Path<String>,
    api: Data<Api>,
) -> HttpResponse {
    answer_whatever_standing(http, payload, &api, async |call| {
        let session = call.principal.session()?;
        let other = Some(id.into_inner()).filter(|id| id != "current");
        call.api.parts.people.log_out(session, other).await?;
        Ok(Answer::Nothing)
    })
    .await
}

fn document(row: &SessionRow, current: i64) -> Session {
    Session {
        id: row.public_id.clone(),
        created_at: Moment::of_millis(row.created_at),
        last_seen_at: Moment::of_millis(row.last_seen_at),
        expires_at: Moment::of_millis(row.expires_at),
        is_current: row.id == current,
    }
}
