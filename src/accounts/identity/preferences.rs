//! What people want to be told: below which balance, and whether anything at all that is not about
//! security or policy.

use super::AuthError;
pub use super::people::AccountPreferences;
use super::people::Identity;
use super::session::LiveSession;
use crate::db::models::accounts::{self, PreferencesRow};
use crate::domain::money::NanoUsd;

impl Identity {
    /// The preferences of whoever is logged in.
    pub async fn preferences(
        &self,
        session: &LiveSession,
    ) -> Result<AccountPreferences, AuthError> {
        let id = session.account_id();
        let row = self.run(move |conn| Ok(accounts::preferences(conn, id)?)).await?;
        let row = row.ok_or(AuthError::WrongCredentials)?;
        Ok(AccountPreferences {
            low_balance: row.low_balance_nanousd,
            wants_notices: row.wants_notices,
        })
    }

    /// Changes them.
    ///
    /// # Errors
    /// [`AuthError::BadThreshold`], [`AuthError::SessionEnded`] and others.
    pub async fn update_preferences(
        &self,
        session: &LiveSession,
        wanted: AccountPreferences,
    ) -> Result<(), AuthError> {
        session.may_change()?;
        if wanted.low_balance.is_some_and(|threshold| threshold <= NanoUsd::ZERO) {
            return Err(AuthError::BadThreshold);
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
