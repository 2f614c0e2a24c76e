//! `GET /v1/models[/{id}]`: what is sold, in the shape that the wire's clients list.

use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Gateway, admission, auth, request_id, respond};
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::price_list::Model;

/// Models on a page without `limit`, and at most.
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 1000;

/// `?limit=…&after_id=…&before_id=…`
#[derive(Deserialize)]
pub(super) struct ModelsQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// A page of models, newest first.
pub(super) async fn list(
    http: HttpRequest,
    payload: Payload,
    query: Result<Query<ModelsQuery>, actix_web::Error>,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.context.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    let now = gateway.context.clock.now();
    let document = match auth::identify(&gateway.keys, &http, auth::ALONE, now).await {
        Ok(holder) => query
            .map_err(|_| ApiError::invalid_request("limit: Input should be a valid integer"))
            .and_then(|page| page_of(&gateway, &holder, &page, now)),
        Err(error) => Err(error),
    };
    match document {
        Ok(document) => respond::unread(respond::json(&http, &id, &document), payload),
        Err(error) => respond::unread(respond::error(&http, &id, &error), payload),
    }
}

/// One model by its id, alias or dated id.
pub(super) async fn show(
    http: HttpRequest,
    payload: Payload,
    name: Path<String>,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.context.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    let now = gateway.context.clock.now();
    let holder = match auth::identify(&gateway.keys, &http, auth::ALONE, now).await {
        Ok(holder) => holder,
        Err(error) => return respond::unread(respond::error(&http, &id, &error), payload),
    };
    let model = gateway.settings().prices.find(&name);
    if let Some(model) = model.filter(|model| model.is_retired_at(now)) {
        let error = ApiError::not_found(admission::retired(model));
        return respond::unread(respond::error(&http, &id, &error), payload);
    }
    let model = model.filter(|model| is_offered(&gateway, &holder, model, now));
    let Some(model) = model else {
        let name: String = name.chars().take(100).collect();
        let error = ApiError::not_found(format!("model: {name}"));
        return respond::unread(respond::error(&http, &id, &error), payload);
    };
    respond::unread(respond::json(&http, &id, &document(model)), payload)
}

fn page_of(
    gateway: &Gateway,
    holder: &KeyHolder,
    page: &ModelsQuery,
    now: UnixMillis,
) -> Result<Value, ApiError> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::invalid_request("limit: Input should be from 1 to 1000"));
    }
    let all = gateway.settings().prices.models();
    let offered = all.filter(|model| is_offered(gateway, holder, model, now));
    let mut models: Vec<&Model> = offered.map(AsRef::as_ref).collect();
    let position = |name: &str| models.iter().position(|model| model.id.as_str() == name);
    let has_more = if let Some(at) = page.after_id.as_deref().and_then(position) {
        models.drain(..=at);
        models.len() > limit
    } else if let Some(at) = page.before_id.as_deref().and_then(position) {
        models.truncate(at);
        let surplus = models.len().saturating_sub(limit);
        models.drain(..surplus);
        surplus > 0
    } else {
        models.len() > limit
    };
    models.truncate(limit);
    Ok(json!({
        "data": models.iter().map(|model| document(model)).collect::<Vec<_>>(),
        "first_id": models.first().map(|model| model.id.as_str()),
        "last_id": models.last().map(|model| model.id.as_str()),
        "has_more": has_more,
    }))
}

/// Priced today, served by some upstream, and not beyond what the key may ask for.
fn is_offered(gateway: &Gateway, holder: &KeyHolder, model: &Model, now: UnixMillis) -> bool {
    holder.limits.allows(model.id.as_str())
        && model.rates_at(now).is_some()
        && !model.is_retired_at(now)
        && gateway.upstreams.iter().any(|client| client.upstream.serves(model.id.as_str()))
}

fn document(model: &Model) -> Value {
    json!({
        "type": "model",
        "id": model.id.as_str(),
        "display_name": model.display_name,
        "created_at": model.created_at.to_rfc3339_secs(),
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
        "lifecycle": if model.retires_at.is_some() { "deprecated" } else { "active" },
        "retires_at": model.retires_at.map(|day| day.begin().to_rfc3339_secs()),
    })
}
