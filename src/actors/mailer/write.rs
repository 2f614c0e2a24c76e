//! From a row to a message, at the moment of sending: only then is it looked up who has an account, and only then is a
//! link's token made, so that nothing in the database opens anything.

use lettre::Message;
use serde::de::DeserializeOwned;

use crate::accounts::email_tokens::{self, Purpose};
use crate::config::Settings;
use crate::db::outbox::{self, OutboxRow};
use crate::db::{AnyConnection, DbError, accounts};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::MailKind;
use crate::domain::secret_token::SecretToken;
use crate::mail::Letterhead;
use crate::mail::letter::Letter;
use crate::mail::message::compose;

/// What a row comes to.
pub(super) enum Draft {
    /// A mail.
    Message(Box<Message>),
    /// Nothing, and that is right.
    Unwanted,
    /// Nothing, and why.
    Hopeless(&'static str),
}

/// Writes the mail of a row.
///
/// # Errors
/// [`DbError`].
pub(super) fn draft(
    conn: &mut AnyConnection,
    head: &Letterhead,
    settings: &Settings,
    row: &OutboxRow,
    now: UnixMillis,
) -> Result<Draft, DbError> {
    let Some(kind) = MailKind::parse(&row.kind) else {
        return Ok(Draft::Hopeless("its kind is unknown to this version"));
    };
    let account_id = row.account_id.map(AccountId);
    if let Some(id) = account_id
        && !kind.is_essential()
        && !outbox::wants_notices(conn, id)?
    {
        return Ok(Draft::Unwanted);
    }
    let link = Link { settings, row, now };
    let token;
    let valid = settings.accounts.mail_link;
    let letter = match kind {
        MailKind::SignUp if accounts::find(conn, &row.recipient)?.is_some() => {
            Some(Letter::SignUpKnown)
        }
        MailKind::SignUp => {
            token = link.token(conn, Purpose::SignUp, None)?;
            Some(Letter::SignUp(&token, valid))
        }
        MailKind::ResetPassword => {
            let Some(account) = accounts::find(conn, &row.recipient)? else {
                return Ok(Draft::Unwanted);
            };
            token = link.token(conn, Purpose::Reset, Some(account.account_id()))?;
            Some(Letter::ResetPassword(&token, valid))
        }
        MailKind::ChangeEmail => {
            let Some(account_id) = account_id else { return Ok(Draft::Unwanted) };
            token = link.token(conn, Purpose::Change, Some(account_id))?;
            Some(Letter::ChangeEmail(&token, valid))
        }
        MailKind::EmailChanged => Some(Letter::EmailChanged),
        MailKind::PasswordChanged => Some(Letter::PasswordChanged),
        MailKind::TotpChanged => params(row).map(Letter::TotpChanged),
        MailKind::LowBalance => params(row).map(Letter::LowBalance),
        MailKind::KeyPaused => params(row).map(Letter::KeyPaused),
        MailKind::AccountClosing => params(row).map(Letter::AccountClosing),
    };
    let Some(letter) = letter else {
        return Ok(Draft::Hopeless("its parameters cannot be read"));
    };
    Ok(match compose(head, &letter, &row.recipient, &row.message_id, now) {
        Ok(message) => Draft::Message(Box::new(message)),
        Err(error) => {
            tracing::error!(error = %error, "a mail cannot be put together");
            Draft::Hopeless("it cannot be put together")
        }
    })
}

/// What a token is made from.
struct Link<'a> {
    settings: &'a Settings,
    row: &'a OutboxRow,
    now: UnixMillis,
}

impl Link<'_> {
    fn token(
        &self,
        conn: &mut AnyConnection,
        purpose: Purpose,
        account_id: Option<AccountId>,
    ) -> Result<SecretToken, DbError> {
        let (email, lifetime) = (self.row.recipient.as_str(), self.settings.accounts.mail_link);
        email_tokens::issue(conn, purpose, (account_id, email), lifetime, self.now)
    }
}

fn params<T: DeserializeOwned>(row: &OutboxRow) -> Option<T> {
    serde_json::from_str(&row.params).ok()
}
