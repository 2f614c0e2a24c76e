//! `[deposits]`: whose transfers are credited, what an account may ask for, and when a person looks first.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bip32::{ChildNumber, ExtendedKey, XPub};
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;
use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;

/// Whose transfers are credited, what an account may ask for, and when a person looks first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposits {
    /// What each account's own address is derived from; `None` offers none.
    #[serde(default, deserialize_with = "account_xpub")]
    pub account_xpub: Option<AccountXpub>,
    /// Addresses of the operator beside treasuries and derived ones. What comes from any of them is no deposit.
    #[serde(deserialize_with = "value::addresses")]
    pub own_addresses: Vec<EvmAddress>,
    /// Claims that one account may have open.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub open_claims_max_per_account: u32,
    /// Claims that one account may submit within an hour.
    #[serde(deserialize_with = "value::whole::<1, 100_000, _, _>")]
    pub claims_per_hour_per_account: u32,
    /// Time in which a challenge must be signed.
    #[serde(rename = "challenge_secs", deserialize_with = "value::secs::<60, 3_600, _>")]
    pub challenge: Duration,
    /// Wallets that one account may have linked.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub wallets_max_per_account: u32,
    /// Time for which an unknown transaction is looked up.
    #[serde(rename = "claim_open_secs", deserialize_with = "value::secs::<600, 2_592_000, _>")]
    pub claim_open: Duration,
    /// Claims looked up for each block, over all accounts.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub claims_per_block: u32,
    /// Deposits worth more wait for a person; `None` holds none for its size.
    #[serde(default, deserialize_with = "value::optional_usd")]
    pub review_above: Option<NanoUsd>,
}

impl Deposits {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        for (position, address) in self.own_addresses.iter().enumerate() {
            if self.own_addresses.iter().take(position).any(|earlier| earlier == address) {
                let reason = format!("{} is listed twice", address.checksummed());
                problems.add(&at.key("own_addresses"), reason);
            }
        }
    }
}

/// The operator's watch-only key, at the level whose children are the accounts' addresses (`m/44'/60'/0'/0`).
///
/// With it and the private key of any one child, the private keys of all are found: it is as confidential as
/// a secret, and has no `Display`.
#[derive(Clone)]
pub struct AccountXpub(XPub);

impl AccountXpub {
    /// The key whose non-hardened child `i` is the address of index `i`.
    #[must_use]
    pub const fn external_chain(&self) -> &XPub {
        &self.0
    }
}

impl fmt::Debug for AccountXpub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountXpub(********)")
    }
}

/// The text is no key to derive addresses from. It is not repeated: it may be a private one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAccountXpub {
    /// It begins as private keys do.
    #[error(
        "this is a private key: whoever reads it owns every deposit. Never put it on a server; consider it leaked, \
         make a new one offline, and write only its xpub here"
    )]
    Private,
    /// It begins as seed phrases do.
    #[error(
        "this looks like a seed phrase: whoever reads it owns every deposit. Never put it on a server; consider it \
         leaked, make a new one offline, and write only the account's xpub here"
    )]
    Seed,
    /// It is of another kind.
    #[error("must be an extended public key that begins with xpub")]
    Prefix,
    /// Its checksum or its point is wrong.
    #[error("is no extended public key: a character is mistyped or missing")]
    Malformed,
    /// It stands for another level of the tree.
    #[error(
        "is at depth {0}: give the account's key m/44'/60'/0' (depth 3) or its external chain's (depth 4)"
    )]
    Depth(u8),
}

impl FromStr for AccountXpub {
    type Err = NotAnAccountXpub;

    fn from_str(text: &str) -> Result<Self, NotAnAccountXpub> {
        // xprv, tprv, yprv, zprv and their like; and 64 bare hexadecimal digits.
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let is_bare_key = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_bare_key || text.get(1..4).is_some_and(|kind| kind.eq_ignore_ascii_case("prv")) {
            return Err(NotAnAccountXpub::Private);
        }
        if text.split_whitespace().nth(8).is_some() {
            return Err(NotAnAccountXpub::Seed);
        }
        if !text.starts_with("xpub") {
            return Err(NotAnAccountXpub::Prefix);
        }
        let malformed = |_| NotAnAccountXpub::Malformed;
        let key: ExtendedKey = text.parse().map_err(malformed)?;
        let depth = key.attrs.depth;
        // The prefix that is written need not be the version that is encoded.
        if key.key_bytes.first() == Some(&0) {
            return Err(NotAnAccountXpub::Private);
        }
        let key = XPub::try_from(key).map_err(malformed)?;
        match depth {
            3 => key.derive_child(ChildNumber(0)).map(Self).map_err(malformed),
            4 => Ok(Self(key)),
            other => Err(NotAnAccountXpub::Depth(other)),
        }
    }
}

fn account_xpub<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<AccountXpub>, D::Error> {
    value::parsed(from).map(Some)
}

#[cfg(test)]
mod tests {
    use bip32::{Prefix, XPrv};
    use sha3::{Digest, Keccak256};

    use super::*;

    /// BIP-39's "test test … junk" with an empty passphrase.
    const SEED: &str = "0x9dfc3c64c2f8bede1533b6a79f8570e5943e0b8fd1cf77107adf7b72cef42185d564a3aee24cab43f80e3c4538087d70fc824eabbad596a23c97b6ee8322ccc0";

    fn at(path: &str) -> XPrv {
        let seed = crate::domain::evm::parse_bytes(SEED).unwrap();
        XPrv::derive_from_path(seed, &path.parse().unwrap()).unwrap()
    }

    fn address(xpub: &AccountXpub, index: u32) -> String {
        let child = xpub.external_chain().derive_child(ChildNumber(index)).unwrap();
        let point = child.public_key().to_encoded_point(false);
        let hash = Keccak256::digest(&point.as_bytes()[1..]);
        EvmAddress::from_slice(&hash[12..]).unwrap().checksummed()
    }

    #[test]
    fn account_and_external_chain_lead_to_the_addresses_that_wallets_show() {
        for path in ["m/44'/60'/0'", "m/44'/60'/0'/0"] {
            let xpub: AccountXpub = at(path).public_key().to_string(Prefix::XPUB).parse().unwrap();
            assert_eq!(address(&xpub, 0), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
            assert_eq!(address(&xpub, 1), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
            assert_eq!(format!("{xpub:?}"), "AccountXpub(********)");
        }
    }

    #[test]
    fn private_keys_are_refused_whatever_they_look_like() {
        let private = at("m/44'/60'/0'");
        let mut forms: Vec<_> = [Prefix::XPRV, Prefix::TPRV, Prefix::YPRV, Prefix::ZPRV]
            .map(|prefix| private.to_string(prefix).to_string())
            .into();
        // A private key under the version of a public one, and a bare one.
        let mut disguised = private.to_extended_key(Prefix::XPUB);
        disguised.prefix = Prefix::XPUB;
        forms.push(disguised.to_string());
        forms.push(format!("0x{}", "ab".repeat(32)));
        for text in forms {
            let refusal = text.parse::<AccountXpub>().unwrap_err();
            assert_eq!(refusal, NotAnAccountXpub::Private, "{text}");
            assert!(!refusal.to_string().contains(&text));
        }
        let seed = "test test test test test test test test test test test junk";
        assert_eq!(seed.parse::<AccountXpub>().unwrap_err(), NotAnAccountXpub::Seed);
    }

    #[test]
    fn other_levels_and_mistyped_keys_are_refused() {
        let at_depth = |path| at(path).public_key().to_string(Prefix::XPUB);
        let refusal = |text: &str| text.parse::<AccountXpub>().unwrap_err();
        assert_eq!(refusal(&at_depth("m/44'")), NotAnAccountXpub::Depth(1));
        assert_eq!(refusal(&at_depth("m/44'/60'/0'/0/0")), NotAnAccountXpub::Depth(5));
        let mut mistyped = at_depth("m/44'/60'/0'");
        mistyped.pop();
        assert_eq!(refusal(&mistyped), NotAnAccountXpub::Malformed);
        let tpub = at("m/44'/60'/0'").public_key().to_string(Prefix::TPUB);
        assert_eq!(refusal(&tpub), NotAnAccountXpub::Prefix);
    }
}
