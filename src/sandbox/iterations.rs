//! `usage.iterations`: what an answer consists of where it is more than one pass of one model.

use super::script::{NumberOption, Scenario, Script};
use super::usage::{AnswerCounts, Split, WireIteration, share};

/// How many models decline before the one that answers.
pub(super) fn declines(scenario: Scenario, script: &Script) -> u64 {
    if scenario == Scenario::Fallback {
        script.number(NumberOption::Declines).unwrap_or(1)
    } else {
        0
    }
}

/// The passes of an answer, where scenario or script make it more than one plain pass.
///
/// A compaction comes first and on top of the top level, then the attempts that were declined,
/// which are no part of it either, then the passes that add up to it.
pub(super) fn iterations(
    scenario: Scenario,
    script: &Script,
    counts: &AnswerCounts,
    asked: &str,
    served: &str,
) -> Option<Vec<WireIteration>> {
    let is_fallback = scenario == Scenario::Fallback;
    let is_told =
        [NumberOption::Passes, NumberOption::Compaction].map(|key| script.number(key).is_some());
    if !is_fallback && !is_told.contains(&true) {
        return None;
    }
    let or = |key, default| script.number(key).unwrap_or(default);
    let mut passes = Vec::new();
    if let Some(input) = script.number(NumberOption::Compaction) {
        let output = or(NumberOption::CompactionOutput, 1024);
        passes.push(WireIteration::new("compaction", None, Split::cold(input), output));
    }
    let cached = Split {
        input: 0,
        cache_read: or(NumberOption::DeclinedRead, 0),
        cache_5m: or(NumberOption::Declined5m, 0),
        cache_1h: or(NumberOption::Declined1h, 0),
    };
    let uncached = counts.prompt.total().saturating_sub(cached.total());
    let declined = Split { input: or(NumberOption::DeclinedInput, uncached), ..cached };
    for _ in 0..declines(scenario, script) {
        let output = or(NumberOption::DeclinedOutput, 0);
        passes.push(WireIteration::new("message", Some(asked), declined, output));
    }
    let model = is_fallback.then_some(served);
    for index in 0..counts.passes {
        let is_last = index.saturating_add(1) == counts.passes;
        let kind = if is_fallback && is_last { "fallback_message" } else { "message" };
        let extra = if is_last { or(NumberOption::PassesExtra, 0) } else { 0 };
        let prompt = counts.whole_prompt().share(counts.passes, index);
        let prompt = Split { input: prompt.input.saturating_add(extra), ..prompt };
        let output = share(counts.output, counts.passes, index);
        passes.push(WireIteration::new(kind, model, prompt, output));
    }
    Some(passes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn passes(scenario: Scenario, script: &str) -> Value {
        let script: Script = script.parse().expect("a valid script");
        let counts = AnswerCounts::of(scenario, &script, Split::cold(50_000), 300);
        let passes = iterations(scenario, &script, &counts, "first", "second");
        serde_json::to_value(passes).expect("JSON")
    }

    fn sum(passes: &Value, kind: &str, key: &str) -> u64 {
        let passes = passes.as_array().expect("a list").iter();
        passes.filter(|pass| pass["type"] == kind).map(|pass| pass[key].as_u64().unwrap()).sum()
    }

    #[test]
    fn one_plain_pass_has_no_list_of_them() {
        assert_eq!(passes(Scenario::Text, "events=3"), Value::Null);
        assert_eq!(passes(Scenario::Refusal, ""), Value::Null);
    }

    #[test]
    fn passes_add_up_to_the_top_level_and_a_compaction_is_beside_it() {
        let script = "passes=3;input=180001;output=301;cache_read=10;late_input=5;compaction=900";
        let passes = passes(Scenario::Text, script);
        assert_eq!(passes.as_array().expect("a list").len(), 4);
        assert_eq!(sum(&passes, "message", "input_tokens"), 180_006);
        assert_eq!(sum(&passes, "message", "output_tokens"), 301);
        assert_eq!(sum(&passes, "message", "cache_read_input_tokens"), 10);
        assert_eq!(sum(&passes, "compaction", "input_tokens"), 900);
        assert_eq!(sum(&passes, "compaction", "output_tokens"), 1024);
    }

    #[test]
    fn passes_can_miss_the_top_level() {
        let passes = passes(Scenario::Text, "passes=2;input=100;passes_extra=7");
        assert_eq!(sum(&passes, "message", "input_tokens"), 107);
    }

    #[test]
    fn a_fallback_lists_who_declined_with_what_it_wrote() {
        let script = "declined_output=2000;declined_5m=7;cache_5m=9";
        let creation = |short: u64| {
            json!({ "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": 0 })
        };
        let expected = json!([
            {
                "type": "message", "model": "first", "input_tokens": 50_002, "output_tokens": 2000,
                "cache_creation_input_tokens": 7, "cache_read_input_tokens": 0,
                "cache_creation": creation(7),
            },
            {
                "type": "fallback_message", "model": "second", "input_tokens": 50_000,
                "output_tokens": 300, "cache_creation_input_tokens": 9,
                "cache_read_input_tokens": 0, "cache_creation": creation(9),
            },
        ]);
        assert_eq!(passes(Scenario::Fallback, script), expected);
        let two = passes(Scenario::Fallback, "declines=2;passes=2");
        let kinds = two.as_array().expect("a list").iter().map(|pass| pass["type"].clone());
        let expected = json!(["message", "message", "message", "fallback_message"]);
        assert_eq!(kinds.collect::<Value>(), expected);
    }
}
