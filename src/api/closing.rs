//! `/api/v1/account/closing`: the wish to have the account deleted, and second thoughts.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Body, answer, answer_whatever_standing};
use super::refusal::Error;
use super::values::{Moment, secret_text};
use crate::domain::unprintable::unprintable;

/// The wish, and what proves that it is the owner's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// A code of the authenticator app, or a recovery code, where the account has a second factor.
    #[serde(default)]
    code: Option<String>,
    /// Whether the account may be erased with whatever is left on it.
    #[serde(default)]
    waive_balance: bool,
}

unprintable!(Wish);

impl Body for Wish {
    const FIELDS: &'static str =
        "password (text), code (text, if there is a second factor), waive_balance (true or false)";
}

/// An account that is about to be deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Closing {
    /// Until when it can be kept after all. Then it is erased, as soon as nothing of it is under
    /// way.
    erased_at: Moment,
}

/// Deletes the account.
///
/// Its keys, sessions and wallets end at once, this session too. Whoever logs in before `erased_at`
/// can keep it; then it is erased.
#[utoipa::path(
    post, path = "/api/v1/account/closing", operation_id = "close_account", tag = "account",
    request_body = Wish,
    responses(
        (status = 202, body = Closing, description = "It is about to be deleted, and a mail says so."),
        (status = 401, body = Error, description = "`code_required` or `wrong_code`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`balance_left`: have it paid back, or waive it."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn begin(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let Wish { password, code, waive_balance } = call.body().await?;
        let people = &call.api.parts.people;
        let erased_at =
            people.close_account(&session, password, code, waive_balance, call.client()).await?;
        call.api.parts.context.mail.ring();
        Answer::accepted(&Closing { erased_at: Moment(erased_at) })
    })
    .await
}

/// Keeps the account after all.
///
/// Keys have to be created again, and wallets proven again.
#[utoipa::path(
    delete, path = "/api/v1/account/closing", operation_id = "keep_account", tag = "account",
    responses(
        (status = 204, description = "It is kept."),
        (status = 409, body = Error, description = "`not_closing`: it was not about to be deleted."),
    ),
)]
pub(super) async fn undo(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer_whatever_standing(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        call.api.parts.people.keep_account(&session).await?;
        Ok(Answer::Nothing)
    })
    .await
}
