//! API keys: 256 random bits behind a prefix and a checksum, kept as a SHA-256 only.
//!
//! The form `sluice_` + 43 letters and digits + 6 of checksum lets secret scanners recognise a
//! leaked key without asking anyone, and lets the gateway refuse a typing error without a lookup.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ids::{NoRandomness, random_bytes};
use super::unprintable::unprintable;

/// What every key begins with. Scanners and revocation tools know it: never change it.
pub const PREFIX: &str = "sluice_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62⁴³ > 2²⁵⁶.
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Characters of its end that a hint shows.
const HINT_CHARS: usize = 4;
/// Characters of every key.
pub const LENGTH: usize = PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;

/// A key in clear: shown once when it is made, and read from each request's header.
pub struct PlainApiKey(SecretString);

/// The SHA-256 of a key: all that is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiKeyHash([u8; 32]);

unprintable!(PlainApiKey, ApiKeyHash);

impl PlainApiKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the operating system has none to give.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        let mut missing = RANDOM_CHARS;
        while missing > 0 {
            // 248 = 4 × 62: larger bytes would make some characters likelier than others.
            let fair = random_bytes::<64>()?.into_iter().filter(|byte| *byte < 248);
            for character in fair.take(missing).filter_map(|byte| char_at(usize::from(byte % 62))) {
                text.push(character);
                missing -= 1;
            }
        }
        text.push_str(&checksum(&text));
        Ok(Self(SecretString::from(text)))
    }

    /// Reads a key from a header; `None` for whatever is not in our form or fails its checksum.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH || !text.starts_with(PREFIX) {
            return None;
        }
        let (body, given) = text.split_at_checked(text.len() - CHECKSUM_CHARS)?;
        let is_plain = text.bytes().skip(PREFIX.len()).all(|byte| byte.is_ascii_alphanumeric());
        (is_plain && checksum(body) == given).then(|| Self(SecretString::from(text)))
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(Sha256::digest(self.0.expose_secret().as_bytes()).into())
    }

    /// What tells it from its owner's other keys, `sluice_…mpqN`: of the checksum's end, which lets
    /// nobody guess the rest.
    #[must_use]
    pub fn hint(&self) -> String {
        let text = self.0.expose_secret();
        let end = text.get(LENGTH.saturating_sub(HINT_CHARS)..).unwrap_or_default();
        format!("{PREFIX}\u{2026}{end}")
    }

    /// The key itself, for the one time it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl ApiKeyHash {
    /// From the digest's bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn char_at(index: usize) -> Option<char> {
    ALPHABET.get(index).map(|&byte| char::from(byte))
}

/// CRC-32 of the key's other characters in base 62, most significant first.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [0_usize; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(rest % 62).unwrap_or_default();
        rest /= 62;
    }
    digits.into_iter().filter_map(char_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_a_key_reads_back_and_any_changed_character_is_noticed() {
        let key = PlainApiKey::random().unwrap();
        let text = key.reveal().to_owned();
        assert_eq!(text.len(), 56);
        assert_eq!(key.hint(), format!("sluice_\u{2026}{}", text.get(52..).unwrap()));
        assert!(PlainApiKey::parse(&text).is_some_and(|again| again.hash() == key.hash()));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(PlainApiKey::parse(&changed).is_none(), "{changed}");
        }
    }

    #[test]
    fn other_forms_are_not_keys() {
        for text in ["", "sluice_", "sk-ant-api03-x", "sluice_é", &"0".repeat(56)] {
            assert!(PlainApiKey::parse(text).is_none());
        }
    }
}
