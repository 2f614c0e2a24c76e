//! `/api/v1/accounts` and `/api/v1/password-resets`: what somebody does who is not logged in and
//! may have no account. None of it tells whether an address has one.

use actix_web::web::Data;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Accepted, Created, NoContent};
use super::extractors::{Body, Fields, Visitor};
use super::refusal::Refusal;
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

impl Fields for Address {
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

impl Fields for FirstPassword {
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

/// Sign up.
///
/// We email a link to create the account. The response is the same if the address already has an
/// account; the email then says so.
#[utoipa::path(
    post, path = "/api/v1/accounts", operation_id = "sign_up",
    responses(
        (status = 202, description = "The email was sent."),
        (status = 400, description = "`invalid_email`."),
        (status = 403, description = "`sign_up_closed`: only the operator creates accounts."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn create(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<Address>,
) -> Result<Accepted<Asked>, Refusal> {
    let Address { email } = body.0;
    api.parts.people.ask_to_sign_up(&email, visitor.client).await?;
    Ok(Accepted(Asked::to("We sent a link to this address.")))
}

/// Create an account.
///
/// Takes the token from the emailed link and a password, and logs in. The link works once.
#[utoipa::path(
    post, path = "/api/v1/accounts/confirm", operation_id = "confirm_sign_up",
    responses(
        (status = 201, description = "The account was created; this is its first session."),
        (status = 400,
            description = "`invalid_token`: used, expired or unknown. `invalid_password`."),
        (status = 403, description = "`sign_up_closed`."),
        (status = 409, description = "`email_taken`: the address already has an account."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn confirm(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<FirstPassword>,
) -> Result<Created<NewSession>, Refusal> {
    let FirstPassword { token, password } = body.0;
    let opened = api.parts.people.sign_up(&token, password, visitor.client).await?;
    Ok(Created(NewSession::of(&opened)))
}

/// Request a password reset.
///
/// We email the address if it has an account. The response is the same if it has none.
#[utoipa::path(
    post, path = "/api/v1/password-resets", operation_id = "ask_for_password_reset",
    responses(
        (status = 202, description = "If the address has an account, an email was sent."),
        (status = 400, description = "`invalid_email`."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn ask_to_reset(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<Address>,
) -> Result<Accepted<Asked>, Refusal> {
    let Address { email } = body.0;
    api.parts.people.ask_to_reset(&email, visitor.client).await?;
    Ok(Accepted(Asked::to("If the address has an account, we sent an email to it.")))
}

/// Set a new password.
///
/// Takes the token from the emailed link. All sessions end. Then log in, with a code if two-factor
/// authentication is on.
#[utoipa::path(
    post, path = "/api/v1/password-resets/confirm", operation_id = "reset_password",
    responses(
        (status = 204, description = "The password is set, and all sessions have ended."),
        (status = 400,
            description = "`invalid_token`: used, expired or unknown. `invalid_password`."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn reset(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<FirstPassword>,
) -> Result<NoContent, Refusal> {
    let FirstPassword { token, password } = body.0;
    api.parts.people.reset(&token, password, visitor.client).await?;
    Ok(NoContent)
}
