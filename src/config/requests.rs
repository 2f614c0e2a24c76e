//! `[requests]` and `[tools]`: what a request may contain.

use serde::Deserialize;

use super::value;

/// What is refused in a request before it is dispatched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Values of the `anthropic-beta` header.
    #[serde(deserialize_with = "value::list")]
    pub denied_betas: Vec<String>,
    /// Top-level fields of the body that are billed without a price here.
    #[serde(deserialize_with = "value::list")]
    pub refused_fields: Vec<String>,
}

/// Which typed tools a request may bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Types that cost nothing beyond tokens; an entry that ends in `_` is a prefix.
    #[serde(deserialize_with = "value::list")]
    pub free_prefixes: Vec<String>,
}

impl Tools {
    /// Whether a tool of this `type` costs nothing beyond tokens.
    #[must_use]
    pub fn is_free(&self, tool_type: &str) -> bool {
        self.free_prefixes.iter().any(|entry| {
            if entry.ends_with('_') {
                tool_type.starts_with(entry.as_str())
            } else {
                tool_type == entry
            }
        })
    }
}
