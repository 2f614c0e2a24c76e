//! Links in mail that turn notices off, without a log-in: for people, and for mail programs that do
//! it on their behalf (RFC 8058). Such a link says no more than that: it shows nothing of the
//! account, and works again and again.

use std::time::Duration;

use super::AuthError;
use super::people::Identity;
use super::sign_up::link_hash;
use super::throttle::{ClientAddress, ThrottledAction};
use crate::db::models::unsubscribe_tokens as rows;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::{SecretToken, TokenKind};

impl Identity {
    /// Whether a link is in force.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    pub async fn may_unsubscribe(&self, token: &str) -> Result<bool, AuthError> {
        let Ok(token) = link_hash(token) else { return Ok(false) };
        let now = self.now();
        self.run(move |conn| Ok(rows::account_of(conn, &token, now)?.is_some())).await
    }

    /// Turns the notices of a link's account off, whatever else the account may do at the time.
    /// What a link has done counts as no attempt: mail programs come from a few addresses, for
    /// everybody.
    ///
    /// # Errors
    /// [`AuthError::BadLink`] and others.
    pub async fn unsubscribe(&self, token: &str, client: ClientAddress) -> Result<(), AuthError> {
        let counted = self.throttle.count(ThrottledAction::Client(client))?;
        let (token, now) = (link_hash(token)?, self.now());
        self.run(move |conn| {
            let id = rows::account_of(conn, &token, now)?.ok_or(AuthError::BadLink)?;
            Ok(rows::silence(conn, id)?)
        })
        .await?;
        self.throttle.take_back(counted);
        Ok(())
    }
}

/// Makes a link's token.
pub fn issue(
    conn: &mut AnyConnection,
    id: AccountId,
    lifetime: Duration,
    now: UnixMillis,
) -> Result<SecretToken, DbError> {
    let token = SecretToken::random(TokenKind::Mail)?;
    rows::create(conn, &token.hash(), id, now.plus(lifetime))?;
    Ok(token)
}
