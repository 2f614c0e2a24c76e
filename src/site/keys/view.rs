//! A key as pages show it.

use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::KeyState;
use crate::domain::mail::BudgetPeriod;
use crate::domain::money::NanoUsd;
use crate::domain::price_list::PriceList;
use crate::site::format::{Cents, ShortTime, TimeElement};

/// See the module.
pub(in crate::site) struct KeyView {
    pub(in crate::site) id: String,
    pub(in crate::site) name: String,
    /// `sluice_…mpqN`; keys of earlier versions have none.
    pub(in crate::site) hint: Option<String>,
    pub(in crate::site) badge: StateBadge,
    pub(in crate::site) spent: Cents,
    pub(in crate::site) month_spent: Cents,
    /// What its budgets are, the one that is closer to its end first.
    pub(in crate::site) budgets: Vec<BudgetBar>,
    pub(in crate::site) scopes: String,
    pub(in crate::site) models: String,
    pub(in crate::site) expires_at: Option<TimeElement>,
    pub(in crate::site) last_used_at: Option<ShortTime>,
    pub(in crate::site) created_at: ShortTime,
    pub(in crate::site) rotated_at: Option<ShortTime>,
    /// The secret before its rotation, as long as that works.
    pub(in crate::site) previous: Option<PreviousSecret>,
    pub(in crate::site) is_revoked: bool,
    /// Paused by its owner.
    pub(in crate::site) is_paused: bool,
}

/// How a key stands, in a word and in a sentence.
pub(in crate::site) struct StateBadge {
    /// The style's word.
    pub(in crate::site) class: &'static str,
    pub(in crate::site) title: &'static str,
    pub(in crate::site) words: &'static str,
}

/// A budget and how much of it is spent.
pub(in crate::site) struct BudgetBar {
    pub(in crate::site) spent: Cents,
    pub(in crate::site) budget: Cents,
    pub(in crate::site) period: &'static str,
    /// Of a hundred.
    pub(in crate::site) percent: i64,
    pub(in crate::site) class: &'static str,
}

/// A secret that was replaced and still works.
pub(in crate::site) struct PreviousSecret {
    pub(in crate::site) hint: Option<String>,
    pub(in crate::site) ends: TimeElement,
}

impl KeyView {
    pub(super) fn of(row: &ApiKeyRow, prices: &PriceList, now: UnixMillis) -> Self {
        let (limits, spending) = (row.limits(), row.spending());
        let state = row.state(now);
        let bar = |period| {
            let budget = limits.budget(period)?;
            Some(BudgetBar::of(spending.spent_in(period, now), budget, period))
        };
        let both = [bar(BudgetPeriod::Month), bar(BudgetPeriod::Total)];
        let mut budgets: Vec<BudgetBar> = both.into_iter().flatten().collect();
        budgets.sort_by_key(|bar| std::cmp::Reverse(bar.percent));
        let is_short = spending.runs_short(&limits, now).is_some();
        let name = |id: String| prices.find(&id).map_or(id, |model| model.display_name.clone());
        let models = |ids: Vec<String>| ids.into_iter().map(name).collect::<Vec<_>>().join(", ");
        Self {
            id: row.public_id.clone(),
            name: row.name.clone(),
            hint: row.hint.clone(),
            badge: StateBadge::of(state, is_short),
            spent: Cents(spending.spent),
            month_spent: Cents(spending.month_spent_at(now)),
            budgets,
            scopes: limits.scopes.names().collect::<Vec<_>>().join(", "),
            models: limits.models.map_or_else(|| "All".to_owned(), models),
            expires_at: limits.expires_at.map(TimeElement),
            last_used_at: row.last_used_at.map(ShortTime),
            created_at: ShortTime(row.created_at),
            rotated_at: row.rotated_at.map(ShortTime),
            previous: row.overlap_ends_at(now).map(|ends| PreviousSecret {
                hint: row.previous_hint.clone(),
                ends: TimeElement(ends),
            }),
            is_revoked: state == KeyState::Revoked,
            is_paused: row.paused_at.is_some(),
        }
    }
}

impl StateBadge {
    const fn of(state: KeyState, is_short: bool) -> Self {
        let (class, title, words) = match state {
            KeyState::Active if is_short => (
                "warn",
                "Budget low",
                "The last of the budget was too little for a request. Smaller requests still work.",
            ),
            KeyState::Active => ("good", "Active", "Requests are accepted."),
            KeyState::PausedByOwner => {
                ("warn", "Paused", "You paused this key. Requests are refused until you resume it.")
            }
            KeyState::Paused(BudgetPeriod::Month) => (
                "warn",
                "Budget reached",
                "Paused: the monthly budget is used up. The key resumes when the next month begins \
                 (UTC), or once you raise the budget.",
            ),
            KeyState::Paused(BudgetPeriod::Total) => (
                "warn",
                "Budget reached",
                "Paused: the total budget is used up. Raise it to resume.",
            ),
            KeyState::Expired => {
                ("", "Expired", "Requests are refused. Set a later expiry to use it again.")
            }
            KeyState::Revoked => ("", "Revoked", "Requests are refused permanently."),
        };
        Self { class, title, words }
    }
}

impl BudgetBar {
    fn of(spent: NanoUsd, budget: NanoUsd, period: BudgetPeriod) -> Self {
        let whole = i128::from(budget.as_nanos()).max(1);
        let percent = i128::from(spent.as_nanos()).saturating_mul(100) / whole;
        let percent = if spent >= budget { 100 } else { percent.clamp(0, 99) };
        let percent = i64::try_from(percent).unwrap_or(100);
        Self {
            spent: Cents(spent),
            budget: Cents(budget),
            period: match period {
                BudgetPeriod::Month => "this month",
                BudgetPeriod::Total => "in total",
            },
            percent,
            class: match percent {
                100.. => "bad",
                80.. => "warn",
                _ => "",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_only_when_nothing_is_left() {
        let of = |spent, budget| {
            let [spent, budget] = [spent, budget].map(NanoUsd::from_nanos);
            let bar = BudgetBar::of(spent, budget, BudgetPeriod::Total);
            (bar.percent, bar.class)
        };
        assert_eq!(of(0, 100), (0, ""));
        assert_eq!(of(799, 1000), (79, ""));
        assert_eq!(of(800, 1000), (80, "warn"));
        assert_eq!(of(9999, 10_000), (99, "warn"));
        assert_eq!(of(100, 100), (100, "bad"));
        assert_eq!(of(0, 0), (100, "bad"));
        assert_eq!(of(i64::MAX, i64::MAX), (100, "bad"));
        assert_eq!(of(-5, 100), (0, ""));
    }
}
