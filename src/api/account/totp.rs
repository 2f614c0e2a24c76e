//! `/api/v1/account/totp` and `/api/v1/account/recovery-codes`: the second factor.

use actix_web::web::Data;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{Created, Json, NoContent};
use super::super::extractors::{Body, Fields, SessionCaller};
use super::super::refusal::Refusal;
use super::super::values::secret_text;
use crate::domain::unprintable::unprintable;

/// The password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Password {
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

impl Fields for Password {
    const FIELDS: &'static str = "password (text)";
}

/// A code from the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Code {
    /// Six digits from the authenticator app.
    #[schema(example = "123456")]
    code: String,
}

impl Fields for Code {
    const FIELDS: &'static str = "code (text)";
}

/// Password and code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct BothFactors {
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Six digits from the authenticator app, or a recovery code.
    code: String,
}

unprintable!(Code, BothFactors);

impl Fields for BothFactors {
    const FIELDS: &'static str = "password, code (both text)";
}

/// A started two-factor setup.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Setup {
    /// The key as base 32, for manual entry.
    secret: String,
    /// The key as a link for authenticator apps.
    #[schema(example = "otpauth://totp/Sluice:someone%40example.org?\
            secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sluice")]
    uri: String,
}

/// Recovery codes: each logs in once, instead of a code from the app. They are shown only once.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RecoveryCodes {
    /// Ten of them.
    recovery_codes: Vec<String>,
}

/// Start two-factor setup.
///
/// It takes effect only after `PUT` with a code. Calling this again creates a new key.
#[utoipa::path(
    post, path = "/api/v1/account/totp", operation_id = "set_up_totp",
    responses(
        (status = 201,
            description = "The key of an authenticator app (RFC 6238: SHA-1, six digits, 30 \
                seconds)."),
        (status = 403, description = "`wrong_password`."),
        (status = 409, description = "`totp_enabled`: it is already on."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn create(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<Password>,
) -> Result<Created<Setup>, Refusal> {
    let Password { password } = body.0;
    let setup = api.parts.people.set_up_totp(&caller.session, password, caller.client).await?;
    Ok(Created(Setup { secret: setup.secret, uri: setup.uri }))
}

/// Turn on two-factor authentication.
#[utoipa::path(
    put, path = "/api/v1/account/totp", operation_id = "enable_totp",
    responses(
        (status = 200, description = "Logging in now requires a code."),
        (status = 401, description = "`wrong_code`."),
        (status = 409,
            description = "`totp_enabled`: it is already on. `totp_missing`: setup was not \
                started."),
    ),
)]
pub(in crate::api) async fn enable(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<Code>,
) -> Result<Json<RecoveryCodes>, Refusal> {
    let Code { code } = body.0;
    let recovery_codes = api.parts.people.enable_totp(&caller.session, code).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Turn off two-factor authentication.
#[utoipa::path(
    delete, path = "/api/v1/account/totp", operation_id = "disable_totp",
    responses(
        (status = 204, description = "Logging in now requires only the password."),
        (status = 401, description = "`wrong_code`."),
        (status = 403, description = "`wrong_password`."),
        (status = 409, description = "`totp_missing`: it is not on."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn disable(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<BothFactors>,
) -> Result<NoContent, Refusal> {
    let BothFactors { password, code } = body.0;
    api.parts.people.disable_totp(&caller.session, password, code, caller.client).await?;
    Ok(NoContent)
}

/// Create new recovery codes.
///
/// The old codes stop working.
#[utoipa::path(
    post, path = "/api/v1/account/recovery-codes", operation_id = "renew_recovery_codes",
    responses(
        (status = 201, description = "The new codes; all old ones stop working."),
        (status = 401, description = "`wrong_code`."),
        (status = 403, description = "`wrong_password`."),
        (status = 409, description = "`totp_missing`: it is not on."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn renew_codes(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<BothFactors>,
) -> Result<Created<RecoveryCodes>, Refusal> {
    let BothFactors { password, code } = body.0;
    let people = &api.parts.people;
    let recovery_codes =
        people.renew_recovery_codes(&caller.session, password, code, caller.client).await?;
    Ok(Created(RecoveryCodes { recovery_codes }))
}
