//! How much of an answer a delta event carries: the bytes of every string in its `delta` but the
//! type, unescaped. Hand-made, since it runs for every event and needs no tree.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Made once: a finder costs more to make than to use on an event.
static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\""));

/// Bytes of content in the data of a `content_block_delta`, of whatever kind the delta is.
pub(super) fn delivered_bytes(data: &[u8]) -> u64 {
    let Some(at) = DELTA.find(data) else { return 0 };
    let mut rest = data.get(at.saturating_add(7)..).unwrap_or_default();
    let mut total = 0_u64;
    let mut key = Key::Other;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let inside = rest.get(quote.saturating_add(1)..).unwrap_or_default();
        let (text, len, behind) = read_string(inside);
        rest = behind;
        let is_key = behind.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if is_key {
            key = if text == b"type" { Key::Type } else { Key::Other };
        } else if key == Key::Other {
            total = total.saturating_add(len);
        } else {
            key = Key::Other;
        }
    }
    total
}

#[derive(PartialEq, Eq)]
enum Key {
    Type,
    Other,
}

/// Splits behind the closing quote: the raw text, its length unescaped, and the rest.
fn read_string(input: &[u8]) -> (&[u8], u64, &[u8]) {
    let mut at = 0_usize;
    let mut escaped_away = 0_usize;
    loop {
        let ahead = input.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', ahead) else {
            return (input, length(input.len(), escaped_away), &[]);
        };
        at = at.saturating_add(found);
        if input.get(at) == Some(&b'"') {
            let (text, behind) = input.split_at(at);
            return (text, length(at, escaped_away), behind.get(1..).unwrap_or_default());
        }
        let is_unicode = input.get(at.saturating_add(1)) == Some(&b'u');
        // `\n` is one byte of content; `\uXXXX` at most three, and three is what most need.
        let (skip, away) = if is_unicode { (6, 3) } else { (2, 1) };
        at = at.saturating_add(skip);
        escaped_away = escaped_away.saturating_add(away);
    }
}

fn length(raw: usize, escaped_away: usize) -> u64 {
    u64::try_from(raw.saturating_sub(escaped_away)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::delivered_bytes;

    #[test]
    fn every_kind_of_delta_counts_and_its_frame_does_not() {
        let count = |delta: &str| {
            let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
            delivered_bytes(data.as_bytes())
        };
        assert_eq!(count(r#"{"type":"text_delta","text":"Hello"}"#), 5);
        assert_eq!(count(r#"{"text":"Hello", "type" : "text_delta"}"#), 5);
        assert_eq!(count(r#"{"type":"thinking_delta","thinking":"a\nb\"c"}"#), 5);
        assert_eq!(count(r#"{"type":"input_json_delta","partial_json":"{\"a\":"}"#), 5);
        assert_eq!(count(r#"{"type":"signature_delta","signature":"abc"}"#), 3);
        assert_eq!(count(r#"{"type":"future_delta","anything":["ab","c"]}"#), 3);
        assert_eq!(count(r#"{"type":"text_delta","text":"é漢\u6f22"}"#), 8);
        assert_eq!(count(r#"{"type":"text_delta","text":""}"#), 0);
    }

    #[test]
    fn garbage_is_no_harm() {
        for data in ["", "\"text\":\"ab\"", "\"delta\"", "\"delta\":\"", "\"delta\":\"\\"] {
            assert_eq!(delivered_bytes(data.as_bytes()), 0, "{data}");
        }
        assert_eq!(delivered_bytes(b"\"delta\":\"ab\\u12"), 3);
    }
}
