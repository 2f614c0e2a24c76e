//! The counts that an answer reports. They follow from the request and the script, never from
//! chance.

use serde::Serialize;

use super::script::{CacheTtl, Flag, NumberOption, Scenario, Script};

/// Bytes that count as one token.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// One pass as the wire reports it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WireIteration {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: CacheCreation,
    output_tokens: u64,
}

impl WireIteration {
    pub(super) fn new(
        r#type: &'static str,
        model: Option<&str>,
        prompt: Split,
        output_tokens: u64,
    ) -> Self {
        Self {
            r#type,
            model: model.map(str::to_owned),
            input_tokens: prompt.input,
            cache_creation_input_tokens: prompt.cache_5m.saturating_add(prompt.cache_1h),
            cache_read_input_tokens: prompt.cache_read,
            cache_creation: prompt.creation(),
            output_tokens,
        }
    }
}

/// The tokens of one prompt, each in one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) input: u64,
    pub(super) cache_read: u64,
    pub(super) cache_5m: u64,
    pub(super) cache_1h: u64,
}

impl Split {
    /// A prompt of which no cache knows.
    pub(super) const fn cold(input: u64) -> Self {
        Self { input, cache_read: 0, cache_5m: 0, cache_1h: 0 }
    }

    /// All of it, which is what `count_tokens` answers.
    pub(super) const fn total(self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.written())
    }

    const fn written(self) -> u64 {
        self.cache_5m.saturating_add(self.cache_1h)
    }

    /// Part `index` of `count` parts that add up to it. The last one has what does not divide.
    pub(super) fn share(self, count: u64, index: u64) -> Self {
        let share = |tokens| share(tokens, count, index);
        Self {
            input: share(self.input),
            cache_read: share(self.cache_read),
            cache_5m: share(self.cache_5m),
            cache_1h: share(self.cache_1h),
        }
    }

    pub(super) const fn creation(self) -> CacheCreation {
        CacheCreation {
            ephemeral_5m_input_tokens: self.cache_5m,
            ephemeral_1h_input_tokens: self.cache_1h,
        }
    }
}

/// Part `index` of `count` parts that add up to `tokens`.
pub(super) fn share(tokens: u64, count: u64, index: u64) -> u64 {
    let count = count.max(1);
    let each = tokens.checked_div(count).unwrap_or(0);
    let is_last = index.saturating_add(1) >= count;
    let rest = tokens.saturating_sub(each.saturating_mul(count));
    each.saturating_add(if is_last { rest } else { 0 })
}

/// Final counts of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerCounts {
    pub(super) prompt: Split,
    /// What a web search or the like adds to the input after `message_start`.
    pub(super) late_input: u64,
    pub(super) output: u64,
    pub(super) searches: u64,
    /// Prompts that the top level adds up.
    pub(super) passes: u64,
}

impl AnswerCounts {
    /// Counts of a scenario with the script's overrides.
    pub(super) fn of(scenario: Scenario, script: &Script, prompt: Split, output: u64) -> Self {
        let searched = matches!(scenario, Scenario::WebSearch | Scenario::Mixed);
        Self {
            prompt: told(scenario, script, prompt),
            late_input: script.number(NumberOption::LateInput).unwrap_or(0),
            output: script.number(NumberOption::Output).unwrap_or(output),
            searches: script.number(NumberOption::Searches).unwrap_or(u64::from(searched)),
            passes: script.number(NumberOption::Passes).unwrap_or(1).max(1),
        }
    }

    /// The prompt with what is added to it on the way.
    pub(super) const fn whole_prompt(&self) -> Split {
        Split { input: self.prompt.input.saturating_add(self.late_input), ..self.prompt }
    }

    /// The prompt as `message_start` reports it.
    fn announced_prompt(&self, script: &Script) -> Split {
        // What later passes read is not known when the first one begins.
        let prompt = self.prompt.share(self.passes, 0);
        if script.has(Flag::SplitLate) {
            Split::cold(prompt.total())
        } else if script.has(Flag::SplitFlip) {
            Split { cache_5m: prompt.cache_1h, cache_1h: prompt.cache_5m, ..prompt }
        } else {
            prompt
        }
    }

    fn server_tool_use(&self) -> Option<ServerToolUse> {
        (self.searches > 0)
            .then_some(ServerToolUse { web_search_requests: self.searches, web_fetch_requests: 0 })
    }

    /// The usage of a message: in `message_start` a first guess, in a JSON answer the last word.
    pub(super) fn message_usage(
        &self,
        script: &Script,
        last: Option<LastWord>,
        selectors: Selectors,
    ) -> MessageUsage {
        let is_final = last.is_some();
        let prompt = if is_final { self.whole_prompt() } else { self.announced_prompt(script) };
        MessageUsage {
            input_tokens: prompt.input,
            cache_creation_input_tokens: prompt.written(),
            cache_read_input_tokens: prompt.cache_read,
            cache_creation: prompt.creation(),
            output_tokens: if is_final { self.output } else { self.output.min(1) },
            server_tool_use: if is_final { self.server_tool_use() } else { None },
            last: last.unwrap_or_default(),
            selectors,
        }
    }

    /// The usage of `message_delta`: cumulative, with the input where the script asks for it or
    /// where it is another than `message_start` has said.
    pub(super) fn delta_usage(&self, script: &Script, last: LastWord) -> DeltaUsage {
        let prompt = self.whole_prompt();
        let repeats = script.has(Flag::DeltaInput) || prompt != self.announced_prompt(script);
        let told = |tokens| {
            if script.has(Flag::DeltaNull) {
                Some(Repeated::Null)
            } else if script.has(Flag::DeltaZero) {
                Some(Repeated::Number(0))
            } else {
                repeats.then_some(Repeated::Number(tokens))
            }
        };
        DeltaUsage {
            input_tokens: told(prompt.input),
            cache_creation_input_tokens: told(prompt.written()),
            cache_read_input_tokens: told(prompt.cache_read),
            cache_creation: script.has(Flag::SplitFlip).then_some(prompt.creation()),
            output_tokens: self.output,
            server_tool_use: self.server_tool_use(),
            last,
        }
    }
}

/// Whether scenario or script say how the prompt is split.
pub(super) fn is_told(scenario: Scenario, script: &Script) -> bool {
    let numbers = [
        NumberOption::Input,
        NumberOption::CacheRead,
        NumberOption::Cache5m,
        NumberOption::Cache1h,
    ];
    is_cached(scenario) || numbers.into_iter().any(|number| script.number(number).is_some())
}

const fn is_cached(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Cache | Scenario::Mixed)
}

/// The prompt of a scenario with the script's overrides.
pub(super) fn told(scenario: Scenario, script: &Script, prompt: Split) -> Split {
    let cached = is_cached(scenario);
    let (read, short, long) = match script.ttl {
        _ if !cached => (prompt.cache_read, prompt.cache_5m, prompt.cache_1h),
        None => (2048, 1024, 512),
        Some(CacheTtl::FiveMinutes) => (2048, 1536, 0),
        Some(CacheTtl::OneHour) => (2048, 0, 1536),
    };
    let or = |key, default| script.number(key).unwrap_or(default);
    Split {
        input: or(NumberOption::Input, prompt.input),
        cache_read: or(NumberOption::CacheRead, read),
        cache_5m: or(NumberOption::Cache5m, short),
        cache_1h: or(NumberOption::Cache1h, long),
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

/// What only the last usage of an answer has.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct LastWord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iterations: Option<Vec<WireIteration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fallback_credit: Option<FallbackCredit>,
}

/// What became of the token that a retry brought from a refused request.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct FallbackCredit {
    status: CreditStatus,
}

/// The SDKs describe an object; notes of others, a word.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum CreditStatus {
    Typed { r#type: &'static str },
    Word(&'static str),
}

impl FallbackCredit {
    /// The outcome that the script asks for.
    pub(super) fn scripted(script: &Script) -> Option<Self> {
        const REDEEMED: &str = "redeemed";
        if script.has(Flag::FallbackCredit) {
            Some(Self { status: CreditStatus::Typed { r#type: REDEEMED } })
        } else {
            script
                .has(Flag::FallbackCreditWord)
                .then_some(Self { status: CreditStatus::Word(REDEEMED) })
        }
    }
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
    last: LastWord,
    #[serde(flatten)]
    selectors: Selectors,
}

/// A count that `message_delta` says again, or names without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Repeated {
    Number(u64),
    Null,
}

#[derive(Debug, Serialize)]
pub(super) struct DeltaUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<Repeated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<Repeated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<Repeated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<ServerToolUse>,
    #[serde(flatten)]
    last: LastWord,
}

/// Written tokens by how long the entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct CacheCreation {
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

    fn script(text: &str) -> Script {
        text.parse().expect("a valid script")
    }

    #[test]
    fn the_script_overrides_what_the_scenario_counts() {
        let script = script("cache_1h=7;searches=2;output=5");
        let counts = AnswerCounts::of(Scenario::Cache, &script, Split::cold(10), 20);
        let prompt = Split { input: 10, cache_read: 2048, cache_5m: 1024, cache_1h: 7 };
        let expected = AnswerCounts { prompt, late_input: 0, output: 5, searches: 2, passes: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn what_the_caches_say_holds_until_the_script_says_otherwise() {
        let known = Split { input: 1, cache_read: 2, cache_5m: 3, cache_1h: 4 };
        assert_eq!(told(Scenario::Text, &script(""), known), known);
        let read = told(Scenario::Text, &script("cache_read=9"), known);
        assert_eq!(read, Split { cache_read: 9, ..known });
        assert_eq!(read.total(), 17);
    }

    #[test]
    fn parts_of_a_prompt_add_up_to_it() {
        let prompt = Split { input: 100, cache_read: 7, cache_5m: 0, cache_1h: 2 };
        for count in 1..9 {
            let parts = (0..count).map(|index| prompt.share(count, index).total());
            assert_eq!(parts.sum::<u64>(), prompt.total(), "{count}");
        }
    }

    #[test]
    fn the_last_event_may_say_nothing_of_the_input_in_three_ways() {
        let counts = AnswerCounts::of(Scenario::Text, &script(""), Split::cold(2), 9);
        let told = |text: &str| {
            let usage = counts.delta_usage(&script(text), LastWord::default());
            let json = serde_json::to_value(usage).expect("JSON");
            json.get("input_tokens").cloned()
        };
        assert_eq!(told(""), None);
        assert_eq!(told("delta_input"), Some(2.into()));
        assert_eq!(told("delta_zero"), Some(0.into()));
        assert_eq!(told("delta_null"), Some(serde_json::Value::Null));
    }

    #[test]
    fn a_late_or_flipped_split_is_of_the_same_total() {
        for flag in ["split_late", "split_flip"] {
            let script = script(&format!("cache_5m=5;cache_1h=1;cache_read=3;{flag}"));
            let counts = AnswerCounts::of(Scenario::Text, &script, Split::cold(2), 9);
            let announced = counts.announced_prompt(&script);
            assert_eq!(announced.total(), counts.prompt.total(), "{flag}");
            assert_ne!(announced, counts.prompt, "{flag}");
            let delta = counts.delta_usage(&script, LastWord::default());
            assert_eq!(delta.cache_read_input_tokens, Some(Repeated::Number(3)), "{flag}");
            assert_eq!(delta.cache_creation.is_some(), flag == "split_flip");
        }
    }
}
