//! Which conversation a request belongs to, as coding clients say it in headers or in the body. It
//! decides which upstream is asked first, is hashed, and goes no further.

use actix_web::HttpRequest;
use serde::Deserialize;
use serde_json::Value;

use crate::db::models::api_keys::KeyHolder;
use crate::domain::unprintable::unprintable;
use crate::upstream::client::UpstreamClient;
use crate::upstream::order::{Conversation, has_shared_tier};

/// Headers that name a conversation, in the order in which they are believed. The first is the
/// coding CLI's, whose agents share it: each has a prompt, and so a cache, of its own.
const HEADERS: [&str; 6] = [
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "x-session-affinity",
    "x-opencode-session",
];
const AGENT: &str = "x-claude-code-agent-id";
/// A longer name is none.
const NAME_BYTES_MAX: usize = 1024;

/// Of a body, nothing but who asks.
#[derive(Deserialize)]
struct MetadataBody<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<std::borrow::Cow<'a, str>>,
}

/// What the head of a request says of its conversation.
pub(super) struct ConversationNames {
    /// In the coding CLI's own header, which is believed first.
    first: Option<Vec<u8>>,
    /// In one of the others, which are believed behind the body.
    other: Option<Vec<u8>>,
    /// The agent within it.
    agent: Vec<u8>,
}

unprintable!(ConversationNames);

/// The names in a request's head; `None` where nobody asks, since no two upstreams stand in one
/// tier.
pub(super) fn named(http: &HttpRequest, upstreams: &[UpstreamClient]) -> Option<ConversationNames> {
    if !has_shared_tier(upstreams) {
        return None;
    }
    let header = |name: &str| {
        let value = http.headers().get(name)?.as_bytes();
        (!value.is_empty() && value.len() <= NAME_BYTES_MAX).then(|| value.to_vec())
    };
    let [first, others @ ..] = HEADERS;
    Some(ConversationNames {
        first: header(first),
        other: others.iter().find_map(|name| header(name)),
        agent: header(AGENT).unwrap_or_default(),
    })
}

/// The conversation that head and body name, or else all requests of the key.
pub(super) fn of(
    names: Option<ConversationNames>,
    body: &[u8],
    holder: &KeyHolder,
) -> Conversation {
    let account = holder.account_id;
    let session = names.and_then(|ConversationNames { first, other, agent }| {
        let of_body = || session_of(body).map(String::into_bytes);
        Some((first.or_else(of_body).or(other)?, agent))
    });
    match session {
        Some((session, agent)) => Conversation::new(account, &[&session, &agent]),
        None => Conversation::new(account, &[&holder.api_key_id.0.to_le_bytes()]),
    }
}

/// The session in `metadata.user_id`: JSON with a `session_id`, or what stands behind `_session_`.
fn session_of(body: &[u8]) -> Option<String> {
    let user_id = serde_json::from_slice::<MetadataBody<'_>>(body).ok()?.metadata?.user_id?;
    if user_id.len() > NAME_BYTES_MAX {
        return None;
    }
    let document = serde_json::from_str::<Value>(&user_id).ok();
    let named = document.as_ref().and_then(|document| document.get("session_id")?.as_str());
    let old = user_id.rsplit_once("_session_").map(|(_, session)| session);
    named.or(old).filter(|session| !session.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_of_a_body_is_found_in_both_of_its_forms() {
        let of = |user_id: &str| {
            let body = serde_json::json!({ "messages": [], "metadata": { "user_id": user_id } });
            session_of(body.to_string().as_bytes())
        };
        assert_eq!(of(r#"{"device_id":"d","session_id":"s-1"}"#).as_deref(), Some("s-1"));
        assert_eq!(of("user_1_account__session_s-2").as_deref(), Some("s-2"));
        for none in ["", "someone", "{}", r#"{"session_id":7}"#, "user_session_"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(session_of(b"{"), None);
        assert_eq!(session_of(br#"{"metadata":null}"#), None);
        assert_eq!(session_of(br#"{"metadata":{"user_id":null}}"#), None);
    }
}
