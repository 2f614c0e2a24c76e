//! Hashes, signatures and the ABI, spoken by the Ethereum crate. Only this file names it, so that
//! it can be replaced.
//!
//! Its traps are dealt with here: it accepts a signature's twin with a high s, its integers panic
//! on overflow, and its JSON reads a decimal string as hexadecimal. So nothing of it leaves this
//! file.

use ethers_core::abi::{ParamType, Token, decode, encode};
use ethers_core::types::{H256, Signature};
use ethers_core::utils;

use crate::domain::clock::UnixMillis;
use crate::domain::evm::{EvmAddress, RawAmount};
use crate::domain::plain_text::is_plain;

/// `keccak256("Transfer(address,address,uint256)")`, topic 0 of ERC-20 and, with a fourth topic, of
/// ERC-721.
pub const TRANSFER_TOPIC: [u8; 32] = [
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
];

/// Selector of `decimals()`.
pub const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];
/// Selector of `symbol()`.
pub const SYMBOL: [u8; 4] = [0x95, 0xd8, 0x9b, 0x41];
/// Selector of `description()`.
pub const DESCRIPTION: [u8; 4] = [0x72, 0x84, 0xe4, 0x16];
/// Selector of `latestRoundData()`.
pub const LATEST_ROUND: [u8; 4] = [0xfe, 0xaf, 0x96, 0x8c];
const ROUND: [u8; 4] = [0x9a, 0x6f, 0xc8, 0xf5];
const BALANCE_OF: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];
/// Selector of `isValidSignature(bytes32,bytes)`, and what it answers to a valid one (EIP-1271).
const IS_VALID_SIGNATURE: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// The same answer as a whole word.
pub const MAGIC_WORD: [u8; 32] = {
    let mut word = [0; 32];
    [word[0], word[1], word[2], word[3]] = IS_VALID_SIGNATURE;
    word
};
/// How a signature of ERC-6492 ends.
const WRAPPED: [u8; 32] = [
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
];

/// Characters of a token's symbol or a feed's description at most.
const TEXT_MAX: usize = 256;

/// Half of the order of secp256k1, rounded down: s is at most this (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Why a signature is not one that a wallet makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Neither 65 bytes nor 64. A contract's own kind of signature may well have another length.
    #[error("must have 65 bytes, or 64, and not {0}")]
    Length(usize),
    /// The last byte is none of 0, 1, 27 and 28.
    #[error("must end in a recovery id of 0, 1, 27 or 28, not {0}")]
    RecoveryId(u8),
    /// The twin that anybody can make of a signature without the key.
    #[error("has a high s")]
    HighS,
    /// No key signs so.
    #[error("belongs to no key")]
    Invalid,
}

/// Keccak-256.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    utils::keccak256(bytes)
}

/// What a wallet signs of a message: `\x19Ethereum Signed Message:\n`, its length in bytes, itself
/// (EIP-191).
#[must_use]
pub fn personal_message_hash(message: &[u8]) -> [u8; 32] {
    utils::hash_message(message).0
}

/// Whose key signed the hash. Never use a signature as a unique key: two may be valid for one
/// message.
pub fn recover(hash: &[u8; 32], signature: &[u8]) -> Result<EvmAddress, SignatureError> {
    let expanded = expanded(signature);
    let signature = expanded.as_ref().map_or(signature, <[u8; 65]>::as_slice);
    let (r, s, v) = match signature.split_last_chunk::<1>() {
        Some((numbers, [v])) if numbers.len() == 64 => {
            let (r, s) = numbers.split_at(32);
            (r, s, *v)
        }
        _ => return Err(SignatureError::Length(signature.len())),
    };
    let v = match v {
        0 | 27 => 27,
        1 | 28 => 28,
        other => return Err(SignatureError::RecoveryId(other)),
    };
    if s > HALF_ORDER.as_slice() {
        return Err(SignatureError::HighS);
    }
    let signature = Signature { r: r.into(), s: s.into(), v };
    let signer = signature.recover(H256(*hash)).map_err(|_| SignatureError::Invalid)?;
    Ok(EvmAddress(signer.0))
}

/// The compact form of a key's signature as the usual one: its last byte stands in the highest bit
/// of s (ERC-2098).
fn expanded(signature: &[u8]) -> Option<[u8; 65]> {
    let (r, s) = signature.split_first_chunk::<32>()?;
    let mut s: [u8; 32] = s.try_into().ok()?;
    let [first, ..] = &mut s;
    let v = 27_u8.saturating_add(*first >> 7);
    *first &= 0x7f;
    [r.as_slice(), &s, &[v]].concat().try_into().ok()
}

/// A signature with the way to deploy its wallet (ERC-6492).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Who deploys the wallet.
    pub factory: EvmAddress,
    /// What it is called with.
    pub data: Vec<u8>,
    /// The signature that the wallet takes once it is there.
    pub signature: Vec<u8>,
}

/// The parts of a signature of ERC-6492; `None` for any other.
#[must_use]
pub fn unwrapped(signature: &[u8]) -> Option<Wrapped> {
    let parts = signature.strip_suffix(&WRAPPED)?;
    let kinds = [ParamType::Address, ParamType::Bytes, ParamType::Bytes];
    let [factory, data, inner]: [Token; 3] = decode(&kinds, parts).ok()?.try_into().ok()?;
    Some(Wrapped {
        factory: EvmAddress(factory.into_address()?.0),
        data: data.into_bytes()?,
        signature: inner.into_bytes()?,
    })
}

/// The call that asks a contract whether a signature is its own (EIP-1271).
#[must_use]
pub fn is_valid_signature_call(hash: [u8; 32], signature: &[u8]) -> Vec<u8> {
    let arguments = [Token::FixedBytes(hash.to_vec()), Token::Bytes(signature.to_vec())];
    with_selector(IS_VALID_SIGNATURE, &arguments)
}

/// Whether a contract accepted the signature: the magic value in one word, and nothing else.
#[must_use]
pub fn is_magic(answer: &[u8]) -> bool {
    answer == MAGIC_WORD
}

/// The call for one round of a feed, `getRoundData(uint80)`.
#[must_use]
pub fn round_call(round_id: u128) -> Vec<u8> {
    with_selector(ROUND, &[Token::Uint(round_id.into())])
}

/// The call for a holder's balance, `balanceOf(address)`.
#[must_use]
pub fn balance_call(holder: EvmAddress) -> Vec<u8> {
    with_selector(BALANCE_OF, &[Token::Address(holder.0.into())])
}

fn with_selector(selector: [u8; 4], arguments: &[Token]) -> Vec<u8> {
    let mut call = selector.to_vec();
    call.extend(encode(arguments));
    call
}

/// A round as a feed tells it. `startedAt` and the deprecated `answeredInRound` are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundData {
    /// Phase in the upper 16 of its 80 bits, the aggregator's own number in the lower 64.
    pub round_id: u128,
    /// `None` where the price is not positive, or beyond 128 bits.
    pub answer: Option<u128>,
    /// Zero for a round that has not been.
    pub updated_at: UnixMillis,
}

/// Reads an answer of `latestRoundData()` or `getRoundData(uint80)`.
#[must_use]
pub fn read_round(answer: &[u8]) -> Option<RoundData> {
    let (words, rest) = answer.as_chunks::<32>();
    let ([round_id, price, _, updated_at, _], []) = (words, rest) else { return None };
    let round_id = RawAmount(*round_id).to_u128().filter(|id| id >> 80 == 0)?;
    let seconds = i64::try_from(RawAmount(*updated_at).to_u128()?).ok()?;
    // A negative price has its highest bit set, so it does not fit either.
    let answer = RawAmount(*price).to_u128().filter(|&price| price > 0);
    let updated_at = UnixMillis::from_millis(seconds.checked_mul(1000)?);
    Some(RoundData { round_id, answer, updated_at })
}

/// Reads one word as an amount.
#[must_use]
pub fn read_amount(answer: &[u8]) -> Option<RawAmount> {
    answer.try_into().ok().map(RawAmount)
}

/// Reads one word as a number below 256, as `decimals()` answers.
#[must_use]
pub fn read_u8(answer: &[u8]) -> Option<u8> {
    read_amount(answer)?.to_u128()?.try_into().ok()
}

/// Reads a text: a string, or one word filled up with zeros, as the first tokens answered. `None`
/// for texts that are too long, not UTF-8, or hold characters that are not seen.
#[must_use]
pub fn read_text(answer: &[u8]) -> Option<String> {
    let bytes = if answer.len() == 32 {
        let end =
            answer.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
        answer.get(..end)?.to_vec()
    } else {
        // Read as bytes, since the crate would replace what is not UTF-8.
        decode(&[ParamType::Bytes], answer).ok()?.into_iter().next()?.into_bytes()?
    };
    let text = String::from_utf8(bytes).ok()?;
    (text.len() <= TEXT_MAX && is_plain(&text)).then_some(text)
}

#[cfg(test)]
mod tests;
