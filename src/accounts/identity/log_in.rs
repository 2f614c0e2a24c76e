//! Logging in: password, then the second factor where there is one, then a session. An address
//! without an account costs the same check as one with, and gets the same answer.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::credentials::{present, recheck};
use super::guesses::Guess;
use super::password::{PasswordCaller, PasswordMatch};
use super::people::{self, Identity};
use super::sessions::{self, OpenedSession};
use super::throttle::ClientAddress;
use super::wrong_codes::Committed;
use super::{AuthError, totp};
use crate::config::Accounts;
use crate::db::AnyConnection;
use crate::db::models::credentials::{self, Credentials};
use crate::db::models::{accounts, log_in_steps};
use crate::domain::clock::UnixMillis;
use crate::domain::mail::{MailKind, NewSession};
use crate::domain::sealing::SealingKey;
use crate::domain::secret_token::{SecretToken, TokenKind};
use crate::domain::unprintable::unprintable;

/// Time to find the second factor.
const STEP: Duration = Duration::from_mins(10);
/// Time after a password was set by a link in which the first log-in needs no mail: that link was
/// mailed, and so was what it did.
const EXPECTED: Duration = Duration::from_hours(1);

/// How far a log-in has come after the password.
pub enum FirstStep {
    /// To its end.
    LoggedIn(OpenedSession),
    /// To the question for a code; the token says for whom, ten minutes long.
    CodeWanted(SecretToken),
}

unprintable!(FirstStep);

impl Identity {
    /// Logs in at once, with a code where the account asks for one.
    ///
    /// # Errors
    /// [`AuthError::WrongCredentials`], [`AuthError::CodeRequired`], [`AuthError::WrongCode`]
    /// and others.
    pub async fn log_in(
        &self,
        email: &str,
        password: SecretString,
        code: Option<String>,
        client: ClientAddress,
    ) -> Result<OpenedSession, AuthError> {
        let (known, guess) = self.check_password(email, password, client).await?;
        if known.has_totp() && code.is_none() {
            self.take_back(guess);
            return Err(AuthError::CodeRequired);
        }
        let (settings, sealing, now) = (self.settings.clone(), self.sealing(), self.now());
        let opened = self
            .write(move |conn| {
                let known = recheck(conn, &known)?;
                finish(conn, &known, code.as_deref(), (&settings, &sealing), now)
            })
            .await
            .flatten();
        self.settle_guess(guess, opened).await
    }

    /// Logs in, or goes as far as to the question for a code.
    ///
    /// # Errors
    /// [`AuthError::WrongCredentials`] and others.
    pub async fn begin_log_in(
        &self,
        email: &str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<FirstStep, AuthError> {
        let (known, guess) = self.check_password(email, password, client).await?;
        let (settings, sealing, now) = (self.settings.clone(), self.sealing(), self.now());
        if !known.has_totp() {
            let opened = self
                .write(move |conn| {
                    let known = recheck(conn, &known)?;
                    finish(conn, &known, None, (&settings, &sealing), now)
                })
                .await
                .flatten();
            return self.settle_guess(guess, opened).await.map(FirstStep::LoggedIn);
        }
        self.take_back(guess);
        let token = SecretToken::random(TokenKind::LogInStep)?;
        let hash = token.hash();
        self.write(move |conn| {
            let id = recheck(conn, &known)?.id;
            Ok(log_in_steps::create(conn, &hash, id, (now, now.plus(STEP)))?)
        })
        .await?;
        Ok(FirstStep::CodeWanted(token))
    }

    /// Answers the question for a code.
    ///
    /// # Errors
    /// [`AuthError::WrongCode`]; [`AuthError::BadLink`] if the password has to be given again.
    pub async fn finish_log_in(
        &self,
        step: &SecretToken,
        code: String,
        client: ClientAddress,
    ) -> Result<OpenedSession, AuthError> {
        self.count_client(client)?;
        let (step, now) = (step.hash(), self.now());
        let (settings, sealing) = (self.settings.clone(), self.sealing());
        let known = self
            .run(move |conn| {
                let holder = log_in_steps::holder(conn, &step, now)?;
                present(conn, holder.ok_or(AuthError::BadLink)?)
            })
            .await?;
        let address = known.email.clone();
        let guess = self.begin_guess(&address, client).await?;
        let opened = self
            .write(move |conn| {
                let known = recheck(conn, &known)?;
                // Others may have used it up, with a right code or too many wrong ones.
                log_in_steps::holder(conn, &step, now)?.ok_or(AuthError::BadLink)?;
                let finished = finish(conn, &known, Some(&code), (&settings, &sealing), now)?;
                if finished.is_ok() {
                    log_in_steps::remove(conn, &step)?;
                } else {
                    let most = settings.wrong_codes_max_per_log_in;
                    log_in_steps::count_wrong_code(conn, &step, most)?;
                }
                Ok(finished)
            })
            .await
            .flatten();
        self.settle_guess(guess, opened).await
    }

    /// The credentials of an address, if that is its password. Counts an attempt that the caller
    /// has to settle.
    async fn check_password<'a>(
        &self,
        address: &'a str,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<(Credentials, Guess<'a>), AuthError> {
        self.count_client(client)?;
        let guess = self.begin_guess(address, client).await?;
        let known = self.known_by(address, password, PasswordCaller::guest(client)).await;
        match &known {
            Err(AuthError::WrongCredentials) => self.note_wrong(guess).await?,
            Err(_) => self.take_back(guess),
            Ok(_) => {}
        }
        Ok((known?, guess))
    }

    async fn known_by(
        &self,
        address: &str,
        password: SecretString,
        asker: PasswordCaller,
    ) -> Result<Credentials, AuthError> {
        let email = address.to_owned();
        let known = self.run(move |conn| Ok(credentials::of_address(conn, &email)?)).await?;
        let stored = known.as_ref().and_then(|known| known.password_hash.clone());
        let (given, hash) = (password.clone(), stored.clone());
        let verdict = self.passwords.verify(given, hash, asker.clone()).await?;
        let Some(mut known) = known.filter(|_| verdict.is_right()) else {
            return Err(AuthError::WrongCredentials);
        };
        let is_outdated = stored.is_some_and(|stored| self.passwords.is_outdated(&stored));
        if is_outdated || verdict == PasswordMatch::RightAsTyped {
            self.renew_hash(&mut known, password, asker).await?;
        }
        Ok(known)
    }

    /// The cost was set anew: the time of a check must not tell old accounts from those that are
    /// not there. Or the password was hashed as it was typed: from now on it counts in any
    /// spelling.
    async fn renew_hash(
        &self,
        known: &mut Credentials,
        password: SecretString,
        asker: PasswordCaller,
    ) -> Result<(), AuthError> {
        // It may be shorter or simpler than what is asked of new ones.
        let Some(password) = self.passwords.accept_known(&password) else { return Ok(()) };
        let hash = self.passwords.hash(password, asker).await?;
        let (before, stored) = (known.clone(), hash.as_str().to_owned());
        self.write(move |conn| {
            let known = recheck(conn, &before)?;
            Ok(credentials::renew_hash(conn, known.id, &stored)?)
        })
        .await?;
        known.password_hash = Some(hash.as_str().to_owned());
        Ok(())
    }
}

/// Asks for the second factor where there is one, begins a session, and tells the account's owner.
fn finish(
    conn: &mut AnyConnection,
    known: &Credentials,
    code: Option<&str>,
    (settings, sealing): (&Accounts, &SealingKey),
    now: UnixMillis,
) -> Committed<OpenedSession> {
    if known.has_totp() {
        let code = code.ok_or(AuthError::CodeRequired)?;
        if let Err(refusal) = totp::use_code(conn, sealing, known, code, (settings, now))? {
            return Ok(Err(refusal));
        }
    }
    let opened = sessions::open(conn, known.id, settings, now)?;
    if !accounts::take_expected_log_in(conn, known.id, now.minus(EXPECTED))? {
        let to = (Some(known.id), known.email.as_str());
        let params = json!(NewSession { began_at: now.as_millis() });
        people::send(conn, MailKind::NewSession, to, params, now)?;
    }
    Ok(Ok(opened))
}
