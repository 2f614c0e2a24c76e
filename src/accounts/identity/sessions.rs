//! Being logged in: a session begins with a random token of its own, is recognised by that token's
//! hash, and ends with its time, with silence, or by a person's wish.

use super::AuthError;
use super::people::Identity;
use super::session::live;
pub use super::session::{LiveSession, OpenedSession};
use crate::config::Accounts;
use crate::db::models::sessions::{self, SessionRow};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, public_id};
use crate::domain::secret_token::{SecretToken, TokenHash, TokenKind};

/// How old the note of a session's last use may become before it is written anew: not each page is
/// worth a write.
const NOTED_EVERY_MILLIS: i64 = 10 * 60 * 1000;

impl Identity {
    /// The session of a token, if it is in force.
    pub async fn find_session(
        &self,
        token: &SecretToken,
    ) -> Result<Option<LiveSession>, AuthError> {
        let (hash, settings, now) = (token.hash(), self.settings.clone(), self.now());
        self.run(move |conn| Ok(find_session(conn, &hash, &settings, now)?)).await
    }

    /// The account's sessions that are in force, newest first.
    pub async fn sessions(&self, session: &LiveSession) -> Result<Vec<SessionRow>, AuthError> {
        let (id, idle, now) = (session.account_id(), self.settings.session_idle, self.now());
        let rows = self.run(move |conn| Ok(sessions::of_account(conn, id, now)?)).await?;
        let is_alive = |row: &SessionRow| row.last_seen_at.plus(idle) > now;
        Ok(rows.into_iter().filter(is_alive).collect())
    }

    /// Logs out: ends the session itself, or another of its account by its public name.
    ///
    /// # Errors
    /// [`AuthError::NoSession`] and others.
    pub async fn log_out(
        &self,
        session: &LiveSession,
        other: Option<String>,
    ) -> Result<(), AuthError> {
        let id = session.account_id();
        let name = other.unwrap_or_else(|| session.row.public_id.clone());
        let is_ended = self.run(move |conn| Ok(sessions::end(conn, id, &name)?)).await?;
        if is_ended { Ok(()) } else { Err(AuthError::NoSession) }
    }

    /// Logs out everywhere.
    pub async fn log_out_everywhere(&self, session: &LiveSession) -> Result<(), AuthError> {
        let id = session.account_id();
        self.run(move |conn| Ok(sessions::end_all(conn, id)?)).await?;
        Ok(())
    }
}

/// Begins a session.
pub fn open(
    conn: &mut AnyConnection,
    account_id: AccountId,
    settings: &Accounts,
    now: UnixMillis,
) -> Result<OpenedSession, DbError> {
    let token = SecretToken::random(TokenKind::Session)?;
    let public_id = public_id("session_")?;
    let expires_at = now.plus(settings.session);
    sessions::forget_expired(conn, now)?;
    sessions::create(conn, &public_id, account_id, &token.hash(), (now, expires_at))?;
    Ok(OpenedSession { token, public_id, expires_at })
}

/// The session of a token, if it is in force.
pub fn find_session(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    settings: &Accounts,
    now: UnixMillis,
) -> Result<Option<LiveSession>, DbError> {
    let Some((row, status, closing_at)) = sessions::by_hash(conn, token_hash)? else {
        return Ok(None);
    };
    let seen = row.last_seen_at;
    let is_over = row.expires_at <= now || seen.plus(settings.session_idle) <= now;
    if is_over {
        return Ok(None);
    }
    if now.millis_ahead_of(row.last_seen_at) >= NOTED_EVERY_MILLIS {
        sessions::touch(conn, row.id, now)?;
    }
    Ok(Some(live(row, status, closing_at)))
}
