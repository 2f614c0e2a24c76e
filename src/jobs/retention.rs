//! Retention: which rows have expired at a moment, by the settings of how long things are kept.

use crate::config::Privacy;
use crate::db::retention::{self as rows, Expirable};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;

/// What is over at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// Usage rows from before go.
    pub usage_before: UnixMillis,
    /// Leftovers whose time was up before go, each kind by its own rule.
    pub now: UnixMillis,
    /// Claims that ended before go.
    pub claims_before: UnixMillis,
}

impl Cutoffs {
    /// What is over at `now`.
    #[must_use]
    pub fn at(settings: &Privacy, now: UnixMillis) -> Self {
        let before = now.minus(settings.usage_log());
        Self { usage_before: before, now, claims_before: before }
    }

    pub(super) const fn of(&self, kind: Expirable) -> UnixMillis {
        match kind {
            Expirable::Sessions
            | Expirable::EmailTokens
            | Expirable::UnsubscribeTokens
            | Expirable::Challenges
            | Expirable::Attempts => self.now,
            Expirable::Claims => self.claims_before,
            Expirable::Refusals => self.usage_before,
        }
    }
}

/// What would go, as (name, rows).
pub fn due(
    conn: &mut AnyConnection,
    limits: &Cutoffs,
) -> Result<Vec<(&'static str, i64)>, DbError> {
    let mut due = vec![("usage_logs", rows::count_old_usage(conn, limits.usage_before)?)];
    for kind in Expirable::ALL {
        due.push((kind.as_str(), rows::count_leftovers(conn, kind, limits.of(kind))?));
    }
    Ok(due)
}
