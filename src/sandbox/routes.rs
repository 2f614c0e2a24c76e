//! The routes: who asks, what for, and the head of the answer.

use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;

use super::answer::SandboxResponse;
use super::caches::Caches;
use super::events::RenderedEvents;
use super::head::head;
use super::models::{self, PageQuery};
use super::playback::Playback;
use super::prompt::Prompt;
use super::refusal::SandboxError;
use super::request::{self, MessageRequest};
use super::script::{Flag, NumberOption, Script};
use super::usage::{self, Split};
use crate::domain::ids::public_id;

/// Above the 32 MiB that a gateway should refuse, so that a gateway's limit is the one that is met.
pub(super) const BODY_BYTES_MAX: usize = 34 << 20;

/// All that the sandbox answers; the rest of the address space is not found.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    app.app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .route("/v1/messages", web::post().to(messages))
        .route("/v1/messages/count_tokens", web::post().to(count_tokens))
        .service(web::resource("/v1/models").get(list_models).head(list_models))
        .service(web::resource("/v1/models/{id}").get(get_model).head(get_model))
        .default_service(web::to(not_found));
}

type ReceivedBody = Result<web::Bytes, actix_web::Error>;

async fn messages(http: HttpRequest, body: ReceivedBody) -> HttpResponse {
    let request_id = request_id();
    match answer(&http, body, &request_id).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(&request_id),
    }
}

async fn answer(
    http: &HttpRequest,
    body: ReceivedBody,
    id: &str,
) -> Result<HttpResponse, SandboxError> {
    let version = admit(http)?;
    let script = header(http, "x-sandbox-scenario");
    let body = received(body)?;
    let mut request = MessageRequest::parse(&body, script, version)?;
    let delay = request.script.number(NumberOption::DelayMs).unwrap_or(0);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(refusal) = SandboxError::scripted(&request.script) {
        return Err(refusal);
    }
    if request.script.has(Flag::Error200) {
        return error_200(&request, id);
    }
    if let Some(caches) = caches(http) {
        let prompt = Prompt::parse(&body)?;
        let cached = caches.answer(&prompt);
        // A script that speaks of the prompt is believed in all of it, as its count is.
        let is_told = usage::is_told(request.scenario, &request.script);
        request.prompt = if is_told { Split::cold(prompt.tokens()) } else { cached };
    }
    let answer = SandboxResponse::to(&request)?;
    if request.stream {
        let error_id = format!("req_sandbox{:08x}", request.digest);
        let events = RenderedEvents::render(&answer, &request.script, &error_id)?;
        return Ok(stream(events, &request.script, id));
    }
    let json = answer.whole().and_then(|message| serde_json::to_vec(&message))?;
    whole(Bytes::from(json), &request.script, id)
}

fn stream(events: RenderedEvents, script: &Script, id: &str) -> HttpResponse {
    let playback = Playback::of_events(events.bytes, events.ends, script);
    let mut response = head(StatusCode::OK, id);
    response.content_type("text/event-stream; charset=utf-8");
    response.insert_header(("cache-control", "no-cache"));
    response.streaming(playback.into_stream())
}

/// A status that promises an answer, and an error in its place.
fn error_200(request: &MessageRequest, id: &str) -> Result<HttpResponse, SandboxError> {
    if request.stream {
        return Ok(stream(RenderedEvents::nameless_error(&request.script)?, &request.script, id));
    }
    let json = SandboxError::overloaded().json(Some(id))?;
    Ok(head(StatusCode::OK, id).content_type("application/json").body(json))
}

fn caches(http: &HttpRequest) -> Option<&Caches> {
    http.app_data::<web::Data<Caches>>().map(web::Data::get_ref)
}

/// A JSON answer, or as much of it as the script lets through.
fn whole(json: Bytes, script: &Script, id: &str) -> Result<HttpResponse, SandboxError> {
    let asked = |key| script.number(key).is_some();
    if asked(NumberOption::ErrorAt) {
        return Err(SandboxError::overloaded());
    }
    let mut response = head(StatusCode::OK, id);
    response.content_type("application/json");
    if asked(NumberOption::CutAt) || asked(NumberOption::SilentAt) {
        let size = u64::try_from(json.len()).unwrap_or(u64::MAX);
        let half = Playback::of_half(&json, script).into_stream();
        return Ok(response.body(SizedStream::new(size, Box::pin(half))));
    }
    if asked(NumberOption::EndAt) {
        return Ok(response.streaming(Playback::of_half(&json, script).into_stream()));
    }
    Ok(response.body(json))
}

async fn count_tokens(http: HttpRequest, body: ReceivedBody) -> HttpResponse {
    #[derive(Serialize)]
    struct CountDocument {
        #[serde(skip_serializing_if = "Option::is_none")]
        input_tokens: Option<u64>,
    }
    let count = |version| {
        let body = received(body)?;
        let prompt = caches(&http).map(|_| Prompt::parse(&body)).transpose()?;
        let input = prompt.map(|prompt| prompt.tokens());
        request::count_tokens(&body, header(&http, "x-sandbox-scenario"), version, input)
    };
    json(admit(&http).and_then(count).map(|input_tokens| CountDocument { input_tokens }))
}

async fn list_models(http: HttpRequest, query: web::Query<PageQuery>) -> HttpResponse {
    json(admit(&http).map(|_| models::page(&query)))
}

async fn get_model(http: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let find = |_| models::find(&id).ok_or_else(|| SandboxError::new(404, format!("model: {id}")));
    json(admit(&http).and_then(find))
}

async fn not_found() -> HttpResponse {
    SandboxError::new(404, "Not found: the Sluice sandbox serves /v1/messages and /v1/models")
        .response(&request_id())
}

/// Admits a request with any key and an API version, which it returns.
fn admit(http: &HttpRequest) -> Result<&str, SandboxError> {
    let bearer = header(http, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let keys = [header(http, "x-api-key"), bearer];
    if !keys.into_iter().flatten().any(|key| !key.trim().is_empty()) {
        return Err(SandboxError::new(401, "x-api-key or a bearer token is required"));
    }
    header(http, "anthropic-version")
        .ok_or_else(|| SandboxError::invalid("anthropic-version: header is required"))
}

fn header<'a>(http: &'a HttpRequest, name: &str) -> Option<&'a str> {
    http.headers().get(name).and_then(|value| value.to_str().ok())
}

fn received(body: ReceivedBody) -> Result<web::Bytes, SandboxError> {
    body.map_err(|error| match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            SandboxError::new(413, "Request exceeds the maximum allowed number of bytes.")
        }
        _ => SandboxError::invalid("the body did not arrive whole"),
    })
}

fn json<T: Serialize>(answer: Result<T, SandboxError>) -> HttpResponse {
    let id = request_id();
    match answer.and_then(|answer| Ok(serde_json::to_vec(&answer)?)) {
        Ok(json) => head(StatusCode::OK, &id).content_type("application/json").body(json),
        Err(refusal) => refusal.response(&id),
    }
}

fn request_id() -> String {
    public_id("req_").unwrap_or_else(|_| "req_sandbox".into())
}

#[cfg(test)]
mod tests;
