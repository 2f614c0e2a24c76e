//! From a row to a message, at the moment of sending: only then is it looked up who has an account,
//! and only then is a link's token made, so that nothing in the database opens anything.

use lettre::Message;
use serde::de::DeserializeOwned;

use super::Letterhead;
use super::letter::{DepositLetter, Letter, PolicyNotice};
use super::message::compose;
use crate::accounts::identity::email_tokens::{self, LinkPurpose, TokenHolder};
use crate::accounts::identity::unsubscribe;
use crate::config::Settings;
use crate::db::models::outbox::{self, OutboxRow};
use crate::db::models::{credentials, credentials_epoch, policies};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, PolicyChanged};
use crate::domain::policy::PolicyVersion;
use crate::domain::secret_token::SecretToken;
use crate::telemetry::Causes;

/// What a row comes to.
pub(super) enum ComposedMail {
    /// A mail.
    Message(Box<Message>),
    /// Nothing, and that is right.
    Unwanted,
    /// Nothing, and why.
    Hopeless(&'static str),
}

/// Writes the mail of a row.
pub(super) fn draft(
    conn: &mut AnyConnection,
    head: &Letterhead,
    settings: &Settings,
    row: &OutboxRow,
    now: UnixMillis,
) -> Result<ComposedMail, DbError> {
    let Some(kind) = MailKind::parse(&row.kind) else {
        return Ok(ComposedMail::Hopeless("its kind is unknown to this version"));
    };
    let account_id = row.account_id;
    if let Some(id) = account_id
        && !kind.is_essential()
        && !outbox::wants_notices(conn, id)?
    {
        return Ok(ComposedMail::Unwanted);
    }
    let link = LinkSource { settings, row, now };
    let mut recipient = row.recipient.clone();
    if let Some(id) = account_id.filter(|_| kind.goes_to_its_reader()) {
        // It may have waited for hours: it goes to where its account is now.
        let Some(email) = reader(conn, id)? else { return Ok(ComposedMail::Unwanted) };
        recipient = email;
    }
    let token;
    let valid = settings.accounts.mail_link;
    let letter = match kind {
        MailKind::SignUp if credentials::of_address(conn, &row.recipient)?.is_some() => {
            Some(Letter::SignUpKnown)
        }
        MailKind::SignUp => {
            token = link.token(conn, LinkPurpose::SignUp, None)?;
            Some(Letter::SignUp(&token, valid))
        }
        MailKind::ResetPassword => {
            let Some(account) = credentials::of_address(conn, &row.recipient)? else {
                return Ok(ComposedMail::Unwanted);
            };
            let Some(holder) = link.holder(conn, account.id)? else {
                return Ok(ComposedMail::Unwanted);
            };
            token = link.token(conn, LinkPurpose::Reset, Some(holder))?;
            Some(Letter::ResetPassword(&token, valid))
        }
        MailKind::ChangeEmail => {
            let Some(id) = account_id else { return Ok(ComposedMail::Unwanted) };
            let Some(holder) = link.holder(conn, id)? else { return Ok(ComposedMail::Unwanted) };
            token = link.token(conn, LinkPurpose::Change, Some(holder))?;
            Some(Letter::ChangeEmail(&token, valid))
        }
        kind => link.without_token(conn, kind)?,
    };
    let Some(letter) = letter else {
        return Ok(ComposedMail::Hopeless("its parameters cannot be read"));
    };
    let unsubscribe = match account_id {
        _ if kind.is_essential() => None,
        Some(id) => Some(link.unsubscribe(conn, head, id)?),
        None => return Ok(ComposedMail::Hopeless("it could not be unsubscribed from")),
    };
    let marks = (row.message_id.as_str(), unsubscribe.as_deref());
    Ok(match compose(head, &letter, &recipient, marks, now) {
        Ok(message) => ComposedMail::Message(Box::new(message)),
        Err(error) => {
            tracing::error!(error = %Causes(&error), "an email cannot be composed");
            ComposedMail::Hopeless("it cannot be put together")
        }
    })
}

/// What a token is made from.
struct LinkSource<'a> {
    settings: &'a Settings,
    row: &'a OutboxRow,
    now: UnixMillis,
}

impl LinkSource<'_> {
    /// Whose credentials the link would change; `None` if these have changed since somebody asked
    /// for it. The token remembers the epoch of the row, not that of this moment, in which another
    /// transaction may be changing them.
    fn holder(
        &self,
        conn: &mut AnyConnection,
        account_id: AccountId,
    ) -> Result<Option<TokenHolder>, DbError> {
        let current = credentials_epoch::current(conn, account_id)?;
        let asked = self.row.credentials_epoch.filter(|asked| current == Some(*asked));
        Ok(asked.map(|credentials_epoch| TokenHolder { account_id, credentials_epoch }))
    }

    fn token(
        &self,
        conn: &mut AnyConnection,
        purpose: LinkPurpose,
        holder: Option<TokenHolder>,
    ) -> Result<SecretToken, DbError> {
        let (email, lifetime) = (self.row.recipient.as_str(), self.settings.accounts.mail_link);
        email_tokens::issue(conn, purpose, (holder, email), lifetime, self.now)
    }

    /// What has no link that opens anything.
    fn without_token(
        &self,
        conn: &mut AnyConnection,
        kind: MailKind,
    ) -> Result<Option<Letter<'static>>, DbError> {
        let row = self.row;
        Ok(match kind {
            MailKind::EmailChanged => Some(Letter::EmailChanged),
            MailKind::PasswordChanged => Some(Letter::PasswordChanged),
            MailKind::TotpChanged => params(row).map(Letter::TotpChanged),
            MailKind::LowBalance => params(row).map(Letter::LowBalance),
            MailKind::KeyPaused => params(row).map(Letter::KeyPaused),
            MailKind::AccountClosing => params(row).map(Letter::AccountClosing),
            MailKind::StandingChanged => params(row).map(Letter::StandingChanged),
            MailKind::KeysLeaked => params(row).map(Letter::KeysLeaked),
            MailKind::UnusualSpending => params(row).map(Letter::UnusualSpending),
            MailKind::WrongCodes => params(row).map(Letter::WrongCodes),
            MailKind::NewSession => params(row).map(Letter::NewSession),
            MailKind::KeyIssued => params(row).map(Letter::KeyIssued),
            MailKind::DepositSeen
            | MailKind::DepositCredited
            | MailKind::DepositHeld
            | MailKind::DepositRefunded
            | MailKind::DepositReversed => self.deposit().map(|news| Letter::Deposit(kind, news)),
            MailKind::PolicyChanged => policy_notice(conn, row)?.map(Letter::PolicyChanged),
            MailKind::SignUp | MailKind::ResetPassword | MailKind::ChangeEmail => None,
        })
    }

    /// What is said of the row's deposit.
    fn deposit(&self) -> Option<DepositLetter> {
        params(self.row).map(|news| DepositLetter::of(news, &self.settings.chains))
    }

    /// The page that turns notices off.
    fn unsubscribe(
        &self,
        conn: &mut AnyConnection,
        head: &Letterhead,
        account_id: AccountId,
    ) -> Result<String, DbError> {
        let lifetime = self.settings.mail.unsubscribe;
        let token = unsubscribe::issue(conn, account_id, lifetime, self.now)?;
        Ok(head.page(&format!("/unsubscribe?token={}", token.reveal())))
    }
}

/// Where an account reads its mail, unless it is gone or about to go.
fn reader(conn: &mut AnyConnection, id: AccountId) -> Result<Option<String>, DbError> {
    let known = credentials::get(conn, id)?.filter(|known| known.closing_at.is_none());
    Ok(known.map(|known| known.email))
}

fn policy_notice(
    conn: &mut AnyConnection,
    row: &OutboxRow,
) -> Result<Option<PolicyNotice>, DbError> {
    let Some(PolicyChanged { policy, number }) = params(row) else { return Ok(None) };
    let version = PolicyVersion { kind: policy, number };
    let found = policies::get(conn, version)?;
    Ok(found.map(|row| PolicyNotice { version, in_force: row.in_force(), words: row.words }))
}

fn params<T: DeserializeOwned>(row: &OutboxRow) -> Option<T> {
    serde_json::from_str(&row.params).ok()
}
