//! `[requests]` and `[tools]`: what a request may contain.

use serde::Deserialize;

use super::value;
use crate::domain::messages_request::{RequestBounds, is_version_of};

/// What is refused in a request before it is dispatched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Values of the `anthropic-beta` header.
    #[serde(deserialize_with = "value::list")]
    pub denied_betas: Vec<String>,
    /// Top-level fields of the body that are refused beside those of the built-in table.
    #[serde(deserialize_with = "value::list")]
    pub refused_fields: Vec<String>,
    /// Fields at the top of a body.
    #[serde(deserialize_with = "value::whole::<32, 4_096, _, _>")]
    pub fields_max: usize,
    /// Entries of `fallbacks`.
    #[serde(deserialize_with = "value::whole::<0, 1_024, _, _>")]
    pub fallbacks_max: usize,
    /// Entries of `tools`.
    #[serde(deserialize_with = "value::whole::<0, 1_000_000, _, _>")]
    pub tools_max: usize,
}

impl Requests {
    /// How much a request may have of what is read one by one.
    #[must_use]
    pub const fn bounds(&self) -> RequestBounds {
        RequestBounds {
            fields_max: self.fields_max,
            fallbacks_max: self.fallbacks_max,
            tools_max: self.tools_max,
        }
    }
}

/// Which typed tools a request may bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Types that cost nothing beyond tokens; an entry that ends in `_` stands for its dated
    /// versions.
    #[serde(deserialize_with = "value::list")]
    pub free_prefixes: Vec<String>,
}

impl Tools {
    /// Whether a tool of this `type` costs nothing beyond tokens.
    #[must_use]
    pub fn is_free(&self, tool_type: &str) -> bool {
        self.free_prefixes.iter().any(|entry| {
            if entry.ends_with('_') { is_version_of(tool_type, entry) } else { tool_type == entry }
        })
    }
}
