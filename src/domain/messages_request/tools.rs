//! The `tools` and `fallbacks` of a request: their types, models and limits.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RequestError;
use super::blocks::Blocks;

/// A tool that carries a type of its own: run by the upstream, or typed and run by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// `type`, such as `web_search_20250305`.
    pub kind: String,
    /// `max_uses`.
    pub max_uses: Option<u64>,
    /// A model that the tool runs by itself.
    pub model: Option<String>,
}

/// One entry of `fallbacks`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fallback {
    /// The model to try.
    pub model: String,
    /// Its own `max_tokens`.
    #[serde(default)]
    pub max_tokens: Option<u64>,
    /// Its own `speed`.
    #[serde(default)]
    pub speed: Option<String>,
}

pub(super) fn read_fallbacks(value: &RawValue) -> Result<Vec<Fallback>, RequestError> {
    let entries: Option<Vec<Fallback>> = serde_json::from_str(value.get()).map_err(|_| {
        RequestError::Invalid("fallbacks", "Input should be a list of objects that name a model")
    })?;
    Ok(entries.unwrap_or_default())
}

pub(super) fn read_tools(
    value: &RawValue,
    blocks: &mut Blocks,
) -> Result<Vec<ToolUse>, RequestError> {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        max_uses: Option<u64>,
        #[serde(default)]
        model: Option<String>,
        #[serde(borrow, default)]
        cache_control: Option<&'a RawValue>,
    }
    let tools: Option<Vec<Tool<'_>>> = serde_json::from_str(value.get())
        .map_err(|_| RequestError::Invalid("tools", "Input should be a valid list of tools"))?;
    let mut typed = Vec::new();
    for tool in tools.unwrap_or_default() {
        if let Some(cache_control) = tool.cache_control {
            blocks.read_cache_control(cache_control)?;
        }
        // A model is priced wherever it is named, even in a tool without a type.
        if tool.kind.is_some() || tool.model.is_some() {
            let kind = tool.kind.unwrap_or_else(|| "custom".to_owned());
            typed.push(ToolUse { kind, max_uses: tool.max_uses, model: tool.model });
        }
    }
    Ok(typed)
}
