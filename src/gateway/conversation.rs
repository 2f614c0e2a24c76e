//! Which conversation a request belongs to, as coding clients say it in headers or in the body. It
//! decides which upstream is asked first, is hashed, and goes no further.

use actix_web::HttpRequest;
use serde::Deserialize;
use serde_json::Value;

use crate::db::api_keys::KeyHolder;
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
struct Body<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<std::borrow::Cow<'a, str>>,
}

/// The conversation that a request names, or else all requests of its key. Where no two upstreams
/// stand in one tier it is not looked for.
pub(super) fn of(
    http: &HttpRequest,
    body: &[u8],
    holder: &KeyHolder,
    upstreams: &[UpstreamClient],
) -> Conversation {
    let account = holder.account_id;
    let of_key = || Conversation::new(account, &[&holder.api_key_id.0.to_le_bytes()]);
    if !has_shared_tier(upstreams) {
        return of_key();
    }
    let header = |name: &str| {
        let value = http.headers().get(name)?.as_bytes();
        (!value.is_empty() && value.len() <= NAME_BYTES_MAX).then_some(value)
    };
    let agent = header(AGENT).unwrap_or_default();
    let [first, others @ ..] = HEADERS;
    if let Some(session) = header(first) {
        return Conversation::new(account, &[session, agent]);
    }
    if let Some(session) = session_of(body) {
        return Conversation::new(account, &[session.as_bytes(), agent]);
    }
    match others.iter().find_map(|name| header(name)) {
        Some(session) => Conversation::new(account, &[session, agent]),
        None => of_key(),
    }
}

/// The session in `metadata.user_id`: JSON with a `session_id`, or what stands behind `_session_`.
fn session_of(body: &[u8]) -> Option<String> {
    let user_id = serde_json::from_slice::<Body<'_>>(body).ok()?.metadata?.user_id?;
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
