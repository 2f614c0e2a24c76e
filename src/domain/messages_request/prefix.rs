//! Where a prompt may be cached: keyed hashes of its beginning up to the end of each block, in the
//! order in which an upstream caches (tools, system, messages), and the marks that ask for it.
//! Nothing of the prompt is kept.
//!
//! A mark is not part of what is cached: the next request of a conversation carries it further
//! down.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::span;
use crate::domain::unprintable::unprintable;

/// Blocks that are looked at; a longer prompt is known up to there.
const BLOCKS_MAX: usize = 16_384;
/// Bytes of a block that may be the CLI's header.
const HEADER_BLOCK_MAX: usize = 512;
/// Blocks before a mark in which an upstream looks for what it has cached.
const LOOK_BACK: usize = 20;
/// The first block of the coding CLI's system prompt, which the upstream strips and which differs
/// in each request.
const BILLING_HEADER: &str = "\"x-anthropic-billing-header";

/// The type of a block that is nothing but text, as JSON.
const TEXT: &str = "\"text\"";
/// A cache's lifetime in seconds.
const SHORT_SECS: u64 = 300;
const LONG_SECS: u64 = 3_600;

/// The beginning of a prompt up to the end of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Keyed hash of everything up to here.
    pub hash: u64,
    /// Whether the upstream would find it in its cache.
    pub is_found: bool,
    /// The lifetime in seconds that a mark asks for here.
    pub mark_secs: Option<u64>,
    section: usize,
    end: usize,
}

/// A prompt's beginnings, shortest first.
#[derive(Clone, Debug, Default)]
pub struct PromptPrefix {
    /// One for each block.
    pub beginnings: Vec<Beginning>,
    /// Where tools, system and messages stand in the body.
    sections: [Range<usize>; 3],
}

impl PromptPrefix {
    /// The parts of the body that a beginning covers, in the order of the prompt.
    pub fn covered(&self, beginning: &Beginning) -> impl Iterator<Item = Range<usize>> {
        self.sections.iter().enumerate().filter_map(move |(index, section)| {
            match index.cmp(&beginning.section) {
                std::cmp::Ordering::Less => Some(section.clone()),
                std::cmp::Ordering::Equal => Some(section.start..beginning.end),
                std::cmp::Ordering::Greater => None,
            }
        })
    }

    /// Bytes of the body that a beginning covers.
    #[must_use]
    pub fn bytes(&self, beginning: &Beginning) -> usize {
        self.covered(beginning).map(|part| part.len()).sum()
    }
}

#[derive(Deserialize)]
struct PromptSections<'a> {
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

unprintable!(PromptSections<'static>);

/// The beginnings of a request's prompt; none where it cannot be read. `whose` goes into every
/// hash, so that nothing is ever compared between accounts or models.
pub fn beginnings(body: &[u8], keys: &impl BuildHasher, whose: impl Hash) -> PromptPrefix {
    let Ok(request) = serde_json::from_slice::<PromptSections<'_>>(body) else {
        return PromptPrefix::default();
    };
    let place = |value: Option<&RawValue>| value.map_or(0..0, |value| span(body, value));
    let mut hasher = keys.build_hasher();
    whose.hash(&mut hasher);
    let mut walk = PrefixHasher { body, hasher, section: 0, found: Vec::new() };
    let is_read = walk.section(0, request.tools)
        && walk.section(1, request.system)
        && walk.messages(request.messages);
    if !is_read {
        return PromptPrefix::default();
    }
    let PrefixHasher { mut found, .. } = walk;
    if let (Some(last), Some(mark)) = (found.last_mut(), request.cache_control) {
        last.mark_secs = last.mark_secs.or_else(|| mark_secs(mark));
    }
    // How far behind each beginning the next mark is.
    let mut distance = usize::MAX;
    for beginning in found.iter_mut().rev() {
        distance = if beginning.mark_secs.is_some() { 0 } else { distance.saturating_add(1) };
        beginning.is_found = distance <= LOOK_BACK;
    }
    let sections = [place(request.tools), place(request.system), place(request.messages)];
    PromptPrefix { beginnings: found, sections }
}

struct PrefixHasher<'a, H> {
    body: &'a [u8],
    hasher: H,
    section: usize,
    found: Vec<Beginning>,
}

impl<H: Hasher> PrefixHasher<'_, H> {
    /// A list of blocks, or a text that stands for one. Whether it can be read.
    fn section(&mut self, section: usize, value: Option<&RawValue>) -> bool {
        self.section = section;
        self.hasher.write_usize(section);
        value.is_none_or(|value| self.blocks(value))
    }

    fn messages(&mut self, value: Option<&RawValue>) -> bool {
        self.section = 2;
        self.hasher.write_usize(2);
        let Some(value) = value else { return true };
        each(value, &mut |message| {
            let Some(members) = members(message) else { return false };
            let mut content = None;
            for (name, value) in &members {
                match &**name {
                    "content" => content = Some(*value),
                    _ => self.member(name, value.get()),
                }
            }
            content.is_none_or(|content| self.blocks(content))
        })
    }

    fn blocks(&mut self, value: &RawValue) -> bool {
        if value.get().starts_with('[') {
            each(value, &mut |block| self.block(block))
        } else {
            // A text alone is the same as a list of one block with it: clients write either.
            self.member("text", value.get());
            self.member("type", TEXT);
            self.end(value, None);
            true
        }
    }

    fn block(&mut self, block: &RawValue) -> bool {
        // Nothing behind it is a beginning: it would cover what was not hashed.
        if self.found.len() >= BLOCKS_MAX {
            return false;
        }
        let Some(mut members) = members(block) else {
            self.hasher.write(block.get().as_bytes());
            self.end(block, None);
            return true;
        };
        let is_header = |(name, value): &(Cow<'_, str>, &RawValue)| {
            name == "text" && value.get().starts_with(BILLING_HEADER)
        };
        // A longer one is no header: what is passed over must not be a prompt.
        let is_short = block.get().len() <= HEADER_BLOCK_MAX;
        if self.section == 1 && is_short && members.iter().any(is_header) {
            return true;
        }
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut mark = None;
        for (name, value) in &members {
            match &**name {
                "cache_control" => mark = mark_secs(value),
                _ => self.member(name, value.get()),
            }
        }
        self.end(block, mark);
        true
    }

    fn member(&mut self, name: &str, value: &str) {
        // The length keeps what follows apart.
        for part in [name, value] {
            self.hasher.write_usize(part.len());
            self.hasher.write(part.as_bytes());
        }
    }

    fn end(&mut self, block: &RawValue, mark_secs: Option<u64>) {
        let end = span(self.body, block).end;
        let (hash, section) = (self.hasher.finish(), self.section);
        self.found.push(Beginning { hash, is_found: false, mark_secs, section, end });
    }
}

/// The lifetime that a `cache_control` asks for.
fn mark_secs(value: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct Control<'a> {
        #[serde(borrow, default)]
        ttl: Option<Cow<'a, str>>,
    }
    let control: Option<Control<'_>> = serde_json::from_str(value.get()).ok()?;
    let is_long = control?.ttl.is_some_and(|ttl| ttl == "1h");
    Some(if is_long { LONG_SECS } else { SHORT_SECS })
}

/// Calls `work` with each entry of a list until it says no; whether it never did and the list can
/// be read.
fn each(list: &RawValue, work: &mut dyn FnMut(&RawValue) -> bool) -> bool {
    struct Each<'w>(&'w mut dyn FnMut(&RawValue) -> bool);
    impl<'de> Visitor<'de> for Each<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while let Some(item) = items.next_element::<&'de RawValue>()? {
                if !(self.0)(item) {
                    return Err(A::Error::custom("an entry cannot be read"));
                }
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Each(work)).is_ok()
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The members of an object, in their order.
fn members(object: &RawValue) -> Option<Members<'_>> {
    struct MembersVisitor;
    impl<'de> Visitor<'de> for MembersVisitor {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((super::blocks::JsonText(name), value)) = map.next_entry()? {
                members.push((name, value));
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(object.get()).deserialize_map(MembersVisitor).ok()
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    fn read(keys: &RandomState, body: &str) -> PromptPrefix {
        beginnings(body.as_bytes(), keys, 1_u8)
    }

    fn hashes(prefix: &PromptPrefix) -> Vec<u64> {
        prefix.beginnings.iter().map(|beginning| beginning.hash).collect()
    }

    const FIRST: &str = r#"{"model":"m","messages":[{"role":"user","content":[
        {"type":"text","text":"one"},{"type":"text","text":"two",
        "cache_control":{"type":"ephemeral"}}]}],
        "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1"},
        {"type":"text","text":"be kind","cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "tools":[{"name":"t","input_schema":{}}]}"#;

    #[test]
    fn a_header_that_is_long_is_part_of_the_prompt() {
        let keys = RandomState::new();
        let with = |header: &str| {
            read(
                &keys,
                &format!(
                    r#"{{"system":[{{"text":"x-anthropic-billing-header: {header}"}},
                        {{"text":"be kind"}}]}}"#
                ),
            )
        };
        assert_eq!(hashes(&with("a")), hashes(&with("b")));
        let (one, other) = (with(&"a".repeat(1_000)), with(&"b".repeat(1_000)));
        assert_eq!(one.beginnings.len(), 2);
        assert_ne!(hashes(&one), hashes(&other));
    }

    #[test]
    fn a_prompt_of_too_many_blocks_has_no_beginnings() {
        let body = format!(r#"{{"system":[{}1],"messages":[]}}"#, "1,".repeat(BLOCKS_MAX));
        assert!(read(&RandomState::new(), &body).beginnings.is_empty());
    }

    #[test]
    fn the_next_request_of_a_conversation_begins_with_the_last_one_wherever_its_marks_stand() {
        let keys = RandomState::new();
        let next = r#"{"tools":[{"name":"t","input_schema":{}}],
            "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2"},
            {"cache_control":{"type":"ephemeral","ttl":"1h"},"type":"text","text":"be kind"}],
            "messages":[{"role":"user","content":[{"type":"text","text":"one"},{"type":"text",
            "text":"two"}]},
            {"role":"assistant","content":"three"},
            {"role":"user","content":[{"type":"text","text":"four",
            "cache_control":{"type":"ephemeral"}}]}]}"#;
        let (first, next) = (read(&keys, FIRST), read(&keys, next));
        assert_eq!(first.beginnings.len(), 4);
        assert_eq!(next.beginnings.len(), 6);
        assert_eq!(hashes(&first), hashes(&next)[..4]);
        let marks = |prefix: &PromptPrefix| {
            prefix.beginnings.iter().map(|beginning| beginning.mark_secs).collect::<Vec<_>>()
        };
        assert_eq!(marks(&first), [None, Some(3_600), None, Some(300)]);
        assert_eq!(marks(&next), [None, Some(3_600), None, None, None, Some(300)]);
    }

    #[test]
    fn a_text_alone_is_the_same_as_a_block_with_it() {
        let keys = RandomState::new();
        let body =
            |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        let alone = hashes(&read(&keys, &body(r#""a\nb""#)));
        for block in [
            r#"[{"type":"text","text":"a\nb"}]"#,
            r#"[{"text":"a\nb","cache_control":{"type":"ephemeral"},"type":"text"}]"#,
        ] {
            assert_eq!(hashes(&read(&keys, &body(block))), alone, "{block}");
        }
        assert_ne!(hashes(&read(&keys, &body(r#"[{"type":"other","text":"a\nb"}]"#))), alone);
    }

    #[test]
    fn a_beginning_covers_the_sections_before_it_and_its_own_up_to_its_block() {
        let keys = RandomState::new();
        let prefix = read(&keys, FIRST);
        let text = |index: usize| -> Vec<&str> {
            prefix.covered(&prefix.beginnings[index]).map(|part| FIRST.get(part).unwrap()).collect()
        };
        assert_eq!(text(0), [r#"[{"name":"t","input_schema":{}}"#]);
        assert!(text(1)[1].ends_with(r#""ttl":"1h"}}"#));
        assert!(text(2)[2].ends_with(r#""text":"one"}"#) && text(2).len() == 3);
        let bytes: usize = text(2).iter().map(|part| part.len()).sum();
        assert_eq!(prefix.bytes(&prefix.beginnings[2]), bytes);
    }

    #[test]
    fn any_difference_before_a_block_or_of_whose_it_is_gives_another_hash() {
        let keys = RandomState::new();
        let body = |tools: &str, system: &str, role: &str| {
            format!(
                r#"{{"tools":[{tools}],"system":"{system}","messages":[{{"role":"{role}",
                    "content":"x"}}]}}"#
            )
        };
        let last = |body: &str| *hashes(&read(&keys, body)).last().unwrap();
        let own = last(&body("{}", "s", "user"));
        for other in
            [body(r#"{"a":1}"#, "s", "user"), body("{}", "t", "user"), body("{}", "s", "assistant")]
        {
            assert_ne!(last(&other), own, "{other}");
        }
        let same = body("{}", "s", "user");
        let of_another = beginnings(same.as_bytes(), &keys, 2_u8);
        assert_ne!(of_another.beginnings.last().unwrap().hash, own);
        assert_ne!(hashes(&read(&RandomState::new(), &same)).last(), Some(&own));
    }

    #[test]
    fn what_lies_too_far_before_a_mark_or_behind_the_last_is_not_found() {
        let block = |mark: bool| {
            if mark { r#"{"a":1,"cache_control":{"type":"ephemeral"}}"# } else { r#"{"a":1}"# }
        };
        let blocks: Vec<&str> = (0..30).map(|index| block(index == 25)).collect();
        let body = format!(r#"{{"messages":[{{"content":[{}]}}]}}"#, blocks.join(","));
        let prefix = read(&RandomState::new(), &body);
        let found: Vec<usize> = (0..30).filter(|&at| prefix.beginnings[at].is_found).collect();
        assert_eq!(found, (5..=25).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_read_has_no_beginnings() {
        let keys = RandomState::new();
        for body in
            ["", "[]", r#"{"messages":5,"tools":"#, r#"{"messages":[5]}"#, r#"{"tools":{}}"#]
        {
            let prefix = read(&keys, body);
            assert!(prefix.beginnings.is_empty() || body.contains("tools\":{}"), "{body}");
        }
        let all = read(&keys, r#"{"messages":[],"cache_control":{"type":"ephemeral"}}"#);
        assert!(all.beginnings.is_empty());
        let automatic = r#"{"messages":[{"content":"x"}],"cache_control":{"type":"ephemeral"}}"#;
        assert_eq!(read(&keys, automatic).beginnings[0].mark_secs, Some(300));
    }
}
