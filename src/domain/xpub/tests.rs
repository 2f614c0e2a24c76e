//! Vectors of the mnemonic that every test chain knows, `test test … junk`.

use bip32::{DerivationPath, ExtendedPrivateKey, XPrv};
use proptest::prelude::*;

use super::*;

/// `m/44'/60'/0'/0/i` of that mnemonic.
const ADDRESSES: [&str; 3] = [
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
];

/// What the mnemonic stretches to (BIP 39, no passphrase).
const SEED: &str = "0x9dfc3c64c2f8bede1533b6a79f8570e5943e0b8fd1cf77107adf7b72ce\
    f42185d564a3aee24cab43f80e3c4538087d70fc824eabbad596a23c97b6ee8322ccc0";

fn private(path: &str) -> XPrv {
    let seed = crate::domain::evm::parse_bytes(SEED).unwrap();
    let path: DerivationPath = path.parse().unwrap();
    ExtendedPrivateKey::derive_from_path(seed, &path).unwrap()
}

fn public(path: &str) -> String {
    private(path).public_key().to_string(Prefix::XPUB)
}

#[test]
fn addresses_are_those_of_the_wallet() {
    for path in ["m/44'/60'/0'", "m/44'/60'/0'/0"] {
        let key = Xpub::parse(&public(path)).unwrap();
        for (index, expected) in (0..).zip(ADDRESSES) {
            assert_eq!(key.address(index).unwrap().checksummed(), expected, "{path}/{index}");
        }
        assert!(key.address((1 << 31) - 1).is_ok());
        assert_eq!(key.address(1 << 31), Err(XpubError::Index(1 << 31)));
    }
}

#[test]
fn a_private_key_is_refused_by_its_own_error_and_never_repeated() {
    let account = private("m/44'/60'/0'");
    for prefix in [Prefix::XPRV, Prefix::TPRV, Prefix::ZPRV] {
        let text = account.to_string(prefix);
        assert_eq!(Xpub::parse(&text).unwrap_err(), XpubError::Private);
        assert!(!XpubError::Private.to_string().contains(text.split_at(8).0));
        // Mistyped, it is still recognised, and in the middle of blanks too.
        assert_eq!(Xpub::parse(&format!(" {}x", &*text)).unwrap_err(), XpubError::Private);
    }
}

#[test]
fn a_private_key_is_refused_in_every_disguise() {
    let refusal = |text: &str| Xpub::parse(text).unwrap_err();
    // Under the version of a public key, and without any.
    let disguised = private("m/44'/60'/0'").to_extended_key(Prefix::XPUB).to_string();
    assert!(disguised.starts_with("xpub"));
    assert_eq!(refusal(&disguised), XpubError::Private);
    assert_eq!(refusal(&"ab".repeat(32)), XpubError::Private);
    assert_eq!(refusal(&format!("0x{}", "AB".repeat(32))), XpubError::Private);
    let seed = "test test test test test test test test test test test junk";
    assert_eq!(refusal(seed), XpubError::Seed);
}

#[test]
fn both_forms_of_one_key_are_the_same_key() {
    let [account, branch] = ["m/44'/60'/0'", "m/44'/60'/0'/0"].map(public);
    let fingerprint = |text: &str| Xpub::parse(text).unwrap().fingerprint();
    assert_eq!(fingerprint(&account), fingerprint(&branch));
    assert_ne!(fingerprint(&account), fingerprint(&public("m/44'/60'/1'")));
}

#[test]
fn keys_from_elsewhere_in_a_wallet_are_refused() {
    let refusal = |text: &str| Xpub::parse(text).unwrap_err();
    assert_eq!(refusal(&public("m")), XpubError::Depth(0));
    assert_eq!(refusal(&public("m/44'/60'")), XpubError::Depth(2));
    assert_eq!(refusal(&public("m/44'/60'/0'/0/0")), XpubError::Depth(5));
    assert_eq!(refusal(&public("m/44'/60'/0'/1")), XpubError::Branch);
    assert_eq!(refusal(&public("m/44'/60'/0")), XpubError::Branch);
    let account = private("m/44'/60'/0'").public_key();
    assert_eq!(refusal(&account.to_string(Prefix::TPUB)), XpubError::Prefix);
    let text = public("m/44'/60'/0'");
    assert_eq!(refusal(&text.replacen('6', "7", 1)), XpubError::NotAKey);
    assert_eq!(refusal(text.split_at(100).0), XpubError::NotAKey);
    assert_eq!(refusal(""), XpubError::NotAKey);
}

#[test]
fn a_key_does_not_show_itself() {
    let text = public("m/44'/60'/0'");
    let key = Xpub::parse(&text).unwrap();
    assert!(!format!("{key:?}").contains(text.split_at(12).0));
    assert_eq!(format!("{key:?}").len(), "Xpub(0x00000000)".len());
}

proptest! {
    #[test]
    fn no_text_does_harm(text: String, cut in 0_usize..111, letter: char) {
        drop(Xpub::parse(&text));
        let mut key = public("m/44'/60'/0'");
        key.replace_range(cut..=cut, &letter.to_string());
        drop(Xpub::parse(&key));
        drop(Xpub::parse(&format!("xpub{text}")));
    }
}
