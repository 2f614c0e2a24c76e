//! `/api/v1/account/closing`: the wish to have the account deleted, and second thoughts.

use actix_web::web::Data;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Accepted, NoContent};
use super::extractors::{AnyStanding, Body, Fields, SessionCaller};
use super::refusal::Refusal;
use super::values::{Moment, secret_text};
use crate::domain::unprintable::unprintable;

/// A request to delete the account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// A code from the authenticator app, or a recovery code, if two-factor authentication is on.
    #[serde(default)]
    code: Option<String>,
    /// Whether to give up the remaining balance.
    #[serde(default)]
    waive_balance: bool,
}

unprintable!(Wish);

impl Fields for Wish {
    const FIELDS: &'static str = "password (text), code (text, with two-factor authentication), \
        waive_balance (true or false)";
}

/// An account being deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Closing {
    /// Until then the deletion can be cancelled. After that the account is erased, once its
    /// requests and deposits have finished.
    erased_at: Moment,
}

/// Delete the account.
///
/// Its keys, sessions and wallet links end at once, including this session. You can log in and
/// cancel the deletion before `erased_at`; then the account is erased.
#[utoipa::path(
    post, path = "/api/v1/account/closing", operation_id = "close_account",
    responses(
        (status = 202, description = "The deletion is scheduled and confirmed by email."),
        (status = 401, description = "`code_required` or `wrong_code`."),
        (status = 403, description = "`wrong_password`."),
        (status = 409,
            description = "`balance_left`: ask for a refund, or give it up with `waive_balance`."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn begin(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<Wish>,
) -> Result<Accepted<Closing>, Refusal> {
    let Wish { password, code, waive_balance } = body.0;
    let people = &api.parts.people;
    let erased_at =
        people.close_account(&caller.session, password, code, waive_balance, caller.client).await?;
    api.parts.context.mail.ring();
    Ok(Accepted(Closing { erased_at: Moment(erased_at) }))
}

/// Cancel deletion.
///
/// You need to create new keys and link your wallets again.
#[utoipa::path(
    delete, path = "/api/v1/account/closing", operation_id = "keep_account",
    responses(
        (status = 204, description = "The deletion is cancelled."),
        (status = 409, description = "`not_closing`: the account was not being deleted."),
    ),
)]
pub(super) async fn undo(
    caller: SessionCaller<AnyStanding>,
    api: Data<Api>,
) -> Result<NoContent, Refusal> {
    api.parts.people.keep_account(&caller.session).await?;
    Ok(NoContent)
}
