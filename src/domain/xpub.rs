//! Addresses derived from the operator's watch-only key (BIP 32, BIP 44). No key that could spend
//! comes near this program, and one that is offered is refused.

use std::fmt;
use std::str::FromStr;

use bip32::{ChildNumber, ExtendedKey, Prefix, XPub};
use sha3::{Digest, Keccak256};

use super::evm::{EvmAddress, to_hex};

/// Depth of an account, `m/44'/60'/0'`: addresses stand at `0/i` below it.
const ACCOUNT_DEPTH: u8 = 3;
/// Depth of an account's branch of receiving addresses, `m/44'/60'/0'/0`: addresses stand at `i`
/// below it.
const RECEIVING_DEPTH: u8 = 4;

/// An extended public key at whose branch of receiving addresses deposits arrive.
#[derive(Clone)]
pub struct Xpub {
    /// Of the branch of receiving addresses.
    receiving: XPub,
    fingerprint: [u8; 4],
}

/// Why a text is not taken for such a key. None repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XpubError {
    /// It is a private key: whoever reads it owns every deposit.
    #[error(
        "this is a private key, which must never be on a server: take it out, move the funds of \
         its wallet, and give the extended public key (xpub) instead"
    )]
    Private,
    /// It looks like a seed phrase, which is worth as much.
    #[error(
        "looks like a seed phrase: take it out, move the funds of its wallet, and give the \
         extended public key (xpub) instead"
    )]
    Seed,
    /// It is no extended key, or is mistyped.
    #[error("must be an extended public key, xpub…; a character may be mistyped or missing")]
    NotAKey,
    /// It is one of another network or kind.
    #[error("must begin with xpub")]
    Prefix,
    /// It stands elsewhere in its wallet.
    #[error(
        "must be the key of an account, m/44'/60'/0', or of its receiving branch, m/44'/60'/0'/0; \
         this one has depth {0}"
    )]
    Depth(u8),
    /// It has the depth of an account or branch, but is neither.
    #[error(
        "must be the key of an account, m/44'/60'/0', or of its receiving branch, m/44'/60'/0'/0"
    )]
    Branch,
    /// There is no address of that index.
    #[error("has no address of index {0}")]
    Index(u32),
}

impl Xpub {
    /// Reads a key.
    pub fn parse(text: &str) -> Result<Self, XpubError> {
        let text = text.trim();
        // Before anything else: the crate would silently take a private key's public half.
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let is_bare = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_bare || text.get(1..4).is_some_and(|kind| kind.eq_ignore_ascii_case("prv")) {
            return Err(XpubError::Private);
        }
        if text.split_whitespace().nth(8).is_some() {
            return Err(XpubError::Seed);
        }
        if !text.is_ascii() {
            return Err(XpubError::NotAKey);
        }
        let key: ExtendedKey = text.parse().map_err(|_| XpubError::NotAKey)?;
        // The version that is written need not be true: a public key never begins with a zero.
        if key.prefix.is_private() || key.key_bytes.first() == Some(&0) {
            return Err(XpubError::Private);
        }
        if key.prefix != Prefix::XPUB {
            return Err(XpubError::Prefix);
        }
        let key: XPub = key.try_into().map_err(|_| XpubError::NotAKey)?;
        let child = key.attrs().child_number;
        let receiving = match key.attrs().depth {
            ACCOUNT_DEPTH if child.is_hardened() => {
                key.derive_child(ChildNumber(0)).map_err(|_| XpubError::NotAKey)?
            }
            RECEIVING_DEPTH if child == ChildNumber(0) => key,
            ACCOUNT_DEPTH | RECEIVING_DEPTH => return Err(XpubError::Branch),
            depth => return Err(XpubError::Depth(depth)),
        };
        // Of the branch, so that both forms of one key have the same, and issue no address twice.
        let fingerprint = receiving.fingerprint();
        Ok(Self { receiving, fingerprint })
    }

    /// The receiving address of that index, below 2³¹.
    ///
    /// # Errors
    /// [`XpubError::Index`].
    pub fn address(&self, index: u32) -> Result<EvmAddress, XpubError> {
        let none = |_| XpubError::Index(index);
        let child = ChildNumber::new(index, false).map_err(none)?;
        let child = self.receiving.derive_child(child).map_err(none)?;
        let point = child.public_key().to_encoded_point(false);
        // Without the byte that says that it is not compressed.
        let hash = Keccak256::digest(point.as_bytes().get(1..).unwrap_or_default());
        let address = hash.get(12..).and_then(EvmAddress::from_slice);
        address.ok_or(XpubError::Index(index))
    }

    /// The first four bytes of the branch's identifier, which tell keys apart and give none away.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 4] {
        self.fingerprint
    }
}

impl FromStr for Xpub {
    type Err = XpubError;

    fn from_str(text: &str) -> Result<Self, XpubError> {
        Self::parse(text)
    }
}

/// Shows the fingerprint only: the key links all addresses to one another.
impl fmt::Debug for Xpub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xpub({})", to_hex(&self.fingerprint))
    }
}

#[cfg(test)]
mod tests;
