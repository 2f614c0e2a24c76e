//! `/api/v1/account`: how the account stands, and what it logs in with.

use crate::domain::unprintable::unprintable;

pub mod totp;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::Api;
use super::accounts::Asked;
use super::answer::{Answer, Body, answer, answer_whatever_standing, anyone};
use super::caller::Credential;
use super::preferences::Preferences;
use super::refusal::Error;
use super::values::{Dollars, Moment, secret_text, word_of};
use crate::accounts::identity::people::Profile;

/// A password, and the one that comes in its place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// The password so far.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The password from now on: ten characters at least, unless the operator asks for more, and 72
    /// bytes at most.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

impl Body for PasswordChange {
    const FIELDS: &'static str = "password, new_password (both text)";
}

/// A new address, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailChange {
    /// The address that is to be the account's.
    #[schema(format = "email", max_length = 254, example = "someone@example.org")]
    email: String,
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

unprintable!(PasswordChange, EmailChange);

impl Body for EmailChange {
    const FIELDS: &'static str = "email, password (both text)";
}

/// What a mailed link brings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// The word from the link.
    #[schema(example = "mail_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk")]
    token: String,
}

impl Body for Link {
    const FIELDS: &'static str = "token (text)";
}

/// How an account stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    /// Its name here.
    #[schema(example = "acct_0123456789abcdefghjkmnpq")]
    id: String,
    /// `active`, `suspended` (it may look), or `closing` (it may be kept after all).
    #[schema(schema_with = standings)]
    status: &'static str,
    /// What can be spent. Below zero only after an overrun, a reversal or an adjustment.
    available_usd: Dollars,
    /// What requests that are running hold: what they will likely cost. What is not used comes
    /// back.
    reserved_usd: Dollars,
    /// What they may cost beyond that. The balance covers it as well, so it cannot be held for
    /// another request.
    at_risk_usd: Dollars,
    /// When it was opened.
    created_at: Moment,
    /// The address that it logs in with, and that mail goes to; told to sessions only, as is what
    /// follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email: Option<String>,
    /// Whether logging in asks for a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    has_totp: Option<bool>,
    /// Recovery codes that have not been used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recovery_codes_left: Option<i64>,
    /// When its deletion was asked for; null if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    #[expect(clippy::option_option, reason = "a key is not told; a session is told null")]
    closing_at: Option<Option<Moment>>,
    /// What mail is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Preferences, required = false)]
    preferences: Option<Preferences>,
    /// Sessions in force, this one among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sessions: Option<i64>,
    /// Wallets that are linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wallets: Option<i64>,
    /// Days for which a line of the usage log is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    usage_log_days: Option<u32>,
}

fn standings() -> Object {
    word_of(["active", "suspended", "closing"], None)
}

/// Shows the account.
///
/// An API key is told the balance; the address, what belongs to logging in and what else is held
/// only a session. Every row of it is in the archive.
#[utoipa::path(
    get, path = "/api/v1/account", operation_id = "get_account", tag = "account",
    responses((status = 200, body = Account, description = "As it stands now.")),
)]
pub(super) async fn show(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer_whatever_standing(http, payload, &api, async |call| {
        let people = &call.api.parts.people;
        let profile = people.profile(call.principal.account_id).await?;
        let Credential::Session(session) = &call.principal.credential else {
            return Answer::of(&document(&profile, false));
        };
        let held = people.holdings(session).await?;
        Answer::of(&Account {
            preferences: Some(held.preferences.into()),
            sessions: Some(held.sessions),
            wallets: Some(held.wallets),
            usage_log_days: Some(call.api.parts.context.settings.privacy.usage_log_days),
            ..document(&profile, true)
        })
    })
    .await
}

/// Changes the password.
///
/// All other sessions end, and a mail says so.
#[utoipa::path(
    put, path = "/api/v1/account/password", operation_id = "change_password", tag = "account",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed."),
        (status = 400, body = Error, description = "`invalid_password`: the new one is too short or too long."),
        (status = 403, body = Error, description = "`wrong_password`: that is not the old one."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn change_password(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let PasswordChange { password, new_password } = call.body().await?;
        call.api
            .parts
            .people
            .change_password(&session, password, new_password, call.client())
            .await?;
        Ok(Answer::Nothing)
    })
    .await
}

/// Asks for another address.
///
/// A mail goes to the new address, and its link makes the change. The answer is the same for an
/// address that has an account.
#[utoipa::path(
    post, path = "/api/v1/account/email", operation_id = "ask_for_email_change", tag = "account",
    request_body = EmailChange,
    responses(
        (status = 202, body = Asked, description = "A mail is on its way to the new address."),
        (status = 400, body = Error, description = "`invalid_email`."),
        (status = 403, body = Error, description = "`wrong_password`."),
        (status = 409, body = Error, description = "`same_email`: it is the account's address already."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn ask_for_email(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let EmailChange { email, password } = call.body().await?;
        call.api
            .parts
            .people
            .ask_to_change_email(&session, &email, password, call.client())
            .await?;
        Answer::accepted(&Asked::to("A mail with a link is on its way to the new address."))
    })
    .await
}

/// Changes the address.
///
/// Takes the word from the mailed link. A mail to the old address says so.
#[utoipa::path(
    post, path = "/api/v1/account/email/confirm", operation_id = "confirm_email_change", tag = "account",
    request_body = Link,
    responses(
        (status = 204, description = "The account has the new address."),
        (status = 400, body = Error, description = "`invalid_token`: used, too old, or never made."),
        (status = 403, body = Error, description = "`account_suspended`, `account_closing`."),
        (status = 409, body = Error, description = "`email_taken`: the address has an account."),
        (status = 429, body = Error, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn confirm_email(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    anyone(http, payload, &api, async |visit| {
        let Link { token } = visit.body().await?;
        visit.api.parts.people.change_email(&token, visit.client()).await?;
        Ok(Answer::Nothing)
    })
    .await
}

fn document(profile: &Profile, is_person: bool) -> Account {
    let Profile { row, .. } = profile;
    let status = match row.status.as_str() {
        _ if profile.closing_at.is_some() => "closing",
        "active" => "active",
        _ => "suspended",
    };
    Account {
        id: row.public_id.clone(),
        status,
        available_usd: Dollars(row.available()),
        reserved_usd: Dollars(row.reserved()),
        at_risk_usd: Dollars(row.at_risk()),
        created_at: Moment::of_millis(row.created_at),
        email: is_person.then(|| row.email.clone()),
        has_totp: is_person.then_some(profile.has_totp),
        recovery_codes_left: is_person.then_some(profile.recovery_codes_left),
        closing_at: is_person.then(|| profile.closing_at.map(Moment)),
        preferences: None,
        sessions: None,
        wallets: None,
        usage_log_days: None,
    }
}
