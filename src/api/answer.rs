//! What handlers return: one type for each kind of response, which sets its status and describes
//! its schema.

use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::Refusal;
use super::respond::{begin, json};
use super::signature::{ApiResponse, Signature};
use crate::telemetry::Causes;

/// 200 with a document.
pub(super) struct Json<T>(pub(super) T);

/// 201 with the document of what was made.
pub(super) struct Created<T>(pub(super) T);

/// 202 with a document: the rest happens later.
pub(super) struct Accepted<T>(pub(super) T);

/// 204.
pub(super) struct NoContent;

/// 201 with the document of what was made, or 200 with that of what was there before.
pub(super) enum CreatedOnce<T> {
    /// Made now.
    Now(T),
    /// Made before.
    Before(T),
}

/// 200 with a file of any length. The handler's attribute lists its content types.
pub(super) struct File {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) body: BoxBody,
}

/// 200 with server-sent events, each as `E` describes it.
pub(super) struct EventBody<E> {
    pieces: Pieces,
    event: PhantomData<E>,
}

/// The same, or 204 where none follow.
pub(super) enum EventsOrNone<E> {
    /// The stream.
    Events(EventBody<E>),
    /// The reader has the last one.
    None,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::Error>>>>;

impl<E> EventBody<E> {
    /// A stream of these pieces.
    pub(super) fn new(
        pieces: impl Stream<Item = Result<Bytes, actix_web::Error>> + 'static,
    ) -> Self {
        Self { pieces: Box::pin(pieces), event: PhantomData }
    }
}

fn document<T: Serialize>(status: StatusCode, document: &T) -> HttpResponse {
    json(begin(status), document).unwrap_or_else(|error| {
        tracing::error!(error = %Causes(&error), "an answer does not turn into JSON");
        Refusal::Unavailable.error_response()
    })
}

impl<T: Serialize> Responder for Json<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        document(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + ToSchema> ApiResponse for Json<T> {
    fn describe(signature: &mut Signature) {
        signature.answers::<T>(200);
    }
}

impl<T: Serialize> Responder for Created<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        document(StatusCode::CREATED, &self.0)
    }
}

impl<T: Serialize + ToSchema> ApiResponse for Created<T> {
    fn describe(signature: &mut Signature) {
        signature.answers::<T>(201);
    }
}

impl<T: Serialize> Responder for Accepted<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        document(StatusCode::ACCEPTED, &self.0)
    }
}

impl<T: Serialize + ToSchema> ApiResponse for Accepted<T> {
    fn describe(signature: &mut Signature) {
        signature.answers::<T>(202);
    }
}

impl Responder for NoContent {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        begin(StatusCode::NO_CONTENT).finish()
    }
}

impl ApiResponse for NoContent {
    fn describe(signature: &mut Signature) {
        signature.response(204);
    }
}

impl<T: Serialize> Responder for CreatedOnce<T> {
    type Body = BoxBody;

    fn respond_to(self, http: &HttpRequest) -> HttpResponse {
        match self {
            Self::Now(made) => Created(made).respond_to(http),
            Self::Before(made) => Json(made).respond_to(http),
        }
    }
}

impl<T: Serialize + ToSchema> ApiResponse for CreatedOnce<T> {
    fn describe(signature: &mut Signature) {
        Created::<T>::describe(signature);
        Json::<T>::describe(signature);
    }
}

impl Responder for File {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = begin(StatusCode::OK);
        response.insert_header((CONTENT_TYPE, self.content_type));
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        response.insert_header((CONTENT_DISPOSITION, disposition));
        response.body(self.body)
    }
}

impl ApiResponse for File {
    fn describe(signature: &mut Signature) {
        signature.response(200);
    }
}

impl<E> Responder for EventBody<E> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.insert_header((CACHE_CONTROL, "no-store, no-transform"));
        response.insert_header((CONTENT_TYPE, "text/event-stream"));
        response.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
        response.streaming(self.pieces)
    }
}

impl<E: ToSchema> ApiResponse for EventBody<E> {
    fn describe(signature: &mut Signature) {
        signature.sends::<E>(200, "text/event-stream");
    }
}

impl<E> Responder for EventsOrNone<E> {
    type Body = BoxBody;

    fn respond_to(self, http: &HttpRequest) -> HttpResponse {
        match self {
            Self::Events(events) => events.respond_to(http),
            Self::None => NoContent.respond_to(http),
        }
    }
}

impl<E: ToSchema> ApiResponse for EventsOrNone<E> {
    fn describe(signature: &mut Signature) {
        EventBody::<E>::describe(signature);
        NoContent::describe(signature);
    }
}
