//! `POST /v1/messages`: from a request to an exchange.

use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::limits::Allowance;
use super::{Gateway, admission, auth, body, request_id, respond};
use crate::actors::stream::{Exchange, ExchangeParts, Reply, Stall, StreamActor};
use crate::db::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::RequestId;
use crate::domain::messages_request::{self, MessagesRequest};
use crate::domain::quote::Quote;
use crate::domain::usage_record::{Endpoint, UsageRecord};
use crate::upstream::client::UpstreamClient;
use crate::upstream::{Upstream, UpstreamRequest};

/// Headers of a client that go up unchanged.
const PASSING: [&str; 4] = ["anthropic-version", "anthropic-beta", "content-type", "accept"];

/// See the module.
pub(super) async fn create(
    http: HttpRequest,
    mut payload: Payload,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.shared.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    match begin(&http, &mut payload, &gateway, &id).await {
        Ok((reply, allowance)) => {
            let mut response = respond::reply(&http, &id, reply);
            add_allowance(&mut response, allowance, gateway.shared.clock.now());
            response
        }
        Err(error) => respond::unread(respond::error(&http, &id, &error), payload),
    }
}

async fn begin(
    http: &HttpRequest,
    payload: &mut Payload,
    gateway: &Gateway,
    id: &RequestId,
) -> Result<(Reply, Allowance), ApiError> {
    let now = gateway.shared.clock.now();
    let holder = auth::identify(&gateway.keys, http, auth::BEFORE_RESERVATION, now).await?;
    refuse_while_draining(gateway)?;
    let allowance = gateway.limits.count_of_key(&holder)?;
    let permit = gateway.limits.open(&holder)?;
    check_betas(http, gateway)?;
    let body = body::read(http, payload, &gateway.settings().limits).await?;
    let now = gateway.shared.clock.now();
    let request = parse(&body)?;
    if request.max_tokens.is_none() {
        return Err(ApiError::invalid_request("max_tokens: Field required"));
    }
    let mut quote = admission::quote(&request, gateway.settings(), now)?;
    auth::check_models(&holder, &quote.model_ids)?;
    let whose = (holder.account_id, quote.model.id.as_str());
    let rules = &gateway.settings().reservation;
    let (estimate, lesson) = gateway.shared.holds.estimate(whose, &request, &body, rules, now);
    admission::set_prompt(&mut quote, estimate);
    let upstreams = upstreams_for(gateway, &quote, now)?;
    let record = draft(id, &holder, &request, &quote, now);
    let wants_stream = request.is_stream;
    let request = upstream_request(http, body, &request, &quote);
    let token = gateway.shared.tracker.token();
    refuse_while_draining(gateway)?;
    let (reply, answered) = oneshot::channel();
    let permit = Box::new(permit);
    let stall = http.conn_data::<Stall>().cloned().unwrap_or_default();
    let parts = ExchangeParts {
        request,
        wants_stream,
        upstreams,
        record,
        quote,
        lesson,
        reply,
        stall,
        permit,
    };
    StreamActor::start(Exchange::new(Arc::clone(&gateway.shared), parts, token));
    // An exchange that ends without a word has panicked; its reservation settles itself.
    let panicked = || ApiError::new(500, "api_error", "Internal server error");
    Ok((answered.await.map_err(|_| panicked())?, allowance))
}

/// Reads a body as a request; the refusal names fields and positions only.
pub(super) fn parse(body: &Bytes) -> Result<MessagesRequest, ApiError> {
    messages_request::parse(body).map_err(|error| ApiError::invalid_request(error.to_string()))
}

/// While the server stops, nothing new begins.
pub(super) fn refuse_while_draining(gateway: &Gateway) -> Result<(), ApiError> {
    if gateway.shared.tracker.is_draining() { Err(ApiError::unavailable()) } else { Ok(()) }
}

/// The operator's deny-list; every other beta passes.
pub(super) fn check_betas(http: &HttpRequest, gateway: &Gateway) -> Result<(), ApiError> {
    let denied = &gateway.settings().requests.denied_betas;
    let is_denied = http
        .headers()
        .get_all("anthropic-beta")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|beta| denied.iter().any(|name| name == beta.trim()));
    if is_denied {
        return Err(ApiError::invalid_request("anthropic-beta: a flag that is not offered here"));
    }
    Ok(())
}

/// The upstreams that may be asked, in the operator's order: they serve every model named, and
/// their credential is not known to fail. 503 if there is none.
pub(super) fn upstreams_for(
    gateway: &Gateway,
    quote: &Quote,
    now: UnixMillis,
) -> Result<Vec<UpstreamClient>, ApiError> {
    let may_be_asked = |upstream: &Upstream| {
        quote.model_ids.iter().all(|id| upstream.serves(id))
            && upstream.health.is_open_at(now.as_millis())
    };
    let clients: Vec<UpstreamClient> =
        gateway.upstreams.iter().filter(|client| may_be_asked(&client.upstream)).cloned().collect();
    if clients.is_empty() { Err(ApiError::unavailable()) } else { Ok(clients) }
}

/// What goes up of a client's request.
pub(super) fn upstream_request(
    http: &HttpRequest,
    body: Bytes,
    request: &MessagesRequest,
    quote: &Quote,
) -> UpstreamRequest {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for name in PASSING {
        // A list may come in several headers; they are the same list.
        let values: Vec<&[u8]> = http.headers().get_all(name).map(HeaderValue::as_bytes).collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b", "[..]))
            && !values.is_empty()
        {
            headers.push((HeaderName::from_static(name), value));
        }
    }
    if !headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    }
    let path_and_query = http.uri().path_and_query().map_or("/v1/messages", |path| path.as_str());
    UpstreamRequest {
        path_and_query: path_and_query.to_owned(),
        headers,
        body,
        model_span: request.model_span.clone(),
        model_id: quote.model.id.as_str().to_owned(),
    }
}

/// The usage row as it stands before anything has happened.
fn draft(
    id: &RequestId,
    holder: &KeyHolder,
    request: &MessagesRequest,
    quote: &Quote,
    now: UnixMillis,
) -> UsageRecord {
    UsageRecord {
        endpoint: if request.is_stream { Endpoint::MessagesStream } else { Endpoint::Messages },
        requested_model: quote.model.id.as_str().to_owned(),
        price_version: quote.rates.version.clone(),
        ..UsageRecord::blank(id.clone(), holder.account_id, holder.api_key_id, now)
    }
}

fn add_allowance(response: &mut HttpResponse, allowance: Allowance, now: UnixMillis) {
    let reset =
        now.plus_millis(i64::try_from(allowance.full_in_secs).unwrap_or(60).saturating_mul(1000));
    let values = [
        ("anthropic-ratelimit-requests-limit", allowance.limit.to_string()),
        ("anthropic-ratelimit-requests-remaining", allowance.remaining.to_string()),
        ("anthropic-ratelimit-requests-reset", reset.to_rfc3339_secs()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}
