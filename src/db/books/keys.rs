//! What keys have cost. The lock on the account's row covers its keys: whoever writes these columns
//! holds it.

use diesel::prelude::*;

use crate::db::schema::api_keys;
use crate::domain::clock::{CalendarMonth, UnixMillis};
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::key_limits::KeySpending;
use crate::domain::money::NanoUsd;

/// What a key has cost, as it is stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct SpendingColumns {
    spent_nanousd: NanoUsd,
    month: CalendarMonth,
    month_spent_nanousd: NanoUsd,
    paused_until: Option<UnixMillis>,
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
        KeySpending {
            spent: self.spent_nanousd,
            month: self.month,
            month_spent: self.month_spent_nanousd,
            paused_until: self.paused_until,
        }
    }
}

/// A key as the ledger sees it.
#[derive(Clone, Debug, Queryable)]
pub struct KeyBookRow {
    /// The key.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub account_id: AccountId,
    /// When it was taken back, if it was.
    pub revoked_at: Option<UnixMillis>,
    /// Since when its owner has paused it, if they have.
    pub paused_at: Option<UnixMillis>,
    /// When it ends, if it does.
    pub expires_at: Option<UnixMillis>,
    /// For a month.
    pub monthly_budget_nanousd: Option<NanoUsd>,
    /// For its life.
    pub total_budget_nanousd: Option<NanoUsd>,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<UnixMillis>,
    /// What it has cost.
    pub spending: SpendingColumns,
    /// Another one after each transaction that has changed its row; always 0 on `SQLite`.
    pub version: i64,
}

/// A key that something was decided on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenKey {
    /// The key.
    pub(crate) id: ApiKeyId,
    /// Whose key it is.
    pub(crate) account_id: AccountId,
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
    /// The key.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub account_id: AccountId,
    /// In its life.
    pub spent_nanousd: NanoUsd,
    /// The month.
    pub month: CalendarMonth,
    /// In that month.
    pub month_spent_nanousd: NanoUsd,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<UnixMillis>,
    /// A budget has stopped it until then.
    pub paused_until: Option<UnixMillis>,
}
