//! Content blocks as the wire has them: how one starts, what is added to it, what it is when whole.
//!
//! The whole block is accumulated from the same deltas that a stream sends, so that a JSON answer
//! and a stream cannot differ.

use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;

/// One block of an answer's `content`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<Vec<Citation>>,
        text: String,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Box<RawValue>,
    },
    ServerToolUse {
        id: String,
        name: &'static str,
        input: Box<RawValue>,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<SearchResult>,
    },
    /// Where the words of one model give way to those of the next.
    Fallback {
        from: Hop,
        to: Hop,
        trigger: Trigger,
    },
}

/// A model of a fallback.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hop {
    pub(super) model: String,
}

/// Why a model handed over.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "refusal")]
pub(super) struct Trigger {
    pub(super) category: Option<&'static str>,
}

/// A passage that a text rests on.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "web_search_result_location")]
pub(super) struct Citation {
    pub(super) cited_text: &'static str,
    pub(super) url: &'static str,
    pub(super) title: &'static str,
    pub(super) encrypted_index: &'static str,
}

/// A page that a web search found.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "web_search_result")]
pub(super) struct SearchResult {
    pub(super) url: &'static str,
    pub(super) title: &'static str,
    pub(super) encrypted_content: &'static str,
    pub(super) page_age: Option<&'static str>,
}

/// One addition to a block. Texts are shared: a long stream repeats a few of them.
#[derive(Clone, Debug)]
pub(super) enum BlockDelta {
    Text(Rc<str>),
    Thinking(Rc<str>),
    Signature(Rc<str>),
    InputJson(Rc<str>),
    Citation(Citation),
}

impl BlockDelta {
    /// How many bytes the model is taken to have written for it.
    pub(super) fn written(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking(text) | Self::InputJson(text) => text.len(),
            Self::Signature(_) | Self::Citation(_) => 0,
        }
    }
}

/// A block with its additions in order.
#[derive(Clone, Debug)]
pub(super) struct ContentBlock {
    pub(super) start: Content,
    pub(super) deltas: Vec<BlockDelta>,
}

impl ContentBlock {
    /// The block with all its additions.
    ///
    /// # Errors
    /// Where the pieces of a tool's input do not make JSON together.
    pub(super) fn whole(&self) -> serde_json::Result<Content> {
        let mut content = self.start.clone();
        let mut json = String::new();
        for delta in &self.deltas {
            match (&mut content, delta) {
                (Content::Text { text, .. }, BlockDelta::Text(more)) => text.push_str(more),
                (Content::Text { citations, .. }, BlockDelta::Citation(citation)) => {
                    citations.get_or_insert_default().push(citation.clone());
                }
                (Content::Thinking { thinking, .. }, BlockDelta::Thinking(more)) => {
                    thinking.push_str(more);
                }
                (Content::Thinking { signature, .. }, BlockDelta::Signature(more)) => {
                    signature.push_str(more);
                }
                (_, BlockDelta::InputJson(more)) => json.push_str(more),
                // Nothing composes other pairs; a reader of the stream would ignore them too.
                _ => {}
            }
        }
        if let (false, Content::ToolUse { input, .. } | Content::ServerToolUse { input, .. }) =
            (json.is_empty(), &mut content)
        {
            *input = RawValue::from_string(json)?;
        }
        Ok(content)
    }
}
