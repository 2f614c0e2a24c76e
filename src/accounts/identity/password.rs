//! Passwords: which ones are taken, in which spelling they are read, and their hashing by bcrypt,
//! away from the event loop. Each check costs the same, whether or not there is anything to check
//! against, so that its time tells nobody who has an account.

mod guessable;
mod queue;
mod spelling;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::queue::PasswordCaller;
use self::queue::PasswordQueue;
use crate::config::Accounts;
use crate::db::DbError;
use crate::domain::unprintable::unprintable;
use crate::places::Places;

/// Bytes that bcrypt reads of a password.
const BYTES_MAX: usize = 72;
/// Bytes beyond which nothing is any account's password, in whatever spelling: it is not respelled.
const GIVEN_BYTES_MAX: usize = 1024;
/// Checks that may wait for each one that runs. With some four of them a second, that is what
/// people wait for.
const WAITING_PER_RUNNING: usize = 32;
/// Time for which somebody waits to get into that line, who has as many places in it as one may
/// have.
const OUTSIDE_MAX: Duration = Duration::from_secs(5);

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// It is too short.
    #[error("The password must have at least {0} characters.")]
    TooShort(usize),
    /// bcrypt would not read all of it.
    #[error("The password must have at most 72 bytes.")]
    TooLong,
    /// Nobody types them on purpose, and bcrypt would stop reading at NUL.
    #[error("The password must not contain control characters, such as tabs or line breaks.")]
    Control,
    /// It is one of those that are tried first.
    #[error("This password is too common. Please choose another one.")]
    Common,
    /// It repeats itself, or is a run of characters.
    #[error(
        "The password is too simple: it repeats characters or follows a run of digits, letters or \
         keys. Please choose another one."
    )]
    Simple,
    /// It is what everybody knows of its owner, or of this place.
    #[error(
        "The password is too close to your email address or to the name of this service. Please \
         choose another one."
    )]
    Personal,
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

/// A password that keeps the rules, in its one spelling.
pub struct NewPassword(SecretString);

impl NewPassword {
    /// Holds it against the address of the account that it is for.
    ///
    /// # Errors
    /// [`PasswordRule::Personal`].
    pub fn unlike(self, email: &str) -> Result<Self, PasswordRule> {
        let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
        let is_close = guessable::is_mostly(self.0.expose_secret(), &[email, local, domain]);
        if is_close { Err(PasswordRule::Personal) } else { Ok(self) }
    }
}

/// Whether a password is an account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMatch {
    /// It is not.
    Wrong,
    /// It is.
    Right,
    /// It is, as it was typed: an earlier version has hashed it so.
    RightAsTyped,
}

impl PasswordMatch {
    /// Whether it is.
    #[must_use]
    pub const fn is_right(self) -> bool {
        !matches!(self, Self::Wrong)
    }
}

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
    site_name: String,
    /// A hash of nothing that anybody knows, at the cost of a real one.
    decoy: String,
    running: Arc<Semaphore>,
    line: Arc<Places<PasswordQueue>>,
}

unprintable!(NewPassword, PasswordHash, Passwords);

impl Passwords {
    /// As many at once as there are cores.
    #[must_use]
    pub fn new(settings: &Accounts, site_name: String) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            cost: settings.bcrypt_cost,
            min_chars: settings.password_min_chars,
            site_name,
            decoy: format!("$2b${:02}${}", settings.bcrypt_cost, ".".repeat(53)),
            running: Arc::new(Semaphore::new(cores)),
            line: Places::new(PasswordQueue::new(
                cores.saturating_mul(WAITING_PER_RUNNING),
                settings,
            )),
        }
    }

    /// Holds a password that somebody has chosen against the rules.
    ///
    /// # Errors
    /// [`PasswordRule`].
    pub fn accept(&self, text: &SecretString) -> Result<NewPassword, PasswordRule> {
        if text.expose_secret().len() > GIVEN_BYTES_MAX {
            return Err(PasswordRule::TooLong);
        }
        let spelled = respelled(text);
        let plain = spelled.expose_secret();
        if plain.chars().any(char::is_control) {
            return Err(PasswordRule::Control);
        }
        if plain.len() > BYTES_MAX {
            return Err(PasswordRule::TooLong);
        }
        if plain.chars().count() < self.min_chars {
            return Err(PasswordRule::TooShort(self.min_chars));
        }
        if guessable::is_simple(plain) {
            return Err(PasswordRule::Simple);
        }
        if guessable::is_common(plain) {
            return Err(PasswordRule::Common);
        }
        if guessable::is_mostly(plain, &[self.site_name.as_str()]) {
            return Err(PasswordRule::Personal);
        }
        Ok(NewPassword(spelled))
    }

    /// A password that an account has already, whatever it is like, to be hashed anew; `None` if
    /// bcrypt would not read it.
    #[must_use]
    pub fn accept_known(&self, text: &SecretString) -> Option<NewPassword> {
        let spelled = respelled(text);
        is_readable(&spelled).then_some(NewPassword(spelled))
    }

    /// Hashes a password.
    pub async fn hash(
        &self,
        password: NewPassword,
        asker: PasswordCaller,
    ) -> Result<PasswordHash, PasswordError> {
        let cost = self.cost;
        // Its length has been looked at: nothing is cut off.
        let work = move || bcrypt::hash(password.0.expose_secret(), cost);
        let hashed = self.blocking(asker, work).await?;
        hashed.map(PasswordHash).map_err(|_| PasswordError::Failed)
    }

    /// Whether a password is the one of `stored`. Without anything stored it takes as long, and is
    /// not. A second spelling is tried where the password as it was typed is not in the first one,
    /// which depends on nothing that is stored.
    pub async fn verify(
        &self,
        given: SecretString,
        stored: Option<String>,
        asker: PasswordCaller,
    ) -> Result<PasswordMatch, PasswordError> {
        let is_anybodys = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.decoy.clone());
        let work = move || {
            for (text, verdict) in spellings(given) {
                let is_equal = bcrypt::verify(text.expose_secret(), &hash)?;
                if is_equal && is_anybodys && is_readable(&text) {
                    return Ok(verdict);
                }
            }
            Ok::<_, bcrypt::BcryptError>(PasswordMatch::Wrong)
        };
        let verified = self.blocking(asker, work).await?;
        Ok(verified.map_err(|_| DbError::Unreadable { what: "password hash" })?)
    }

    /// Whether a stored hash has another cost than one made now.
    #[must_use]
    pub fn is_outdated(&self, stored: &str) -> bool {
        let cost = stored.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
        cost != Some(self.cost)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        asker: PasswordCaller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let until = Instant::now() + OUTSIDE_MAX;
        let place = self.line.wait(&asker, until).await.ok_or(PasswordError::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await;
        let turn = turn.map_err(|_| PasswordError::Failed)?;
        // A client that leaves ends the future, but not the thread: turn and place are the
        // thread's.
        let ran = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        ran.await.map_err(|_| PasswordError::Failed)
    }
}

/// What is tried of a password that somebody gives.
fn spellings(given: SecretString) -> Vec<(SecretString, PasswordMatch)> {
    if given.expose_secret().len() > GIVEN_BYTES_MAX {
        return vec![(given, PasswordMatch::RightAsTyped)];
    }
    let spelled = respelled(&given);
    let is_same = spelled.expose_secret() == given.expose_secret();
    let mut tried = vec![(spelled, PasswordMatch::Right)];
    if !is_same {
        tried.push((given, PasswordMatch::RightAsTyped));
    }
    tried
}

fn respelled(text: &SecretString) -> SecretString {
    SecretString::from(spelling::normalised(text.expose_secret()))
}

/// Whether bcrypt reads it to its end.
fn is_readable(text: &SecretString) -> bool {
    let plain = text.expose_secret();
    plain.len() <= BYTES_MAX && !plain.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::identity::throttle::ClientAddress;

    fn passwords() -> Passwords {
        let settings = crate::config::load_for(
            &crate::config::Sources::default(),
            crate::config::LoadPurpose::Command,
        );
        // The lowest cost that bcrypt knows: what is tested here is not how long it takes.
        let settings = Accounts { bcrypt_cost: 4, ..settings.unwrap().accounts };
        Passwords::new(&settings, "Light & Power".to_owned())
    }

    fn asker() -> PasswordCaller {
        PasswordCaller::guest(ClientAddress::new(std::net::Ipv4Addr::LOCALHOST.into()))
    }

    fn accept(text: &str) -> Result<NewPassword, PasswordRule> {
        passwords().accept(&SecretString::from(text))
    }

    #[test]
    fn a_password_has_ten_characters_and_is_read_to_its_end() {
        assert_eq!(accept("nine char").err(), Some(PasswordRule::TooShort(10)));
        for control in ["ten\0chars!!", "ten\tchars!!", "ten chars!!\n", "ten\u{85}chars!"] {
            assert_eq!(accept(control).err(), Some(PasswordRule::Control));
        }
        assert_eq!(accept(&"a".repeat(73)).err(), Some(PasswordRule::TooLong));
        assert_eq!(accept(&"a".repeat(100_000)).err(), Some(PasswordRule::TooLong));
        // Characters count below, bytes above.
        assert_eq!(accept("üöäßéâñøå").err(), Some(PasswordRule::TooShort(10)));
        assert_eq!(accept(&("üöäßéâñøåç".repeat(4))).err(), Some(PasswordRule::TooLong));
        assert!(accept(&"üöäßéâ".repeat(6)).is_ok());
        assert!(accept("ten chars!").is_ok());
    }

    #[test]
    fn both_limits_are_of_the_one_spelling() {
        // Ten characters as macOS types them, five as they are read; and 108 bytes that are 72.
        let decomposed = "u\u{308}o\u{308}a\u{308}e\u{301}n\u{303}";
        assert_eq!(accept(decomposed).err(), Some(PasswordRule::TooShort(10)));
        assert!(
            accept(&"u\u{308}o\u{308}a\u{308}e\u{301}n\u{303}w\u{302}".repeat(6))
                .is_ok_and(|password| password.0.expose_secret().len() <= BYTES_MAX)
        );
    }

    #[test]
    fn what_is_guessed_first_is_refused_with_its_reason() {
        for (text, rule) in [
            ("1234567890", PasswordRule::Simple),
            ("aaaaaaaaaaaa", PasswordRule::Simple),
            ("Basketball1", PasswordRule::Common),
            ("Light&Power1", PasswordRule::Personal),
        ] {
            assert_eq!(accept(text).err(), Some(rule), "{text}");
        }
        let unlike = |text: &str| accept(text).unwrap().unlike("eva.mueller@example.org").err();
        assert_eq!(unlike("EvaMueller1990"), Some(PasswordRule::Personal));
        assert_eq!(unlike("eva.mueller@example.org"), Some(PasswordRule::Personal));
        assert_eq!(unlike("correct horse 47 battery"), None);
    }

    /// Composed, and as macOS types it with a no-break space.
    const SPELLINGS: [&str; 2] = ["Müller's ten", "Mu\u{308}ller's\u{a0}ten"];

    #[tokio::test]
    async fn a_password_is_the_same_however_it_is_spelled() {
        let passwords = passwords();
        for set in SPELLINGS {
            let hash = passwords.hash(accept(set).unwrap(), asker()).await.unwrap();
            for given in SPELLINGS {
                let stored = Some(hash.as_str().to_owned());
                let verdict =
                    passwords.verify(SecretString::from(given), stored, asker()).await.unwrap();
                assert_eq!(verdict, PasswordMatch::Right, "{set:?} {given:?}");
            }
        }
        // What an earlier version has hashed as it was typed is right as it is typed.
        let [composed, decomposed] = SPELLINGS;
        let old = bcrypt::hash(decomposed, 4).unwrap();
        for (given, wanted) in
            [(decomposed, PasswordMatch::RightAsTyped), (composed, PasswordMatch::Wrong)]
        {
            let verdict =
                passwords.verify(SecretString::from(given), Some(old.clone()), asker()).await;
            assert_eq!(verdict.unwrap(), wanted, "{given:?}");
        }
    }

    #[test]
    fn how_many_spellings_are_tried_depends_on_what_is_given_alone() {
        let count = |given: &str| spellings(SecretString::from(given)).len();
        let [composed, decomposed] = SPELLINGS;
        assert_eq!((count(composed), count(decomposed), count(&"u\u{308}".repeat(400))), (1, 2, 1));
    }

    #[tokio::test]
    async fn the_last_of_72_bytes_counts_and_nothing_is_cut_off() {
        let passwords = passwords();
        let start = "ten words. ".repeat(6) + "five.";
        let text = start.clone() + "y";
        let hash = passwords.hash(accept(&text).unwrap(), asker()).await.unwrap();
        let verify = async |given: &str| {
            let stored = Some(hash.as_str().to_owned());
            passwords.verify(SecretString::from(given), stored, asker()).await.unwrap().is_right()
        };
        assert!(verify(&text).await);
        assert!(!verify(&(start + "z")).await);
        assert!(!verify(&format!("{text}y")).await, "bcrypt would have cut it off");
        assert!(!verify(&format!("{text}\0")).await);
    }

    #[tokio::test]
    async fn nothing_is_the_password_of_nobody() {
        let passwords = passwords();
        for given in ["", "password", "......................"] {
            let verdict = passwords.verify(SecretString::from(given), None, asker()).await.unwrap();
            assert_eq!(verdict, PasswordMatch::Wrong);
        }
        // The decoy is read as a hash, so that it takes as long as one.
        assert!(bcrypt::verify("", &passwords.decoy).is_ok());
        assert!(!passwords.is_outdated(&passwords.decoy));
        assert!(passwords.is_outdated("$2b$12$anything"));
    }
}
