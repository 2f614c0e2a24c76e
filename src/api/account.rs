//! `/api/v1/account`: how the account stands, and what it logs in with.

use crate::domain::unprintable::unprintable;

pub mod totp;

use actix_web::web::Data;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::Api;
use super::accounts::Asked;
use super::answer::{Accepted, Json, NoContent};
use super::caller::CallerCredential;
use super::extractors::{AccountCaller, AnyStanding, Body, Fields, SessionCaller, Visitor};
use super::preferences::Preferences;
use super::refusal::Refusal;
use super::values::{Dollars, Moment, secret_text, word_of};
use crate::accounts::identity::people::Profile;
use crate::accounts::usage;
use crate::db::DbError;
use crate::domain::money::NanoUsd;

/// The current and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// The current password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The new password: at least ten characters (the operator may require more) and at most 72
    /// bytes.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

impl Fields for PasswordChange {
    const FIELDS: &'static str = "password, new_password (both text)";
}

/// A new email address, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailChange {
    /// The new email address.
    #[schema(format = "email", max_length = 254, example = "someone@example.org")]
    email: String,
    /// The account's password.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

unprintable!(PasswordChange, EmailChange);

impl Fields for EmailChange {
    const FIELDS: &'static str = "email, password (both text)";
}

/// The token of an emailed link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// The token from the link.
    #[schema(example = "mail_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk")]
    token: String,
}

impl Fields for Link {
    const FIELDS: &'static str = "token (text)";
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    /// Its id.
    #[schema(example = "acct_0123456789abcdefghjkmnpq")]
    id: String,
    /// `active`, `suspended` (read-only), or `closing` (its deletion can be cancelled).
    #[schema(schema_with = standings)]
    status: &'static str,
    /// The amount that can be spent. Below zero only after an overrun, a reversal or an adjustment.
    available_usd: Dollars,
    /// The amount on hold for requests in progress, at their likely cost. Anything unused is
    /// returned.
    reserved_usd: Dollars,
    /// What those requests may cost beyond that. The balance must cover it too, so it cannot be
    /// held for another request.
    at_risk_usd: Dollars,
    /// Dollars charged since midnight, UTC.
    spent_today_usd: Dollars,
    /// Dollars charged this calendar month, UTC.
    spent_month_usd: Dollars,
    /// When it was created.
    created_at: Moment,
    /// The email address of the account. Only sessions see this and the following fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email: Option<String>,
    /// Whether two-factor authentication is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    has_totp: Option<bool>,
    /// Number of unused recovery codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recovery_codes_left: Option<i64>,
    /// When its deletion was requested; null if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    #[expect(clippy::option_option, reason = "a key is not told; a session is told null")]
    closing_at: Option<Option<Moment>>,
    /// The email preferences.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Preferences, required = false)]
    preferences: Option<Preferences>,
    /// Number of active sessions, including this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sessions: Option<i64>,
    /// Number of linked wallets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wallets: Option<i64>,
    /// Retention of the usage log in days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    usage_log_days: Option<u32>,
}

fn standings() -> Object {
    word_of(["active", "suspended", "closing"], None)
}

/// Get the account.
///
/// API keys see only the balance and what was spent. Sessions also see the email address, the login
/// settings and the other data. The archive has every row.
#[utoipa::path(
    get, path = "/api/v1/account", operation_id = "get_account",
    responses((status = 200, description = "The account.")),
)]
pub(super) async fn show(
    caller: AccountCaller<AnyStanding>,
    api: Data<Api>,
) -> Result<Json<Account>, Refusal> {
    let people = &api.parts.people;
    let profile = people.profile(caller.account_id).await?;
    let (account_id, now) = (caller.account_id, api.now());
    let spent = api.run_long(account_id, move |conn| {
        let today = usage::spent_today(conn, (account_id, None), now)?;
        Ok::<_, DbError>((today, usage::spent_this_month(conn, account_id, now)?))
    });
    let spent = spent.await?;
    let CallerCredential::Session(session) = &caller.credential else {
        return Ok(Json(document(&profile, spent, false)));
    };
    let held = people.holdings(session).await?;
    Ok(Json(Account {
        preferences: Some(held.preferences.into()),
        sessions: Some(held.sessions),
        wallets: Some(held.wallets),
        usage_log_days: Some(api.parts.context.settings.privacy.usage_log_days),
        ..document(&profile, spent, true)
    }))
}

/// Change the password.
///
/// Ends all other sessions. We confirm it by email.
#[utoipa::path(
    put, path = "/api/v1/account/password", operation_id = "change_password",
    responses(
        (status = 204, description = "Changed."),
        (status = 400,
            description = "`invalid_password`: the new one is too short, too long or too easy to \
                guess."),
        (status = 403, description = "`wrong_password`: not the current password."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn change_password(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<PasswordChange>,
) -> Result<NoContent, Refusal> {
    let PasswordChange { password, new_password } = body.0;
    let people = &api.parts.people;
    people.change_password(&caller.session, password, new_password, caller.client).await?;
    Ok(NoContent)
}

/// Request an email change.
///
/// We email a link to the new address; opening it makes the change. The response is the same if the
/// address already has an account.
#[utoipa::path(
    post, path = "/api/v1/account/email", operation_id = "ask_for_email_change",
    responses(
        (status = 202, description = "A link was emailed to the new address."),
        (status = 400, description = "`invalid_email`."),
        (status = 403, description = "`wrong_password`."),
        (status = 409, description = "`same_email`: the account already has this address."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn ask_for_email(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<EmailChange>,
) -> Result<Accepted<Asked>, Refusal> {
    let EmailChange { email, password } = body.0;
    let people = &api.parts.people;
    people.ask_to_change_email(&caller.session, &email, password, caller.client).await?;
    Ok(Accepted(Asked::to("We sent a link to the new address.")))
}

/// Confirm a new email address.
///
/// Takes the token from the emailed link. We notify the old address by email.
#[utoipa::path(
    post, path = "/api/v1/account/email/confirm", operation_id = "confirm_email_change",
    responses(
        (status = 204, description = "The account has the new address."),
        (status = 400, description = "`invalid_token`: used, expired or unknown."),
        (status = 403, description = "`account_suspended`, `account_closing`."),
        (status = 409, description = "`email_taken`: the address already has an account."),
        (status = 429, description = "`too_many_attempts`."),
    ),
)]
pub(super) async fn confirm_email(
    visitor: Visitor,
    api: Data<Api>,
    body: Body<Link>,
) -> Result<NoContent, Refusal> {
    let Link { token } = body.0;
    api.parts.people.change_email(&token, visitor.client).await?;
    Ok(NoContent)
}

fn document(profile: &Profile, (today, month): (NanoUsd, NanoUsd), is_person: bool) -> Account {
    let Profile { row, .. } = profile;
    let status = match row.status.as_str() {
        _ if profile.closing_at.is_some() => "closing",
        "active" => "active",
        _ => "suspended",
    };
    Account {
        id: row.public_id.clone(),
        status,
        available_usd: Dollars(row.available_nanousd),
        reserved_usd: Dollars(row.reserved_nanousd),
        at_risk_usd: Dollars(row.at_risk_nanousd),
        spent_today_usd: Dollars(today),
        spent_month_usd: Dollars(month),
        created_at: Moment(row.created_at),
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
