//! What is left of a deposit whose account was erased: a keyed hash of its place on the chain. It
//! tells whoever has the secret that this transfer was credited, and nobody else anything. A wallet
//! of an account that was erased with a debt leaves one too.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::evm::{ChainId, EvmAddress};
use super::sealing::{SealingKey, SealingPurpose};

/// Characters of the secret at least.
const SECRET_MIN: usize = 32;

/// HMAC-SHA-256 of a chain, a transaction's hash and a transfer's ordinal in it; or of a wallet's
/// address.
pub type Tombstone = [u8; 32];

/// The secret, ready to hash with, and the key that is derived from it for what is sealed. Never
/// prints.
#[derive(Clone)]
pub struct TombstoneKey {
    mac: Hmac<Sha256>,
    sealing: SealingKey,
    key_sealing: SealingKey,
}

/// Not a secret to hash with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have at least {SECRET_MIN} characters, such as `openssl rand -hex 32` prints")]
pub struct NotATombstoneKey;

impl TombstoneKey {
    /// Takes a secret of some length.
    ///
    /// # Errors
    /// [`NotATombstoneKey`] for one that could be guessed.
    pub fn of(secret: &SecretString) -> Result<Self, NotATombstoneKey> {
        let secret = secret.expose_secret().as_bytes();
        if secret.len() < SECRET_MIN {
            return Err(NotATombstoneKey);
        }
        let mac = Hmac::new_from_slice(secret).map_err(|_| NotATombstoneKey)?;
        let derive = |purpose| SealingKey::derive(secret, purpose).ok_or(NotATombstoneKey);
        let sealing = derive(SealingPurpose::TotpSecrets)?;
        Ok(Self { mac, sealing, key_sealing: derive(SealingPurpose::NewApiKeys)? })
    }

    /// What seals the keys of second factors.
    #[must_use]
    pub const fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// What seals a new API key on its way to the page that shows it.
    #[must_use]
    pub const fn key_sealing(&self) -> &SealingKey {
        &self.key_sealing
    }

    /// The tombstone of a transfer. Each part has a fixed length, so that no two transfers have the
    /// same.
    #[must_use]
    pub fn tombstone(&self, chain_id: ChainId, tx_hash: &[u8], ordinal: i64) -> Tombstone {
        let parts = [&chain_id.0.to_be_bytes()[..], tx_hash, &ordinal.to_be_bytes()[..]];
        self.hash(b"deposit", &parts)
    }

    /// The tombstone of a wallet whose account was erased with a debt, on whichever chain it is.
    #[must_use]
    pub fn of_debtor(&self, wallet: EvmAddress) -> Tombstone {
        self.hash(b"debtor", &[wallet.as_bytes()])
    }

    /// What attempts at something are counted under; `kind` has no byte of zero.
    #[must_use]
    pub fn of_attempts(&self, kind: &str, whose: &[u8]) -> [u8; 32] {
        self.hash(b"attempts", &[kind.as_bytes(), &[0], whose])
    }

    /// What the database keeps to know this secret again.
    #[must_use]
    pub fn check_value(&self) -> [u8; 32] {
        self.hash(b"check", &[])
    }

    fn hash(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(purpose);
        mac.update(&[0]);
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evm::to_hex;

    fn key(letter: &str) -> TombstoneKey {
        TombstoneKey::of(&SecretString::from(letter.repeat(SECRET_MIN))).unwrap()
    }

    #[test]
    fn p8_a_tombstone_depends_on_secret_chain_hash_and_ordinal() {
        let one = key("a").tombstone(ChainId(1), &[7; 32], 0);
        assert_eq!(one, key("a").tombstone(ChainId(1), &[7; 32], 0));
        let others = [
            key("b").tombstone(ChainId(1), &[7; 32], 0),
            key("a").tombstone(ChainId(2), &[7; 32], 0),
            key("a").tombstone(ChainId(1), &[8; 32], 0),
            key("a").tombstone(ChainId(1), &[7; 32], -1),
            key("a").check_value(),
        ];
        assert!(!others.contains(&one));
    }

    #[test]
    fn p8_a_wallets_tombstone_depends_on_secret_and_address_and_is_no_deposits() {
        let one = key("a").of_debtor(EvmAddress([7; 20]));
        assert_eq!(one, key("a").of_debtor(EvmAddress([7; 20])));
        assert_ne!(one, key("b").of_debtor(EvmAddress([7; 20])));
        assert_ne!(one, key("a").of_debtor(EvmAddress([8; 20])));
        assert_ne!(one, key("a").hash(b"deposit", &[&[7; 20]]));
    }

    #[test]
    fn a_tombstone_is_what_other_programs_make_of_the_same_words() {
        // Python: hmac.new(b"a" * 32, b"deposit\0" + (1).to_bytes(8) + b"\7" * 32 +
        // (0).to_bytes(8), "sha256")
        let hex = to_hex(&key("a").tombstone(ChainId(1), &[7; 32], 0));
        assert_eq!(hex, "0xad485601f9ad60003965edcc35b1ae6de1deb20ba9539676386486665c72438d");
    }

    #[test]
    fn a_short_secret_is_refused() {
        let secret = |length| SecretString::from("x".repeat(length));
        assert!(TombstoneKey::of(&secret(SECRET_MIN - 1)).is_err());
        assert!(TombstoneKey::of(&secret(SECRET_MIN)).is_ok());
    }
}
