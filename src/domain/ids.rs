//! Identifiers. Inside, database rows have numbers; outside, everything has a random public name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::clock::UnixMillis;

/// Alphabet of public names: digits and letters without a neighbour that reads alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// Fills an array from the operating system's generator.
///
/// # Errors
/// [`NoRandomness`] where the system has none to give.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A public name: `prefix` and 24 characters that carry 120 random bits.
///
/// # Errors
/// [`NoRandomness`] where the system has none to give.
pub fn public_id(prefix: &str) -> Result<String, NoRandomness> {
    Ok(format!("{prefix}{}", random_letters::<24>()?))
}

/// A word for one use: 32 letters and digits that carry 160 random bits.
///
/// # Errors
/// [`NoRandomness`] where the system has none to give.
pub fn nonce() -> Result<String, NoRandomness> {
    random_letters::<32>()
}

/// Characters that carry five random bits each.
///
/// # Errors
/// [`NoRandomness`] where the system has none to give.
pub fn random_letters<const N: usize>() -> Result<String, NoRandomness> {
    Ok(random_bytes::<N>()?.into_iter().map(|byte| letter(byte.into())).collect())
}

/// The character for the lowest five bits.
fn letter(bits: u64) -> char {
    let index = usize::try_from(bits & 31).unwrap_or_default();
    ALPHABET.get(index).map_or('0', |&byte| char::from(byte))
}

/// Name of one exchange: the client's `request-id`, the reservation and the usage row share it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh name, `req_` and 24 characters: the time in milliseconds, so that names of one time
    /// are neighbours in the database's indexes, and 75 random bits.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system has none to give.
    pub fn new(now: UnixMillis) -> Result<Self, NoRandomness> {
        let mut name = String::with_capacity(28);
        name.push_str("req_");
        let millis = now.as_millis().unsigned_abs();
        name.extend((0..9).rev().map(|digit| letter(millis >> (5 * digit))));
        name.extend(random_bytes::<15>()?.map(|byte| letter(byte.into())));
        Ok(Self(name))
    }

    /// A name that the database already holds.
    #[must_use]
    pub const fn from_stored(name: String) -> Self {
        Self(name)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Row number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub i64);

/// Row number of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApiKeyId(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_long_and_plain() {
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, two);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn request_ids_sort_by_time_and_differ_within_it() {
        let at = |millis| RequestId::new(UnixMillis::from_millis(millis)).unwrap();
        let (one, two) = (at(1_795_000_000_000), at(1_795_000_000_000));
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 28);
        assert!(at(1_795_000_000_000) < at(1_795_000_000_001));
        assert!(at(1_795_000_000_031) < at(1_795_000_000_032));
    }
}
