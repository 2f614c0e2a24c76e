//! From a request to its handler and back: who asks, what is in the body, and the shape of every
//! answer.

use std::pin::Pin;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Api;
use super::caller::{self, Credential, Principal};
use super::offer::Offer;
use super::refusal::Refusal;
use crate::accounts::identity::throttle::ClientAddress;
use crate::db::AnyConnection;
use crate::domain::api_error::ApiError;
use crate::domain::ids::RequestId;
use crate::gateway::respond::{fit_version, unread};
use crate::http::body;
use crate::http::client_address::client_address;
use crate::telemetry::Causes;

/// An authenticated request.
pub(super) struct Call<'a> {
    pub(super) api: &'a Api,
    pub(super) principal: Principal,
    pub(super) http: &'a HttpRequest,
    payload: &'a mut Payload,
}

/// A body, of which every field must be there and no other may.
pub(super) trait Body: DeserializeOwned {
    /// The names of its fields, for the refusal of anything else.
    const FIELDS: &'static str;
}

impl Call<'_> {
    /// Whom attempts are counted against.
    pub(super) fn client(&self) -> ClientAddress {
        client_address(self.http, &self.api.parts.context.settings.server)
    }

    /// See [`ApiParts::run_long`](super::ApiParts::run_long).
    pub(super) async fn run_long<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.api.parts.run_long(self.principal.account_id, work).await
    }

    /// The request's body. Its sender decides how long it takes; so who asks is looked at once more
    /// when it is there.
    ///
    /// # Errors
    /// [`Refusal::Body`], the refusals of reading, or those of a caller who may not any more.
    pub(super) async fn body<T: Body>(&mut self) -> Result<T, Refusal> {
        let bytes = body::read(self.http, self.payload, &self.api.body).await?;
        let principal = caller::identify(self.api, self.http).await?;
        principal.stands_as(&self.principal)?;
        self.principal = principal;
        parse(&bytes)
    }
}

/// A request of which nobody asks who sent it.
pub(super) struct Visit<'a> {
    pub(super) api: &'a Api,
    pub(super) http: &'a HttpRequest,
    payload: &'a mut Payload,
}

impl Visit<'_> {
    /// Whom attempts are counted against.
    pub(super) fn client(&self) -> ClientAddress {
        client_address(self.http, &self.api.parts.context.settings.server)
    }

    /// The request's body.
    ///
    /// # Errors
    /// [`Refusal::Body`], or the refusals of reading.
    pub(super) async fn body<T: Body>(&mut self) -> Result<T, Refusal> {
        parse(&body::read(self.http, self.payload, &self.api.body).await?)
    }
}

fn parse<T: Body>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| Refusal::Body(T::FIELDS))
}

/// The body of an answer that goes on.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::Error>>>>;

/// What a handler answers.
pub(super) enum Answer {
    /// 200.
    Document(Value),
    /// 201.
    Created(Value),
    /// 202.
    Accepted(Value),
    /// 204.
    Nothing,
    /// 200 with a file.
    File(File),
    /// 200 with server-sent events.
    Events(Events),
}

/// Something to be kept, of whatever length.
pub(super) struct File {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) body: BoxBody,
}

impl Answer {
    /// 200 with a document.
    pub(super) fn of<T: Serialize>(document: &T) -> Result<Self, Refusal> {
        Ok(Self::Document(to_value(document)?))
    }

    /// 201 with a document.
    pub(super) fn created<T: Serialize>(document: &T) -> Result<Self, Refusal> {
        Ok(Self::Created(to_value(document)?))
    }

    /// 202 with a document.
    pub(super) fn accepted<T: Serialize>(document: &T) -> Result<Self, Refusal> {
        Ok(Self::Accepted(to_value(document)?))
    }
}

fn to_value<T: Serialize>(document: &T) -> Result<Value, Refusal> {
    serde_json::to_value(document).map_err(|error| {
        tracing::error!(error = %Causes(&error), "an answer does not turn into JSON");
        Refusal::Unavailable
    })
}

/// Finds out who asks, a key or a session, and answers with what `work` makes of the request. A
/// suspended account may only look, and one that is being deleted not even that.
pub(super) async fn answer(
    http: HttpRequest,
    payload: Payload,
    api: &Api,
    work: impl AsyncFnOnce(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> HttpResponse {
    let in_force = async |call: &mut Call<'_>| {
        if let Credential::Session(session) = &call.principal.credential {
            if caller::is_change(call.http.method()) {
                session.may_change()?;
            } else {
                session.may_look()?;
            }
        }
        work(call).await
    };
    answer_whatever_standing(http, payload, api, in_force).await
}

/// The same for what suspended accounts and those being deleted may do too.
pub(super) async fn answer_whatever_standing(
    http: HttpRequest,
    mut payload: Payload,
    api: &Api,
    work: impl AsyncFnOnce(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> HttpResponse {
    let tracker = &api.parts.context.tracker;
    // Held until the answer is made, so that a stop waits for what was begun.
    let token = tracker.token();
    let answered = async {
        if http.match_info().iter().any(|(_, part)| part.contains(char::is_control)) {
            // Nothing is called so, and not each database takes the question.
            return Err(Refusal::NotFound);
        }
        let principal = caller::identify(api, &http).await?;
        if tracker.is_draining() {
            return Err(Refusal::Shared(ApiError::unavailable()));
        }
        api.parts.limits.count(principal.account_id)?;
        let mut call = Call { api, principal, http: &http, payload: &mut payload };
        work(&mut call).await
    };
    let answered = answered.await;
    drop(token);
    unread(fit_version(&http, respond(api, answered)), payload)
}

/// Answers anybody with what `work` makes of the request.
pub(super) async fn anyone(
    http: HttpRequest,
    mut payload: Payload,
    api: &Api,
    work: impl AsyncFnOnce(&mut Visit<'_>) -> Result<Answer, Refusal>,
) -> HttpResponse {
    let tracker = &api.parts.context.tracker;
    let token = tracker.token();
    let answered = if tracker.is_draining() {
        Err(Refusal::Shared(ApiError::unavailable()))
    } else {
        work(&mut Visit { api, http: &http, payload: &mut payload }).await
    };
    drop(token);
    unread(respond(api, answered), payload)
}

/// 404 for whatever is not offered.
pub(super) async fn not_found(payload: Payload, api: Data<Api>) -> HttpResponse {
    unread(respond(&api, Err(Refusal::NotFound)), payload)
}

/// 405 for a path that is offered with another method.
pub(super) async fn method_not_allowed(
    payload: Payload,
    api: Data<Api>,
    offer: Data<Offer>,
) -> HttpResponse {
    let mut response = respond(&api, Err(Refusal::Method));
    if let Ok(methods) = HeaderValue::from_str(&offer.methods()) {
        response.headers_mut().insert(ALLOW, methods);
    }
    unread(response, payload)
}

fn respond(api: &Api, answered: Result<Answer, Refusal>) -> HttpResponse {
    let mut retry_after_secs = None;
    let (status, document) = match answered {
        Ok(Answer::Document(document)) => (StatusCode::OK, Some(document)),
        Ok(Answer::Created(document)) => (StatusCode::CREATED, Some(document)),
        Ok(Answer::Accepted(document)) => (StatusCode::ACCEPTED, Some(document)),
        Ok(Answer::Nothing) => (StatusCode::NO_CONTENT, None),
        Ok(Answer::File(file)) => return send(api, file),
        Ok(Answer::Events(events)) => return stream(api, events),
        Err(refusal) => {
            let told = refusal.tell();
            retry_after_secs = told.retry_after_secs;
            let status = StatusCode::from_u16(told.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::to_value(told.document()).ok())
        }
    };
    let mut response = HttpResponse::build(status);
    name(api, &mut response);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Some(seconds) = retry_after_secs {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    match document {
        Some(document) => {
            response.insert_header((CONTENT_TYPE, "application/json"));
            response.body(document.to_string())
        }
        None => response.finish(),
    }
}

fn send(api: &Api, file: File) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    name(api, &mut response);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header((CONTENT_TYPE, file.content_type));
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    response.insert_header((CONTENT_DISPOSITION, disposition));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.body(file.body)
}

fn stream(api: &Api, events: Events) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    name(api, &mut response);
    response.insert_header((CACHE_CONTROL, "no-store, no-transform"));
    response.insert_header((CONTENT_TYPE, "text/event-stream"));
    response.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
    response.streaming(events)
}

/// Gives an answer its name. Without randomness it has none; nothing depends on it here.
pub(super) fn name(api: &Api, response: &mut HttpResponseBuilder) {
    if let Ok(id) = RequestId::new(api.now()) {
        response.insert_header((HeaderName::from_static("request-id"), id.as_str()));
    }
}
