//! What keys have cost. The lock on the account's row covers its keys: whoever writes these columns
//! holds it.

use diesel::prelude::*;

use crate::db::schema::api_keys;
use crate::domain::clock::{CalendarMonth, UnixMillis};
use crate::domain::key_limits::KeySpending;
use crate::domain::money::NanoUsd;

/// What a key has cost, as it is stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct SpendingColumns {
    spent_nanousd: i64,
    month: i64,
    month_spent_nanousd: i64,
    paused_until: Option<i64>,
}

impl SpendingColumns {
    /// Has them as they are after a group of the books.
    pub(super) const fn set(&mut self, spent: &KeySpent) {
        self.spent_nanousd = spent.spent_nanousd;
        self.month = spent.month;
        self.month_spent_nanousd = spent.month_spent_nanousd;
        self.paused_until = spent.paused_until;
    }

    /// As the rest of the crate carries it.
    #[must_use]
    pub const fn read(&self) -> KeySpending {
        let paused_until = match self.paused_until {
            Some(millis) => Some(UnixMillis::from_millis(millis)),
            None => None,
        };
        KeySpending {
            spent: NanoUsd::from_nanos(self.spent_nanousd),
            month: CalendarMonth::from_number(self.month),
            month_spent: NanoUsd::from_nanos(self.month_spent_nanousd),
            paused_until,
        }
    }
}

/// A key as the ledger sees it.
#[derive(Clone, Debug, Queryable)]
pub struct KeyBookRow {
    /// Row number.
    pub id: i64,
    /// Whose key it is.
    pub account_id: i64,
    /// When it was taken back, if it was.
    pub revoked_at: Option<i64>,
    /// When it ends, if it does.
    pub expires_at: Option<i64>,
    /// Nano-dollars in a month.
    pub monthly_budget_nanousd: Option<i64>,
    /// Nano-dollars in its life.
    pub total_budget_nanousd: Option<i64>,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<i64>,
    /// What it has cost.
    pub spending: SpendingColumns,
    /// Another one after each transaction that has changed its row; always 0 on `SQLite`.
    pub version: i64,
}

/// A key that something was decided on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenKey {
    /// Row number.
    pub(crate) id: i64,
    /// Whose key it is.
    pub(crate) account_id: i64,
    /// Its version when it was read: see [`KeyBookRow::version`].
    pub(crate) version: i64,
}

impl KeyBookRow {
    /// Whether a budget limits what it may cost.
    pub(super) const fn has_budget(&self) -> bool {
        self.monthly_budget_nanousd.is_some() || self.total_budget_nanousd.is_some()
    }
}

/// What a key has cost after a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpent {
    /// Row number.
    pub id: i64,
    /// Whose key it is.
    pub account_id: i64,
    /// Nano-dollars in its life.
    pub spent_nanousd: i64,
    /// The month's number.
    pub month: i64,
    /// Nano-dollars in that month.
    pub month_spent_nanousd: i64,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<i64>,
    /// A budget has stopped it until then.
    pub paused_until: Option<i64>,
}
