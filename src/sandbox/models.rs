//! The models that the sandbox pretends to serve, in the list shape of the Messages API.

use serde::{Deserialize, Serialize};

/// One model as upstream describes it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ModelDocument {
    r#type: &'static str,
    id: &'static str,
    display_name: &'static str,
    created_at: &'static str,
    lifecycle: &'static str,
}

/// One page of the list.
#[derive(Debug, Serialize)]
pub(super) struct ModelsPage {
    data: Vec<ModelDocument>,
    has_more: bool,
    first_id: Option<&'static str>,
    last_id: Option<&'static str>,
}

/// Which page is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

const MODELS: [ModelDocument; 5] = [
    model("claude-opus-5-5", "Claude Opus 5.5 (sandbox)", "2026-09-15T00:00:00Z"),
    model("claude-sonnet-5-5", "Claude Sonnet 5.5 (sandbox)", "2026-09-15T00:00:00Z"),
    model("claude-haiku-5-5", "Claude Haiku 5.5 (sandbox)", "2026-09-15T00:00:00Z"),
    model("claude-sonnet-4-6", "Claude Sonnet 4.6 (sandbox)", "2026-02-17T00:00:00Z"),
    model("claude-haiku-4-5", "Claude Haiku 4.5 (sandbox)", "2025-10-01T00:00:00Z"),
];

const fn model(
    id: &'static str,
    display_name: &'static str,
    created_at: &'static str,
) -> ModelDocument {
    ModelDocument { r#type: "model", id, display_name, created_at, lifecycle: "active" }
}

/// The model of this name.
pub(super) fn find(id: &str) -> Option<ModelDocument> {
    MODELS.into_iter().find(|model| model.id == id)
}

/// The page of a query: 20 models unless it asks for another number.
pub(super) fn page(query: &PageQuery) -> ModelsPage {
    let place = |id: &Option<String>| {
        id.as_ref().and_then(|id| MODELS.iter().position(|model| model.id == id))
    };
    let limit = query.limit.unwrap_or(20).clamp(1, 1000);
    let (data, has_more) = if let Some(before) = place(&query.before_id) {
        let skipped = before.saturating_sub(limit);
        (MODELS.into_iter().take(before).skip(skipped).collect::<Vec<_>>(), skipped > 0)
    } else {
        let first = place(&query.after_id).map_or(0, |place| place.saturating_add(1));
        let last = first.saturating_add(limit);
        (MODELS.into_iter().take(last).skip(first).collect(), last < MODELS.len())
    };
    ModelsPage {
        first_id: data.first().map(|model| model.id),
        last_id: data.last().map(|model| model.id),
        has_more,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut query = PageQuery { limit: Some(2), ..PageQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = page(&query);
            seen.extend(page.data.iter().map(|model| model.id));
            if !page.has_more {
                break;
            }
            query.after_id = page.last_id.map(str::to_owned);
        }
        assert_eq!(seen, MODELS.map(|model| model.id));
    }
}
