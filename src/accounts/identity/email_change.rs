//! A new address for an account: asked for with the password, proven by a link sent to it, and told
//! to the old one.

use secrecy::SecretString;
use serde_json::json;

use super::AuthError;
use super::credentials::{present, recheck};
use super::email_tokens::{self, LinkPurpose};
use super::people::{self, Identity};
use super::sessions::LiveSession;
use super::shared_attempts::SharedAttempts;
use super::sign_up::link_hash;
use super::throttle::{ClientAddress, ThrottledAction};
use crate::accounts::parse_email;
use crate::db::AnyConnection;
use crate::db::models::{credentials, email_tokens as rows, unsubscribe_tokens};
use crate::domain::clock::UnixMillis;
use crate::domain::mail::MailKind;
use crate::domain::secret_token::TokenHash;

impl Identity {
    /// Has a mail sent to the new address. Whether that has an account already is only told to who
    /// reads its mail.
    pub async fn ask_to_change_email(
        &self,
        session: &LiveSession,
        email: &str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        session.may_change()?;
        let email = parse_email(email)?;
        let known = self.reauthenticate(session, password, client).await?;
        if known.email == email {
            return Err(AuthError::SameEmail);
        }
        self.throttle.count(ThrottledAction::MailFrom(known.id))?;
        self.throttle.count(ThrottledAction::MailTo(&email))?;
        let from = SharedAttempts::mails_from(known.id, &self.secret, &self.settings);
        let (to, now) =
            (SharedAttempts::mails_to(&email, &self.secret, &self.settings), self.now());
        self.write(move |conn| {
            let id = recheck(conn, &known)?.id;
            from.take(conn, now)?;
            to.take(conn, now)?;
            let to = (Some(id), email.as_str());
            Ok(people::send(conn, MailKind::ChangeEmail, to, json!({}), now)?)
        })
        .await
    }

    /// Changes the address by the link that was sent to it.
    pub async fn change_email(&self, token: &str, client: ClientAddress) -> Result<(), AuthError> {
        self.count_client(client)?;
        let (token, now) = (link_hash(token)?, self.now());
        self.write(move |conn| change(conn, &token, now)).await
    }
}

fn change(conn: &mut AnyConnection, token: &TokenHash, now: UnixMillis) -> Result<(), AuthError> {
    let redeemed = email_tokens::redeem(conn, LinkPurpose::Change, token, now)?;
    let redeemed = redeemed.ok_or(AuthError::BadLink)?;
    let id = redeemed.account_id.ok_or(AuthError::BadLink)?;
    let known = present(conn, id)?;
    if known.closing_at.is_some() {
        return Err(AuthError::Closing);
    }
    if !known.status.is_active() {
        return Err(AuthError::Suspended);
    }
    let taken_by = credentials::of_address(conn, &redeemed.email)?;
    // It may be another spelling of the address that the account has.
    if taken_by.is_some_and(|other| other.id != known.id) {
        return Err(AuthError::EmailTaken);
    }
    // What was asked for before the address had this account opens none of its own.
    rows::lock_sign_ups(conn, &redeemed.email)?;
    credentials::set_email(conn, id, &redeemed.email).map_err(taken)?;
    rows::remove_sign_ups(conn, &redeemed.email)?;
    // Links to the old address must not open anything any more; the new epoch sees to those that
    // log in.
    unsubscribe_tokens::remove_of_account(conn, id)?;
    let params = json!({});
    Ok(people::send(conn, MailKind::EmailChanged, (Some(id), &known.email), params, now)?)
}

/// Somebody else was faster, in the moment since we looked.
fn taken(error: crate::db::DbError) -> AuthError {
    use diesel::result::{DatabaseErrorKind, Error};
    match error {
        crate::db::DbError::Query(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            AuthError::EmailTaken
        }
        error => error.into(),
    }
}
