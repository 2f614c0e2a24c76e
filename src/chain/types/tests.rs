//! Vectors of the standards, and bytes that nobody sent in earnest.

use proptest::prelude::*;

use super::*;
use crate::domain::evm::{parse_bytes, to_hex};

const HELLO: &str = "0xf16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31f\
    a899cc573c48ea3fe1d4ab61a9db10c19032026e3ed2dbccba5a178235ac27f94504311c";
const SIGNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn hello() -> ([u8; 32], Vec<u8>) {
    (personal_message_hash(b"hello"), parse_bytes(HELLO).unwrap())
}

/// The order of the curve, less `s`.
fn negated(s: &[u8]) -> Vec<u8> {
    let order = parse_bytes("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let mut borrow = 0_i16;
    let mut digits: Vec<u8> = Vec::new();
    for (high, low) in order.unwrap().iter().rev().zip(s.iter().rev()) {
        let difference = i16::from(*high) - i16::from(*low) - borrow;
        borrow = i16::from(difference < 0);
        digits.push(u8::try_from(difference.rem_euclid(256)).unwrap());
    }
    digits.reverse();
    digits
}

#[test]
fn a_wallets_signature_tells_its_address() {
    let (hash, mut signature) = hello();
    let expected = "0x50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750";
    assert_eq!(to_hex(&hash), expected);
    assert_eq!(recover(&hash, &signature).unwrap().checksummed(), SIGNER);
    signature[64] = 1;
    assert_eq!(recover(&hash, &signature).unwrap().checksummed(), SIGNER);
    // Its compact form: the last byte, 28, is the highest bit of s.
    let mut compact = signature[..64].to_vec();
    compact[32] |= 0x80;
    assert_eq!(recover(&hash, &compact).unwrap().checksummed(), SIGNER);
    compact[32] &= 0x7f;
    assert_ne!(recover(&hash, &compact).map(|one| one.checksummed()), Ok(SIGNER.to_owned()));
    // The other recovery id belongs to somebody else, or to nobody.
    signature[64] = 27;
    assert_ne!(
        recover(&hash, &signature).map(|signer| signer.checksummed()),
        Ok(SIGNER.to_owned())
    );
    // The length of a message is counted in bytes.
    let plain = keccak256("\x19Ethereum Signed Message:\n4é€".as_bytes());
    assert_ne!(personal_message_hash("é€".as_bytes()), plain);
    let counted = keccak256("\x19Ethereum Signed Message:\n5é€".as_bytes());
    assert_eq!(personal_message_hash("é€".as_bytes()), counted);
}

#[test]
fn every_other_spelling_of_a_signature_has_its_own_refusal() {
    let (hash, signature) = hello();
    assert_eq!(recover(&hash, &signature[..63]), Err(SignatureError::Length(63)));
    assert_eq!(recover(&hash, &[]), Err(SignatureError::Length(0)));
    let longer = [signature.as_slice(), &[0]].concat();
    assert_eq!(recover(&hash, &longer), Err(SignatureError::Length(66)));
    for v in [2, 3, 26, 29, 35, 37, 255] {
        let mut other = signature.clone();
        other[64] = v;
        assert_eq!(recover(&hash, &other), Err(SignatureError::RecoveryId(v)));
    }
    // The twin with the high s, which the crate itself would take for the same signer's.
    let mut twin = signature.clone();
    twin.splice(32..64, negated(&signature[32..64]));
    twin[64] = 27;
    assert_eq!(recover(&hash, &twin), Err(SignatureError::HighS));
    let half = [&signature[..32], &HALF_ORDER, &[27]].concat();
    assert_ne!(recover(&hash, &half), Err(SignatureError::HighS));
    let mut above = HALF_ORDER;
    above[31] += 1;
    let above = [&signature[..32], &above, &[27]].concat();
    assert_eq!(recover(&hash, &above), Err(SignatureError::HighS));
    assert_eq!(recover(&hash, &[[0; 64].as_slice(), &[27]].concat()), Err(SignatureError::Invalid));
    let no_r = [&[0; 32], &signature[32..]].concat();
    assert_eq!(recover(&hash, &no_r), Err(SignatureError::Invalid));
    let no_s = [&signature[..32], &[0; 32], &[27]].concat();
    assert_eq!(recover(&hash, &no_s), Err(SignatureError::Invalid));
}

#[test]
fn selectors_and_topics_are_hashes_of_their_names() {
    let selector = |name: &str| keccak256(name.as_bytes())[..4].to_vec();
    assert_eq!(keccak256(b"Transfer(address,address,uint256)"), TRANSFER_TOPIC);
    for (name, expected) in [
        ("decimals()", DECIMALS),
        ("symbol()", SYMBOL),
        ("description()", DESCRIPTION),
        ("latestRoundData()", LATEST_ROUND),
        ("getRoundData(uint80)", ROUND),
        ("balanceOf(address)", BALANCE_OF),
        ("isValidSignature(bytes32,bytes)", IS_VALID_SIGNATURE),
    ] {
        assert_eq!(selector(name), expected, "{name}");
    }
}

#[test]
fn calls_are_encoded_as_contracts_expect() {
    let word = |last: u8| format!("{last:064x}");
    let call = to_hex(&is_valid_signature_call([7; 32], &[0xaa, 0xbb]));
    let signature = format!("aabb{}", "0".repeat(60));
    let expected = ["0x1626ba7e", &"07".repeat(32), &word(64), &word(2), &signature].concat();
    assert_eq!(call, expected);
    let phased = to_hex(&round_call((3 << 64) | 5));
    assert_eq!(phased, format!("0x9a6fc8f5{:0>64}", "30000000000000005"));
    let balance = to_hex(&balance_call(EvmAddress([0x11; 20])));
    assert_eq!(balance, format!("0x70a08231{:0>64}", "11".repeat(20)));
}

#[test]
fn only_the_magic_word_accepts_a_signature() {
    let magic = format!("0x1626ba7e{}", "0".repeat(56));
    let is_valid = |text: &str| is_magic(&parse_bytes(text).unwrap());
    assert!(is_valid(&magic));
    assert!(!is_valid("0x"));
    assert!(!is_valid("0x1626ba7e"));
    assert!(!is_valid(&format!("0x{}1626ba7e", "0".repeat(56))));
    assert!(!is_valid(&format!("0x1626ba7e{}1", "0".repeat(55))));
    assert!(!is_valid(&format!("{magic}{}", "0".repeat(64))));
    assert!(!is_valid(&format!("0xffffffff{}", "0".repeat(56))));
}

#[test]
fn texts_are_read_in_both_styles() {
    let text = |hex: &str| read_text(&parse_bytes(hex).unwrap());
    let string = |length: u8, bytes: &str| format!("0x{:064x}{length:064x}{bytes:0<64}", 32);
    assert_eq!(text(&string(4, "55534443")), Some("USDC".to_owned()));
    assert_eq!(text(&format!("0x{:0<64}", "4d4b52")), Some("MKR".to_owned()));
    assert_eq!(text(&string(0, "")), Some(String::new()));
    assert_eq!(text(&string(2, "550a")), None, "a control character");
    assert_eq!(text(&string(2, "ff00")), None, "not UTF-8");
    assert_eq!(text(&string(200, "55")), None, "longer than its bytes");
    assert_eq!(text("0x"), None);
    assert_eq!(text(&format!("0x{}{}", "f".repeat(64), "0".repeat(64))), None, "an offset beyond");
    let long = format!("0x{:064x}{:064x}{}", 32, 512, "61".repeat(512));
    assert_eq!(text(&long), None, "too long");
}

#[test]
fn rounds_are_read_or_refused() {
    let word = |value: u128| format!("{value:064x}");
    let round =
        |words: [String; 5]| read_round(&parse_bytes(&format!("0x{}", words.concat())).unwrap());
    let fine =
        round([word((6 << 64) | 9), word(312_345_678_901), word(1), word(1_700_000_000), word(0)]);
    let at = UnixMillis::from_millis(1_700_000_000_000);
    let expected =
        RoundData { round_id: (6 << 64) | 9, answer: Some(312_345_678_901), updated_at: at };
    assert_eq!(fine, Some(expected));
    let negative = round([word(1), "f".repeat(64), word(1), word(2), word(1)]).unwrap();
    assert_eq!(negative.answer, None);
    assert_eq!(round([word(1), word(0), word(1), word(2), word(1)]).unwrap().answer, None);
    assert_eq!(round([word(1 << 80), word(1), word(1), word(2), word(1)]), None);
    assert_eq!(round([word(1), word(1), word(1), "f".repeat(64), word(1)]), None);
    assert_eq!(round([word(1), word(1), word(1), word(1 << 62), word(1)]), None);
    assert_eq!(read_round(&[0; 159]), None);
    assert_eq!(read_round(&[0; 192]), None);
    assert_eq!(read_u8(&[0; 32]), Some(0));
    assert_eq!(read_u8(&[1; 32]), None);
    assert_eq!(read_u8(&[]), None);
}

/// Words as contracts answer them, from sensible to absurd.
fn word() -> impl Strategy<Value = [u8; 32]> {
    let small = |number: u32| RawAmount::from(u128::from(number)).0;
    prop_oneof![
        any::<[u8; 32]>(),
        (0_u32..200).prop_map(small),
        Just([0xff; 32]),
        any::<u32>().prop_map(small),
    ]
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>, hash: [u8; 32]) {
        let is_signature = matches!(bytes.len(), 64 | 65);
        prop_assert!(is_signature || recover(&hash,
            &bytes) == Err(SignatureError::Length(bytes.len())));
        prop_assert!(read_text(&bytes).is_none_or(|text| text.len() <= TEXT_MAX));
        prop_assert!(read_round(&bytes).is_none() || bytes.len() == 160);
        prop_assert!(read_u8(&bytes).is_none() || bytes.len() == 32);
        prop_assert!(!is_magic(&bytes) || bytes.len() == 32);
    }

    #[test]
    fn no_signature_does_harm(hash: [u8; 32], numbers: [[u8; 32]; 2], v: u8) {
        let signature = [numbers.concat(), vec![v]].concat();
        let is_taken = recover(&hash, &signature).is_ok();
        prop_assert!(!is_taken || (matches!(v, 0 | 1 | 27 | 28) && numbers[1] <= HALF_ORDER));
        prop_assert!(unwrapped(&[numbers.concat(), WRAPPED.to_vec()].concat()).is_none());
    }

    #[test]
    fn no_words_do_harm(words in prop::collection::vec(word(), 0..8), cut in 0_usize..32) {
        let mut bytes = words.concat();
        bytes.truncate(bytes.len().saturating_sub(cut));
        prop_assert!(read_text(&bytes).is_none_or(|text| text.len() <= TEXT_MAX));
        prop_assert!(read_round(&bytes).is_none_or(|round| round.round_id >> 80 == 0));
    }
}
