//! Identifiers. Inside, database rows have numbers; outside, everything has a random public name.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    let bytes = random_bytes::<24>()?;
    let mut name = String::with_capacity(prefix.len().saturating_add(bytes.len()));
    name.push_str(prefix);
    name.extend(
        bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
            .map(|&c| char::from(c)),
    );
    Ok(name)
}

/// Name of one exchange: the client's `request-id`, the reservation and the usage row share it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh name, `req_` and 24 characters.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system has none to give.
    pub fn random() -> Result<Self, NoRandomness> {
        public_id("req_").map(Self)
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
