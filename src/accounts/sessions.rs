//! Being logged in: a session begins with a random token of its own, is recognised by that token's hash, and ends
//! with its time, with silence, or by a person's wish.

use super::AccountError;
use crate::config::Accounts;
use crate::db::sessions::{self, SessionRow};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, public_id};
use crate::domain::secret_token::{SecretToken, TokenHash, TokenKind};

/// How old the note of a session's last use may become before it is written anew: not each page is worth a write.
const NOTED_EVERY_MILLIS: i64 = 10 * 60 * 1000;

/// A session that has just begun: the only time that its token is known in clear.
pub struct OpenedSession {
    /// What its holder shows from now on.
    pub token: SecretToken,
    /// Its public name.
    pub public_id: String,
    /// When it ends at the latest.
    pub expires_at: UnixMillis,
}

/// A session in force.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// The session.
    pub row: SessionRow,
    /// The account has been suspended: it may look, and ask why.
    pub is_suspended: bool,
}

impl LiveSession {
    /// Who is logged in.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        AccountId(self.row.account_id)
    }
}

/// Begins a session.
///
/// # Errors
/// [`AccountError`].
pub fn open(
    conn: &mut AnyConnection,
    account_id: AccountId,
    settings: &Accounts,
    now: UnixMillis,
) -> Result<OpenedSession, AccountError> {
    let token = SecretToken::random(TokenKind::Session)?;
    let public_id = public_id("session_")?;
    let expires_at = now.plus(settings.session);
    sessions::create(conn, &public_id, account_id, &token.hash(), (now, expires_at))?;
    Ok(OpenedSession { token, public_id, expires_at })
}

/// The session of a token, if it is in force.
///
/// # Errors
/// [`DbError`].
pub fn recognise(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
    settings: &Accounts,
    now: UnixMillis,
) -> Result<Option<LiveSession>, DbError> {
    let Some((row, status)) = sessions::by_hash(conn, token_hash)? else { return Ok(None) };
    let seen = UnixMillis::from_millis(row.last_seen_at);
    let is_over = row.expires_at <= now.as_millis() || seen.plus(settings.session_idle) <= now;
    if is_over {
        return Ok(None);
    }
    if now.as_millis().saturating_sub(row.last_seen_at) >= NOTED_EVERY_MILLIS {
        sessions::touch(conn, row.id, now)?;
    }
    Ok(Some(LiveSession { row, is_suspended: status != "active" }))
}
