//! `/api/v1/keys/{id}/rotate`: another secret for a key, beside the one so far for a while.

use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::{Key, MadeKey};
use crate::accounts::keys::{self, KeyActor, KeyError};
use crate::api::Api;
use crate::api::answer::Created;
use crate::api::extractors::{Body, Fields, SessionCaller};
use crate::api::refusal::Refusal;
use crate::api::values::word_of;
use crate::domain::key_overlap::KeyOverlap;

/// How to rotate a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Rotation {
    /// When the previous secret stops working; default: `24h` from now.
    #[schema(schema_with = overlaps)]
    overlap: Option<String>,
}

impl Fields for Rotation {
    const FIELDS: &'static str = "if wanted overlap (now, 1h, 24h or 7d)";
}

fn overlaps() -> Object {
    word_of(KeyOverlap::ALL.map(KeyOverlap::as_str), None)
}

/// Rotate a key.
///
/// Gives the key another secret. It stays the same key: id, name, scopes, limits and amounts spent
/// are shared by both secrets, so both together spend no more than its budgets. The previous secret
/// works until the overlap ends; with `now` it is refused within seconds. Only this response
/// contains the new secret.
#[utoipa::path(
    post, path = "/api/v1/keys/{id}/rotate", operation_id = "rotate_key",
    params(("id" = String, Path, description = "A key (`key_…`).")),
    responses(
        (status = 201, description = "Rotated."),
        (status = 404, description = "`not_found`: no key of this account."),
        (status = 409, description = "`key_revoked`: a revoked key cannot be rotated."),
        (status = 422, description = "`invalid_overlap`."),
    ),
)]
pub(in crate::api) async fn rotate(
    caller: SessionCaller,
    api: Data<Api>,
    id: Path<String>,
    body: Body<Rotation>,
) -> Result<Created<MadeKey>, Refusal> {
    let by = KeyActor::Person(caller.session);
    let overlap = match body.0.overlap {
        Some(name) => KeyOverlap::parse(&name).ok_or(KeyError::Overlap)?,
        None => KeyOverlap::Day,
    };
    let now = api.now();
    let made = api.run(move |conn| keys::rotate(conn, &by, &id, overlap, now)).await?;
    api.parts.keys.forget(made.row.id);
    let key = made.key.reveal().to_owned();
    Ok(Created(MadeKey { key, shown: Key::of(&made.row, now) }))
}
