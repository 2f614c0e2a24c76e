//! Requests as bytes, and bytes as answers: matched by id, in whatever order they came.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Answers, CallError, CallErrorKind, ProviderError, RpcCall};

/// What a body turned out to be.
#[derive(Debug)]
pub enum Parsed {
    /// One answer for each call, in the order of the calls.
    Answers(Answers),
    /// The provider takes no batches, or none as large.
    BatchRefused,
    /// The provider asks for a pause.
    RateLimited,
}

/// The body of a request. One call goes out as it is, several as a batch; ids count up from
/// `first_id`.
#[must_use]
pub fn encode(calls: &[RpcCall], first_id: u64) -> Vec<u8> {
    let mut requests: Vec<Value> = (first_id..)
        .zip(calls)
        .map(|(id, RpcCall { method, params })| {
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
        })
        .collect();
    let body = match requests.pop() {
        Some(only) if requests.is_empty() => only,
        last => requests.into_iter().chain(last).collect(),
    };
    body.to_string().into_bytes()
}

/// One answer. Fields that are not known are not looked at.
#[derive(Deserialize)]
struct RpcResponse<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    /// `null` is a result like any other, unlike none at all.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D>(from: D) -> Result<Option<&'a RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads the answer to `count` calls whose ids count up from `first_id`.
///
/// # Errors
/// [`ProviderError::BadAnswer`] or [`ProviderError::WrongId`].
pub fn parse(body: &[u8], first_id: u64, count: usize) -> Result<Parsed, ProviderError> {
    let not_json = |_| ProviderError::BadAnswer("an answer that is not JSON-RPC");
    let replies: Vec<RpcResponse<'_>> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(body).map_err(not_json)?
    } else {
        vec![serde_json::from_slice(body).map_err(not_json)?]
    };
    if count > 1
        && let [RpcResponse { error: Some(error), .. }] = replies.as_slice()
    {
        return Ok(match sort(error).kind {
            CallErrorKind::RateLimited => Parsed::RateLimited,
            // Smaller batches are tried first: a limit that is not named may be theirs.
            _ => Parsed::BatchRefused,
        });
    }
    if replies.len() != count {
        return Err(ProviderError::WrongId);
    }
    let mut places: Vec<Option<Result<Box<RawValue>, CallError>>> = Vec::new();
    places.resize_with(count, || None);
    for reply in replies {
        let place = place_of(&reply, first_id, count).and_then(|place| places.get_mut(place));
        let place = place.filter(|place| place.is_none()).ok_or(ProviderError::WrongId)?;
        *place = Some(match (reply.error, reply.result) {
            (Some(error), _) => Err(sort(error)),
            (None, Some(result)) => Ok(result.to_owned()),
            (None, None) => {
                return Err(ProviderError::BadAnswer("an answer without result or error"));
            }
        });
    }
    let answers: Answers = places.into_iter().flatten().collect();
    let is_limited = |answer: &Result<_, CallError>| {
        answer.as_ref().is_err_and(|error| error.kind == CallErrorKind::RateLimited)
    };
    let has_limit = answers.iter().any(is_limited);
    Ok(if has_limit { Parsed::RateLimited } else { Parsed::Answers(answers) })
}

/// Which call it answers. A refusal of the only call may lack its id, as the request may not have
/// been read.
fn place_of(reply: &RpcResponse<'_>, first_id: u64, count: usize) -> Option<usize> {
    let Some(id) = reply.id else { return (count == 1 && reply.error.is_some()).then_some(0) };
    let id: u64 = id.get().parse().ok()?;
    usize::try_from(id.checked_sub(first_id)?).ok()
}

fn sort(error: &RawValue) -> CallError {
    let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    let message = error.get("message").or(Some(&error)).and_then(Value::as_str);
    let data = error.get("data").and_then(Value::as_str);
    CallError::sort(code, message.unwrap_or_default(), data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(body: &str, first_id: u64, count: usize) -> Vec<String> {
        let Parsed::Answers(answers) = parse(body.as_bytes(), first_id, count).unwrap() else {
            panic!("no answers");
        };
        let shown = |answer: &Result<Box<RawValue>, CallError>| match answer {
            Ok(raw) => raw.get().to_owned(),
            Err(error) => format!("{error:?}"),
        };
        answers.iter().map(shown).collect()
    }

    fn refusal(body: &str, count: usize) -> Option<ProviderError> {
        parse(body.as_bytes(), 7, count).err()
    }

    #[test]
    fn calls_have_ids_of_their_own_and_one_is_no_batch() {
        let call = |method| RpcCall::new(method, json!([]));
        let one: Value = serde_json::from_slice(&encode(&[call("a")], 9)).unwrap();
        assert_eq!(one, json!({ "jsonrpc": "2.0", "id": 9, "method": "a", "params": [] }));
        let two: Value = serde_json::from_slice(&encode(&[call("a"), call("b")], 9)).unwrap();
        assert_eq!(two.pointer("/1/id"), Some(&json!(10)));
        assert_eq!(encode(&[], 1), b"[]");
    }

    #[test]
    fn answers_come_in_any_order_and_are_given_in_that_of_the_calls() {
        let body = r#" [{"id":9,"result":null,"x":1},{"id":7,"result":{"a":[1]}},
            {"jsonrpc":"2.0","id":8,"error":{"code":3,"message":"execution reverted",
            "data":"0x"}}]"#;
        let expected = ["{\"a\":[1]}", "CallError { code: 3, kind: Reverted }", "null"];
        assert_eq!(answers(body, 7, 3), expected);
        assert_eq!(answers(r#"{"id":7,"result":"0x1","error":null}"#, 7, 1), ["\"0x1\""]);
    }

    #[test]
    fn answers_to_other_calls_are_no_answers() {
        let wrong = Some(ProviderError::WrongId);
        assert_eq!(refusal(r#"{"id":6,"result":1}"#, 1), wrong);
        assert_eq!(refusal(r#"{"id":8,"result":1}"#, 1), wrong);
        assert_eq!(refusal(r#"{"id":"7","result":1}"#, 1), wrong);
        assert_eq!(refusal(r#"{"result":1}"#, 1), wrong);
        assert_eq!(refusal(r#"[{"id":7,"result":1},{"id":7,"result":1}]"#, 2), wrong);
        assert_eq!(refusal(r#"[{"id":7,"result":1}]"#, 2), wrong);
        assert_eq!(refusal("[]", 2), wrong);
        assert!(matches!(refusal(r#"{"id":7}"#, 1), Some(ProviderError::BadAnswer(_))));
        for body in ["", "<html>", "{", "[1]", "{}x", "\u{0}"] {
            assert!(
                matches!(
                    refusal(body, 1),
                    Some(ProviderError::BadAnswer(_) | ProviderError::WrongId)
                ),
                "{body}"
            );
        }
    }

    #[test]
    fn a_refused_batch_and_a_limit_are_noticed() {
        let kind = |body: &str, count| format!("{:?}", parse(body.as_bytes(), 7, count).unwrap());
        let refused =
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch not allowed"}}"#;
        assert_eq!(kind(refused, 2), "BatchRefused");
        assert_eq!(kind(&format!("[{refused}]"), 2), "BatchRefused");
        let limit =
            r#"{"id":8,"error":{"code":-32007,"message":"50/second request limit reached"}}"#;
        assert_eq!(kind(limit, 2), "RateLimited");
        let unnamed = r#"{"id":8,"error":{"code":-32005,"message":"limit exceeded"}}"#;
        assert_eq!(kind(unnamed, 2), "BatchRefused");
        assert_eq!(kind(&format!(r#"[{{"id":7,"result":1}},{limit}]"#), 2), "RateLimited");
        assert_eq!(answers(r#"{"id":null,"error":"no"}"#, 7, 1).len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(body: Vec<u8>, first_id: u64, count in 0_usize..4) {
            drop(parse(&body, first_id, count));
        }

        #[test]
        fn every_answer_is_found(order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle(),
            first_id in 0..u64::MAX - 20) {
            let replies: Vec<Value> = order.iter().map(|n| json!({ "id": first_id + n,
                "result": n })).collect();
            let body = serde_json::to_string(&replies).unwrap();
            let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
            prop_assert_eq!(answers(&body, first_id, 20), expected);
        }
    }
}
