//! A request as lists and its receipt show it.

use crate::db::models::usage_logs::UsageOfKey;
use crate::domain::request_result::RequestResult;
use crate::site::format::{GroupedCount, Micros, ShortTime, SignedDollars, TimeElement};

/// One request in a list.
pub(in crate::site) struct Request {
    pub(in crate::site) id: String,
    pub(in crate::site) at: ShortTime,
    pub(in crate::site) whole_at: TimeElement,
    pub(in crate::site) model: String,
    pub(in crate::site) key_id: String,
    pub(in crate::site) key_name: String,
    pub(in crate::site) key_hint: Option<String>,
    /// Neither read from a cache nor written to one.
    pub(in crate::site) input: GroupedCount,
    /// Read from the cache.
    pub(in crate::site) cached: GroupedCount,
    /// Written to either cache.
    pub(in crate::site) written: GroupedCount,
    pub(in crate::site) output: GroupedCount,
    pub(in crate::site) latency: String,
    pub(in crate::site) cost: Micros,
    pub(in crate::site) charge: SignedDollars,
    pub(in crate::site) status: i32,
    pub(in crate::site) result: ResultBadge,
}

impl From<&UsageOfKey> for Request {
    fn from(UsageOfKey { row, key_id, key_name, key_hint }: &UsageOfKey) -> Self {
        let written = row.cache_write_5m_tokens.saturating_add(row.cache_write_1h_tokens);
        Self {
            id: row.id.clone(),
            at: ShortTime(row.created_at),
            whole_at: TimeElement(row.created_at),
            model: row.requested_model.clone(),
            key_id: key_id.clone(),
            key_name: key_name.clone(),
            key_hint: key_hint.clone(),
            input: GroupedCount(row.input_tokens),
            cached: GroupedCount(row.cache_read_tokens),
            written: GroupedCount(written),
            output: GroupedCount(row.output_tokens),
            latency: seconds(row.latency_ms),
            cost: Micros(row.cost_nanousd),
            charge: SignedDollars(row.cost_nanousd),
            status: row.http_status,
            result: ResultBadge::of(RequestResult::of(row.ending)),
        }
    }
}

/// A result as a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::site) struct ResultBadge {
    pub(in crate::site) class: &'static str,
    pub(in crate::site) text: &'static str,
}

impl ResultBadge {
    pub(in crate::site) const fn of(result: RequestResult) -> Self {
        let class = match result {
            RequestResult::Ok => "good",
            RequestResult::CutShort => "warn",
            RequestResult::Refused | RequestResult::Error => "bad",
            RequestResult::YouLeft => "info",
        };
        Self { class, text: result_title(result) }
    }
}

pub(in crate::site) const fn result_title(result: RequestResult) -> &'static str {
    match result {
        RequestResult::Ok => "OK",
        RequestResult::CutShort => "Cut short",
        RequestResult::Refused => "Refused",
        RequestResult::Error => "Error",
        RequestResult::YouLeft => "You disconnected",
    }
}

/// A span as people read it: `350 ms`, `1.2 s`, `2 min 5 s`.
pub(in crate::site) fn seconds(millis: i64) -> String {
    let millis = millis.max(0);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => {
            let tenths = millis.saturating_add(50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_no_more_digits_than_are_read() {
        assert_eq!(seconds(-5), "0 ms");
        assert_eq!(seconds(999), "999 ms");
        assert_eq!(seconds(1_000), "1.0 s");
        assert_eq!(seconds(12_349), "12.3 s");
        assert_eq!(seconds(125_900), "2 min 5 s");
    }
}
