//! `/api/v1/accounts` and `/api/v1/password-resets`: what somebody does who is not logged in and
//! may have no account. None of it tells whether an address has one.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Body, anyone};
use super::refusal::Error;
use super::sessions::NewSession;
use super::values::secret_text;
use crate::domain::unprintable::unprintable;

/// The recipient of an email.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    /// An email address.
    #[schema(format = "email", max_length = 254, example = "someone@example.org")]
    email: String,
}

impl Body for Address {
    const FIELDS: &'static str = "email (text)";
}

/// The token of an emailed link, and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstPassword {
    /// The token from the link.
    #[schema(example = "mail_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk")]
    token: String,
    /// The new password: at least ten characters (the operator may require more) and at most 72
    /// bytes.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

unprintable!(Address, FirstPassword);

impl Body for FirstPassword {
    const FIELDS: &'static str = "token, password (both text)";
}

/// The response to a request for an email.
#[derive(Serialize, ToSchema)]
pub(super) struct Asked {
    /// What happens next, in words.
    message: &'static str,
}

impl Asked {
    /// With a sentence.
    pub(super) const fn to(message: &'static str) -> Self {
        Self { message }
    }
}

/// Signs up.
///
/// We email a link to create the account. The response is the same if the address already has an
/// account; the email then says so.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "sign_up", tag = "accounts",
    request_body = Address,
    responses(
        (status = 202, body = Asked, description = "The email was sent."),
        (status = 400, body = Error, description = "`invalid_email`."),
        (status = 403, body = Error,
            description = "`sign_up_closed`: only the operator opens accounts."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn create(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let Address { email } = visit.body().await?;
        visit.api.parts.people.ask_to_sign_up(&email, visit.client()).await?;
        Answer::accepted(&Asked::to("We sent a link to this address."))
    })
    .await
}

/// Creates an account.
///
/// Takes the token from the emailed link and a password, and logs in. The link works once.
#[utoipa::path(
    post, path = "/api/v1/accounts/confirm", operation_id = "confirm_sign_up", tag = "accounts",
    request_body = FirstPassword,
    responses(
        (status = 201, body = NewSession,
            description = "The account is open; this is its first session."),
        (status = 400, body = Error,
            description = "`invalid_token`: used, too old, or never made. `invalid_password`."),
        (status = 403, body = Error, description = "`sign_up_closed`."),
        (status = 409, body = Error,
            description = "`email_taken`: the address has got an account meanwhile."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn confirm(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let FirstPassword { token, password } = visit.body().await?;
        let opened = visit.api.parts.people.sign_up(&token, password, visit.client()).await?;
        Answer::created(&NewSession::of(&opened))
    })
    .await
}

/// Requests a password reset.
///
/// We email the address if it has an account. The response is the same if it has none.
#[utoipa::path(
    post, path = "/api/v1/password-resets", operation_id = "ask_for_password_reset",
        tag = "accounts",
    request_body = Address,
    responses(
        (status = 202, body = Asked,
            description = "If the address has an account, a mail is on its way."),
        (status = 400, body = Error, description = "`invalid_email`."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn ask_to_reset(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let Address { email } = visit.body().await?;
        visit.api.parts.people.ask_to_reset(&email, visit.client()).await?;
        Answer::accepted(&Asked::to("If the address has an account, we sent an email to it."))
    })
    .await
}

/// Sets a new password.
///
/// Takes the token from the emailed link. All sessions end. Then log in, with a code if two-factor
/// authentication is on.
#[utoipa::path(
    post, path = "/api/v1/password-resets/confirm", operation_id = "reset_password",
        tag = "accounts",
    request_body = FirstPassword,
    responses(
        (status = 204, description = "The password is set, and all sessions have ended."),
        (status = 400, body = Error,
            description = "`invalid_token`: used, too old, or never made. `invalid_password`."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn reset(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let FirstPassword { token, password } = visit.body().await?;
        visit.api.parts.people.reset(&token, password, visit.client()).await?;
        Ok(Answer::Nothing)
    })
    .await
}
