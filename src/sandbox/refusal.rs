//! Errors in the shape of the Messages API: a status, a type, a message.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

use super::head::head;
use super::script::{Flag, NumberOption, Script};

/// What upstream says of an operator whose credit is over. It is a 400 like any other.
const CREDIT_LOW: &str = "Your credit balance is too low to access the Anthropic API. Please go to \
    Plans & Billing to upgrade or purchase credits. (On request: this is the Sluice sandbox.)";

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SandboxError {
    status: u16,
    kind: &'static str,
    message: String,
    /// `error.details.error_code`, where upstream gives one.
    code: Option<&'static str>,
    /// Seconds of `retry-after`.
    retry_after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    r#type: &'static str,
    error: ErrorDetail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ErrorDetail<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Debug, Serialize)]
struct Details {
    error_code: &'static str,
}

impl SandboxError {
    /// The error of a status, with the type that upstream gives it.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, kind: kind(status), message: message.into(), code: None, retry_after: None }
    }

    /// A request that cannot be understood.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// The overload that a script calls for, on its own or in the middle of a stream.
    pub(super) fn overloaded() -> Self {
        Self::new(529, "Overloaded (on request: this is the Sluice sandbox)")
    }

    /// The refusal that a script calls for, if it does.
    pub(super) fn scripted(script: &Script) -> Option<Self> {
        if script.has(Flag::SpendLimit) {
            let message = "Spend limit reached (on request: this is the Sluice sandbox)";
            let code = Some("enforced_spend_limit_reached");
            return Some(Self { code, ..Self::new(429, message) });
        }
        if script.has(Flag::CreditLow) {
            return Some(Self::invalid(CREDIT_LOW));
        }
        let status = u16::try_from(script.number(NumberOption::Status)?).ok()?;
        let message = format!("status {status} on request: this is the Sluice sandbox");
        let retry_after = script.number(NumberOption::RetryAfter);
        Some(Self { retry_after, ..Self::new(status, message) })
    }

    /// The JSON of the error.
    pub(super) fn json(&self, request_id: Option<&str>) -> serde_json::Result<String> {
        serde_json::to_string(&ErrorBody { r#type: "error", error: self.detail(), request_id })
    }

    fn detail(&self) -> ErrorDetail<'_> {
        ErrorDetail {
            r#type: self.kind,
            message: &self.message,
            details: self.code.map(|error_code| Details { error_code }),
        }
    }

    /// The error in the shape of relays that give neither the document's type nor an id.
    pub(super) fn bare_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Bare<'a> {
            error: ErrorDetail<'a>,
        }
        serde_json::to_string(&Bare { error: self.detail() })
    }

    /// The answer to `request_id`.
    pub(super) fn response(&self, request_id: &str) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = head(status, request_id);
        if let Some(seconds) = self.retry_after {
            response.insert_header(("retry-after", seconds.to_string()));
        }
        response.content_type("application/json");
        response.body(self.json(Some(request_id)).unwrap_or_default())
    }
}

/// Only a mistake of the sandbox makes an answer that does not serialize.
impl From<serde_json::Error> for SandboxError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(500, format!("a defect of the sandbox: {error}"))
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}
