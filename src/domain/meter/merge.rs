//! How the usage objects of one answer become one usage.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Anomaly, Meter};
use crate::domain::plain_text::{is_hidden, is_plain};
use crate::domain::usage::{Iteration, IterationKind, TokenCounts, Usage};

/// Longest name that is kept, in characters.
const NAME_CHARS_MAX: usize = 128;
/// An answer that was refused before it began reports no more than the one token that every answer
/// begins with.
const NO_OUTPUT_MAX: u64 = 1;
/// Counts above this are no counts: JSON numbers are exact up to 2⁵³.
const COUNT_MAX: u64 = 1 << 53;

/// Entries of `usage.iterations[]` that are read: a longer list is no record of real passes.
const ITERATIONS_MAX: usize = 10_000;

/// What has been reported so far.
#[derive(Default)]
pub(super) struct UsageMerge {
    model: Option<String>,
    prompt: PromptCounts,
    output: Option<u64>,
    /// The latest word on the output was no count.
    has_unread_output: bool,
    iterations: Vec<Iteration>,
    web_searches: Option<u64>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
    speed: Option<String>,
    refusal: Option<ModelRefusal>,
    is_credit_redeemed: bool,
    anomalies: Vec<Anomaly>,
}

/// The model refused.
#[derive(Clone, Copy)]
struct ModelRefusal {
    has_content: bool,
}

/// The prompt of one usage object. Its parts belong together: a later report replaces it as a
/// whole, so that no token is counted in two classes. `None` where a part never came.
#[derive(Clone, Default)]
struct PromptCounts {
    input: Option<u64>,
    cache_write: Option<u64>,
    /// For 5 minutes and for 1 hour.
    split: Option<(u64, u64)>,
    cache_read: Option<u64>,
}

impl UsageMerge {
    pub(super) fn note(&mut self, anomaly: Anomaly) {
        note(&mut self.anomalies, anomaly);
    }

    pub(super) fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    pub(super) const fn has_counts(&self) -> bool {
        self.prompt.input.is_some() || self.output.is_some()
    }

    /// Whether the prompt was counted as more than nothing.
    pub(super) fn has_prompt(&self) -> bool {
        self.prompt.tokens().prompt() > 0
    }

    pub(super) fn output(&self) -> u64 {
        self.output.unwrap_or(0)
    }

    /// Whether output was reported by something that is no count: below zero, a fraction, a text.
    pub(super) const fn has_unread_output(&self) -> bool {
        self.has_unread_output
    }

    /// Notes that the model refused, and whether the answer has content all the same.
    pub(super) const fn note_refusal(&mut self, has_content: bool) {
        self.refusal = Some(ModelRefusal { has_content });
    }

    /// Takes over an answer's model and its usage object, as far as they are there.
    pub(super) fn merge_answer(&mut self, model: Option<String>, usage: Option<&RawValue>) {
        if self.model.is_none() {
            self.model = model.map(bounded);
        }
        let Some(usage) = usage else { return };
        match serde_json::from_str::<Option<Map<String, Value>>>(usage.get()) {
            Ok(Some(usage)) => self.merge(&usage),
            Ok(None) => {}
            Err(_) => self.note(Anomaly::UnreadableEvent),
        }
    }

    fn merge(&mut self, usage: &Map<String, Value>) {
        let mut anomalies = std::mem::take(&mut self.anomalies);
        self.prompt.merge(usage, &mut anomalies);
        if let Some(value) = usage.get("output_tokens").filter(|value| !value.is_null()) {
            self.has_unread_output = read_count(Some(value), &mut anomalies).is_none();
            merge_count(&mut self.output, Some(value), &mut anomalies);
        }
        if let Some(Value::Object(tools)) = usage.get("server_tool_use") {
            merge_count(&mut self.web_searches, tools.get("web_search_requests"), &mut anomalies);
        }
        merge_text(&mut self.service_tier, usage.get("service_tier"));
        merge_text(&mut self.inference_geo, usage.get("inference_geo"));
        merge_text(&mut self.speed, usage.get("speed"));
        if let Some(credit) = usage.get("fallback_credit") {
            // `{"status":{"type":"redeemed"}}`; some write the word alone.
            let status = credit.get("status");
            let status = status.and_then(|status| status.get("type").or(Some(status)));
            self.is_credit_redeemed |= status.and_then(Value::as_str) == Some("redeemed");
        }
        if let Some(Value::Array(entries)) = usage.get("iterations") {
            self.merge_iterations(entries, &mut anomalies);
        }
        self.anomalies = anomalies;
    }

    /// Cumulative like everything else: the newest list replaces the one before, unless it counts
    /// less.
    fn merge_iterations(&mut self, entries: &[Value], anomalies: &mut Vec<Anomaly>) {
        let entries = entries.iter().take(ITERATIONS_MAX).filter_map(Value::as_object);
        let newest: Vec<Iteration> =
            entries.filter_map(|entry| iteration(entry, anomalies)).collect();
        let sum = |list: &[Iteration]| {
            list.iter().fold(0_u64, |sum, entry| {
                sum.saturating_add(entry.tokens.prompt()).saturating_add(entry.tokens.output)
            })
        };
        if sum(&newest) < sum(&self.iterations) {
            note(anomalies, Anomaly::FallingCount);
        } else {
            self.iterations = newest;
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let serving = self.iterations.iter().rev().find_map(|entry| match entry.kind {
            IterationKind::FallbackMessage => entry.model.clone(),
            _ => None,
        });
        let output = self.output.unwrap_or(0);
        // In a chain of fallbacks, content may be what an earlier attempt wrote.
        let has_fallback =
            self.iterations.iter().any(|entry| entry.kind == IterationKind::FallbackMessage);
        let is_refused = output <= NO_OUTPUT_MAX
            && self.refusal.is_some_and(|refusal| has_fallback || !refusal.has_content);
        Usage {
            served_model: serving.or_else(|| self.model.clone()),
            tokens: TokenCounts { output, ..self.prompt.tokens() },
            iterations: self.iterations.clone(),
            web_searches: self.web_searches.unwrap_or(0),
            service_tier: self.service_tier.clone(),
            inference_geo: self.inference_geo.clone(),
            speed: self.speed.clone(),
            is_refused,
            is_credit_redeemed: self.is_credit_redeemed,
        }
    }
}

impl Meter {
    /// Whether the upstream's last word on the output was no count. Then what was delivered is all
    /// that is known.
    #[must_use]
    pub const fn has_unread_output(&self) -> bool {
        self.usage.has_unread_output()
    }
}

impl PromptCounts {
    /// A later report of the prompt replaces this one as a whole, unless its total is smaller: a
    /// relay that answers zeros. A part that it leaves out keeps its count.
    fn merge(&mut self, usage: &Map<String, Value>, anomalies: &mut Vec<Anomaly>) {
        let mut later = self.clone();
        let mut is_carried = false;
        let mut part = |slot: &mut Option<u64>, value: Option<&Value>| {
            if let Some(count) = read_count(value, anomalies) {
                *slot = Some(count);
                is_carried = true;
            }
        };
        part(&mut later.input, usage.get("input_tokens"));
        part(&mut later.cache_write, usage.get("cache_creation_input_tokens"));
        part(&mut later.cache_read, usage.get("cache_read_input_tokens"));
        if let Some(Value::Object(split)) = usage.get("cache_creation") {
            let short = read_count(split.get("ephemeral_5m_input_tokens"), anomalies);
            let long = read_count(split.get("ephemeral_1h_input_tokens"), anomalies);
            if short.is_some() || long.is_some() {
                later.split = Some((short.unwrap_or(0), long.unwrap_or(0)));
                is_carried = true;
            }
        }
        if !is_carried {
            return;
        }
        if later.tokens().prompt() < self.tokens().prompt() {
            note(anomalies, Anomaly::FallingCount);
            return;
        }
        match (later.cache_write, later.split) {
            (Some(total), Some((short, long))) if total > short.saturating_add(long) => {
                note(anomalies, Anomaly::UnsplitCacheWrite);
            }
            (Some(total), Some((short, long))) if total < short.saturating_add(long) => {
                note(anomalies, Anomaly::SplitBeyondTotal);
            }
            _ => {}
        }
        *self = later;
    }

    /// The prompt by class. The split never exceeds its total: what does is cut from the cheaper
    /// class. What the split leaves open was written for five minutes, as is the wire's default.
    fn tokens(&self) -> TokenCounts {
        let (short, long) = self.split.unwrap_or((0, 0));
        let total = self.cache_write.unwrap_or_else(|| short.saturating_add(long));
        let cache_write_1h = long.min(total);
        TokenCounts {
            input: self.input.unwrap_or(0),
            output: 0,
            cache_write_5m: total.saturating_sub(cache_write_1h),
            cache_write_1h,
            cache_read: self.cache_read.unwrap_or(0),
        }
    }
}

fn iteration(entry: &Map<String, Value>, anomalies: &mut Vec<Anomaly>) -> Option<Iteration> {
    let kind = match entry.get("type").and_then(Value::as_str) {
        Some("message") => IterationKind::Message,
        Some("fallback_message") => IterationKind::FallbackMessage,
        Some("compaction") => IterationKind::Compaction,
        Some("advisor_message") => IterationKind::AdvisorMessage,
        _ => {
            note(anomalies, Anomaly::UnknownIteration);
            return None;
        }
    };
    let mut prompt = PromptCounts::default();
    prompt.merge(entry, anomalies);
    let output = read_count(entry.get("output_tokens"), anomalies).unwrap_or(0);
    let model = entry.get("model").and_then(Value::as_str).map(|name| bounded(name.to_owned()));
    Some(Iteration { kind, model, tokens: TokenCounts { output, ..prompt.tokens() } })
}

fn note(anomalies: &mut Vec<Anomaly>, anomaly: Anomaly) {
    if !anomalies.contains(&anomaly) {
        anomalies.push(anomaly);
    }
}

/// A count that is there: a present zero is a number.
fn read_count(value: Option<&Value>, anomalies: &mut Vec<Anomaly>) -> Option<u64> {
    match value {
        None | Some(Value::Null) => None,
        Some(value) => {
            let count = value.as_u64().filter(|count| *count <= COUNT_MAX);
            if count.is_none() {
                note(anomalies, Anomaly::BadCount);
            }
            count
        }
    }
}

/// A cumulative count: it never falls.
fn merge_count(slot: &mut Option<u64>, value: Option<&Value>, anomalies: &mut Vec<Anomaly>) {
    match (read_count(value, anomalies), *slot) {
        (Some(count), Some(before)) if count < before => note(anomalies, Anomaly::FallingCount),
        (Some(count), _) => *slot = Some(count),
        (None, _) => {}
    }
}

fn merge_text(slot: &mut Option<String>, value: Option<&Value>) {
    if let Some(Value::String(text)) = value {
        *slot = Some(bounded(text.clone()));
    }
}

/// Names from the wire end up in a row, and people see them: longer ones than any real name are
/// cut, and what is not seen is left out; no database takes every control character.
fn bounded(text: String) -> String {
    if text.len() <= NAME_CHARS_MAX && is_plain(&text) {
        return text;
    }
    text.chars().filter(|letter| !is_hidden(*letter)).take(NAME_CHARS_MAX).collect()
}
