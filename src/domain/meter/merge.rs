//! How the usage objects of one answer become one usage.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Anomaly;
use crate::domain::usage::{Iteration, TokenCounts, Usage};

/// Counts above this are no counts: JSON numbers are exact up to 2⁵³.
const COUNT_MAX: u64 = 1 << 53;

/// What has been reported so far; `None` where a field never came.
#[derive(Default)]
pub(super) struct UsageMerge {
    model: Option<String>,
    main: Counts,
    iterations: Vec<Iteration>,
    serving_model: Option<String>,
    web_searches: Option<u64>,
    service_tier: Option<String>,
    inference_geo: Option<String>,
    speed: Option<String>,
    anomalies: Vec<Anomaly>,
}

/// One usage object's token counts.
#[derive(Default)]
struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    cache_read: Option<u64>,
    has_split: bool,
}

impl UsageMerge {
    pub(super) fn note(&mut self, anomaly: Anomaly) {
        if !self.anomalies.contains(&anomaly) {
            self.anomalies.push(anomaly);
        }
    }

    pub(super) fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    pub(super) const fn has_counts(&self) -> bool {
        self.main.input.is_some() || self.main.output.is_some()
    }

    pub(super) fn output(&self) -> u64 {
        self.main.output.unwrap_or(0)
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
        let mut anomalies = Vec::new();
        self.main.merge(usage, &mut anomalies);
        if let Some(Value::Object(tools)) = usage.get("server_tool_use") {
            merge_count(&mut self.web_searches, tools.get("web_search_requests"), &mut anomalies);
        }
        merge_text(&mut self.service_tier, usage.get("service_tier"));
        merge_text(&mut self.inference_geo, usage.get("inference_geo"));
        merge_text(&mut self.speed, usage.get("speed"));
        if let Some(Value::Array(iterations)) = usage.get("iterations") {
            // Cumulative like everything else: the newest list replaces the one before.
            self.iterations.clear();
            for iteration in iterations.iter().filter_map(Value::as_object) {
                self.take_iteration(iteration, &mut anomalies);
            }
        }
        for anomaly in anomalies {
            self.note(anomaly);
        }
    }

    fn take_iteration(&mut self, entry: &Map<String, Value>, anomalies: &mut Vec<Anomaly>) {
        let model = entry.get("model").and_then(Value::as_str).map(|m| bounded(m.to_owned()));
        match entry.get("type").and_then(Value::as_str) {
            // Counted at the top level already.
            Some("message") => {}
            // Counted at the top level too, but its model is the one that served.
            Some("fallback_message") => self.serving_model = model,
            Some("compaction" | "advisor_message") => {
                let mut counts = Counts::default();
                counts.merge(entry, anomalies);
                self.iterations.push(Iteration { model, tokens: counts.tokens() });
            }
            _ => anomalies.push(Anomaly::UnknownIteration),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            served_model: self.serving_model.clone().or_else(|| self.model.clone()),
            tokens: self.main.tokens(),
            iterations: self.iterations.clone(),
            web_searches: self.web_searches.unwrap_or(0),
            service_tier: self.service_tier.clone(),
            inference_geo: self.inference_geo.clone(),
            speed: self.speed.clone(),
        }
    }
}

impl Counts {
    fn merge(&mut self, usage: &Map<String, Value>, anomalies: &mut Vec<Anomaly>) {
        let mut count = |slot: &mut Option<u64>, value| merge_count(slot, value, anomalies);
        count(&mut self.input, usage.get("input_tokens"));
        count(&mut self.output, usage.get("output_tokens"));
        count(&mut self.cache_write, usage.get("cache_creation_input_tokens"));
        count(&mut self.cache_read, usage.get("cache_read_input_tokens"));
        if let Some(Value::Object(split)) = usage.get("cache_creation") {
            count(&mut self.cache_write_5m, split.get("ephemeral_5m_input_tokens"));
            count(&mut self.cache_write_1h, split.get("ephemeral_1h_input_tokens"));
            self.has_split = true;
        }
        if self.has_split && self.cache_write.unwrap_or(0) > self.split() {
            anomalies.push(Anomaly::UnsplitCacheWrite);
        }
    }

    fn split(&self) -> u64 {
        self.cache_write_5m.unwrap_or(0).saturating_add(self.cache_write_1h.unwrap_or(0))
    }

    fn tokens(&self) -> TokenCounts {
        let beyond_split = self.cache_write.unwrap_or(0).saturating_sub(self.split());
        TokenCounts {
            input: self.input.unwrap_or(0),
            output: self.output.unwrap_or(0),
            cache_write_5m: self.cache_write_5m.unwrap_or(0).saturating_add(beyond_split),
            cache_write_1h: self.cache_write_1h.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
        }
    }
}

fn merge_count(slot: &mut Option<u64>, value: Option<&Value>, anomalies: &mut Vec<Anomaly>) {
    let value = match value {
        None | Some(Value::Null) => return,
        Some(value) => value.as_u64().filter(|count| *count <= COUNT_MAX),
    };
    match (value, *slot) {
        (None, _) => anomalies.push(Anomaly::BadCount),
        (Some(count), Some(before)) if count < before => anomalies.push(Anomaly::FallingCount),
        (Some(count), _) => *slot = Some(count),
    }
}

fn merge_text(slot: &mut Option<String>, value: Option<&Value>) {
    if let Some(Value::String(text)) = value {
        *slot = Some(bounded(text.clone()));
    }
}

/// Names from the wire end up in a row: longer ones than any real name are cut.
fn bounded(text: String) -> String {
    if text.len() <= 128 { text } else { text.chars().take(128).collect() }
}
