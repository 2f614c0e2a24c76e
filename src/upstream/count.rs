//! The upstream's own count of a prompt, which it gives for nothing.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::UpstreamRequest;
use super::client::UpstreamClient;
use crate::domain::unprintable::unprintable;

/// The answer is one number.
const ANSWER_BYTES: usize = 65_536;

/// The fields of a request for messages that its count takes; any other is refused.
#[derive(Deserialize)]
struct Counted<'a> {
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

unprintable!(Counted<'static>);

/// The request for the count of a request's prompt; `None` where it has no messages.
#[must_use]
pub fn counting(request: &UpstreamRequest) -> Option<UpstreamRequest> {
    let fields: Counted<'_> = serde_json::from_slice(&request.body).ok()?;
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

/// What an upstream counts, if it does. Says nothing of the upstream's health: it need not offer this at all.
pub async fn count_tokens(client: &UpstreamClient, request: &UpstreamRequest) -> Option<u64> {
    let answer = client.send(request).await.ok()?;
    answer.check(false).ok()?;
    input_tokens(&answer.read_short(ANSWER_BYTES).await)
}

/// The number in an answer to `count_tokens`; `None` where it has none.
#[must_use]
pub fn input_tokens(answer: &Bytes) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(answer).ok()?.get("input_tokens")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_its_prompt_alone() {
        let body = r#"{"max_tokens":9,"model":"m","stream":true,"system":"s","messages":[1],"metadata":{},"tools":[]}"#;
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

    #[test]
    fn an_answer_without_a_whole_number_is_no_count() {
        let read = |text: &'static str| input_tokens(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read(r#"{"input_tokens":7,"context_management":null}"#), Some(7));
        for bad in ["", "{}", r#"{"input_tokens":"7"}"#, r#"{"input_tokens":-1}"#, "[7]"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
