//! Passwords: which ones are taken, and bcrypt away from the event loop. Each check costs the same, whether or not there
//! is anything to check against, so that its time tells nobody who has an account.

use std::num::NonZeroUsize;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::config::Accounts;
use crate::db::DbError;
use crate::domain::unprintable::unprintable;

/// Bytes that bcrypt reads of a password.
const BYTES_MAX: usize = 72;
/// Checks that may wait for each one that runs. With some four of them a second, that is what people wait for.
const WAITING_PER_RUNNING: usize = 32;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// It is too short.
    #[error("The password must have at least {0} characters.")]
    TooShort(usize),
    /// bcrypt would not read all of it.
    #[error("The password must have at most 72 bytes, which is as far as it would be read.")]
    TooLong,
    /// bcrypt would stop reading there.
    #[error("The password must not contain the character NUL.")]
    Nul,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// The thread ended without an answer, or the library refused its settings.
    #[error("bcrypt gave no answer")]
    Failed,
    /// What is stored is no bcrypt hash.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A password that keeps the rules.
pub struct NewPassword(SecretString);

/// bcrypt's text of a password, as it is stored. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// What is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The one place that hashes and checks, a few at a time.
pub struct Passwords {
    cost: u32,
    min_chars: usize,
    /// A hash of nothing that anybody knows, at the cost of a real one.
    decoy: String,
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

unprintable!(NewPassword, PasswordHash, Passwords);

impl Passwords {
    /// As many at once as there are cores.
    #[must_use]
    pub fn new(settings: &Accounts) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            cost: settings.bcrypt_cost,
            min_chars: settings.password_min_chars,
            decoy: format!("$2b${:02}${}", settings.bcrypt_cost, ".".repeat(53)),
            running: Arc::new(Semaphore::new(cores)),
            places: Arc::new(Semaphore::new(cores.saturating_mul(WAITING_PER_RUNNING))),
        }
    }

    /// Holds a password that somebody has chosen against the rules.
    ///
    /// # Errors
    /// [`PasswordRule`].
    pub fn accept(&self, text: SecretString) -> Result<NewPassword, PasswordRule> {
        let plain = text.expose_secret();
        if plain.contains('\0') {
            return Err(PasswordRule::Nul);
        }
        if plain.len() > BYTES_MAX {
            return Err(PasswordRule::TooLong);
        }
        if plain.chars().count() < self.min_chars {
            return Err(PasswordRule::TooShort(self.min_chars));
        }
        Ok(NewPassword(text))
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: NewPassword) -> Result<PasswordHash, PasswordError> {
        let cost = self.cost;
        // Its length has been looked at: nothing is cut off.
        let work = move || bcrypt::hash(password.0.expose_secret(), cost);
        let hashed = self.blocking(work).await?;
        hashed.map(PasswordHash).map_err(|_| PasswordError::Failed)
    }

    /// Whether a password is the one of `stored`. Without anything stored it takes as long, and is not.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        given: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let plain = given.expose_secret();
        let is_possible = stored.is_some() && plain.len() <= BYTES_MAX && !plain.contains('\0');
        let hash = stored.unwrap_or_else(|| self.decoy.clone());
        let work = move || bcrypt::verify(given.expose_secret(), &hash);
        let verified = self.blocking(work).await?;
        let is_equal = verified.map_err(|_| DbError::Unreadable { what: "password hash" })?;
        Ok(is_equal && is_possible)
    }

    /// Whether a stored hash has another cost than one made now.
    #[must_use]
    pub fn is_outdated(&self, stored: &str) -> bool {
        let cost = stored.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
        cost != Some(self.cost)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.places.try_acquire().map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await;
        let turn = turn.map_err(|_| PasswordError::Failed)?;
        // A client that leaves ends the future, but not the thread: the turn is the thread's.
        let ran = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        ran.await.map_err(|_| PasswordError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let settings = crate::config::load_for(
            &crate::config::Sources::default(),
            crate::config::Purpose::Command,
        );
        // The lowest cost that bcrypt knows: what is tested here is not how long it takes.
        Passwords::new(&Accounts { bcrypt_cost: 4, ..settings.unwrap().accounts })
    }

    fn accept(text: &str) -> Result<NewPassword, PasswordRule> {
        passwords().accept(SecretString::from(text))
    }

    #[test]
    fn a_password_has_ten_characters_and_is_read_to_its_end() {
        assert_eq!(accept("nine char").err(), Some(PasswordRule::TooShort(10)));
        assert_eq!(accept("ten\0chars!!").err(), Some(PasswordRule::Nul));
        assert_eq!(accept(&"a".repeat(73)).err(), Some(PasswordRule::TooLong));
        // Characters count below, bytes above.
        assert_eq!(accept(&"ü".repeat(9)).err(), Some(PasswordRule::TooShort(10)));
        assert_eq!(accept(&"ü".repeat(37)).err(), Some(PasswordRule::TooLong));
        assert!(accept(&"ü".repeat(36)).is_ok());
        assert!(accept("ten chars!").is_ok());
    }

    #[tokio::test]
    async fn the_last_of_72_bytes_counts_and_nothing_is_cut_off() {
        let passwords = passwords();
        let text = "x".repeat(71) + "y";
        let hash = passwords.hash(accept(&text).unwrap()).await.unwrap();
        let verify = async |given: &str| {
            let stored = Some(hash.as_str().to_owned());
            passwords.verify(SecretString::from(given), stored).await.unwrap()
        };
        assert!(verify(&text).await);
        assert!(!verify(&("x".repeat(71) + "z")).await);
        assert!(!verify(&format!("{text}y")).await, "bcrypt would have cut it off");
        assert!(!verify(&format!("{text}\0")).await);
    }

    #[tokio::test]
    async fn nothing_is_the_password_of_nobody() {
        let passwords = passwords();
        for given in ["", "password", "......................"] {
            assert!(!passwords.verify(SecretString::from(given), None).await.unwrap());
        }
        // The decoy is read as a hash, so that it takes as long as one.
        assert!(bcrypt::verify("", &passwords.decoy).is_ok());
        assert!(!passwords.is_outdated(&passwords.decoy));
        assert!(passwords.is_outdated("$2b$12$anything"));
    }
}
