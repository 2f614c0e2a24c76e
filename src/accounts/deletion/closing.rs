//! The wish to have an account deleted, and second thoughts. Keys, sessions and wallets end at
//! once; the account itself stays for a while, in which its owner may log in and keep it. What
//! becomes of it then is `erasure`'s business.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use crate::accounts::identity::AuthError;
use crate::accounts::identity::credentials::recheck;
use crate::accounts::identity::people::{self, Identity};
use crate::accounts::identity::sessions::LiveSession;
use crate::accounts::identity::throttle::ClientAddress;
use crate::accounts::identity::totp::use_code;
use crate::db::closing::{self, ClosingRow};
use crate::db::models::accounts;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{AccountClosing, MailKind};
use crate::domain::money::NanoUsd;

/// What came of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The account is about to be deleted.
    Begun {
        /// Until when it can be kept after all.
        erased_at: UnixMillis,
    },
    /// Something is left on it that was not waived.
    BalanceLeft(NanoUsd),
    /// There is no such account.
    NoAccount,
}

/// Begins to delete an account, on behalf of whoever may ask for it. An account that is closing
/// already stays as it is, but for what is waived. Must run in a write transaction.
pub fn close(
    conn: &mut AnyConnection,
    id: AccountId,
    waives_balance: bool,
    grace: Duration,
    now: UnixMillis,
) -> Result<Closed, DbError> {
    accounts::lock(conn, id)?;
    let Some(row) = closing::get(conn, id)? else { return Ok(Closed::NoAccount) };
    // What is held comes back in part.
    let left = row.available_nanousd.as_nanos().saturating_add(row.reserved_nanousd.as_nanos());
    if left > 0 && !waives_balance {
        return Ok(Closed::BalanceLeft(NanoUsd::from_nanos(left)));
    }
    let since = row.closing_at.unwrap_or(now);
    let erased_at = since.plus(grace);
    closing::begin(conn, id, waives_balance, since)?;
    if row.closing_at.is_none() {
        tell(conn, &row, erased_at, now)?;
    }
    Ok(Closed::Begun { erased_at })
}

/// Keeps an account after all; `false` if it was not about to be deleted.
pub fn keep(conn: &mut AnyConnection, id: AccountId) -> Result<bool, DbError> {
    closing::undo(conn, id)
}

fn tell(
    conn: &mut AnyConnection,
    row: &ClosingRow,
    erased_at: UnixMillis,
    now: UnixMillis,
) -> Result<(), DbError> {
    let params = AccountClosing { erased_at: erased_at.as_millis() };
    let params = serde_json::to_value(params).unwrap_or_else(|_| json!({}));
    let to = (Some(row.id), row.email.as_str());
    people::send(conn, MailKind::AccountClosing, to, params, now)
}

impl Identity {
    /// Begins to delete the account of whoever is logged in, and gives the time until when it can
    /// be kept after all.
    ///
    /// # Errors
    /// [`AuthError::BalanceLeft`], [`AuthError::WrongPassword`], [`AuthError::WrongCode`] and
    /// others.
    pub async fn close_account(
        &self,
        session: &LiveSession,
        password: SecretString,
        code: Option<String>,
        waives_balance: bool,
        client: ClientAddress,
    ) -> Result<UnixMillis, AuthError> {
        session.may_change()?;
        let proven = self.reauthenticate(session, password, client).await?;
        let address = proven.email.clone();
        let guess =
            if proven.has_totp() { Some(self.begin_guess(&address, client).await?) } else { None };
        let (settings, sealing, now) = (self.settings.clone(), self.sealing(), self.now());
        let closed = self
            .write(move |conn| {
                let known = recheck(conn, &proven)?;
                if known.has_totp() {
                    let code = code.ok_or(AuthError::CodeRequired)?;
                    if let Err(refusal) = use_code(conn, &sealing, &known, &code, (&settings, now))?
                    {
                        return Ok(Err(refusal));
                    }
                }
                let grace = settings.closing_grace;
                match close(conn, known.id, waives_balance, grace, now)? {
                    Closed::Begun { erased_at } => Ok(Ok(erased_at)),
                    Closed::BalanceLeft(left) => Err(AuthError::BalanceLeft(left)),
                    Closed::NoAccount => Err(AuthError::WrongCredentials),
                }
            })
            .await
            .flatten();
        match guess {
            Some(guess) => self.settle_guess(guess, closed).await,
            None => closed,
        }
    }

    /// Keeps the account of whoever is logged in after all.
    ///
    /// # Errors
    /// [`AuthError::NotClosing`] and others.
    pub async fn keep_account(&self, session: &LiveSession) -> Result<(), AuthError> {
        let id = session.account_id();
        let kept = self.run(move |conn| Ok(keep(conn, id)?)).await?;
        if kept { Ok(()) } else { Err(AuthError::NotClosing) }
    }
}
