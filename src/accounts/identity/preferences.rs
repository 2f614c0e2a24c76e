//! What people want to be told: below which balance, and whether anything at all that is not about
//! security or policy.

use super::PeopleError;
use super::people::People;
pub use super::people::Preferences;
use super::session::LiveSession;
use crate::db::accounts::{self, PreferencesRow};
use crate::domain::money::NanoUsd;

impl People {
    /// The preferences of whoever is logged in.
    pub async fn preferences(&self, session: &LiveSession) -> Result<Preferences, PeopleError> {
        let id = session.account_id();
        let row = self.run(move |conn| Ok(accounts::preferences(conn, id)?)).await?;
        let row = row.ok_or(PeopleError::WrongCredentials)?;
        Ok(Preferences { low_balance: row.low_balance_nanousd, wants_notices: row.wants_notices })
    }

    /// Changes them.
    ///
    /// # Errors
    /// [`PeopleError::BadThreshold`], [`PeopleError::SessionEnded`] and others.
    pub async fn prefer(
        &self,
        session: &LiveSession,
        wanted: Preferences,
    ) -> Result<(), PeopleError> {
        session.may_change()?;
        if wanted.low_balance.is_some_and(|threshold| threshold <= NanoUsd::ZERO) {
            return Err(PeopleError::BadThreshold);
        }
        let row = PreferencesRow {
            low_balance_nanousd: wanted.low_balance,
            wants_notices: wanted.wants_notices,
        };
        let session = session.clone();
        self.write(move |conn| {
            session.hold(conn)?;
            Ok(accounts::set_preferences(conn, session.account_id(), row)?)
        })
        .await
    }
}
