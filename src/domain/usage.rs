//! What an answer used, as the upstream counted it: the raw report, and the passes that it stands
//! for. The meter fills it, [`passes`] reads it, the price list turns it into money.

mod passes;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use passes::{Ceilings, Pass, PassKind, Waiver};

/// Token counts of one pass over one model. A token is in one class only: input excludes what was
/// read from or written to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCounts {
    /// Uncached input tokens.
    pub input: u64,
    /// Output tokens, thinking included.
    pub output: u64,
    /// Tokens written to the 5-minute cache. A remainder beyond the reported split counts here.
    pub cache_write_5m: u64,
    /// Tokens written to the 1-hour cache.
    pub cache_write_1h: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
}

impl TokenCounts {
    /// Everything the model had to read, cached or not: what long-prompt tiers compare with.
    #[must_use]
    pub fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_read)
    }

    /// The sum, class by class.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_read: self.cache_read.saturating_add(other.cache_read),
        }
    }

    /// At most so many tokens of prompt and of output. The cheapest classes are cut first, so that
    /// what is left is the dearest reading of the report within the limits.
    #[must_use]
    pub fn within(&self, prompt: u64, output: u64) -> Self {
        let mut room = prompt;
        let mut take = |count: u64| {
            let taken = count.min(room);
            room = room.saturating_sub(taken);
            taken
        };
        // In this order: the dearest first.
        Self {
            cache_write_1h: take(self.cache_write_1h),
            cache_write_5m: take(self.cache_write_5m),
            input: take(self.input),
            cache_read: take(self.cache_read),
            output: self.output.min(output),
        }
    }
}

/// The kinds of entries in `usage.iterations[]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterationKind {
    /// `message`: a turn of a server-side loop, or an attempt before a fallback.
    Message,
    /// `fallback_message`: the attempt that answered in place of the model that was asked for.
    FallbackMessage,
    /// `compaction`: the context was summarised. Not counted at the top level.
    Compaction,
    /// `advisor_message`: another model was asked. Not counted at the top level.
    AdvisorMessage,
}

/// One entry of `usage.iterations[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// What it was.
    pub kind: IterationKind,
    /// The model that ran it, where the upstream names one.
    pub model: Option<String>,
    /// Its own counts.
    pub tokens: TokenCounts,
}

/// All that billing needs to know of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that served, as the upstream names it.
    pub served_model: Option<String>,
    /// The top-level counts.
    pub tokens: TokenCounts,
    /// The record of passes, in the order reported.
    pub iterations: Vec<Iteration>,
    /// `server_tool_use.web_search_requests`.
    pub web_searches: u64,
    /// `service_tier` as reported (`standard`, `priority`, `batch`).
    pub service_tier: Option<String>,
    /// `inference_geo` as reported (`global`, `us`).
    pub inference_geo: Option<String>,
    /// `speed` as reported (`standard`, `fast`).
    pub speed: Option<String>,
    /// The model refused before it wrote anything (`stop_reason` `refusal`): the upstream charges
    /// nothing for it.
    pub is_refused: bool,
    /// A fallback credit was redeemed: the upstream charges cache writes at the price of reads.
    pub is_credit_redeemed: bool,
}
