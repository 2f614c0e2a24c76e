//! The second factor (2FA): codes of an authenticator app (TOTP, RFC 6238: SHA-1, six digits,
//! thirty seconds, one step of skew), each step once, and ten recovery codes for a lost app.

use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Totp};

use super::AuthError;
use super::credentials::{present, recheck};
use super::people::{self, Identity};
use super::sessions::LiveSession;
use super::throttle::ClientAddress;
use super::totp_key;
use super::wrong_codes::{Committed, Tries};
use crate::config::Accounts;
use crate::db::models::credentials::{self, Credentials};
use crate::db::models::credentials_epoch::Kept;
use crate::db::models::{accounts, recovery_codes, tombstones, wrong_codes};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, NoRandomness, random_bytes, random_letters};
use crate::domain::mail::{MailKind, TotpChanged};
use crate::domain::sealing::SealingKey;
use crate::domain::unprintable::unprintable;

/// Recovery codes that an account gets.
const CODES: usize = 10;

/// A second factor that is being set up.
pub struct TotpSetup {
    /// The key as people type it into an app: base 32.
    pub secret: String,
    /// The same for apps, as a QR code shows it: `otpauth://totp/…`.
    pub uri: String,
}

unprintable!(TotpSetup);

impl Identity {
    /// Makes a key for an authenticator app. It counts when a code of it was shown, in the same
    /// session. Who only holds a session cannot lock out whoever knows the password.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::TotpEnabled`] and others.
    pub async fn set_up_totp(
        &self,
        session: &LiveSession,
        password: SecretString,
        client: ClientAddress,
    ) -> Result<TotpSetup, AuthError> {
        session.may_change()?;
        let proven = self.reauthenticate(session, password, client).await?;
        let secret: [u8; totp_key::BYTES] = random_bytes()?;
        let sealed = self.sealing().seal(&secret, session.account_id())?;
        let row = session.row.id;
        let email = self
            .write(move |conn| {
                let known = recheck(conn, &proven)?;
                if known.has_totp() {
                    return Err(AuthError::TotpEnabled);
                }
                // Whatever was tried was tried at another key.
                wrong_codes::forget(conn, known.id)?;
                credentials::begin_totp(conn, row, &sealed)?;
                Ok(known.email)
            })
            .await?;
        self.describe(&email, &secret)
    }

    /// The key that is being set up in this session, for a page that is looked at again; `None` if
    /// there is none. Nobody is shown a key that was made in another session: whoever did that
    /// knows it.
    pub async fn pending_totp(
        &self,
        session: &LiveSession,
    ) -> Result<Option<TotpSetup>, AuthError> {
        let (id, row) = (session.account_id(), session.row.id);
        let (known, sealed) = self
            .run(move |conn| Ok((present(conn, id)?, credentials::pending_totp(conn, row)?)))
            .await?;
        let Some(sealed) = sealed.filter(|_| !known.has_totp()) else { return Ok(None) };
        // One from before the secret outside was lost begins anew.
        let Ok(secret) = totp_key::open(&self.sealing(), &sealed, id) else { return Ok(None) };
        Ok(Some(self.describe(&known.email, &secret)?))
    }

    /// From now on a code is asked for. Ends the other sessions, which were begun without one.
    /// Gives the recovery codes, the only time that they are known in clear.
    ///
    /// # Errors
    /// [`AuthError::WrongCode`] and others.
    pub async fn enable_totp(
        &self,
        session: &LiveSession,
        code: String,
    ) -> Result<Vec<String>, AuthError> {
        session.may_change()?;
        let (id, row, now) = (session.account_id(), session.row.id, self.now());
        let (settings, secret_outside) = (self.settings.clone(), self.secret.clone());
        self.write(move |conn| {
            accounts::lock(conn, id)?;
            tombstones::must_be_known(conn, &secret_outside)?;
            let known = present(conn, id)?;
            if known.has_totp() {
                return Err(AuthError::TotpEnabled);
            }
            let sealed = credentials::pending_totp(conn, row)?.ok_or(AuthError::TotpMissing)?;
            let secret = totp_key::open(secret_outside.sealing(), &sealed, id);
            let secret = secret.map_err(|_| AuthError::TotpMissing)?;
            let tries = Tries::of(conn, id, &settings, now)?;
            let step = matching_step(&totp(&secret)?, &code, now);
            let Some(step) = step.filter(|_| tries.may_go_on()) else {
                return Ok(Err(tries.count(conn, &known, &settings, now)?));
            };
            wrong_codes::clear(conn, id)?;
            credentials::enable_totp(conn, id, (&sealed, step), Kept::Session(row), now)?;
            tell(conn, &known, true, now)?;
            new_recovery_codes(conn, id).map(Ok)
        })
        .await
        .flatten()
    }

    /// From now on no code is asked for. Ends the other sessions.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::WrongCode`] and others.
    pub async fn disable_totp(
        &self,
        session: &LiveSession,
        password: SecretString,
        code: String,
        client: ClientAddress,
    ) -> Result<(), AuthError> {
        let (row, now) = (session.row.id, self.now());
        self.with_both_factors(session, (password, code), client, move |conn, known| {
            Ok(turn_off(conn, known, Kept::Session(row), now)?)
        })
        .await
    }

    /// New recovery codes in the place of all old ones.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::WrongCode`] and others.
    pub async fn renew_recovery_codes(
        &self,
        session: &LiveSession,
        password: SecretString,
        code: String,
        client: ClientAddress,
    ) -> Result<Vec<String>, AuthError> {
        self.with_both_factors(session, (password, code), client, |conn, known| {
            new_recovery_codes(conn, known.id)
        })
        .await
    }

    async fn with_both_factors<T, F>(
        &self,
        session: &LiveSession,
        (password, code): (SecretString, String),
        client: ClientAddress,
        work: F,
    ) -> Result<T, AuthError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection, &Credentials) -> Result<T, AuthError> + Send + 'static,
    {
        session.may_change()?;
        let proven = self.reauthenticate(session, password, client).await?;
        if !proven.has_totp() {
            return Err(AuthError::TotpMissing);
        }
        let address = proven.email.clone();
        let guess = self.begin_guess(&address, client).await?;
        let (settings, sealing, now) = (self.settings.clone(), self.sealing(), self.now());
        let done = self
            .write(move |conn| {
                let known = recheck(conn, &proven)?;
                if let Err(refusal) = use_code(conn, &sealing, &known, &code, (&settings, now))? {
                    return Ok(Err(refusal));
                }
                work(conn, &known).map(Ok)
            })
            .await
            .flatten();
        self.settle_guess(guess, done).await
    }

    fn describe(&self, email: &str, secret: &[u8]) -> Result<TotpSetup, AuthError> {
        // The colon parts the two, so that neither may have one.
        let (issuer, account) = (self.site_name.replace(':', " "), email.replace(':', " "));
        let totp = builder(secret).with_issuer(Some(issuer)).with_account_name(account).build();
        let uri = totp.and_then(|totp| Ok((totp.secret().to_base32(), totp.to_url()?)));
        let (secret, uri) = uri.map_err(|_| totp_key::unreadable())?;
        Ok(TotpSetup { secret, uri })
    }
}

/// Uses a code up: of the app, or a recovery code. A wrong one is counted, and a right one begins
/// the count anew. After too many, only recovery codes are looked at: nobody guesses those, and
/// they let the owner in whoever has guessed.
///
/// # Errors
/// [`AuthError`]; a wrong code is refused inside, with [`AuthError::WrongCode`] or
/// [`AuthError::TooManyCodes`].
pub(in crate::accounts) fn use_code(
    conn: &mut AnyConnection,
    sealing: &SealingKey,
    known: &Credentials,
    code: &str,
    (settings, now): (&Accounts, UnixMillis),
) -> Committed<()> {
    let id = known.id;
    let tries = Tries::of(conn, id, settings, now)?;
    let is_right = (tries.may_go_on() && use_step(conn, sealing, known, code, now)?)
        || recovery_codes::use_up(conn, id, &recovery_hash(id, code))?;
    if is_right {
        wrong_codes::clear(conn, id)?;
        return Ok(Ok(()));
    }
    Ok(Err(tries.count(conn, known, settings, now)?))
}

fn use_step(
    conn: &mut AnyConnection,
    sealing: &SealingKey,
    known: &Credentials,
    code: &str,
    now: UnixMillis,
) -> Result<bool, AuthError> {
    let Some(secret) = totp_key::of(sealing, known)? else { return Ok(false) };
    let Some(step) = matching_step(&totp(&secret)?, code, now) else { return Ok(false) };
    Ok(credentials::use_totp_step(conn, known.id, step)?)
}

/// The step whose code this is: that of now, the one before, or the one after.
fn matching_step(totp: &Totp, code: &str, now: UnixMillis) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let seconds = u64::try_from(now.as_millis() / 1000).ok()?;
    i64::try_from(totp.check(&digits, seconds)?).ok()
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new().with_secret(secret.to_vec())
}

fn totp(secret: &[u8]) -> Result<Totp, DbError> {
    builder(secret).build().map_err(|_| totp_key::unreadable())
}

/// Turns the second factor of an account off, whose owner has lost it, and ends all sessions;
/// `false` if it has none. Must run in a write transaction.
pub fn remove_lost(
    conn: &mut AnyConnection,
    id: AccountId,
    now: UnixMillis,
) -> Result<bool, DbError> {
    accounts::lock(conn, id)?;
    let known = credentials::get(conn, id)?.filter(Credentials::has_totp);
    let Some(known) = known else { return Ok(false) };
    turn_off(conn, &known, Kept::Nobodys, now)?;
    Ok(true)
}

fn turn_off(
    conn: &mut AnyConnection,
    known: &Credentials,
    kept: Kept,
    now: UnixMillis,
) -> Result<(), DbError> {
    credentials::clear_totp(conn, known.id, kept)?;
    recovery_codes::remove_all(conn, known.id)?;
    wrong_codes::forget(conn, known.id)?;
    tell(conn, known, false, now)
}

fn tell(
    conn: &mut AnyConnection,
    known: &Credentials,
    is_enabled: bool,
    now: UnixMillis,
) -> Result<(), DbError> {
    let params = serde_json::to_value(TotpChanged { is_enabled }).unwrap_or_else(|_| json!({}));
    let to = (Some(known.id), known.email.as_str());
    people::send(conn, MailKind::TotpChanged, to, params, now)
}

fn new_recovery_codes(conn: &mut AnyConnection, id: AccountId) -> Result<Vec<String>, AuthError> {
    let codes: Result<Vec<String>, NoRandomness> = (0..CODES).map(|_| recovery_code()).collect();
    let codes = codes?;
    let hashes: Vec<[u8; 32]> = codes.iter().map(|code| recovery_hash(id, code)).collect();
    recovery_codes::replace(conn, id, &hashes)?;
    Ok(codes)
}

/// Four times four letters, which carry 80 random bits.
fn recovery_code() -> Result<String, NoRandomness> {
    let part = random_letters::<4>;
    Ok(format!("{}-{}-{}-{}", part()?, part()?, part()?, part()?))
}

/// However a person types it: case, white space and dashes do not matter.
fn recovery_hash(id: AccountId, code: &str) -> [u8; 32] {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let hash = Sha256::new_with_prefix(b"recovery\0").chain_update(id.0.to_be_bytes());
    hash.chain_update(plain.to_ascii_lowercase()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, the last six digits of its SHA-1 rows.
        let totp = builder(b"12345678901234567890").build().unwrap();
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (2_000_000_000, "279037"),
        ] {
            let now = UnixMillis::from_millis(seconds * 1000);
            assert_eq!(matching_step(&totp, code, now), Some(seconds / 30));
            let later = now.plus_millis(30_000);
            assert_eq!(matching_step(&totp, code, later), Some(seconds / 30));
            assert_eq!(matching_step(&totp, code, now.plus_millis(60_000)), None);
        }
        let now = UnixMillis::from_millis(59_000);
        assert_eq!(matching_step(&totp, " 287 082", now), Some(1));
        for wrong in ["", "28708", "2870822", "287083", "28708a", "٢٨٧٠٨٢"] {
            assert_eq!(matching_step(&totp, wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn recovery_codes_are_read_however_they_are_typed() {
        let code = recovery_code().unwrap();
        assert_eq!(code.len(), 19);
        let (one, two) = (AccountId(1), AccountId(2));
        let typed = format!(" {} ", code.to_uppercase().replace('-', " "));
        assert_eq!(recovery_hash(one, &code), recovery_hash(one, &typed));
        assert_ne!(recovery_hash(one, &code), recovery_hash(two, &code));
    }
}
