//! What runs before and after every handler: it finds out who asks, checks the account's rate
//! limit, and adds what every response has.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};

use super::Api;
use super::caller::{self, Principal};
use super::offer::{Access, AllowedMethods};
use super::refusal::Refusal;
use crate::domain::api_error::ApiError;
use crate::domain::ids::RequestId;
use crate::gateway::respond::{fit_version, unread};

/// The request's body, shared with the extractor that reads it. What is left unread is kept until
/// the response is sent.
#[derive(Clone)]
pub(super) struct SharedPayload(Rc<RefCell<Option<Payload>>>);

impl SharedPayload {
    fn new(payload: Payload) -> Self {
        Self(Rc::new(RefCell::new(Some(payload))))
    }

    /// Takes it, unless it is taken.
    pub(super) fn take(&self) -> Option<Payload> {
        self.0.take()
    }

    /// Puts it back, read or not.
    pub(super) fn put(&self, payload: Payload) {
        self.0.replace(Some(payload));
    }
}

/// Runs a handler. Unless anybody may ask, it first finds out who does, and keeps that with the
/// request for the handler's first argument.
pub(super) async fn around(
    access: Access,
    (api, payload): (Data<Api>, Payload),
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    // Held until the answer is made, so that a stop waits for what was begun.
    let token = api.parts.context.tracker.token();
    let admitted = match access {
        Access::Anyone => Ok(()),
        Access::Key(_) | Access::Session => admit(&api, request.request()).await.map(|principal| {
            request.extensions_mut().insert(principal);
        }),
    };
    let payload = SharedPayload::new(payload);
    let response = match admitted {
        Ok(()) => {
            request.extensions_mut().insert(payload.clone());
            next.call(request).await?
        }
        Err(refusal) => request.into_response(refusal.error_response()),
    };
    drop(token);
    let (http, mut response) = response.into_parts();
    name(&api, &mut response);
    response = fit_version(&http, response);
    if let Some(payload) = payload.take() {
        response = unread(response, payload);
    }
    Ok(ServiceResponse::new(http, response))
}

/// Finds out who asks, and counts the request against the account's limit.
async fn admit(api: &Api, http: &HttpRequest) -> Result<Principal, Refusal> {
    if http.match_info().iter().any(|(_, part)| part.contains(char::is_control)) {
        // Nothing is called so, and not each database takes the question.
        return Err(Refusal::NotFound);
    }
    let principal = caller::identify(api, http).await?;
    check_open(api)?;
    api.parts.limits.count(principal.account_id)?;
    Ok(principal)
}

/// Refuses new requests with 503 while the server stops.
pub(super) fn check_open(api: &Api) -> Result<(), Refusal> {
    if api.parts.context.tracker.is_draining() {
        return Err(Refusal::Shared(ApiError::unavailable()));
    }
    Ok(())
}

/// 404 for whatever is not offered.
pub(super) async fn not_found(payload: Payload, api: Data<Api>) -> HttpResponse {
    refuse(&api, payload, &Refusal::NotFound)
}

/// 405 for a path that is offered with another method.
pub(super) async fn method_not_allowed(
    payload: Payload,
    api: Data<Api>,
    offer: Data<AllowedMethods>,
) -> HttpResponse {
    let mut response = refuse(&api, payload, &Refusal::Method);
    if let Ok(methods) = HeaderValue::from_str(&offer.methods()) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

fn refuse(api: &Api, payload: Payload, refusal: &Refusal) -> HttpResponse {
    let mut response = refusal.error_response();
    name(api, &mut response);
    unread(response, payload)
}

/// Gives an answer its name. Without randomness it has none; nothing depends on it here.
fn name(api: &Api, response: &mut HttpResponse) {
    if let Ok(id) = RequestId::new(api.now())
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        response.headers_mut().insert(HeaderName::from_static("request-id"), id);
    }
}
