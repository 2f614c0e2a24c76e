//! What an upstream's refusal means, told by its status, its type and code, and where the vendor
//! says it only in words, by the phrases of the settings. Nothing of what it says about the
//! operator's own affairs goes on to a client.

use actix_web::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::config::CREDENTIAL_PHRASES;
use crate::domain::api_error::{ApiError, RefusalReason};
use crate::domain::unprintable::unprintable;

/// Seconds after which a client may try again where the trouble is the operator's.
const RETRY_SECS: u64 = 10;
/// Words and details that are longer are no help to a client.
const WORDS_BYTES_MAX: usize = 8_192;

/// Who says one of these speaks of the operator's plan, organisation or key: lower case.
const OPERATORS_WORDS: [&str; 22] = [
    "your organization",
    "your organisation",
    "this organization",
    "this organisation",
    "your plan",
    "plans & billing",
    "plans and billing",
    "your billing",
    "billing settings",
    "billing details",
    "your account",
    "your workspace",
    "this workspace",
    "your credit",
    "credit balance",
    "your subscription",
    "your usage limit",
    "your api key",
    "this api key",
    "provided api key",
    "x-api-key",
    "sk-ant-",
];

/// Words by which gateways say with a 400 that they do not have the model: lower case.
const MODEL_WORDS: [&str; 8] = [
    "model_not_found",
    "invalid model name",
    "model identifier is invalid",
    "unknown model",
    "model not found",
    "no such model",
    "is not a valid model",
    "no healthy deployments",
];

/// A refusal: whose fault it is, and what the client hears of it.
pub struct Refused {
    /// Whose fault.
    pub fault: Fault,
    /// For the client, if nobody else answers.
    pub error: ApiError,
}

/// What a document of an error says, in whichever of the usual shapes.
#[derive(Default)]
struct ErrorDocument {
    kind: String,
    code: String,
    message: String,
    details: Option<Value>,
}

unprintable!(Refused, ErrorDocument);

impl ErrorDocument {
    fn read(body: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = match document.get("error") {
            Some(Value::String(message)) => {
                return Self { message: message.clone(), ..Self::default() };
            }
            Some(error) if error.is_object() => error,
            _ => &document,
        };
        let text = |name: &str| match error.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let details = error.get("details").filter(|details| !details.is_null()).cloned();
        let inner = error.pointer("/details/error_code").and_then(Value::as_str);
        Self {
            kind: text("type"),
            code: inner.map_or_else(|| text("code"), str::to_owned),
            message: text("message"),
            details,
        }
    }

    /// Whether it is about our credential or credit.
    fn is_credential<'a>(&self, phrases: impl IntoIterator<Item = &'a str>) -> bool {
        let message = self.message.to_lowercase();
        matches!(self.kind.as_str(), "authentication_error" | "billing_error")
            || phrases.into_iter().any(|phrase| {
                message.contains(phrase)
                    || self.kind.eq_ignore_ascii_case(phrase)
                    || self.code.eq_ignore_ascii_case(phrase)
            })
    }

    /// Whether it speaks of the operator's affairs.
    fn is_operators(&self) -> bool {
        let details = self.details.as_ref().map(Value::to_string).unwrap_or_default();
        let all = format!("{} {details}", self.message).to_lowercase();
        OPERATORS_WORDS.iter().any(|words| all.contains(words))
    }

    fn is_about_the_model(&self) -> bool {
        let message = self.message.to_lowercase();
        MODEL_WORDS.iter().any(|words| message.contains(words) || self.code == *words)
    }

    /// Its own words, for the client that caused them; ours where they are none or not for it.
    fn relayed(self, status: u16) -> ApiError {
        let error = ApiError::of_status(status);
        let details_bytes = self.details.as_ref().map_or(0, |details| details.to_string().len());
        let is_long = self.message.len().saturating_add(details_bytes) > WORDS_BYTES_MAX;
        if self.kind.is_empty() || self.message.is_empty() || is_long || self.is_operators() {
            return error;
        }
        ApiError {
            kind: self.kind.into(),
            message: self.message.into(),
            details: self.details,
            ..error
        }
    }
}

/// What a refusal means, and what its client hears. `phrases` are in lower case.
#[must_use]
pub fn sort(status: StatusCode, body: &[u8], phrases: &[String]) -> Refused {
    let said = ErrorDocument::read(body);
    if matches!(status.as_u16(), 401 | 402)
        || said.is_credential(phrases.iter().map(String::as_str))
    {
        return Refused { fault: Fault::Credential, error: operators_trouble() };
    }
    let own_words = ApiError::of_status;
    let (fault, error) = match status.as_u16() {
        400 | 422 if said.is_about_the_model() => (Fault::SaidNotThere, own_words(404)),
        400 | 413 | 422 => (Fault::Request, said.relayed(status.as_u16())),
        404 => (Fault::NotThere, said.relayed(404)),
        403 => (Fault::Forbidden, own_words(403)),
        429 => (Fault::Limited, own_words(429)),
        408 => (Fault::Broken, own_words(408)),
        // Not an endpoint of the wire, or a proxy on the way that wants something of us.
        405 | 407 | 410 | 501 => (Fault::NotThere, ApiError::bad_gateway()),
        500 | 502..=504 | 529 => (Fault::Broken, own_words(status.as_u16())),
        500.. => (Fault::Broken, ApiError::bad_gateway()),
        other => (Fault::Request, own_words(other)),
    };
    Refused { fault, error }
}

/// 503 with a time and without a detail: the operator's trouble (E13).
#[must_use]
pub fn operators_trouble() -> ApiError {
    let error = ApiError { retry_after_secs: Some(RETRY_SECS), ..ApiError::unavailable() };
    error.because(RefusalReason::Upstream)
}

/// Whether the error of a stream that has begun is about the operator's credential, credit,
/// rights or plan: the client can do nothing about those, and should not hear of them. An upstream
/// checks a client's own rights before it begins.
#[must_use]
pub fn is_operators(event: &[u8]) -> bool {
    let said = ErrorDocument::read(event);
    said.kind == "permission_error" || said.is_credential(CREDENTIAL_PHRASES) || said.is_operators()
}

/// What says of a document whether it is an answer.
#[derive(Deserialize)]
struct ResponseShape<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    error: Option<IgnoredAny>,
    content: Option<IgnoredAny>,
    usage: Option<IgnoredAny>,
}

impl<'a> ResponseShape<'a> {
    /// Nothing but an object has one; serde would take a list for its fields.
    fn read(body: &'a [u8]) -> Option<Self> {
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        is_object.then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

/// The status that a document should have come with, if it is an error's: its type says so, or it
/// has an `error` and nothing of an answer.
#[must_use]
pub fn error_document(body: &[u8]) -> Option<StatusCode> {
    let shape = ResponseShape::read(body)?;
    let is_named = shape.kind.is_some_and(|kind| kind.get() == "\"error\"");
    let is_answer = shape.content.is_some() || shape.usage.is_some();
    (is_named || (shape.error.is_some() && !is_answer)).then(|| status_of(body))
}

/// Whether a document may be a message: it is an object with some part of one.
#[must_use]
pub fn may_be_message(body: &[u8]) -> bool {
    ResponseShape::read(body).is_some_and(|shape| {
        let is_named = shape.kind.is_some_and(|kind| kind.get() == "\"message\"");
        is_named || shape.content.is_some() || shape.usage.is_some()
    })
}

/// The status that an error's document or event would have had.
#[must_use]
pub fn status_of(body: &[u8]) -> StatusCode {
    let said = ErrorDocument::read(body);
    let by_kind = match said.kind.as_str() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => said.code.parse().ok().filter(|code| (400..600).contains(code)).unwrap_or(500),
    };
    StatusCode::from_u16(by_kind).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests;
