//! `[reservation]`: what is held for a request; `holds.rs` says why.

use std::time::Duration;

use serde::Deserialize;

use super::value;
use crate::domain::money::NanoUsd;

/// What is held for a request. Counts are tokens unless said otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservationSettings {
    /// By how much an account may fall below zero by requests of its own that cost more than was
    /// likely. An account that has not paid for an exchange never does; with 0 none does.
    #[serde(rename = "shortfall_max_usd", deserialize_with = "value::usd_or_none")]
    pub shortfall_max: NanoUsd,
    /// How long after its first charge that counts for an account.
    #[serde(rename = "shortfall_after_secs", deserialize_with = "value::secs::<0, 31_536_000, _>")]
    pub shortfall_after: Duration,
    /// How long a request waits for holds of the same account to come free.
    #[serde(rename = "wait_secs", deserialize_with = "value::secs::<0, 600, _>")]
    pub wait: Duration,
    /// How long the upstream's own count of a prompt is waited for; zero asks for none.
    #[serde(rename = "count_tokens_secs", deserialize_with = "value::secs::<0, 60, _>")]
    pub count_tokens_wait: Duration,
    /// Beginnings of prompts that are known again; 0 keeps none.
    #[serde(deserialize_with = "value::whole::<0, 10_000_000, _, _>")]
    pub known_prefixes_max: usize,
    /// Bytes of words that make at least one token, whatever they are.
    #[serde(deserialize_with = "value::whole::<1, 16, _, _>")]
    pub word_bytes_per_token: u64,
    /// Bytes of digits and marks that make at least one token.
    #[serde(deserialize_with = "value::whole::<1, 16, _, _>")]
    pub symbol_bytes_per_token: u64,
    /// Output that a stream needs at least to begin.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub least_output_tokens: u64,
    /// Output that may be made in a second where none shows.
    #[serde(deserialize_with = "value::whole::<0, 100_000, _, _>")]
    pub hidden_tokens_per_sec: u64,
    /// Output reserved for a stream that asks for more.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub reserve_output_tokens: u64,
    /// Output reserved for a stream once its prompt is counted.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub counted_output_tokens: u64,
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
