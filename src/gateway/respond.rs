//! Answers: our headers on every one of them, errors in the wire's shape.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use bytes::Bytes;

use super::exchange::GatewayResponse;
use super::{Gateway, request_id};
use crate::domain::api_error::ApiError;
use crate::domain::ids::RequestId;
use crate::domain::unprintable::unprintable;

/// Read by the official clients.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const OFFERED: &str = "Unknown path. Available: POST /v1/messages, POST /v1/messages/count_tokens, \
    GET /v1/models, GET /v1/models/{id}.";

/// 404 for whatever is not offered.
#[must_use]
pub fn not_found(http: &HttpRequest, payload: Payload, gateway: &Gateway) -> HttpResponse {
    match request_id(&gateway.context.clock) {
        Ok(id) => unread(error(http, &id, &ApiError::not_found(OFFERED)), payload),
        Err(no_name) => no_name.into(),
    }
}

/// 405 for a path that is offered with another method.
pub(super) async fn method_not_allowed(
    http: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> HttpResponse {
    match request_id(&gateway.context.clock) {
        Ok(id) => {
            let refusal = ApiError::new(405, "invalid_request_error", "Method not allowed here.");
            unread(error(&http, &id, &refusal), payload)
        }
        Err(no_name) => no_name.into(),
    }
}

/// An error of ours.
pub(super) fn error(http: &HttpRequest, id: &RequestId, error: &ApiError) -> HttpResponse {
    error_with(http, id, error, Vec::new())
}

fn error_with(
    http: &HttpRequest,
    id: &RequestId,
    error: &ApiError,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(gateway) = http.app_data::<Data<Gateway>>() {
        gateway.context.metrics.count_refusal(error);
    }
    let has = |name: &HeaderName| headers.iter().any(|(given, _)| given == name);
    // What the upstream says of its own refusal comes first.
    let retry_after = (!has(&RETRY_AFTER)).then(|| retry_after_secs(error)).flatten();
    let is_futile = !has(&SHOULD_RETRY) && is_futile(error.status);
    let mut response = begin(id, status, headers);
    if let Some(seconds) = retry_after {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    if is_futile {
        response.insert_header((SHOULD_RETRY, "false"));
    }
    response.insert_header((CONTENT_TYPE, "application/json"));
    fit_version(http, response.body(error.to_json(id).to_string()))
}

/// Seconds after which the same request may do better, where it may.
fn retry_after_secs(error: &ApiError) -> Option<u64> {
    let usual = match error.status {
        429 | 529 => Some(1),
        503 => Some(5),
        _ => None,
    };
    error.retry_after_secs.or(usual)
}

/// Whether the same request is refused again, however often it is sent: the official clients would
/// send it up to eleven times.
const fn is_futile(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 408 | 409 | 425 | 429)
}

/// Keeps the request's body with the answer to it. actix closes a connection whose body was left
/// unread, but goes on reading one in chunks, however long, once nobody holds it.
#[must_use]
pub fn unread(response: HttpResponse, payload: Payload) -> HttpResponse {
    response.map_body(|_, body| keeping(body, payload))
}

/// A body with something that is dropped behind it.
pub fn keeping<T: Unpin + 'static>(body: BoxBody, kept: T) -> BoxBody {
    BoxBody::new(Keeping { body, _kept: kept })
}

struct Keeping<T> {
    body: BoxBody,
    _kept: T,
}

unprintable!(Keeping<()>);

impl<T: Unpin> MessageBody for Keeping<T> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(cx)
    }
}

/// A JSON document of ours.
pub(super) fn json(
    http: &HttpRequest,
    id: &RequestId,
    document: &serde_json::Value,
) -> HttpResponse {
    let mut response = begin(id, StatusCode::OK, Vec::new());
    response.insert_header((CONTENT_TYPE, "application/json"));
    fit_version(http, response.body(document.to_string()))
}

/// What an exchange gave.
pub(super) fn reply(http: &HttpRequest, id: &RequestId, reply: GatewayResponse) -> HttpResponse {
    match reply {
        GatewayResponse::Error { error, headers } => error_with(http, id, &error, headers),
        GatewayResponse::Json { body, headers } => {
            fit_version(http, begin(id, StatusCode::OK, headers).body(body))
        }
        GatewayResponse::Stream { body, headers } => {
            let mut response = begin(id, StatusCode::OK, headers);
            response.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
            fit_version(http, response.streaming(body))
        }
    }
}

fn begin(
    id: &RequestId,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((HeaderName::from_static("request-id"), id.as_str()));
    response.insert_header((CACHE_CONTROL, "no-cache, no-transform"));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    for header in headers {
        response.insert_header(header);
    }
    response
}

/// HTTP/1.0 knows no chunks: there a body without a length ends with its connection.
#[must_use]
pub fn fit_version(http: &HttpRequest, mut response: HttpResponse<BoxBody>) -> HttpResponse {
    let has_length = !matches!(response.body().size(), BodySize::Stream);
    if http.version() <= Version::HTTP_10 && !has_length {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}
