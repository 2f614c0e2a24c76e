//! The counts that an answer reports. They follow from the request and the script, never from chance.

use serde::Serialize;

use super::script::{CacheTtl, Number, Scenario, Script};

/// Bytes that count as one token.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// Final counts of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) input: u64,
    /// What a web search or the like adds to the input after `message_start`.
    pub(super) late_input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_5m: u64,
    pub(super) cache_1h: u64,
    pub(super) searches: u64,
}

impl Counts {
    /// Counts of a scenario with the script's overrides.
    pub(super) fn of(scenario: Scenario, script: &Script, input: u64, output: u64) -> Self {
        let cached = matches!(scenario, Scenario::Cache | Scenario::Mixed);
        let searched = matches!(scenario, Scenario::WebSearch | Scenario::Mixed);
        let (short, long) = match script.ttl {
            _ if !cached => (0, 0),
            None => (1024, 512),
            Some(CacheTtl::FiveMinutes) => (1536, 0),
            Some(CacheTtl::OneHour) => (0, 1536),
        };
        let or = |key, default| script.number(key).unwrap_or(default);
        Self {
            input: or(Number::Input, input),
            late_input: or(Number::LateInput, 0),
            output: or(Number::Output, output),
            cache_read: or(Number::CacheRead, if cached { 2048 } else { 0 }),
            cache_5m: or(Number::Cache5m, short),
            cache_1h: or(Number::Cache1h, long),
            searches: or(Number::Searches, u64::from(searched)),
        }
    }

    const fn cache_creation(&self) -> u64 {
        self.cache_5m.saturating_add(self.cache_1h)
    }

    fn server_tool_use(&self) -> Option<ServerToolUse> {
        (self.searches > 0)
            .then_some(ServerToolUse { web_search_requests: self.searches, web_fetch_requests: 0 })
    }

    /// The usage of a message: in `message_start` a first guess, in a JSON answer the last word.
    pub(super) fn message_usage(&self, is_final: bool, selectors: Selectors) -> MessageUsage {
        MessageUsage {
            input_tokens: self.input.saturating_add(if is_final { self.late_input } else { 0 }),
            cache_creation_input_tokens: self.cache_creation(),
            cache_read_input_tokens: self.cache_read,
            cache_creation: CacheCreation {
                ephemeral_5m_input_tokens: self.cache_5m,
                ephemeral_1h_input_tokens: self.cache_1h,
            },
            output_tokens: if is_final { self.output } else { self.output.min(1) },
            server_tool_use: if is_final { self.server_tool_use() } else { None },
            selectors,
        }
    }

    /// The usage of `message_delta`: cumulative, with the input where the script asks for it.
    pub(super) fn delta_usage(&self, with_input: bool) -> DeltaUsage {
        let input = with_input || self.late_input > 0;
        DeltaUsage {
            input_tokens: input.then_some(self.input.saturating_add(self.late_input)),
            cache_creation_input_tokens: input.then_some(self.cache_creation()),
            cache_read_input_tokens: input.then_some(self.cache_read),
            output_tokens: self.output,
            server_tool_use: self.server_tool_use(),
        }
    }
}

/// What else selects the price; upstream reports it beside the counts.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Selectors {
    pub(super) service_tier: &'static str,
    pub(super) inference_geo: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speed: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct MessageUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: CacheCreation,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<ServerToolUse>,
    #[serde(flatten)]
    selectors: Selectors,
}

#[derive(Debug, Serialize)]
pub(super) struct DeltaUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Debug, Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Debug, Serialize)]
struct ServerToolUse {
    web_search_requests: u64,
    web_fetch_requests: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_overrides_what_the_scenario_counts() {
        let script: Script = "cache_1h=7;searches=2;output=5".parse().expect("a valid script");
        let counts = Counts::of(Scenario::Cache, &script, 10, 20);
        let expected = Counts {
            input: 10,
            late_input: 0,
            output: 5,
            cache_read: 2048,
            cache_5m: 1024,
            cache_1h: 7,
            searches: 2,
        };
        assert_eq!(counts, expected);
    }
}
