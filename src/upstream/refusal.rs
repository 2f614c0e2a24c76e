//! What an upstream's refusal means: the client's own fault, a passing state of the upstream, or
//! something about the operator's credential that the client must not hear of.

use crate::domain::unprintable::unprintable;
use actix_web::http::StatusCode;
use serde_json::Value;

/// A refusal, sorted.
pub enum Refusal {
    /// The operator's credential or credit was refused (E13).
    Credential,
    /// The client's request was refused; the words help it and go to it alone (E2).
    Request {
        /// `error.type`
        kind: String,
        /// `error.message`
        message: String,
        /// `error.details`
        details: Option<Value>,
    },
    /// 403: the client may not do this, or the operator's credential may not. Who, a single one
    /// does not tell; see [`super::Upstream::sort`].
    Forbidden,
    /// Anything else: same status, our own words (E2).
    Other,
}

unprintable!(Refusal);

/// Whether the error of a stream that has begun is about the operator's credential, credit or
/// rights: the client can do nothing about those, and should not hear of them. An upstream checks
/// a client's own rights before it begins.
#[must_use]
pub fn is_operators(event: &[u8]) -> bool {
    let (error, kind) = error_of(event);
    kind == "permission_error" || is_credential(&error, &kind)
}

/// The error of a document or event, and its type.
fn error_of(body: &[u8]) -> (Value, String) {
    let error = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|document| document.get("error").cloned())
        .unwrap_or_default();
    let kind = error.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    (error, kind)
}

fn is_credential(error: &Value, kind: &str) -> bool {
    let code = error.pointer("/details/error_code").and_then(Value::as_str).unwrap_or_default();
    matches!(kind, "authentication_error" | "billing_error")
        || code == "enforced_spend_limit_reached"
}

/// Sorts a refusal by its status and body.
#[must_use]
pub fn sort(status: StatusCode, body: &[u8]) -> Refusal {
    let (error, kind) = error_of(body);
    if matches!(status.as_u16(), 401 | 402) || is_credential(&error, &kind) {
        return Refusal::Credential;
    }
    let message = error.get("message").and_then(Value::as_str);
    match (status.as_u16(), message) {
        (400 | 404 | 413 | 422, Some(message)) if !kind.is_empty() => Refusal::Request {
            kind,
            message: message.to_owned(),
            details: error.get("details").filter(|details| !details.is_null()).cloned(),
        },
        (403, _) => Refusal::Forbidden,
        _ => Refusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str) -> &'static str {
        match sort(StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
            Refusal::Credential => "credential",
            Refusal::Request { .. } => "request",
            Refusal::Forbidden => "forbidden",
            Refusal::Other => "other",
        }
    }

    #[test]
    fn e13_what_concerns_the_operators_credential_is_told_from_the_clients_fault() {
        let body = |kind: &str| format!(r#"{{"error":{{"type":"{kind}","message":"m"}}}}"#);
        assert_eq!(sorted(401, ""), "credential");
        assert_eq!(sorted(402, "{}"), "credential");
        assert_eq!(sorted(400, &body("billing_error")), "credential");
        let spent = r#"{"error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
        assert_eq!(sorted(429, spent), "credential");
        assert_eq!(sorted(429, &body("rate_limit_error")), "other");
        assert_eq!(sorted(403, &body("permission_error")), "forbidden");
        assert_eq!(sorted(403, &body("authentication_error")), "credential");
        assert_eq!(sorted(400, &body("invalid_request_error")), "request");
        assert_eq!(sorted(413, "<html>too large</html>"), "other");
        assert_eq!(sorted(529, &body("overloaded_error")), "other");
    }
}
