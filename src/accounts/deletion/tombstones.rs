//! The secret of tombstones, which second factors are sealed under too: where it is read, how it is
//! known again, and what an earlier version has left to hash with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Privacy, TombstoneSecret};
use crate::db::models::audit::{self, Decision};
use crate::db::models::{credentials, tombstones};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::EvmAddress;
use crate::domain::ids::{NoRandomness, random_letters};
use crate::domain::tombstone::{NotATombstoneKey, TombstoneKey};

/// Characters of a secret that is made here, five bits each.
const LETTERS: usize = 64;
/// Marked deposits that are buried in one transaction.
const BATCH: i64 = 100;

/// Why the secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// It is not there.
    #[error("{0}")]
    Missing(String),
    /// It is not one.
    #[error("the tombstone secret {0}")]
    NotAKey(#[from] NotATombstoneKey),
    /// Its file cannot be read or made.
    #[error("the file {0} with the tombstone secret cannot be read or created")]
    File(PathBuf, #[source] io::Error),
    /// The file that was there once is gone.
    #[error(
        "the file {0} with the tombstone secret is missing. Without it the deposits of erased \
         accounts could be credited again, and two-factor codes cannot be checked. Restore the \
         file. If it is lost permanently: `sluice deposit forget-tombstones`"
    )]
    Lost(PathBuf),
    /// It is another one.
    #[error(
        "the tombstone secret is not the one used so far. With another one the deposits of erased \
         accounts could be credited again, and two-factor codes cannot be checked. Configure the \
         right one. If it is lost permanently: `sluice deposit forget-tombstones`"
    )]
    Other,
}

impl From<diesel::result::Error> for TombstoneError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The secret, held against what the database knows it by. The first one is known from then on.
///
/// # Errors
/// [`TombstoneError`]; nothing may be credited then.
pub fn unlock(
    conn: &mut AnyConnection,
    settings: &Privacy,
) -> Result<TombstoneKey, TombstoneError> {
    let key = match found(conn, settings)? {
        Secret::Found(key) => *key,
        Secret::NotMade(path) => TombstoneKey::of(&make(path)?)?,
    };
    if is_known(conn, &key)? {
        return Ok(key);
    }
    // Where nothing was hashed so far, a file may be made anew. Nodes that share a database might
    // not notice.
    let is_file = matches!(settings.tombstones, TombstoneSecret::Beside(_));
    transaction::write(conn, |conn| {
        let may_be_new = match tombstones::check_value(conn)? {
            None => true,
            Some(known) if known == key.check_value() => return Ok(()),
            Some(_) => is_file,
        };
        if !may_be_new || is_needed(conn)? {
            return Err(TombstoneError::Other);
        }
        Ok(tombstones::know(conn, &key)?)
    })?;
    Ok(key)
}

/// Holds the secret against what the database knows it by, and changes neither; false where there
/// is none yet, which the first start makes.
///
/// # Errors
/// [`TombstoneError`], as [`unlock`].
pub fn check(conn: &mut AnyConnection, settings: &Privacy) -> Result<bool, TombstoneError> {
    let Secret::Found(key) = found(conn, settings)? else { return Ok(false) };
    let is_other = tombstones::check_value(conn)?.is_some() && !is_known(conn, &key)?;
    if is_other && is_needed(conn)? { Err(TombstoneError::Other) } else { Ok(true) }
}

/// The secret of the settings, or where one may be made.
enum Secret<'a> {
    Found(Box<TombstoneKey>),
    NotMade(&'a Path),
}

fn found<'a>(
    conn: &mut AnyConnection,
    settings: &'a Privacy,
) -> Result<Secret<'a>, TombstoneError> {
    Ok(match &settings.tombstones {
        TombstoneSecret::Given(secret) => Secret::Found(Box::new(TombstoneKey::of(secret)?)),
        TombstoneSecret::Missing(reason) => return Err(TombstoneError::Missing(reason.clone())),
        TombstoneSecret::Beside(path) => match read(path)? {
            Some(secret) => Secret::Found(Box::new(TombstoneKey::of(&secret)?)),
            None if is_needed(conn)? => return Err(TombstoneError::Lost(path.clone())),
            None => Secret::NotMade(path),
        },
    })
}

/// Whether something is stored that is worth nothing without the secret.
fn is_needed(conn: &mut AnyConnection) -> Result<bool, DbError> {
    Ok(tombstones::are_any(conn)? || credentials::are_any_sealed(conn)?)
}

fn is_known(conn: &mut AnyConnection, key: &TombstoneKey) -> Result<bool, DbError> {
    Ok(tombstones::check_value(conn)?.as_deref() == Some(&key.check_value()[..]))
}

/// Buries what an earlier version has only marked as erased; how many deposits that were. May be
/// broken off and repeated at any time.
pub fn bury_marked(conn: &mut AnyConnection, key: &TombstoneKey) -> Result<usize, DbError> {
    let mut buried = 0_usize;
    loop {
        let count = transaction::write(conn, |conn| {
            let rows = tombstones::marked(conn, BATCH)?;
            tombstones::bury(conn, key, &rows)?;
            tombstones::delete(conn, &rows)?;
            Ok::<_, DbError>(rows.len())
        })?;
        if count == 0 {
            return Ok(buried);
        }
        buried = buried.saturating_add(count);
    }
}

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Tombstones.
    pub tombstones: usize,
    /// Accounts whose second factor has recovery codes only from now on.
    pub second_factors: usize,
}

/// Gives up what was hashed or sealed with a secret that is lost, and writes down that somebody
/// did.
pub fn forget(
    conn: &mut AnyConnection,
    reason: &str,
    now: UnixMillis,
) -> Result<Forgotten, DbError> {
    transaction::write(conn, |conn| {
        let count = Forgotten {
            tombstones: tombstones::forget(conn)?,
            second_factors: credentials::forget_totps(conn)?,
        };
        let decision = Decision::of_nobodys("tombstones_forgotten", "tombstones", reason);
        audit::write(conn, &decision, now)?;
        Ok(count)
    })
}

/// Forgets that a wallet was linked by an account that was erased with a debt, and writes down that
/// somebody did; `false` if that is not known of it.
pub fn settle(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    wallet: EvmAddress,
    reason: &str,
    now: UnixMillis,
) -> Result<bool, DbError> {
    transaction::write(conn, |conn| {
        let is_settled = tombstones::exhume_wallet(conn, key, wallet)?;
        if is_settled {
            // By its address it would be found there by whoever looks for it.
            let decision = Decision::of_nobodys("debt_settled", "wallet", reason);
            audit::write(conn, &decision, now)?;
        }
        Ok(is_settled)
    })
}

fn read(path: &Path) -> Result<Option<SecretString>, TombstoneError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(SecretString::from(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TombstoneError::File(path.to_owned(), error)),
    }
}

/// Makes the file, whole or not at all. Whoever comes second reads what the first has written.
fn make(path: &Path) -> Result<SecretString, TombstoneError> {
    let secret = SecretString::from(random_letters::<LETTERS>()?);
    let part = path.with_added_extension(random_letters::<8>()?);
    let written = write(&part, &secret).and_then(|()| match std::fs::hard_link(&part, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let tidied = std::fs::remove_file(&part);
    let failed = |error| TombstoneError::File(path.to_owned(), error);
    written.and(tidied).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|it| it.sync_all()).map_err(failed)?;
    tracing::info!("created the tombstone secret beside the database; keep a copy of it elsewhere");
    Ok(read(path)?.unwrap_or(secret))
}

fn write(path: &Path, secret: &SecretString) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.sync_all()
}
