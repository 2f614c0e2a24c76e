//! Errors as the wire has them: `{"type":"error","error":{"type","message"},"request_id"}`.
//!
//! The words are fixed or made of names and numbers; no cause from inside and no content ever
//! gets into one, except an upstream's words for the very client that asked.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::ids::RequestId;
use super::unprintable::unprintable;

/// What was in the way of a request, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The request itself.
    Request,
    /// The key.
    Key,
    /// The account or the key may not do this.
    Permission,
    /// The account's credit.
    Credit,
    /// A budget of the key.
    KeyBudget,
    /// Requests in a minute.
    Rate,
    /// Requests of the account or the key that are open.
    OpenRequests,
    /// This node has as many requests as it takes.
    NodeFull,
    /// All upstreams have as many requests as they may have.
    UpstreamsFull,
    /// All upstreams are left alone.
    UpstreamsRest,
    /// What an upstream said, or that it did not answer.
    Upstream,
    /// The database does not answer, or the node stops.
    Unavailable,
    /// Something else in this program.
    Internal,
}

impl RefusalReason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Request,
        Self::Key,
        Self::Permission,
        Self::Credit,
        Self::KeyBudget,
        Self::Rate,
        Self::OpenRequests,
        Self::NodeFull,
        Self::UpstreamsFull,
        Self::UpstreamsRest,
        Self::Upstream,
        Self::Unavailable,
        Self::Internal,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Key => "key",
            Self::Permission => "permission",
            Self::Credit => "credit",
            Self::KeyBudget => "key_budget",
            Self::Rate => "rate",
            Self::OpenRequests => "open_requests",
            Self::NodeFull => "node_full",
            Self::UpstreamsFull => "upstreams_full",
            Self::UpstreamsRest => "upstreams_rest",
            Self::Upstream => "upstream",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What a status usually means.
    const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Key,
            402 => Self::Credit,
            403 => Self::Permission,
            429 => Self::Rate,
            502 | 504 => Self::Upstream,
            503 => Self::Unavailable,
            529 => Self::NodeFull,
            500.. => Self::Internal,
            _ => Self::Request,
        }
    }
}

/// One error for a client.
#[derive(Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// What was in the way.
    pub reason: RefusalReason,
    /// `error.type`
    pub kind: Cow<'static, str>,
    /// `error.message`
    pub message: Cow<'static, str>,
    /// `error.details`
    pub details: Option<Value>,
    /// Seconds for `retry-after`.
    pub retry_after_secs: Option<u64>,
}

unprintable!(ApiError);

impl ApiError {
    /// An error with that status and type.
    #[must_use]
    pub fn new(status: u16, kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: RefusalReason::of_status(status),
            kind: Cow::Borrowed(kind),
            message: message.into(),
            details: None,
            retry_after_secs: None,
        }
    }

    /// The same error for another reason than its status says.
    #[must_use]
    pub fn because(self, reason: RefusalReason) -> Self {
        Self { reason, ..self }
    }

    /// 400.
    #[must_use]
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 401.
    #[must_use]
    pub fn authentication(message: &'static str) -> Self {
        Self::new(401, "authentication_error", message)
    }

    /// 402: the credit or a budget does not cover the request.
    #[must_use]
    pub fn billing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(402, "billing_error", message)
    }

    /// 404.
    #[must_use]
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, "not_found_error", message)
    }

    /// 429.
    #[must_use]
    pub fn rate_limit(message: &'static str, retry_after_secs: u64) -> Self {
        let error = Self::new(429, "rate_limit_error", message);
        Self { retry_after_secs: Some(retry_after_secs), ..error }
    }

    /// 503 with `api_error`: ours to mend, worth trying again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(503, "api_error", "The service is temporarily unavailable. Please try again.")
    }

    /// 502: what came from upstream cannot be relayed.
    #[must_use]
    pub fn bad_gateway() -> Self {
        Self::new(502, "api_error", "The upstream was unreachable or sent an invalid response.")
    }

    /// 504.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(504, "timeout_error", "The upstream did not respond in time.")
    }

    /// The type that the wire has for a status, for refusals told in our own words.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        let (kind, message) = match status {
            400 => ("invalid_request_error", "The upstream rejected the request as invalid."),
            403 => ("permission_error", "The upstream does not permit this request."),
            404 => ("not_found_error", "The upstream did not find the requested resource."),
            408 | 504 => ("timeout_error", "The upstream timed out."),
            409 => ("conflict_error", "The upstream reports a conflict."),
            413 => ("request_too_large", "The request is too large for the upstream."),
            429 => ("rate_limit_error", "The upstream's rate limit was reached. Please try again."),
            529 => ("overloaded_error", "The upstream is overloaded. Please try again."),
            401 | 402 | 405..=407 | 410..=412 | 414..=428 | 430..=499 => {
                ("invalid_request_error", "The upstream rejected the request.")
            }
            _ => ("api_error", "The upstream failed to respond. Please try again."),
        };
        Self::new(status, kind, message).because(RefusalReason::Upstream)
    }

    /// The JSON document.
    #[must_use]
    pub fn to_json(&self, request_id: &RequestId) -> Value {
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let (Some(details), Some(error)) = (&self.details, error.as_object_mut()) {
            error.insert("details".to_owned(), details.clone());
        }
        json!({ "type": "error", "error": error, "request_id": request_id.as_str() })
    }

    /// The event with which a stream ends that has begun already.
    #[must_use]
    pub fn to_event(&self, request_id: &RequestId) -> String {
        format!("event: error\ndata: {}\n\n", self.to_json(request_id))
    }
}
