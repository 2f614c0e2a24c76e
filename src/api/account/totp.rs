//! `/api/v1/account/totp` and `/api/v1/account/recovery-codes`: the second factor.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Api;
use super::super::answer::{Answer, Body, answer};
use super::super::refusal::Error;
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

impl Body for Password {
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

impl Body for Code {
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

impl Body for BothFactors {
    const FIELDS: &'static str = "password, code (both text)";
}

/// A started two-factor setup.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Setup {
    /// The key as base 32, for manual entry.
    secret: String,
    /// The key as a link for authenticator apps.
    #[schema(
        example = "otpauth://totp/Sluice:someone%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sluice"
    )]
    uri: String,
}

/// Recovery codes: each logs in once, instead of a code from the app. They are shown only once.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RecoveryCodes {
    /// Ten of them.
    recovery_codes: Vec<String>,
}

/// Starts two-factor setup.
///
/// It takes effect only after `PUT` with a code. Calling this again creates a new key.
#[utoipa::path(
    post, path = "/api/v1/account/totp", operation_id = "set_up_totp", tag = "account",
    request_body = Password,
    responses(
        (status = 201, body = Setup,
            description = "The key of an authenticator app (RFC 6238: SHA-1, six digits, thirty \
                seconds)."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_enabled`: it is already on."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn create(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let Password { password } = call.body().await?;
        let setup = call.api.parts.people.set_up_totp(&session, password, call.client()).await?;
        Answer::created(&Setup { secret: setup.secret, uri: setup.uri })
    })
    .await
}

/// Turns two-factor authentication on.
#[utoipa::path(
    put, path = "/api/v1/account/totp", operation_id = "enable_totp", tag = "account",
    request_body = Code,
    responses(
        (status = 200, body = RecoveryCodes,
            description = "Logging in asks for a code from now on."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 409, body = Error,
            description = "`totp_enabled`: it is asked for already. `totp_missing`: none is being \
                set up."),
    ),
)]
pub(in crate::api) async fn enable(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let Code { code } = call.body().await?;
        let recovery_codes = call.api.parts.people.enable_totp(&session, code).await?;
        Answer::of(&RecoveryCodes { recovery_codes })
    })
    .await
}

/// Turns two-factor authentication off.
#[utoipa::path(
    delete, path = "/api/v1/account/totp", operation_id = "disable_totp", tag = "account",
    request_body = BothFactors,
    responses(
        (status = 204, description = "Logging in now requires only the password."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_missing`: it is not on."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn disable(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let BothFactors { password, code } = call.body().await?;
        call.api.parts.people.disable_totp(&session, password, code, call.client()).await?;
        Ok(Answer::Nothing)
    })
    .await
}

/// Creates new recovery codes.
///
/// The old codes stop working.
#[utoipa::path(
    post, path = "/api/v1/account/recovery-codes", operation_id = "renew_recovery_codes",
        tag = "account",
    request_body = BothFactors,
    responses(
        (status = 201, body = RecoveryCodes, description = "The new codes; all old ones stop working."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_missing`: it is not on."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(in crate::api) async fn renew_codes(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let BothFactors { password, code } = call.body().await?;
        let people = &call.api.parts.people;
        let recovery_codes =
            people.renew_recovery_codes(&session, password, code, call.client()).await?;
        Answer::created(&RecoveryCodes { recovery_codes })
    })
    .await
}
