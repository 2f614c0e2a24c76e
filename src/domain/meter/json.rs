//! A JSON answer, which counts once: at its end.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::merge::UsageMerge;
use super::{Anomaly, REFUSAL};
use crate::domain::byte_counts::ByteCounts;
use crate::domain::usage::Usage;

/// What a JSON answer used: its model and its top-level usage, with what was odd about them.
/// `None` if it is not a JSON object.
#[must_use]
pub fn read_json_answer(body: &[u8]) -> Option<JsonAnswer> {
    #[derive(Deserialize)]
    struct JsonMessage<'a> {
        model: Option<String>,
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        stop_reason: Option<&'a RawValue>,
    }
    let answer: JsonMessage<'_> = serde_json::from_slice(body).ok()?;
    let mut merge = UsageMerge::default();
    merge.merge_answer(answer.model, answer.usage);
    let content = answer.content.map_or("", RawValue::get);
    if answer.stop_reason.is_some_and(|reason| reason.get() == REFUSAL) {
        merge.note_refusal(!is_empty_content(content));
    }
    Some(JsonAnswer {
        usage: merge.usage(),
        has_usage: merge.has_counts(),
        has_unread_output: merge.has_unread_output(),
        anomalies: merge.anomalies().to_vec(),
        content: ByteCounts::of(content.as_bytes()),
    })
}

/// Whether an answer's `content` has nothing that a model wrote.
fn is_empty_content(content: &str) -> bool {
    #[derive(Deserialize)]
    struct JsonBlock<'a> {
        #[serde(borrow, default)]
        text: Option<std::borrow::Cow<'a, str>>,
    }
    let blocks: Result<Option<Vec<JsonBlock<'_>>>, _> = serde_json::from_str(content);
    let is_empty = |block: &JsonBlock<'_>| block.text.as_ref().is_some_and(|text| text.is_empty());
    content.is_empty()
        || blocks.is_ok_and(|blocks| blocks.is_none_or(|blocks| blocks.iter().all(is_empty)))
}

/// See [`read_json_answer`].
#[derive(Clone, Debug)]
pub struct JsonAnswer {
    /// What the upstream counted.
    pub usage: Usage,
    /// Whether it counted anything.
    pub has_usage: bool,
    /// Whether its output was reported by something that is no count.
    pub has_unread_output: bool,
    /// What the operator should hear of.
    pub anomalies: Vec<Anomaly>,
    /// Bytes of the answer's `content` as JSON.
    pub content: ByteCounts,
}
