//! `/api/v1/preferences`: what people want to be told.

use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::Json;
use super::extractors::{Body, Fields, SessionCaller};
use super::refusal::Refusal;
use super::values::Dollars;
use crate::accounts::identity::preferences;

/// Which emails the account gets.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Preferences {
    /// Send an email when the balance drops below this, if `wants_notices` is true; null for
    /// never.
    // Without this, a field that is missing would pass for null.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    low_balance_usd: Option<Dollars>,
    /// Whether to send email about the balance, deposits and keys.
    wants_notices: bool,
}

impl From<preferences::AccountPreferences> for Preferences {
    fn from(known: preferences::AccountPreferences) -> Self {
        Self { low_balance_usd: known.low_balance.map(Dollars), wants_notices: known.wants_notices }
    }
}

impl Fields for Preferences {
    const FIELDS: &'static str =
        "low_balance_usd (decimal text or null), wants_notices (true or false)";
}

/// Get preferences.
#[utoipa::path(
    get, path = "/api/v1/preferences", operation_id = "get_preferences",
    responses((status = 200, description = "The preferences.")),
)]
pub(super) async fn show(
    caller: SessionCaller,
    api: Data<Api>,
) -> Result<Json<Preferences>, Refusal> {
    let known = api.parts.people.preferences(&caller.session).await?;
    Ok(Json(Preferences::from(known)))
}

/// Update preferences.
#[utoipa::path(
    put, path = "/api/v1/preferences", operation_id = "set_preferences",
    responses(
        (status = 200, description = "The new preferences."),
        (status = 400, description = "`invalid_threshold`: not more than 0 dollars."),
    ),
)]
pub(super) async fn replace(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<Preferences>,
) -> Result<Json<Preferences>, Refusal> {
    let wanted = body.0;
    let stored = preferences::AccountPreferences {
        low_balance: wanted.low_balance_usd.map(|Dollars(amount)| amount),
        wants_notices: wanted.wants_notices,
    };
    api.parts.people.update_preferences(&caller.session, stored).await?;
    Ok(Json(wanted))
}
