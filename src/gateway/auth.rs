//! Who is asking: a key in `x-api-key` or in `Authorization: Bearer`.

use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{HttpMessage, HttpRequest};

use crate::accounts::keys::ApiKeyCache;
use crate::accounts::usage::refusals::KnownKey;
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::api_key::PlainApiKey;
use crate::domain::clock::UnixMillis;
use crate::domain::key_scopes::Scope;
use crate::domain::money::NanoUsd;
use crate::http::standing::{self, ClientStanding};
use crate::telemetry::Causes;

/// How old the word of the database may be where a reservation asks it again anyway: for whatever
/// decides about money. The models and rates of a key that was limited on another node are as old
/// as this at most.
pub const BEFORE_RESERVATION: Duration = Duration::from_secs(5);
/// And where nothing does.
pub const ALONE: Duration = Duration::from_secs(1);

/// The holder of the request's key, if it may ask at `/v1`.
///
/// # Errors
/// 401, 403, which names the scope where the key lacks it, or 503 if the database does not answer.
pub async fn identify(
    keys: &ApiKeyCache,
    http: &HttpRequest,
    max_age: Duration,
    now: UnixMillis,
) -> Result<KeyHolder, ApiError> {
    let lacks = |holder: &KeyHolder| !holder.limits.scopes.has(Scope::Inference);
    let mut holder = identify_any(keys, http, max_age, now).await?;
    // As there, a refusal from memory is worth a fresh look.
    if lacks(&holder) && max_age > ALONE {
        holder = identify_any(keys, http, ALONE, now).await?;
    }
    if lacks(&holder) {
        note(http, &holder);
        let message = "This API key lacks the scope `inference`. Its owner can add it to the key.";
        return Err(ApiError::new(403, "permission_error", message));
    }
    Ok(holder)
}

/// The holder of the request's key, whatever it may be used for.
///
/// # Errors
/// 401, 403, or 503 if the database does not answer.
pub async fn identify_any(
    keys: &ApiKeyCache,
    http: &HttpRequest,
    max_age: Duration,
    now: UnixMillis,
) -> Result<KeyHolder, ApiError> {
    let key = presented_key(http.headers())?;
    let hash = key.hash();
    let unavailable = |error| {
        tracing::error!(error = %Causes(&error), "keys cannot be looked up");
        ApiError::unavailable()
    };
    let mut holder = keys.holder(hash, max_age).await.map_err(unavailable)?;
    // A refusal from memory may be outdated; it is worth a fresh look.
    let may_not = |holder: &KeyHolder| {
        holder.is_revoked
            || holder.is_paused
            || holder.is_suspended
            || holder.limits.is_expired(now)
    };
    if holder.as_ref().is_some_and(may_not) && max_age > ALONE {
        holder = keys.holder(hash, ALONE).await.map_err(unavailable)?;
    }
    if let Some(holder) = holder.as_ref().filter(|holder| may_not(holder)) {
        note(http, holder);
    }
    match holder {
        None => Err(ApiError::authentication("invalid x-api-key")),
        Some(holder) if holder.is_revoked => {
            Err(ApiError::authentication("This API key has been revoked."))
        }
        Some(holder) if holder.limits.is_expired(now) => {
            Err(ApiError::authentication("This API key has expired."))
        }
        Some(holder) if holder.is_paused => Err(paused()),
        Some(holder) if holder.is_suspended => {
            Err(ApiError::new(403, "permission_error", "This account is suspended."))
        }
        Some(holder) => {
            standing::recognise(http, ClientStanding::Account);
            Ok(holder)
        }
    }
}

/// Notes with a request whose key is refused, for the one who counts that.
fn note(http: &HttpRequest, holder: &KeyHolder) {
    http.extensions_mut().insert(KnownKey::from(holder));
}

/// The key of a request that was refused for it.
pub(super) fn refused_key(http: &HttpRequest) -> Option<KnownKey> {
    http.extensions().get::<KnownKey>().copied()
}

/// 403 for a key that its owner has paused.
pub fn paused() -> ApiError {
    let message = "This API key is paused. Its owner can resume it.";
    ApiError::new(403, "permission_error", message)
}

/// The same where credit matters: that somebody has none is never from memory.
///
/// # Errors
/// As [`identify`].
pub async fn identify_payer(
    keys: &ApiKeyCache,
    http: &HttpRequest,
    max_age: Duration,
    now: UnixMillis,
) -> Result<KeyHolder, ApiError> {
    let mut holder = identify(keys, http, max_age, now).await?;
    if holder.funds <= NanoUsd::ZERO {
        holder = identify(keys, http, Duration::ZERO, now).await?;
    }
    if holder.funds > NanoUsd::ZERO {
        standing::recognise(http, ClientStanding::Payer);
    }
    Ok(holder)
}

/// Clients may send both headers with different values: the one in our form counts.
fn presented_key(headers: &HeaderMap) -> Result<PlainApiKey, ApiError> {
    let bearer = headers
        .get_all(AUTHORIZATION)
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let plain = headers.get_all("x-api-key").filter_map(|value| value.to_str().ok()).map(str::trim);
    let mut given = bearer.chain(plain).peekable();
    if given.peek().is_none() {
        return Err(ApiError::authentication("x-api-key header is required"));
    }
    let mut keys = given.filter_map(PlainApiKey::parse);
    let key = keys.next().ok_or_else(|| ApiError::authentication("invalid x-api-key"))?;
    if keys.any(|other| other.hash() != key.hash()) {
        return Err(ApiError::authentication("The request carries two different API keys."));
    }
    Ok(key)
}
