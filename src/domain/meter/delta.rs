//! How much of an answer a delta event carries, complete or not: the bytes of every string in its
//! `delta` but the type, unescaped and by class. Hand-made, since it runs for every event and needs
//! no tree.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::domain::byte_counts::{ByteCounter, ByteCounts};

/// Made once: a finder costs more to make than to use on an event.
static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\""));

/// Bytes of content in the data of a `content_block_delta`, of whatever kind the delta is.
pub(super) fn delivered_bytes(data: &[u8]) -> ByteCounts {
    count(data, false)
}

/// The same for data that has not come to its end: never more than the whole will have.
pub(super) fn delivered_so_far(data: &[u8]) -> ByteCounts {
    count(data, true)
}

/// Whether data that has not come to its end, of an event without a name, is a delta's: by its
/// type, or where that is still to come, by what it has.
pub(super) fn is_delta(data: &[u8]) -> bool {
    let Some(head) = DELTA.find(data).and_then(|at| data.get(..at)) else { return false };
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    has(b"\"content_block_delta\"") || !has(b"\"type\"")
}

fn count(data: &[u8], is_open: bool) -> ByteCounts {
    let mut total = ByteCounts::default();
    let Some(at) = DELTA.find(data) else { return total };
    let mut rest = data.get(at.saturating_add(7)..).unwrap_or_default();
    let mut key = DeltaKey::Other;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let before = rest.get(..quote).unwrap_or_default();
        let inside = rest.get(quote.saturating_add(1)..).unwrap_or_default();
        let (text, behind) = split_string(inside);
        rest = behind;
        let follows = behind.iter().find(|byte| !byte.is_ascii_whitespace());
        if is_open && follows.is_none() && !is_value_behind(before) {
            // It may become a key.
            break;
        }
        let is_key = follows == Some(&b':');
        if is_key {
            key = if text == b"type" { DeltaKey::Type } else { DeltaKey::Other };
        } else if key == DeltaKey::Other {
            total = total.plus(&unescaped(text));
        } else {
            key = DeltaKey::Other;
        }
    }
    total
}

/// Whether a string behind these bytes is a value for certain.
fn is_value_behind(before: &[u8]) -> bool {
    let last = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    matches!(last, Some(b':' | b'['))
}

#[derive(PartialEq, Eq)]
enum DeltaKey {
    Type,
    Other,
}

/// Splits behind the closing quote: the text as it is written, and the rest.
fn split_string(input: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0_usize;
    loop {
        let ahead = input.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', ahead) else { return (input, &[]) };
        at = at.saturating_add(found);
        if input.get(at) == Some(&b'"') {
            let (text, behind) = input.split_at(at);
            return (text, behind.get(1..).unwrap_or_default());
        }
        at = at.saturating_add(2);
    }
}

/// The classes of a string's bytes without its escapes.
fn unescaped(text: &[u8]) -> ByteCounts {
    let mut counter = ByteCounter::default();
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        counter.feed(plain);
        // `\n` is one byte of content; `\uXXXX` at most three, and three is what most need.
        let (content, len): (&[u8], usize) = match escape.get(1) {
            Some(b'u') => ("漢".as_bytes(), 6),
            Some(b'n' | b't' | b'r') => (b"\n", 2),
            Some(other) => (std::slice::from_ref(other), 2),
            None => (b"", 1),
        };
        let is_whole = escape.len() >= len;
        counter.feed(if is_whole { content } else { content.get(..1).unwrap_or_default() });
        rest = escape.get(len..).unwrap_or_default();
    }
    counter.feed(rest);
    counter.counts()
}

#[cfg(test)]
mod tests {
    use super::{delivered_bytes, delivered_so_far, is_delta};

    #[test]
    fn every_kind_of_delta_counts_and_its_frame_does_not() {
        let count = |delta: &str| {
            let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
            delivered_bytes(data.as_bytes()).total()
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
    fn an_unfinished_delta_counts_for_what_has_come_and_never_for_more_than_the_whole() {
        let deltas = [
            r#"{"type":"text_delta","text":"Hello"}"#,
            r#"{ "text" : "Hel\"lo" , "type" : "text_delta" }"#,
            r#"{"type":"input_json_delta","partial_json":"{\"a\":\"\u6f22\\n"}"#,
            r#"{"type":"future_delta","anything":["ab","c"],"more":{"x":"y"}}"#,
        ];
        for delta in deltas {
            let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#);
            let whole = delivered_bytes(data.as_bytes()).total();
            for end in 0..=data.len() {
                let so_far = delivered_so_far(&data.as_bytes()[..end]).total();
                assert!(so_far <= whole, "{so_far} of {whole} up to {end}: {data}");
            }
            let (without_its_end, _) = data.split_at(data.len() - 1);
            assert_eq!(delivered_so_far(without_its_end.as_bytes()).total(), whole, "{data}");
        }
        let begun = br#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hel"#;
        assert_eq!(delivered_so_far(begun).total(), 3);
        assert!(is_delta(begun));
        assert!(is_delta(br#"{"delta":{"text":"the type comes la"#));
        assert!(!is_delta(br#"{"type":"content_block_del"#));
        assert!(!is_delta(br#"{"type":"content_block_start","delta":{"x":"#));
    }

    #[test]
    fn garbage_is_no_harm() {
        for data in ["", "\"text\":\"ab\"", "\"delta\"", "\"delta\":\"", "\"delta\":\"\\"] {
            assert_eq!(delivered_bytes(data.as_bytes()).total(), 0, "{data}");
            delivered_so_far(data.as_bytes());
        }
        assert_eq!(delivered_bytes(b"\"delta\":\"ab\\u12").total(), 3);
        delivered_so_far(b"\"delta\":\"ab\\u12");
    }
}
