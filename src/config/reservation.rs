//! `[reservation]`: how the plausible worst case of a request is estimated.

use serde::Deserialize;

use super::value;

/// How the plausible worst case of a request is estimated. Counts are tokens unless said otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Bytes of ASCII text taken for one token.
    #[serde(deserialize_with = "value::whole::<1, 16, _, _>")]
    pub ascii_bytes_per_token: u64,
    /// Output reserved for a stream that asks for more.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub reserve_output_tokens: u64,
    /// Output added by each extension.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub extend_output_tokens: u64,
    /// Input for an image.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub image_tokens: u64,
    /// Input for a document.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub document_tokens: u64,
    /// Input for each web search.
    #[serde(deserialize_with = "value::whole::<0, 10_000_000, _, _>")]
    pub web_search_tokens: u64,
    /// Input for each web fetch.
    #[serde(deserialize_with = "value::whole::<0, 10_000_000, _, _>")]
    pub web_fetch_tokens: u64,
    /// Uses of a server tool without `max_uses`.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub server_tool_default_uses: u64,
}
