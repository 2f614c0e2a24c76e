//! A new password: by a link in mail for who has lost the old one, or with the old one for who is
//! logged in. Either way the other sessions end, and a mail says so.

use secrecy::SecretString;
use serde_json::json;

use super::AuthError;
use super::credentials::{present, recheck};
use super::email_tokens::{self, LinkPurpose};
use super::password::{PasswordCaller, PasswordHash};
use super::people::{self, Identity};
use super::sessions::LiveSession;
use super::shared_attempts::SharedAttempts;
use super::sign_up::link_hash;
use super::throttle::{ClientAddress, ThrottledAction};
use super::wrong_codes;
use crate::db::models::accounts;
use crate::db::models::credentials::{self, Credentials};
use crate::db::models::credentials_epoch::Kept;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::mail::MailKind;

impl Identity {
    /// Has a mail sent that leads to a new password, if the address has an account.
    pub async fn ask_to_reset(&self, email: &str, client: ClientAddress) -> Result<(), AuthError> {
        self.ask_for_mail(MailKind::ResetPassword, email, client).await
    }

    /// Sets a new password by a link, and ends all sessions. Logs nobody in: a second factor is
    /// still asked for.
    pub async fn reset(
        &self,
        token: &str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        self.count_client(client)?;
        let password = self.passwords.accept(&password)?;
        let password = password.unlike(&self.check_link(LinkPurpose::Reset, token).await?.email)?;
        let hash = self.passwords.hash(password, PasswordCaller::guest(client)).await?;
        let (token, settings, now) = (link_hash(token)?, self.settings.clone(), self.now());
        let secret = self.secret.clone();
        let email = self
            .write(move |conn| {
                let redeemed = email_tokens::redeem(conn, LinkPurpose::Reset, &token, now)?;
                let id = redeemed.and_then(|redeemed| redeemed.account_id);
                let known = present(conn, id.ok_or(AuthError::BadLink)?)?;
                set(conn, &known, &hash, Kept::Nobodys, now)?;
                accounts::expect_log_in(conn, known.id, now)?;
                wrong_codes::pardon(conn, known.id, &settings, now)?;
                // Whoever has locked the account by guessing has guessed at the old one.
                SharedAttempts::guesses_at(&known.email, &secret, &settings).forget(conn)?;
                Ok(known.email)
            })
            .await?;
        self.throttle.forget_all(ThrottledAction::Guess(&email, client));
        Ok(())
    }

    /// Sets a new password with the old one, and ends the other sessions.
    pub async fn change_password(
        &self,
        session: &LiveSession,
        password: SecretString,
        new_password: SecretString,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        session.may_change()?;
        let new_password = self.passwords.accept(&new_password)?;
        let proven = self.reauthenticate(session, password, client).await?;
        let (new_password, asker) = (
            new_password.unlike(&proven.email)?,
            PasswordCaller::member(session.account_id(), client),
        );
        let hash = self.passwords.hash(new_password, asker).await?;
        let (kept, now) = (Kept::Session(session.row.id), self.now());
        self.write(move |conn| {
            let known = recheck(conn, &proven)?;
            set(conn, &known, &hash, kept, now)
        })
        .await
    }
}

/// Queues the mail that leads to a new password, as whoever has forgotten it would, but counts it
/// under no limit.
pub fn send(conn: &mut AnyConnection, email: &str, now: UnixMillis) -> Result<(), DbError> {
    people::send(conn, MailKind::ResetPassword, (None, email), json!({}), now)
}

/// Stores the password and ends whatever the old one has opened, but the session that is `kept`.
fn set(
    conn: &mut AnyConnection,
    known: &Credentials,
    hash: &PasswordHash,
    kept: Kept,
    now: UnixMillis,
) -> Result<(), AuthError> {
    let id = known.id;
    credentials::set_password(conn, id, hash.as_str(), kept)?;
    let to = (Some(id), known.email.as_str());
    Ok(people::send(conn, MailKind::PasswordChanged, to, json!({}), now)?)
}
