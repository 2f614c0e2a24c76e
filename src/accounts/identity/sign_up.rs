//! Opening an account: a mail proves the address, and its link brings the first password. Asking
//! for the mail does the same whether or not the address has an account; which mail goes out is
//! decided when it is written.

use secrecy::SecretString;
use serde_json::json;

use super::AuthError;
use super::email_tokens::{self, LinkPurpose, Redeemed};
use super::password::PasswordCaller;
use super::people::{self, Identity};
use super::sessions::{self, OpenedSession};
use super::shared_attempts::SharedAttempts;
use super::throttle::{ClientAddress, ThrottledAction};
use crate::accounts::{open, parse_email};
use crate::db::models::credentials;
use crate::db::models::credentials_epoch::Kept;
use crate::domain::mail::MailKind;
use crate::domain::secret_token::{SecretToken, TokenKind};

impl Identity {
    /// Has a mail sent that leads to an account.
    pub async fn ask_to_sign_up(
        &self,
        email: &str,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        if !self.settings.sign_up_open {
            return Err(AuthError::SignUpClosed);
        }
        self.ask_for_mail(MailKind::SignUp, email, client).await
    }

    /// Has a mail sent that anybody may ask for.
    pub(super) async fn ask_for_mail(
        &self,
        kind: MailKind,
        email: &str,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        self.count_client(client)?;
        let email = parse_email(email)?;
        self.throttle.count(ThrottledAction::MailTo(&email))?;
        let (mails, now) =
            (SharedAttempts::mails_to(&email, &self.secret, &self.settings), self.now());
        self.write(move |conn| {
            mails.take(conn, now)?;
            Ok(people::send(conn, kind, (None, &email), json!({}), now)?)
        })
        .await
    }

    /// Opens the account of a proven address, and logs its owner in.
    pub async fn sign_up(
        &self,
        token: &str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<OpenedSession, AuthError> {
        self.count_client(client)?;
        if !self.settings.sign_up_open {
            return Err(AuthError::SignUpClosed);
        }
        let password = self.passwords.accept(&password)?;
        let password =
            password.unlike(&self.check_link(LinkPurpose::SignUp, token).await?.email)?;
        let hash = self.passwords.hash(password, PasswordCaller::guest(client)).await?;
        let (token, settings, now) = (link_hash(token)?, self.settings.clone(), self.now());
        self.write(move |conn| {
            let redeemed = email_tokens::redeem(conn, LinkPurpose::SignUp, &token, now)?;
            let email = redeemed.ok_or(AuthError::BadLink)?.email;
            let account = open(conn, &email, now)?;
            let id = account.id;
            credentials::set_password(conn, id, hash.as_str(), Kept::Nobodys)?;
            Ok(sessions::open(conn, id, &settings, now)?)
        })
        .await
    }

    /// What a link opens that is in force for its purpose. Looking does not use it up.
    ///
    /// # Errors
    /// [`AuthError::BadLink`] if it is not.
    pub async fn check_link(
        &self,
        purpose: LinkPurpose,
        token: &str,
    ) -> Result<Redeemed, AuthError> {
        let (token, now) = (link_hash(token)?, self.now());
        let found =
            self.run(move |conn| Ok(email_tokens::look_at(conn, purpose, &token, now)?)).await?;
        found.ok_or(AuthError::BadLink)
    }
}

/// What a link's token is looked up by.
pub(super) fn link_hash(token: &str) -> Result<crate::domain::secret_token::TokenHash, AuthError> {
    let token = SecretToken::parse(TokenKind::Mail, token).ok_or(AuthError::BadLink)?;
    Ok(token.hash())
}
