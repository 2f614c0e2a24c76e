//! Links in mail: made when a mail is written, good for one purpose, once, for a while. They are
//! used by a POST only: programs that look through mail open links.

use std::time::Duration;

use crate::db::models::email_tokens::{self as rows, EmailTokenRow};
use crate::db::models::{accounts, credentials_epoch};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::{SecretToken, TokenHash, TokenKind};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Proves the address of an account that is to be opened.
    SignUp,
    /// Sets a new password.
    Reset,
    /// Proves the new address of an account.
    Change,
}

/// Whose credentials a link is for, and as of when: see [`credentials_epoch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// The account.
    pub account_id: AccountId,
    /// Its epoch when somebody asked for the link.
    pub credentials_epoch: i64,
}

/// What a link that was in force has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// Whose it is; `None` for a sign-up.
    pub account_id: Option<AccountId>,
    /// The address that it was sent to, which is proven by that.
    pub email: String,
}

impl LinkPurpose {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::Reset => "reset",
            Self::Change => "change",
        }
    }
}

/// Makes a link's token; `holder` is `None` for a sign-up.
pub fn issue(
    conn: &mut AnyConnection,
    purpose: LinkPurpose,
    (holder, email): (Option<TokenHolder>, &str),
    lifetime: Duration,
    now: UnixMillis,
) -> Result<SecretToken, DbError> {
    let token = SecretToken::random(TokenKind::Mail)?;
    let row = EmailTokenRow {
        purpose: purpose.as_str().to_owned(),
        account_id: holder.map(|holder| holder.account_id),
        email: email.to_owned(),
        expires_at: now.plus(lifetime),
        credentials_epoch: holder.map(|holder| holder.credentials_epoch),
    };
    rows::create(conn, &token.hash(), &row, now)?;
    Ok(token)
}

/// What a token opens, if it is in force for this purpose and the credentials that it is for are
/// still those of the time when somebody asked for it. It stays so.
pub fn look_at(
    conn: &mut AnyConnection,
    purpose: LinkPurpose,
    token: &TokenHash,
    now: UnixMillis,
) -> Result<Option<Redeemed>, DbError> {
    let row = rows::find(conn, token)?
        .filter(|row| row.purpose == purpose.as_str() && row.expires_at > now);
    let Some(row) = row else { return Ok(None) };
    let account_id = row.account_id;
    if let Some(id) = account_id
        && credentials_epoch::current(conn, id)? != row.credentials_epoch
    {
        return Ok(None);
    }
    Ok(Some(Redeemed { account_id, email: row.email }))
}

/// Uses a token up. Belongs into the transaction that does what it is for.
pub fn redeem(
    conn: &mut AnyConnection,
    purpose: LinkPurpose,
    token: &TokenHash,
    now: UnixMillis,
) -> Result<Option<Redeemed>, DbError> {
    let Some(redeemed) = look_at(conn, purpose, token, now)? else { return Ok(None) };
    // Who has used one link drops the others, which somebody else may be using at this moment.
    match redeemed.account_id {
        Some(id) => accounts::lock(conn, id)?,
        None => rows::lock_sign_ups(conn, &redeemed.email)?,
    }
    // Looked at once more, now that nobody else can change them.
    let redeemed = look_at(conn, purpose, token, now)?;
    Ok(if rows::remove(conn, token)? { redeemed } else { None })
}
