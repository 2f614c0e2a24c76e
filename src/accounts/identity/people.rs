//! What people do with their account by themselves, whether by a page or as JSON: the one place
//! behind both. Each verb has its file beside this one; passwords are hashed away from the event
//! loop, between two short transactions.

use std::sync::Arc;

use secrecy::SecretString;

use super::AuthError;
use super::credentials::present;
use super::password::{PasswordCaller, PasswordMatch, Passwords};
use super::session::LiveSession;
use super::throttle::{ClientAddress, Throttle, ThrottledAction};
use crate::config::{Accounts, Settings};
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::credentials::Credentials;
use crate::db::models::outbox::{self, NewMail};
use crate::db::models::{recovery_codes, wallets};
use crate::db::{AnyConnection, Database, DbError, transaction};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::{AccountId, NoRandomness, nonce};
use crate::domain::mail::MailKind;
use crate::domain::money::NanoUsd;
use crate::domain::sealing::SealingKey;
use crate::domain::tombstone::TombstoneKey;

/// What the verbs work with.
pub struct Identity {
    pub(super) database: Database,
    pub(in crate::accounts) settings: Accounts,
    /// The service's name, as authenticator apps show it.
    pub(super) site_name: String,
    pub(super) clock: Clock,
    pub(super) throttle: Arc<Throttle>,
    pub(super) passwords: Arc<Passwords>,
    /// What the keys of second factors are sealed under.
    pub(super) secret: TombstoneKey,
}

/// How an account stands, and what it logs in with.
pub struct Profile {
    /// The account.
    pub row: AccountRow,
    /// Whether logging in asks for a second factor.
    pub has_totp: bool,
    /// Recovery codes that have not been used.
    pub recovery_codes_left: i64,
    /// Since when the account is about to be deleted.
    pub closing_at: Option<UnixMillis>,
}

/// What somebody wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPreferences {
    /// A mail goes out when what is available and reserved falls below; `None` is never.
    pub low_balance: Option<NanoUsd>,
    /// Whether mail goes out that is not about security or policy.
    pub wants_notices: bool,
}

/// What else belongs to an account, as far as it fits into a line each.
pub struct Holdings {
    /// What its owner wants to be told.
    pub preferences: AccountPreferences,
    /// Sessions in force.
    pub sessions: i64,
    /// Wallets that are linked.
    pub wallets: i64,
}

impl Identity {
    /// Nobody has tried anything so far.
    pub fn new(
        database: Database,
        settings: &Settings,
        secret: TombstoneKey,
        clock: Clock,
    ) -> Result<Self, NoRandomness> {
        let (site_name, settings) = (settings.site.name.clone(), settings.accounts.clone());
        let throttle = Arc::new(Throttle::new(&settings, clock.clone())?);
        let passwords = Arc::new(Passwords::new(&settings, site_name.clone()));
        Ok(Self { database, settings, site_name, clock, throttle, passwords, secret })
    }

    /// The same with other settings: what was tried so far counts on.
    #[must_use]
    pub fn with_settings(&self, settings: &Settings) -> Self {
        Self {
            settings: settings.accounts.clone(),
            site_name: settings.site.name.clone(),
            database: self.database.clone(),
            clock: self.clock.clone(),
            throttle: Arc::clone(&self.throttle),
            passwords: Arc::clone(&self.passwords),
            secret: self.secret.clone(),
        }
    }

    /// How an account stands.
    pub async fn profile(&self, id: AccountId) -> Result<Profile, AuthError> {
        self.run(move |conn| {
            let row = accounts::get(conn, id)?.ok_or(AuthError::WrongCredentials)?;
            let known = present(conn, id)?;
            Ok(Profile {
                row,
                has_totp: known.has_totp(),
                recovery_codes_left: recovery_codes::left(conn, id)?,
                closing_at: known.closing_at,
            })
        })
        .await
    }

    /// What belongs to the account of whoever is logged in.
    pub async fn holdings(&self, session: &LiveSession) -> Result<Holdings, AuthError> {
        let id = session.account_id();
        let sessions = self.sessions(session).await?.len();
        Ok(Holdings {
            preferences: self.preferences(session).await?,
            sessions: i64::try_from(sessions).unwrap_or(i64::MAX),
            wallets: self.run(move |conn| Ok(wallets::count(conn, id)?)).await?,
        })
    }

    pub(in crate::accounts) const fn key_sealing(&self) -> &SealingKey {
        self.secret.key_sealing()
    }

    pub(in crate::accounts) fn sealing(&self) -> SealingKey {
        self.secret.sealing().clone()
    }

    pub(in crate::accounts) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Something with the database, on a thread that may block.
    pub(in crate::accounts) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        self.database.run(move |conn| Ok(work(conn))).await?
    }

    /// The same in one transaction.
    pub(in crate::accounts) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        self.run(move |conn| transaction::write(conn, work)).await
    }

    /// Counts what somebody does who is not logged in.
    pub(super) fn count_client(&self, client: ClientAddress) -> Result<(), AuthError> {
        self.throttle.count(ThrottledAction::Client(client))?;
        Ok(())
    }

    /// Makes sure that whoever holds the session also knows the password. Wrong ones count like
    /// failed log-ins.
    pub(in crate::accounts) async fn reauthenticate(
        &self,
        session: &LiveSession,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<Credentials, AuthError> {
        let id = session.account_id();
        let known = self.run(move |conn| present(conn, id)).await?;
        let address = known.email.clone();
        let guess = self.begin_guess(&address, client).await?;
        let (stored, asker) = (known.password_hash.clone(), PasswordCaller::member(id, client));
        let verified = self.passwords.verify(password, stored, asker).await;
        if matches!(verified, Ok(PasswordMatch::Wrong)) {
            self.note_wrong(guess).await?;
        } else {
            self.take_back(guess);
        }
        if verified?.is_right() { Ok(known) } else { Err(AuthError::WrongPassword) }
    }
}

/// Puts a mail into the outbox that nothing else has caused.
pub(in crate::accounts) fn send(
    conn: &mut AnyConnection,
    kind: MailKind,
    (account_id, recipient): (Option<AccountId>, &str),
    params: serde_json::Value,
    now: UnixMillis,
) -> Result<(), DbError> {
    let mail = NewMail { kind, reference: nonce()?, account_id, recipient, params };
    outbox::enqueue(conn, &mail, now)?;
    Ok(())
}
