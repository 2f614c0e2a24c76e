//! `POST /v1/messages`: from a request to an exchange.

use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, ToStrError};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use tokio::time::Instant;

use super::admission::{self, Admitted};
use super::exchange::{Client, Dispatch, Draft, Exchange, GatewayResponse, StreamActor};
use super::limits::{self, Allowance, Permit};
use super::{Gateway, auth, request_id, respond};
use crate::accounts::usage::refusals::KnownKey;
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, RequestId};
use crate::domain::messages_request::MessagesRequest;
use crate::domain::quote::Quote;
use crate::domain::usage_record::{Endpoint, UsageRecord};
use crate::http::body;
use crate::http::connection::Stall;
use crate::telemetry::{request_span, within};
use crate::upstream::UpstreamRequest;
use crate::upstream::client::UpstreamClient;
use crate::upstream::fault::Failure;
use crate::upstream::headers;
use crate::upstream::order::{Conversation, order};

/// Paths upstream: always these, however the client has written its own.
const MESSAGES: &str = "/v1/messages";
pub(super) const COUNT_TOKENS: &str = "/v1/messages/count_tokens";
/// Of W3C Trace Context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The one parameter that is known, and its one value.
const BETA_QUERY: &str = "beta=true";

/// See the module.
pub(super) async fn create(
    http: HttpRequest,
    mut payload: Payload,
    gateway: Data<Gateway>,
) -> HttpResponse {
    let id = match request_id(&gateway.context.clock) {
        Ok(id) => id,
        Err(no_name) => return no_name.into(),
    };
    let (mut allowance, mut key) = (None, None);
    // Every line of the log about it has its name.
    let begun = begin(&http, &mut payload, &gateway, (&id, &mut allowance, &mut key));
    let begun = within(request_span(&id), begun).await;
    if let Err(error) | Ok(GatewayResponse::Error { error, .. }) = &begun {
        gateway.count_refusal(&http, key, error);
    }
    let mut response = match begun {
        Ok(reply) => respond::reply(&http, &id, reply),
        Err(error) => respond::unread(respond::error(&http, &id, &error), payload),
    };
    if let Some(allowance) = allowance {
        add_allowance(&mut response, allowance, gateway.context.clock.now());
    }
    response
}

async fn begin(
    http: &HttpRequest,
    payload: &mut Payload,
    gateway: &Gateway,
    (id, allowance, key): (&RequestId, &mut Option<Allowance>, &mut Option<KnownKey>),
) -> Result<GatewayResponse, ApiError> {
    let (now, came) = (gateway.context.clock.now(), Instant::now());
    let holder = auth::identify_payer(&gateway.keys, http, auth::BEFORE_RESERVATION, now).await?;
    *key = Some(KnownKey::from(&holder));
    refuse_while_draining(gateway)?;
    let counted = gateway.limits.count_of_key(&holder);
    *allowance = Some(match &counted {
        Ok(left) => *left,
        Err(_) => gateway.limits.allowance(&holder),
    });
    counted?;
    let until = Instant::now() + gateway.settings().limits.wait;
    limits::refuse_without_credit(gateway.settings(), &holder)?;
    let permit = place(gateway, &holder, until).await?;
    let wait = until.saturating_duration_since(Instant::now());
    check_betas(http, gateway)?;
    let share = gateway.intake.bodies.share(holder.account_id);
    let body = body::read_counted(http, payload, &gateway.settings().limits, share).await?;
    // The key may have been rotated while the body came.
    let now = gateway.context.clock.now();
    let holder = auth::identify(&gateway.keys, http, auth::BEFORE_RESERVATION, now).await?;
    let admitted = admission::admit(gateway, http, (&holder, false), &body).await?;
    let Admitted { request, quote, lesson, conversation, now } = admitted;
    let asker = (holder.account_id, conversation);
    let upstreams = upstreams_for(gateway, &quote, asker, now)?;
    let record = draft(id, &holder, &request, &quote, now);
    let wants_stream = request.is_stream;
    let request = upstream_request(http, MESSAGES, body, &request, &quote);
    let token = gateway.context.tracker.token();
    refuse_while_draining(gateway)?;
    let stall = http.conn_data::<Stall>().cloned().unwrap_or_default();
    let may_know_balance = holder.limits.scopes.tell_the_balance();
    let parent = http.headers().get(TRACE_PARENT).and_then(|value| value.to_str().ok());
    let trace = gateway.context.traces.begin(id, parent, came);
    let (client, answered) = Client::new(stall, Box::new(permit), may_know_balance);
    StreamActor::start(Exchange {
        context: Arc::clone(&gateway.context),
        dispatch: Dispatch { request, wants_stream, upstreams, wait },
        draft: Draft { record, quote, lesson },
        trace,
        client,
        token,
    });
    // An exchange that ends without a word has panicked; its reservation settles itself.
    let panicked = || ApiError::new(500, "api_error", "Internal server error");
    answered.await.map_err(|_| panicked())
}

/// A place for a request, waited for until then.
pub(super) async fn place(
    gateway: &Gateway,
    holder: &KeyHolder,
    until: Instant,
) -> Result<Permit, ApiError> {
    tokio::select! {
        permit = gateway.limits.place(holder, until) => permit,
        () = gateway.context.tracker.draining() => Err(ApiError::unavailable()),
    }
}

/// While the server stops, nothing new begins.
pub(super) fn refuse_while_draining(gateway: &Gateway) -> Result<(), ApiError> {
    if gateway.context.tracker.is_draining() { Err(ApiError::unavailable()) } else { Ok(()) }
}

/// The operator's deny-list; every other beta passes.
pub(super) fn check_betas(http: &HttpRequest, gateway: &Gateway) -> Result<(), ApiError> {
    let denied = &gateway.settings().requests.denied_betas;
    let lists = http.headers().get_all(headers::BETA).map(HeaderValue::to_str);
    let lists = lists.collect::<Result<Vec<&str>, ToStrError>>().map_err(|_| {
        ApiError::invalid_request("anthropic-beta: The header should be visible ASCII")
    })?;
    if lists.iter().any(|list| names_any(list, denied)) {
        return Err(ApiError::invalid_request("anthropic-beta: a flag that is not supported here"));
    }
    Ok(())
}

/// Whether a list has one of these flags, whatever an upstream may take for the end of one.
fn names_any(list: &str, denied: &[String]) -> bool {
    let is_denied = |flag: &str| denied.iter().any(|name| name.eq_ignore_ascii_case(flag.trim()));
    let is_end = |letter: char| !letter.is_ascii_alphanumeric() && !"-._".contains(letter);
    list.split(',').chain(list.split(is_end)).any(is_denied)
}

/// The upstreams that may be asked, in order: they serve every model named, and do not rest. 503 if
/// there is none.
pub(super) fn upstreams_for(
    gateway: &Gateway,
    quote: &Quote,
    asker: (AccountId, Conversation),
    now: UnixMillis,
) -> Result<Vec<UpstreamClient>, ApiError> {
    order(&gateway.upstreams, &quote.model_ids, asker, now)
        .map_err(|secs| Failure::resting(secs.unwrap_or(1)).error)
}

/// What goes up of a client's request to the endpoint `path`: what was looked at, and nothing else.
pub(super) fn upstream_request(
    http: &HttpRequest,
    path: &'static str,
    body: Bytes,
    request: &MessagesRequest,
    quote: &Quote,
) -> UpstreamRequest {
    let mut headers = headers::passing_up(http.headers());
    // The body was read as JSON, whatever it was called.
    headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    let is_beta = http.query_string().split('&').any(|pair| pair == BETA_QUERY);
    UpstreamRequest {
        path_and_query: if is_beta { format!("{path}?{BETA_QUERY}") } else { path.to_owned() },
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
