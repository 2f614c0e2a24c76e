//! What an exchange used, as the upstream counted it. The meter fills it, the price list turns it into money.

/// Token counts of one pass over one model. Input excludes what was read from or written to the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

/// One extra pass that the upstream lists in `usage.iterations[]` and does not count at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// The model that ran it, where the upstream names one; otherwise the answer's own model.
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
    /// Passes billed on top, in the order reported.
    pub iterations: Vec<Iteration>,
    /// `server_tool_use.web_search_requests`.
    pub web_searches: u64,
    /// `service_tier` as reported (`standard`, `priority`, `batch`).
    pub service_tier: Option<String>,
    /// `inference_geo` as reported (`global`, `us`).
    pub inference_geo: Option<String>,
    /// `speed` as reported (`standard`, `fast`).
    pub speed: Option<String>,
}
