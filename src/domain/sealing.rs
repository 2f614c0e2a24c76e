//! Secrets that have to be read again, as the database keeps them: encrypted and authenticated
//! under a key that is derived from the secret outside it, each bound to its account, so that no
//! row is worth anything in another's place.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use super::ids::{AccountId, NoRandomness, random_bytes};
use super::unprintable::unprintable;

/// The first byte: how the rest is made.
const FORM: u8 = 1;

/// What a derived key is for. The secret outside has other uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealingPurpose {
    /// Keys of second factors in the database.
    TotpSecrets,
    /// New API keys in a cookie.
    NewApiKeys,
}

impl SealingPurpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::TotpSecrets => b"sluice totp_secret chacha20-poly1305 1",
            Self::NewApiKeys => b"sluice new_api_key chacha20-poly1305 1",
        }
    }
}

/// Seals and opens. Never prints.
#[derive(Clone)]
pub struct SealingKey(LessSafeKey);

unprintable!(SealingKey);

impl SealingKey {
    /// Derives it: HKDF-SHA-256 (RFC 5869). `None` is what the library says to lengths that it does
    /// not know.
    pub(super) fn derive(secret: &[u8], purpose: SealingPurpose) -> Option<Self> {
        let random = Salt::new(HKDF_SHA256, b"").extract(secret);
        let label = [purpose.label()];
        let key = random.expand(&label, &CHACHA20_POLY1305).ok()?;
        Some(Self(LessSafeKey::new(UnboundKey::from(key))))
    }

    /// The form byte, a random nonce of 12 bytes, then ChaCha20-Poly1305 (RFC 8439) with its tag.
    /// The associated data are the account's number in eight bytes.
    pub fn seal(&self, plain: &[u8], of: AccountId) -> Result<Vec<u8>, NoRandomness> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut text = plain.to_vec();
        let tag = self.0.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(of.0.to_be_bytes()),
            &mut text,
        );
        // Only what is longer than 256 GB is refused.
        let tag = tag.map_err(|_| NoRandomness)?;
        Ok([&[FORM], &nonce[..], &text, tag.as_ref()].concat())
    }

    /// What was sealed for this account; `None` if it was not, with this key.
    #[must_use]
    pub fn open(&self, sealed: &[u8], of: AccountId) -> Option<Vec<u8>> {
        let (form, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *form != FORM {
            return None;
        }
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, Aad::from(of.0.to_be_bytes()), &mut text).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> SealingKey {
        SealingKey::derive(secret, SealingPurpose::TotpSecrets).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_account_and_under_its_secret_only() {
        let plain = [7_u8; 20];
        let one = key(b"one");
        let sealed = one.seal(&plain, AccountId(1)).unwrap();
        assert_eq!(sealed.len(), 49);
        assert!(!sealed.windows(4).any(|bytes| bytes == [7; 4]));
        assert_ne!(sealed, one.seal(&plain, AccountId(1)).unwrap());
        assert_eq!(one.open(&sealed, AccountId(1)).as_deref(), Some(&plain[..]));
        assert_eq!(one.open(&sealed, AccountId(2)), None);
        assert_eq!(key(b"two").open(&sealed, AccountId(1)), None);
        let other = SealingKey::derive(b"one", SealingPurpose::NewApiKeys).unwrap();
        assert_eq!(other.open(&sealed, AccountId(1)), None, "each purpose has a key of its own");
    }

    #[test]
    fn what_was_touched_does_not_open() {
        let key = key(b"one");
        let sealed = key.seal(&[7; 20], AccountId(1)).unwrap();
        for place in 0..sealed.len() {
            let mut touched = sealed.clone();
            touched[place] ^= 1;
            assert_eq!(key.open(&touched, AccountId(1)), None, "byte {place}");
            assert_eq!(key.open(&sealed[..place], AccountId(1)), None, "{place} bytes");
        }
    }

    #[test]
    fn another_program_opens_it_too() {
        // Python's cryptography: HKDF(SHA256(), 32, salt=b"", info=LABEL).derive(b"a" * 32), then
        // ChaCha20Poly1305(key).encrypt(b"\0" * 12, b"12345678901234567890", (1).to_bytes(8,
        // "big")).
        let sealed = SEALED
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap());
        let sealed: Vec<u8> = [1].into_iter().chain([0; NONCE_LEN]).chain(sealed).collect();
        let plain = key(&[b'a'; 32]).open(&sealed, AccountId(1)).unwrap();
        assert_eq!(plain, b"12345678901234567890");
    }

    const SEALED: &str = "f134a1d0eea3743b175f0b4d72ddae0d63ba36f608d31c393ecc1e5b2eb566b3f7452eba";
}
