//! Keys of ours in what others can read: a scanner's report, a log, a diff. Every key that is found
//! there is revoked, and its owner told. What is read is neither stored nor shown, and of a key
//! only its public id is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use memchr::memmem;
use serde_json::json;

use crate::accounts::identity::people;
use crate::db::models::accounts;
use crate::db::models::api_keys::{self, KeyOwner};
use crate::db::models::audit::{self, Decision};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::api_key::{ApiKeyHash, LENGTH, PREFIX, PlainApiKey};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{KeysLeaked, MailKind};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;
/// Bytes that are read in all: whoever has more cuts it.
pub const BYTES_MAX: u64 = 4 << 30;
/// Different keys that are taken from one source.
pub const KEYS_MAX: usize = 100_000;

/// Why a source was not read to its end. Nothing was revoked then.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("it has more than {BYTES_MAX} bytes: split it")]
    TooLong,
    /// It has too many keys.
    #[error("it has more than {KEYS_MAX} keys: split it")]
    TooMany,
}

/// What is in our form and has the right checksum, whatever stands around it: the hashes, each
/// once.
pub fn read(mut source: impl Read) -> Result<Vec<ApiKeyHash>, ReadError> {
    let finder = memmem::Finder::new(PREFIX);
    let mut found = BTreeSet::new();
    let mut buffer = vec![0_u8; PIECE + LENGTH];
    // What may be the beginning of a key is carried over from one piece to the next.
    let (mut carried, mut total) = (0_usize, 0_u64);
    while let Some(room) = buffer.get_mut(carried..) {
        let count = match source.read(room) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if total > BYTES_MAX {
            return Err(ReadError::TooLong);
        }
        let end = carried + count;
        let text = buffer.get(..end).unwrap_or_default();
        for at in finder.find_iter(text) {
            let word = text.get(at..at.saturating_add(LENGTH)).unwrap_or_default();
            let word = std::str::from_utf8(word).ok();
            found.extend(word.and_then(PlainApiKey::parse).map(|key| *key.hash().as_bytes()));
        }
        if found.len() > KEYS_MAX {
            return Err(ReadError::TooMany);
        }
        carried = end.min(LENGTH - 1);
        buffer.copy_within(end - carried..end, 0);
    }
    Ok(found.into_iter().map(ApiKeyHash::from_bytes).collect())
}

/// What becomes of a key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakedKey {
    /// Its public id.
    pub id: String,
    /// It was revoked before.
    pub was_revoked: bool,
}

/// Whose keys these are, those that nobody has left out.
pub fn known(
    conn: &mut AnyConnection,
    hashes: &[ApiKeyHash],
    now: UnixMillis,
) -> Result<Vec<LeakedKey>, DbError> {
    let leaked =
        |key: KeyOwner| LeakedKey { id: key.public_id, was_revoked: key.revoked_at.is_some() };
    Ok(owners(conn, hashes, now)?.into_iter().map(leaked).collect())
}

/// The keys that were issued here, with their owners. Both secrets of a key that is being rotated
/// are that one key.
fn owners(
    conn: &mut AnyConnection,
    hashes: &[ApiKeyHash],
    now: UnixMillis,
) -> Result<Vec<KeyOwner>, DbError> {
    let found = hashes.iter().filter_map(|hash| api_keys::owner(conn, hash, now).transpose());
    found.collect()
}

/// Revokes those that are in force, tells each owner by one mail, and writes it down. Repeating it
/// does no harm.
///
/// # Errors
/// [`DbError`]; what was revoked so far stays so.
pub fn revoke(
    conn: &mut AnyConnection,
    hashes: &[ApiKeyHash],
    now: UnixMillis,
) -> Result<Vec<LeakedKey>, DbError> {
    let mut by_account: BTreeMap<AccountId, Vec<KeyOwner>> = BTreeMap::new();
    for owner in owners(conn, hashes, now)? {
        by_account.entry(owner.account_id).or_default().push(owner);
    }
    let mut done = Vec::new();
    for (id, keys) in by_account {
        done.extend(transaction::write(conn, |conn| revoke_of(conn, id, keys, now))?);
    }
    Ok(done)
}

fn revoke_of(
    conn: &mut AnyConnection,
    id: AccountId,
    keys: Vec<KeyOwner>,
    now: UnixMillis,
) -> Result<Vec<LeakedKey>, DbError> {
    accounts::lock(conn, id)?;
    let email = keys.first().map(|key| key.email.clone()).unwrap_or_default();
    let (mut done, mut key_names) = (Vec::new(), Vec::new());
    for key in keys {
        let is_revoked = api_keys::revoke(conn, &key.public_id, now)? == Some(true);
        if is_revoked {
            audit::write(conn, &Decision::of_key("leaked_key_revoked", id, &key.public_id), now)?;
            key_names.push(key.name_with_hint());
        }
        done.push(LeakedKey { id: key.public_id, was_revoked: !is_revoked });
    }
    if !key_names.is_empty() {
        let params = json!(KeysLeaked { key_names });
        people::send(conn, MailKind::KeysLeaked, (Some(id), &email), params, now)?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(count);
            into[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn p7_keys_are_found_wherever_they_stand_and_nothing_else_is() {
        let keys: Vec<PlainApiKey> = (0..3).map(|_| PlainApiKey::random().unwrap()).collect();
        let [one, two, three] = [0, 1, 2].map(|at| keys[at].reveal());
        let broken = one.replace(one.chars().last().unwrap(), "#");
        let mut text = format!("+KEY={one}\nsluice_sluice_ {broken} x{two}x \u{e9}{one}{three}");
        text.push_str("sluice_");
        let mut bytes = text.into_bytes();
        bytes.extend([0xff, 0x00]);
        let mut expected: Vec<[u8; 32]> = keys.iter().map(|key| *key.hash().as_bytes()).collect();
        expected.sort_unstable();
        for size in [1, 7, 55, 56, 57, 4096] {
            let found = read(Drops(&bytes, size)).unwrap();
            let found: Vec<[u8; 32]> = found.iter().map(|hash| *hash.as_bytes()).collect();
            assert_eq!(found, expected, "{size}");
        }
        assert!(read(Drops(b"", 1)).unwrap().is_empty());
    }

    #[test]
    fn keys_are_found_where_pieces_meet() {
        let key = PlainApiKey::random().unwrap();
        for before in PIECE - 80..PIECE + 80 {
            let mut bytes = vec![b'.'; before];
            bytes.extend(key.reveal().as_bytes());
            bytes.resize(3 * PIECE, b'.');
            assert_eq!(read(bytes.as_slice()).unwrap().len(), 1, "{before}");
        }
    }
}
