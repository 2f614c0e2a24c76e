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

/// A code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Code {
    /// Six digits of the authenticator app.
    #[schema(example = "123456")]
    code: String,
}

impl Body for Code {
    const FIELDS: &'static str = "code (text)";
}

/// Both factors.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct BothFactors {
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Six digits of the authenticator app, or a recovery code.
    code: String,
}

unprintable!(Code, BothFactors);

impl Body for BothFactors {
    const FIELDS: &'static str = "password, code (both text)";
}

/// A second factor that is being set up.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Setup {
    /// The key, for typing: base 32.
    secret: String,
    /// The same for apps.
    #[schema(
        example = "otpauth://totp/Sluice:someone%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sluice"
    )]
    uri: String,
}

/// Codes that log in instead of the second factor, once each. They are shown this once.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RecoveryCodes {
    /// Ten of them.
    recovery_codes: Vec<String>,
}

/// Begins to set up a second factor.
///
/// Nothing is asked for before `PUT` was called with a code of it. Asking again makes a new key.
#[utoipa::path(
    post, path = "/api/v1/account/totp", operation_id = "set_up_totp", tag = "account",
    request_body = Password,
    responses(
        (status = 201, body = Setup, description = "The key of an authenticator app (RFC 6238: SHA-1, six digits, thirty seconds)."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_enabled`: there is a second factor."),
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

/// Asks for the second factor from now on.
#[utoipa::path(
    put, path = "/api/v1/account/totp", operation_id = "enable_totp", tag = "account",
    request_body = Code,
    responses(
        (status = 200, body = RecoveryCodes, description = "Logging in asks for a code from now on."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 409, body = Error, description = "`totp_enabled`: it is asked for already. `totp_missing`: none is being set up."),
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

/// Removes the second factor.
#[utoipa::path(
    delete, path = "/api/v1/account/totp", operation_id = "disable_totp", tag = "account",
    request_body = BothFactors,
    responses(
        (status = 204, description = "Logging in asks for the password alone."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_missing`: there is none."),
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

/// Makes new recovery codes.
///
/// The old ones do not work any more.
#[utoipa::path(
    post, path = "/api/v1/account/recovery-codes", operation_id = "renew_recovery_codes", tag = "account",
    request_body = BothFactors,
    responses(
        (status = 201, body = RecoveryCodes, description = "In the place of all old ones."),
        (status = 401, body = Error, description = "`wrong_code`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`totp_missing`: there is no second factor."),
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
