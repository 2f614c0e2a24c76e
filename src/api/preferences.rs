//! `/api/v1/preferences`: what people want to be told.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Body, answer};
use super::refusal::Error;
use super::values::Dollars;
use crate::accounts::identity::preferences;

/// Which emails the account gets.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Preferences {
    /// Send an email when the balance drops below this; null for never.
    // Without this, a field that is missing would pass for null.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    low_balance_usd: Option<Dollars>,
    /// Whether to send email about anything but security and policy.
    wants_notices: bool,
}

impl From<preferences::Preferences> for Preferences {
    fn from(known: preferences::Preferences) -> Self {
        Self { low_balance_usd: known.low_balance.map(Dollars), wants_notices: known.wants_notices }
    }
}

impl Body for Preferences {
    const FIELDS: &'static str =
        "low_balance_usd (decimal text or null), wants_notices (true or false)";
}

/// Shows the preferences.
#[utoipa::path(
    get, path = "/api/v1/preferences", operation_id = "get_preferences", tag = "account",
    responses((status = 200, body = Preferences, description = "The preferences.")),
)]
pub(super) async fn show(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?;
        let known = call.api.parts.people.preferences(session).await?;
        Answer::of(&Preferences::from(known))
    })
    .await
}

/// Updates the preferences.
#[utoipa::path(
    put, path = "/api/v1/preferences", operation_id = "set_preferences", tag = "account",
    request_body = Preferences,
    responses(
        (status = 200, body = Preferences, description = "The new preferences."),
        (status = 400, body = Error, description = "`invalid_threshold`: not more than 0 dollars."),
    ),
)]
pub(super) async fn replace(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let session = call.principal.session()?.clone();
        let wanted: Preferences = call.body().await?;
        let stored = preferences::Preferences {
            low_balance: wanted.low_balance_usd.map(|Dollars(amount)| amount),
            wants_notices: wanted.wants_notices,
        };
        call.api.parts.people.prefer(&session, stored).await?;
        Answer::of(&wanted)
    })
    .await
}
