//! What an event is that does not say so by its name.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The `type` of an event that came without a name. A document with an `error` and no type is one.
pub(super) fn type_of(data: &[u8]) -> &'static [u8] {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    const KNOWN: [&str; 8] = [
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "message_start",
        "message_delta",
        "message_stop",
        "error",
        "ping",
    ];
    let Ok(typed) = serde_json::from_slice::<Typed<'_>>(data) else { return b"" };
    let known = typed.kind.and_then(|kind| KNOWN.iter().find(|known| **known == kind));
    match known {
        Some(known) => known.as_bytes(),
        None if typed.error.is_some() => b"error",
        None => b"",
    }
}
