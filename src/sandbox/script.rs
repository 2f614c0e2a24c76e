//! The stage directions of one answer: `scenario;key=value;flag`. Parsed here, obeyed elsewhere.
//!
//! The tables below are the only list of what exists: the parser, the refusals and `--help` read
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// What the answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// One block of text.
    Text,
    /// A thinking block with its signature, then text.
    Thinking,
    /// A call of the request's first tool.
    ToolUse,
    /// Text, with cache reads and writes in the usage.
    Cache,
    /// A server-side web search, its results and a cited text.
    WebSearch,
    /// All of these.
    Mixed,
    /// The model declines, before it has written anything or after so many events.
    Refusal,
    /// One model or more decline, and another one answers.
    Fallback,
}

/// An option that takes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NumberOption {
    Events,
    Bytes,
    PaceMs,
    DelayMs,
    FirstMs,
    Ping,
    Input,
    Output,
    CacheRead,
    Cache5m,
    Cache1h,
    Searches,
    LateInput,
    Passes,
    PassesExtra,
    Compaction,
    CompactionOutput,
    Declines,
    DeclinedInput,
    DeclinedRead,
    Declined5m,
    Declined1h,
    DeclinedOutput,
    Status,
    RetryAfter,
    ErrorAt,
    CutAt,
    EndAt,
    SilentAt,
}

/// An option that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flag {
    NoSpace,
    Comments,
    Unknown,
    Utf8,
    DeltaInput,
    DeltaZero,
    DeltaNull,
    NoUsage,
    NoStop,
    SpendLimit,
    CreditLow,
    Error200,
    ErrorRequestId,
    SplitLate,
    SplitFlip,
    FallbackCredit,
    FallbackCreditWord,
    NoCount,
    CountFails,
}

/// What ends a line of the event stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Newline {
    #[default]
    Lf,
    CrLf,
    Cr,
}

/// Where the body is cut into chunks of the transfer coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunking {
    /// One chunk per event, as upstream.
    #[default]
    Event,
    /// Everything in one chunk.
    All,
    /// Every so many bytes, wherever that falls.
    Every(usize),
}

/// How long a cache entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheTtl {
    FiveMinutes,
    OneHour,
}

/// Name, value, meaning and upper bound of every scenario and option.
pub(super) const SCENARIOS: [(&str, Scenario, &str); 8] = [
    ("text", Scenario::Text, "one block of text (the default)"),
    (
        "thinking",
        Scenario::Thinking,
        "a signed thinking block, then text (default with `thinking`)",
    ),
    ("tool_use", Scenario::ToolUse, "calls the first tool (default with tool_choice any or tool)"),
    ("cache", Scenario::Cache, "text, with cache reads and writes in the usage"),
    ("web_search", Scenario::WebSearch, "a server-side search, its results, a cited text"),
    ("mixed", Scenario::Mixed, "all of these in one answer"),
    (
        "refusal",
        Scenario::Refusal,
        "stop_reason refusal: no content and no output, or events=N of it",
    ),
    (
        "fallback",
        Scenario::Fallback,
        "a model declines, another answers: served=MODEL, or the first of `fallbacks`",
    ),
];

const MINUTES_10: u64 = 600_000;
const COUNT: u64 = 1_000_000;
const TOKENS: u64 = 1_000_000_000;
const PASSES: u64 = 1000;

pub(super) const NUMBERS: [(&str, NumberOption, u64, &str); 29] = [
    ("events", NumberOption::Events, COUNT, "content deltas per block"),
    ("bytes", NumberOption::Bytes, 64 << 20, "size of each delta's text"),
    ("pace_ms", NumberOption::PaceMs, MINUTES_10, "pause between chunks; 0 is a burst"),
    ("delay_ms", NumberOption::DelayMs, MINUTES_10, "pause before the response head"),
    ("first_ms", NumberOption::FirstMs, MINUTES_10, "pause between the head and the first event"),
    ("ping", NumberOption::Ping, COUNT, "a ping every so many deltas"),
    ("input", NumberOption::Input, TOKENS, "uncached input tokens"),
    ("output", NumberOption::Output, TOKENS, "output tokens"),
    ("cache_read", NumberOption::CacheRead, TOKENS, "tokens read from the cache"),
    ("cache_5m", NumberOption::Cache5m, TOKENS, "tokens written to the 5-minute cache"),
    ("cache_1h", NumberOption::Cache1h, TOKENS, "tokens written to the 1-hour cache"),
    ("searches", NumberOption::Searches, COUNT, "web searches"),
    ("late_input", NumberOption::LateInput, TOKENS, "input tokens that only the final usage adds"),
    (
        "passes",
        NumberOption::Passes,
        PASSES,
        "iterations of type message that add up to the top level",
    ),
    (
        "passes_extra",
        NumberOption::PassesExtra,
        TOKENS,
        "input by which the passes miss the top level",
    ),
    (
        "compaction",
        NumberOption::Compaction,
        TOKENS,
        "input of a compaction, on top of the top level",
    ),
    (
        "compaction_output",
        NumberOption::CompactionOutput,
        TOKENS,
        "what it wrote; 1024 if not given",
    ),
    (
        "declines",
        NumberOption::Declines,
        PASSES,
        "models that decline before the fallback; 1 if not given",
    ),
    (
        "declined_input",
        NumberOption::DeclinedInput,
        TOKENS,
        "input of each; the whole prompt if not given",
    ),
    ("declined_read", NumberOption::DeclinedRead, TOKENS, "tokens that each read from the cache"),
    (
        "declined_5m",
        NumberOption::Declined5m,
        TOKENS,
        "tokens that each wrote to the 5-minute cache",
    ),
    ("declined_1h", NumberOption::Declined1h, TOKENS, "tokens that each wrote to the 1-hour cache"),
    (
        "declined_output",
        NumberOption::DeclinedOutput,
        TOKENS,
        "tokens that each wrote before it declined",
    ),
    ("status", NumberOption::Status, 599, "refuse with this HTTP status, 400 or above"),
    ("retry_after", NumberOption::RetryAfter, 86_400, "retry-after of a refusal, in seconds"),
    ("error_at", NumberOption::ErrorAt, COUNT, "`event: error` after so many events"),
    ("cut_at", NumberOption::CutAt, COUNT, "connection lost after so many events"),
    ("end_at", NumberOption::EndAt, COUNT, "clean end of the body after so many events"),
    ("silent_at", NumberOption::SilentAt, COUNT, "ten minutes of silence after so many events"),
];

pub(super) const FLAGS: [(&str, Flag, &str); 19] = [
    ("no_space", Flag::NoSpace, "`data:` without the space after it"),
    ("comments", Flag::Comments, "a comment line before each event"),
    ("unknown", Flag::Unknown, "events of a type no client knows"),
    ("utf8", Flag::Utf8, "text of two to four bytes per character"),
    ("delta_input", Flag::DeltaInput, "message_delta repeats input and cache counts"),
    ("delta_zero", Flag::DeltaZero, "message_delta says 0 of all input and cache counts"),
    ("delta_null", Flag::DeltaNull, "message_delta says null of them"),
    ("no_usage", Flag::NoUsage, "no usage anywhere"),
    ("no_stop", Flag::NoStop, "no message_stop"),
    ("spend_limit", Flag::SpendLimit, "429 enforced_spend_limit_reached"),
    ("credit_low", Flag::CreditLow, "400 \"Your credit balance is too low …\""),
    ("error_200", Flag::Error200, "200 whose body, or first nameless event, is an error"),
    ("error_request_id", Flag::ErrorRequestId, "`event: error` names a request_id"),
    ("split_late", Flag::SplitLate, "message_start calls all of it input, message_delta splits it"),
    ("split_flip", Flag::SplitFlip, "message_start swaps 5-minute and 1-hour writes"),
    ("fallback_credit", Flag::FallbackCredit, "usage.fallback_credit {status: {type: redeemed}}"),
    ("fallback_credit_word", Flag::FallbackCreditWord, "the same as {status: redeemed}"),
    ("no_count", Flag::NoCount, "count_tokens answers 200 without a count"),
    ("count_fails", Flag::CountFails, "count_tokens is refused with 529"),
];

/// Options that take a word.
pub(super) const WORDS: [(&str, &str); 5] = [
    ("newline=lf|crlf|cr", "what ends a line"),
    ("chunk=event|all|N", "one chunk per event, one for all, or cut every N bytes"),
    ("ttl=5m|1h", "where the cache scenario writes; without it, to both"),
    ("served=MODEL", "the model that the answer names"),
    ("stop=REASON", "the stop_reason, one that the wire has, such as pause_turn"),
];

/// The stop reasons of the wire, betas among them.
const STOP_REASONS: [&str; 8] = [
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "compaction",
];

/// Largest answer that one request may ask for.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Why a script was refused. The text is for the one who wrote it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScriptError {
    /// Neither a scenario nor a flag.
    #[error("sandbox: no scenario or flag is called `{0}`; `sluice sandbox --help` lists them")]
    UnknownWord(String),
    /// No such option.
    #[error("sandbox: no option is called `{0}`; `sluice sandbox --help` lists them")]
    UnknownKey(String),
    /// An option's value is of the wrong kind or too large.
    #[error("sandbox: `{0}` cannot be `{1}`")]
    BadValue(String, String),
    /// The answer would be larger than the sandbox makes.
    #[error("sandbox: events × bytes is over {ANSWER_BYTES_MAX}")]
    TooLarge,
}

/// Everything one request asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// The scenario, where one was named; otherwise the request's own features choose.
    pub(super) scenario: Option<Scenario>,
    pub(super) newline: Newline,
    pub(super) chunking: Chunking,
    pub(super) ttl: Option<CacheTtl>,
    /// The model that the answer names instead of the one asked for.
    pub(super) served: Option<String>,
    /// The stop reason instead of the scenario's own.
    pub(super) stop: Option<&'static str>,
    numbers: BTreeMap<NumberOption, u64>,
    flags: BTreeSet<Flag>,
}

impl Script {
    /// The number of an option, where it was given.
    pub(super) fn number(&self, key: NumberOption) -> Option<u64> {
        self.numbers.get(&key).copied()
    }

    /// The same for what is counted in memory or in events.
    pub(super) fn size(&self, key: NumberOption) -> Option<usize> {
        self.number(key).and_then(|number| usize::try_from(number).ok())
    }

    /// Whether a flag was given.
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    fn word(&mut self, word: &str) -> Result<(), ScriptError> {
        if let Some((_, scenario, _)) = SCENARIOS.iter().find(|(name, ..)| *name == word) {
            self.scenario = Some(*scenario);
        } else if let Some((_, flag, _)) = FLAGS.iter().find(|(name, ..)| *name == word) {
            self.flags.insert(*flag);
        } else {
            return Err(ScriptError::UnknownWord(word.to_owned()));
        }
        Ok(())
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), ScriptError> {
        let bad = || ScriptError::BadValue(key.to_owned(), value.to_owned());
        match key {
            "newline" => self.newline = newline(value).ok_or_else(bad)?,
            "chunk" => self.chunking = chunking(value).ok_or_else(bad)?,
            "ttl" => self.ttl = Some(ttl(value).ok_or_else(bad)?),
            "stop" => self.stop = Some(stop_reason(value).ok_or_else(bad)?),
            "served" => self.served = Some(value.to_owned()),
            _ => {
                let (_, number, max, _) = NUMBERS
                    .iter()
                    .find(|(name, ..)| *name == key)
                    .ok_or_else(|| ScriptError::UnknownKey(key.to_owned()))?;
                let value: u64 = value.parse().map_err(|_| bad())?;
                if value > *max || (*number == NumberOption::Status && value < 400) {
                    return Err(bad());
                }
                self.numbers.insert(*number, value);
            }
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => script.option(key.trim(), value.trim())?,
                None => script.word(part)?,
            }
        }
        let bytes = script.number(NumberOption::Bytes).unwrap_or(64);
        let answer = script.number(NumberOption::Events).unwrap_or(16).saturating_mul(bytes);
        if answer > ANSWER_BYTES_MAX { Err(ScriptError::TooLarge) } else { Ok(script) }
    }
}

fn newline(value: &str) -> Option<Newline> {
    match value {
        "lf" => Some(Newline::Lf),
        "crlf" => Some(Newline::CrLf),
        "cr" => Some(Newline::Cr),
        _ => None,
    }
}

fn chunking(value: &str) -> Option<Chunking> {
    match value {
        "event" => Some(Chunking::Event),
        "all" => Some(Chunking::All),
        _ => value.parse().ok().filter(|every| *every > 0).map(Chunking::Every),
    }
}

fn stop_reason(value: &str) -> Option<&'static str> {
    STOP_REASONS.into_iter().find(|reason| *reason == value)
}

fn ttl(value: &str) -> Option<CacheTtl> {
    match value {
        "5m" => Some(CacheTtl::FiveMinutes),
        "1h" => Some(CacheTtl::OneHour),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_a_scenario_with_options_in_any_order() {
        let script: Script = "pace_ms=20; thinking ;events=50;no_space;newline=crlf;chunk=7"
            .parse()
            .expect("a valid script");
        assert_eq!(script.scenario, Some(Scenario::Thinking));
        assert_eq!(script.number(NumberOption::Events), Some(50));
        assert_eq!(script.number(NumberOption::PaceMs), Some(20));
        assert_eq!(script.newline, Newline::CrLf);
        assert_eq!(script.chunking, Chunking::Every(7));
        assert!(script.has(Flag::NoSpace));
        assert!(!script.has(Flag::Comments));
        assert_eq!("".parse(), Ok(Script::default()));
    }

    #[test]
    fn every_name_of_the_tables_is_understood() {
        for (name, scenario, _) in SCENARIOS {
            assert_eq!(name.parse::<Script>().map(|s| s.scenario), Ok(Some(scenario)));
        }
        for (name, number, max, _) in NUMBERS {
            let script = format!("{name}={}", max.min(400)).parse::<Script>().expect(name);
            assert_eq!(script.number(number), Some(max.min(400)), "{name}");
        }
        for (name, flag, _) in FLAGS {
            assert!(name.parse::<Script>().expect(name).has(flag), "{name}");
        }
    }

    #[test]
    fn a_mistake_is_refused_rather_than_ignored() {
        let bad = |key: &str, value: &str| ScriptError::BadValue(key.into(), value.into());
        let refused = |text: &str| text.parse::<Script>().expect_err(text);
        assert_eq!(refused("thinkin"), ScriptError::UnknownWord("thinkin".into()));
        assert_eq!(refused("event=5"), ScriptError::UnknownKey("event".into()));
        assert_eq!(refused("events=-5"), bad("events", "-5"));
        assert_eq!(refused("bytes=99999999999"), bad("bytes", "99999999999"));
        assert_eq!(refused("status=200"), bad("status", "200"));
        assert_eq!(refused("chunk=0"), bad("chunk", "0"));
        assert_eq!(refused("stop=tired"), bad("stop", "tired"));
        assert_eq!(refused("events=1000;bytes=1000000"), ScriptError::TooLarge);
    }
}
