//! Requests that were refused here, as the pages of usage say them.

use super::days;
use crate::db::models::refused_requests::RefusedOfKey;
use crate::domain::clock::UtcDay;
use crate::domain::refusal_cause::RefusalCause;
use crate::site::format::GroupedCount;

/// Rows of the table. There are more only where many keys are refused for many days.
const ROWS_MAX: usize = 100;

/// See the module.
pub(in crate::site) struct RefusedView {
    pub(in crate::site) total: i64,
    pub(in crate::site) count: GroupedCount,
    /// `balance too low 10, rate limit 2`.
    pub(in crate::site) reasons: String,
    pub(in crate::site) rows: Vec<RefusedLine>,
}

/// How often on one day, by one key, for one reason.
pub(in crate::site) struct RefusedLine {
    pub(in crate::site) day: String,
    pub(in crate::site) key_id: String,
    pub(in crate::site) key_name: String,
    pub(in crate::site) reason: &'static str,
    pub(in crate::site) requests: GroupedCount,
}

impl RefusedView {
    pub(in crate::site) fn of(counts: &[RefusedOfKey]) -> Self {
        let of = |cause: RefusalCause| {
            let same = counts.iter().filter(|count| count.row.reason == cause);
            same.fold(0_i64, |sum, count| sum.saturating_add(count.row.requests))
        };
        let mut reasons: Vec<(RefusalCause, i64)> =
            RefusalCause::ALL.into_iter().map(|cause| (cause, of(cause))).collect();
        reasons.retain(|(_, count)| *count > 0);
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let total = reasons.iter().fold(0_i64, |sum, (_, count)| sum.saturating_add(*count));
        let words = reasons
            .iter()
            .map(|(cause, count)| format!("{} {}", in_words(*cause), GroupedCount(*count)));
        let line = |count: &RefusedOfKey| RefusedLine {
            day: days::long_day(UtcDay::from_number(count.row.day)),
            key_id: count.key_id.clone(),
            key_name: count.key_name.clone(),
            reason: in_words(count.row.reason),
            requests: GroupedCount(count.row.requests),
        };
        Self {
            total,
            count: GroupedCount(total),
            reasons: words.collect::<Vec<_>>().join(", "),
            rows: counts.iter().take(ROWS_MAX).map(line).collect(),
        }
    }
}

const fn in_words(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::Balance => "balance too low",
        RefusalCause::KeyBudget => "key budget reached",
        RefusalCause::RateLimit => "rate limit",
        RefusalCause::Concurrency => "too many at once",
        RefusalCause::Key => "key revoked or expired",
        RefusalCause::Permission => "not permitted",
        RefusalCause::Model => "unknown model",
        RefusalCause::Request => "invalid request",
    }
}
