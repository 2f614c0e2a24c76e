//! The headers that responses have in common, and how a document becomes bytes.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

/// Begins a response that no cache keeps and whose type no browser guesses.
pub(super) fn begin(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

/// Finishes a response with a document. Its fields are sorted by name.
pub(super) fn json<T: Serialize>(
    mut response: HttpResponseBuilder,
    document: &T,
) -> Result<HttpResponse, serde_json::Error> {
    let document = serde_json::to_value(document)?;
    response.insert_header((CONTENT_TYPE, "application/json"));
    Ok(response.body(document.to_string()))
}
