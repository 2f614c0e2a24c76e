//! `/api/v1/sessions`: logging in and out, and where else one is logged in.

use actix_web::web::{Data, Path};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Created, Json, NoContent};
use super::extractors::{AnyStanding, Body, Fields, SessionCaller, Visitor};
use super::refusal::Refusal;
use super::values::{List, Moment, secret_text};
use crate::accounts::identity::sessions::OpenedSession;
use crate::db::models::sessions::SessionRow;
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

impl Fields for LogIn {
    const FIELDS: &'static str = "email, password, and code if the account asks for one (all text)";
}

/// A new session.
#[derive(Serialize, ToSchema)]
pub(super) struct NewSession {
    /// Its id.
    #[schema(example = "session_0123456789abcdefghjkmnpq")]
    id: String,
    /// Send it as `Authorization: Bearer`. It is shown only once.
    #[schema(example = "sess_…")]
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

/// Log in.
///
/// With two-factor authentication, a call without `code` gets 401 `code_required` if the password
/// is right.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "log_in",
    responses(
        (status = 201, description = "Logged in."),
        (status = 401,
            description = "`wrong_credentials`: unknown account or wrong password. \
                `code_required`, `wrong_code`: two-factor authentication."),
        (status = 429, description = "`too_many_attempts`: for this account or from this address."),
    ),
)]
pub(super) async fn create(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<LogIn>,
) -> Result<Created<NewSession>, Refusal> {
    let LogIn { email, password, code } = body.0;
    let people = &api.parts.people;
    let opened = people.log_in(&email, password, code, visitor.client).await?;
    Ok(Created(NewSession::of(&opened)))
}

/// List sessions.
///
/// Active sessions, newest first. We do not record location or device.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "list_sessions",
    responses((status = 200, description = "The complete list.")),
)]
pub(super) async fn list(
    caller: SessionCaller,
    api: Data<Api>,
) -> Result<Json<List<Session>>, Refusal> {
    let rows = api.parts.people.sessions(&caller.session).await?;
    let current = caller.session.row.id;
    Ok(Json(List { data: rows.iter().map(|row| document(row, current)).collect() }))
}

/// Log out everywhere.
///
/// Ends all sessions of the account, including this one.
#[utoipa::path(
    delete, path = "/api/v1/sessions", operation_id = "log_out_everywhere",
    responses((status = 204, description = "All sessions have ended.")),
)]
pub(super) async fn delete_all(
    caller: SessionCaller<AnyStanding>,
    api: Data<Api>,
) -> Result<NoContent, Refusal> {
    api.parts.people.log_out_everywhere(&caller.session).await?;
    Ok(NoContent)
}

/// End a session.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", operation_id = "log_out",
    params(("id" = String, Path, description = "A session (`session_…`), or `current` for the \
        session of this request.")),
    responses(
        (status = 204, description = "The session has ended."),
        (status = 404, description = "`not_found`: no active session of this account."),
    ),
)]
pub(super) async fn delete(
    caller: SessionCaller<AnyStanding>,
    api: Data<Api>,
    id: Path<String>,
) -> Result<NoContent, Refusal> {
    let other = Some(id.into_inner()).filter(|id| id != "current");
    api.parts.people.log_out(&caller.session, other).await?;
    Ok(NoContent)
}

fn document(row: &SessionRow, current: i64) -> Session {
    Session {
        id: row.public_id.clone(),
        created_at: Moment(row.created_at),
        last_seen_at: Moment(row.last_seen_at),
        expires_at: Moment(row.expires_at),
        is_current: row.id == current,
    }
}
