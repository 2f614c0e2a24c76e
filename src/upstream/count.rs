//! How many tokens a prompt has, as an upstream counts them: free, so nothing is noted of it.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::UpstreamRequest;
use super::body::{BodyLimits, read_whole};
use super::call::{Answered, UpstreamCall};
use super::client::UpstreamClient;
use super::fault::{Failure, FailureKind};
use super::refusal;
use crate::domain::unprintable::unprintable;

/// The answer is one number.
const ANSWER_BYTES: usize = 65_536;

/// A count as the upstream answered it.
pub struct TokenCount {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// The document.
    pub body: Bytes,
    /// Its head.
    pub headers: HeaderMap,
}

/// The fields of a request for messages that its count takes; any other is refused.
#[derive(Deserialize)]
struct CountRequest<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
}

unprintable!(CountRequest<'static>);

/// The request for the count of a request's prompt; `None` where it has no messages.
#[must_use]
pub fn counting(request: &UpstreamRequest) -> Option<UpstreamRequest> {
    let fields: CountRequest<'_> = serde_json::from_slice(&request.body).ok()?;
    let optional = [
        ("system", fields.system),
        ("tools", fields.tools),
        ("tool_choice", fields.tool_choice),
        ("thinking", fields.thinking),
    ];
    let mut body = BytesMut::with_capacity(request.body.len());
    body.extend_from_slice(b"{\"model\":");
    let model_start = body.len();
    body.extend_from_slice(fields.model.get().as_bytes());
    let model_span = model_start..body.len();
    body.extend_from_slice(b",\"messages\":");
    body.extend_from_slice(fields.messages.get().as_bytes());
    for (name, value) in optional {
        let Some(value) = value else { continue };
        body.extend_from_slice(format!(",\"{name}\":").as_bytes());
        body.extend_from_slice(value.get().as_bytes());
    }
    body.extend_from_slice(b"}");
    let query = request.path_and_query.split_once('?').map(|(_, query)| format!("?{query}"));
    Some(UpstreamRequest {
        path_and_query: format!("/v1/messages/count_tokens{}", query.unwrap_or_default()),
        headers: request.headers.clone(),
        body: body.freeze(),
        model_span,
        model_id: request.model_id.clone(),
    })
}

/// Tokens of a prompt, or nothing if no upstream says so within `limit`. The request's path is that
/// of `count_tokens`, and its body one for it; the call's `is_noted` is false.
pub async fn count_tokens(
    call: &UpstreamCall,
    upstreams: &[UpstreamClient],
    request: &UpstreamRequest,
    limit: Duration,
) -> Option<u64> {
    count(call, upstreams, request, limit).await.ok().map(|count| count.input_tokens)
}

/// The same with the document, for a client that asked for it.
///
/// # Errors
/// The last failure, if no upstream has counted.
pub async fn count(
    call: &UpstreamCall,
    upstreams: &[UpstreamClient],
    request: &UpstreamRequest,
    limit: Duration,
) -> Result<TokenCount, Failure> {
    let latest = Instant::now() + limit;
    call.each(upstreams, async |turn| {
        let (client, deadline) = (turn.client, share(latest, turn.left));
        let mut answer = call.head(turn, request, false, deadline, || None).await?;
        let whole = latest.saturating_duration_since(Instant::now());
        let limits = BodyLimits { bytes: ANSWER_BYTES, idle: whole, whole };
        let body = read_whole(&call.node, &mut answer, limits).await?;
        if let Some(status) = refusal::error_document(&body) {
            return Err(call.refused(client, FailureKind::Refused, status, &body, None));
        }
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        match document.get("input_tokens").and_then(Value::as_u64) {
            Some(input_tokens) => {
                let headers = answer.headers;
                Ok(Answered::certain(TokenCount { input_tokens, body, headers }))
            }
            None => Err(call.unacceptable(client, "a count without a number")),
        }
    })
    .await
}

/// Until when one upstream may be waited for, so that those behind it get as much.
#[must_use]
pub fn share(latest: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1);
    now + latest.saturating_duration_since(now) / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_its_prompt_alone() {
        let body = r#"{"max_tokens":9,"model":"m","stream":true,"system":"s","messages":[1],
            "metadata":{},"tools":[]}"#;
        let request = UpstreamRequest {
            path_and_query: "/v1/messages?beta=true".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
            model_span: 0..0,
            model_id: "m".to_owned(),
        };
        let counting = counting(&request).unwrap();
        let expected = r#"{"model":"m","messages":[1],"system":"s","tools":[]}"#;
        assert_eq!(counting.body, expected.as_bytes());
        assert_eq!(&counting.body[counting.model_span.clone()], br#""m""#);
        assert_eq!(counting.path_and_query, "/v1/messages/count_tokens?beta=true");
        let without = UpstreamRequest { body: Bytes::from_static(b"{}"), ..request };
        assert!(super::counting(&without).is_none());
    }
}
