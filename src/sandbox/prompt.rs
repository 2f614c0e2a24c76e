//! A prompt as prompt caches see it: blocks in the order tools, system, messages, each with the
//! hash of all up to it and the mark that it may carry.
//!
//! Two spellings of one prompt are one prompt: a string and its only block of text, members in any
//! order, marks that came or went.

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::refusal::SandboxError;
use super::script::CacheTtl;
use super::usage::BYTES_PER_TOKEN;

/// Upstream strips a system block that begins so: it names the client's version.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

const MARKS_MAX: usize = 4;

/// The hash of a prefix.
pub(super) type Prefix = [u8; 32];

/// One block of a prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct PromptPart {
    /// Hash of model and blocks up to this one.
    pub(super) prefix: Prefix,
    /// Tokens up to and with this one.
    pub(super) tokens: u64,
    /// Whether it is to be cached up to here, and for how long.
    pub(super) mark: Option<CacheTtl>,
}

/// All blocks of a prompt.
#[derive(Debug)]
pub(super) struct Prompt {
    parts: Vec<PromptPart>,
    tokens: u64,
}

#[derive(Debug, Deserialize)]
struct PromptBody {
    #[serde(default)]
    model: String,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    system: Value,
    messages: Vec<Map<String, Value>>,
    #[serde(default)]
    thinking: Value,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    cache_control: Value,
}

impl Prompt {
    /// Reads the prompt of a body.
    ///
    /// # Errors
    /// A 400 where it is none, or where it is marked as no prompt may be.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SandboxError> {
        let body: PromptBody = serde_json::from_slice(bytes).map_err(|error| {
            SandboxError::invalid(format!("the body is not a request: {error}"))
        })?;
        let mut reader = PromptReader::new(&body.model);
        for tool in body.tools.unwrap_or_default() {
            reader.block("", tool)?;
        }
        for block in blocks(body.system) {
            let text = block.get("text").and_then(Value::as_str);
            if !text.is_some_and(|text| text.starts_with(BILLING_HEADER)) {
                reader.block("", block)?;
            }
        }
        // These change how messages are read, and nothing before them.
        reader.hash(&[body.thinking, body.tool_choice])?;
        for mut message in body.messages {
            let content = message.remove("content").unwrap_or_default();
            let head = serde_json::to_string(&message)?;
            reader.bytes = reader.bytes.saturating_add(head.len());
            for block in blocks(content) {
                reader.block(&head, block)?;
            }
        }
        reader.finish(&body.cache_control)
    }

    /// Tokens of the whole.
    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Its blocks in order.
    pub(super) fn parts(&self) -> &[PromptPart] {
        &self.parts
    }
}

/// The blocks of a content or of a system prompt; a string is one block of text.
fn blocks(content: Value) -> Vec<Value> {
    match content {
        Value::Array(blocks) => blocks,
        Value::String(text) => vec![serde_json::json!({ "type": "text", "text": text })],
        _ => Vec::new(),
    }
}

struct PromptReader {
    hash: Sha256,
    bytes: usize,
    parts: Vec<PromptPart>,
}

impl PromptReader {
    fn new(model: &str) -> Self {
        Self { hash: Sha256::new_with_prefix(model), bytes: 0, parts: Vec::new() }
    }

    fn hash(&mut self, values: &[Value]) -> Result<(), SandboxError> {
        self.hash.update(serde_json::to_vec(values)?);
        Ok(())
    }

    /// A block of the message `head`; members of a JSON map are in the order of their names.
    fn block(&mut self, head: &str, mut block: Value) -> Result<(), SandboxError> {
        let mark = block.as_object_mut().and_then(|block| block.remove("cache_control"));
        let text = serde_json::to_string(&block)?;
        self.hash.update(head);
        self.hash.update(text.len().to_be_bytes());
        self.hash.update(&text);
        self.bytes = self.bytes.saturating_add(text.len());
        let prefix = self.hash.clone().finalize().into();
        let mark = mark.as_ref().and_then(ttl);
        self.parts.push(PromptPart { prefix, tokens: tokens(self.bytes), mark });
        Ok(())
    }

    /// A mark of the whole request is one on its last block.
    fn finish(mut self, automatic: &Value) -> Result<Prompt, SandboxError> {
        if let Some(last) = self.parts.last_mut() {
            last.mark = last.mark.or_else(|| ttl(automatic));
        }
        let marks: Vec<CacheTtl> = self.parts.iter().filter_map(|part| part.mark).collect();
        if marks.len() > MARKS_MAX {
            return Err(SandboxError::invalid(format!(
                "A maximum of {MARKS_MAX} blocks with cache_control may be provided. Found {}.",
                marks.len()
            )));
        }
        let pairs = marks.iter().zip(marks.iter().skip(1));
        if pairs.into_iter().any(|pair| pair == (&CacheTtl::FiveMinutes, &CacheTtl::OneHour)) {
            let order = "a ttl='1h' cache_control block must not come after a ttl='5m' block";
            return Err(SandboxError::invalid(order));
        }
        Ok(Prompt { tokens: tokens(self.bytes), parts: self.parts })
    }
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN)
}

/// The lifetime that a `cache_control` member asks for.
fn ttl(mark: &Value) -> Option<CacheTtl> {
    let mark = mark.as_object()?;
    Some(match mark.get("ttl").and_then(Value::as_str) {
        Some("1h") => CacheTtl::OneHour,
        _ => CacheTtl::FiveMinutes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Prompt {
        Prompt::parse(body.to_string().as_bytes()).expect("a prompt")
    }

    fn prefixes(body: &Value) -> Vec<Prefix> {
        parse(body).parts.iter().map(|part| part.prefix).collect()
    }

    fn body(content: &Value) -> Value {
        json!({
            "model": "m",
            "tools": [{ "name": "t" }],
            "system": [{ "type": "text", "text": "s" }],
            "messages": [{ "role": "user", "content": content }],
        })
    }

    #[test]
    fn a_string_is_its_block_of_text_and_a_mark_is_no_part_of_it() {
        let string = body(&json!("hello"));
        let marked =
            json!([{ "text": "hello", "cache_control": { "type": "ephemeral" }, "type": "text" }]);
        assert_eq!(prefixes(&string), prefixes(&body(&marked)));
        assert_eq!(parse(&string).tokens(), parse(&body(&marked)).tokens());
        assert_ne!(prefixes(&string), prefixes(&body(&json!("hellp"))));
    }

    #[test]
    fn order_is_tools_then_system_then_messages_whatever_the_body_says() {
        let parts = prefixes(&body(&json!("hello")));
        assert_eq!(parts.len(), 3);
        let mut other = body(&json!("hello"));
        other["system"][0]["text"] = json!("z");
        let other = prefixes(&other);
        assert_eq!(other[0], parts[0]);
        assert_ne!(other[1..], parts[1..]);
    }

    #[test]
    fn what_changes_how_messages_are_read_leaves_tools_and_system_alone() {
        let mut other = body(&json!("hello"));
        other["thinking"] = json!({ "type": "adaptive" });
        assert_eq!(prefixes(&other)[..2], prefixes(&body(&json!("hello")))[..2]);
        assert_ne!(prefixes(&other)[2], prefixes(&body(&json!("hello")))[2]);
        other = body(&json!("hello"));
        other["messages"][0]["role"] = json!("assistant");
        assert_ne!(prefixes(&other)[2], prefixes(&body(&json!("hello")))[2]);
        other["model"] = json!("n");
        assert_ne!(prefixes(&other)[0], prefixes(&body(&json!("hello")))[0]);
    }

    #[test]
    fn the_clients_version_is_no_part_of_a_prompt() {
        let mut other = body(&json!("hello"));
        let version = json!({ "type": "text", "text": "x-anthropic-billing-header: cc_version=2" });
        other["system"].as_array_mut().unwrap().insert(0, version);
        assert_eq!(prefixes(&other), prefixes(&body(&json!("hello"))));
        assert_eq!(parse(&other).tokens(), parse(&body(&json!("hello"))).tokens());
    }

    #[test]
    fn marks_are_few_and_the_longer_ones_come_first() {
        let block =
            |ttl: &str| json!({ "type": "text", "text": "t", "cache_control": { "ttl": ttl } });
        let marked = |ttls: &[&str]| {
            let blocks: Vec<Value> = ttls.iter().map(|ttl| block(ttl)).collect();
            Prompt::parse(body(&json!(blocks)).to_string().as_bytes())
        };
        assert!(marked(&["1h", "1h", "5m", "5m"]).is_ok());
        assert!(marked(&["5m", "1h"]).is_err());
        assert!(marked(&["5m"; 5]).is_err());
        let mut automatic = body(&json!("hello"));
        automatic["cache_control"] = json!({ "type": "ephemeral" });
        let marks: Vec<_> = parse(&automatic).parts.iter().map(|part| part.mark).collect();
        assert_eq!(marks, [None, None, Some(CacheTtl::FiveMinutes)]);
    }
}
