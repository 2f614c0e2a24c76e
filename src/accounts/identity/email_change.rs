//! A new address for an account: asked for with the password, proven by a link sent to it, and told
//! to the old one.

use secrecy::SecretString;
use serde_json::json;

use super::PeopleError;
use super::credentials::{present, unchanged};
use super::email_tokens::{self, Purpose};
use super::people::{self, People};
use super::sessions::LiveSession;
use super::shared_attempts::SharedAttempts;
use super::sign_up::link_hash;
use super::throttle::{Attempt, ClientAddress};
use crate::accounts::parse_email;
use crate::db::{AnyConnection, credentials, email_tokens as rows, unsubscribe_tokens};
use crate::domain::clock::UnixMillis;
use crate::domain::mail::MailKind;
use crate::domain::secret_token::TokenHash;

impl People {
    /// Has a mail sent to the new address. Whether that has an account already is only told to who
    /// reads its mail.
    pub async fn ask_to_change_email(
        &self,
        session: &LiveSession,
        email: &str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<(), PeopleError> {
        session.may_change()?;
        let email = parse_email(email)?;
        let known = self.prove(session, password, client).await?;
        if known.email == email {
            return Err(PeopleError::SameEmail);
        }
        self.throttle.count(Attempt::MailFrom(known.account_id()))?;
        self.throttle.count(Attempt::MailTo(&email))?;
        let from = SharedAttempts::mails_from(known.account_id(), &self.secret, &self.settings);
        let (to, now) =
            (SharedAttempts::mails_to(&email, &self.secret, &self.settings), self.now());
        self.write(move |conn| {
            let id = unchanged(conn, &known)?.account_id();
            from.take(conn, now)?;
            to.take(conn, now)?;
            let to = (Some(id), email.as_str());
            Ok(people::send(conn, MailKind::ChangeEmail, to, json!({}), now)?)
        })
        .await
    }

    /// Changes the address by the link that was sent to it.
    pub async fn change_email(
        &self,
        token: &str,
        client: ClientAddress,
    ) -> Result<(), PeopleError> {
        self.count_client(client)?;
        let (token, now) = (link_hash(token)?, self.now());
        self.write(move |conn| change(conn, &token, now)).await
    }
}

fn change(conn: &mut AnyConnection, token: &TokenHash, now: UnixMillis) -> Result<(), PeopleError> {
    let redeemed = email_tokens::redeem(conn, Purpose::Change, token, now)?;
    let redeemed = redeemed.ok_or(PeopleError::BadLink)?;
    let id = redeemed.account_id.ok_or(PeopleError::BadLink)?;
    let known = present(conn, id)?;
    if known.closing_at.is_some() {
        return Err(PeopleError::Closing);
    }
    if !known.status.is_active() {
        return Err(PeopleError::Suspended);
    }
    let taken_by = credentials::of_address(conn, &redeemed.email)?;
    // It may be another spelling of the address that the account has.
    if taken_by.is_some_and(|other| other.id != known.id) {
        return Err(PeopleError::EmailTaken);
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
fn taken(error: crate::db::DbError) -> PeopleError {
    use diesel::result::{DatabaseErrorKind, Error};
    match error {
        crate::db::DbError::Query(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            PeopleError::EmailTaken
        }
        error => error.into(),
    }
}
