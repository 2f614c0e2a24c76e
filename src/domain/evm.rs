//! The nouns of an EVM chain: addresses, hashes, amounts as 256-bit words. Parsing is strict where
//! chains speak (`0x` always), and nothing in here can overflow: arithmetic on a word begins with
//! [`RawAmount::to_u128`].

mod written_hash;

use std::fmt;
use std::str::FromStr;

use sha3::{Digest, Keccak256};

pub use self::written_hash::WrittenHashError;

/// A text is not the hexadecimal that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// It does not begin with `0x`. Without it `100` would be read as 256 by some and as 100 by
    /// others.
    #[error("must begin with 0x")]
    NoPrefix,
    /// It has another number of digits.
    #[error("must have {0} hexadecimal digits after 0x")]
    Length(usize),
    /// It has a character that is no hexadecimal digit.
    #[error("must have only hexadecimal digits after 0x")]
    Digit,
}

/// Reads `0x` and exactly `2 N` hexadecimal digits of either case.
pub fn parse_fixed<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let length = HexError::Length(N.saturating_mul(2));
    let bytes = parse_bytes(text).map_err(|error| match error {
        HexError::Length(_) => length,
        other => other,
    })?;
    bytes.try_into().map_err(|_| length)
}

/// Reads `0x` and any even number of hexadecimal digits.
pub fn parse_bytes(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::NoPrefix)?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::Length(digits.len().saturating_add(1)));
    }
    pairs.iter().map(|[high, low]| Ok((nibble(*high)? << 4) | nibble(*low)?)).collect()
}

/// Reads a JSON-RPC quantity, `0x` and up to 64 digits, as a big-endian word. Leading zeros are
/// tolerated, as some nodes send them.
pub fn parse_word(text: &str) -> Result<[u8; 32], HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::NoPrefix)?.trim_start_matches('0');
    if digits.len() > 64 {
        return Err(HexError::Length(64));
    }
    parse_fixed(&format!("0x{digits:0>64}"))
}

/// Reads a JSON-RPC quantity that must fit 63 bits, as every number, time and index of a chain
/// does.
pub fn parse_quantity(text: &str) -> Result<u64, HexError> {
    let word = RawAmount(parse_word(text)?).to_u128();
    let small = word.and_then(|wide| i64::try_from(wide).ok());
    small.map(i64::unsigned_abs).ok_or(HexError::Length(16))
}

/// `0x` and the bytes in lower case.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}

fn nibble(digit: u8) -> Result<u8, HexError> {
    let value = char::from(digit).to_digit(16).ok_or(HexError::Digit)?;
    u8::try_from(value).map_err(|_| HexError::Digit)
}

/// A fixed number of bytes with a name of its own, so that a block's hash never passes for a
/// transaction's.
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// From a column or a decoded word; `None` where the length is another.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes, as the database stores them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_fixed(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

fixed_bytes! {
    /// An account or a contract. Displayed in lower case; people are shown the checksummed form of
    /// EIP-55.
    EvmAddress, 20
}
fixed_bytes! {
    /// Hash of a transaction.
    TxHash, 32
}
fixed_bytes! {
    /// Hash of a block.
    BlockHash, 32
}

impl EvmAddress {
    /// Where created coins come from and burnt ones go.
    pub const ZERO: Self = Self([0; 20]);

    /// The form that people see and compare: upper and lower case carry a checksum (EIP-55).
    #[must_use]
    pub fn checksummed(&self) -> String {
        let lower = to_hex(&self.0);
        let digits = lower.trim_start_matches("0x");
        let hash = to_hex(&Keccak256::digest(digits.as_bytes()));
        let is_upper = hash.chars().skip(2).map(|digit| digit >= '8');
        let cased = digits.chars().zip(is_upper);
        let cased = cased.map(|(c, is_upper)| if is_upper { c.to_ascii_uppercase() } else { c });
        "0x".chars().chain(cased).collect()
    }

    /// Reads what a person wrote: letters of both cases must carry the right checksum, letters of
    /// one case carry none.
    pub fn parse_written(text: &str) -> Result<Self, AddressError> {
        let address: Self = text.parse()?;
        let digits = text.trim_start_matches("0x");
        let has = |is: fn(&char) -> bool| digits.chars().any(|c| is(&c));
        let is_mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
        if is_mixed && address.checksummed() != text {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }
}

/// Why a written address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an address at all.
    #[error(transparent)]
    Hex(#[from] HexError),
    /// Mistyped, most probably.
    #[error("has a wrong checksum: a character is mistyped (EIP-55)")]
    Checksum,
}

/// A chain by its EIP-155 number. Fits 63 bits, as the database's columns do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ChainId(pub i64);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount in the smallest unit of its coin or token, as the chain has it: any 256-bit number,
/// big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawAmount(pub [u8; 32]);

impl RawAmount {
    /// Nothing.
    pub const ZERO: Self = Self([0; 32]);

    /// The amount if it fits 128 bits, as every plausible one does: 10²⁰ coins of 18 decimals.
    #[must_use]
    pub fn to_u128(self) -> Option<u128> {
        let (high, low) = self.0.split_at(16);
        if high.iter().any(|&byte| byte != 0) {
            return None;
        }
        low.try_into().ok().map(u128::from_be_bytes)
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// In whole coins of so many decimals, with every digit that says something: `1.5`.
    #[must_use]
    pub fn in_coins(self, decimals: u8) -> String {
        let decimals = usize::from(decimals);
        let digits = format!("{self:0>width$}", width = decimals.saturating_add(1));
        let point = digits.len().saturating_sub(decimals);
        let (whole, fraction) = digits.split_at_checked(point).unwrap_or((&digits, ""));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl From<u128> for RawAmount {
    fn from(amount: u128) -> Self {
        let mut word = [0; 32];
        for (place, byte) in word.iter_mut().skip(16).zip(amount.to_be_bytes()) {
            *place = byte;
        }
        Self(word)
    }
}

/// Decimal, as the database stores it: long division by ten, for a word is wider than any integer
/// of the language.
impl fmt::Display for RawAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = self.0;
        let mut digits = Vec::new();
        while digits.is_empty() || word.iter().any(|&byte| byte != 0) {
            let mut rest = 0_u16;
            for byte in &mut word {
                let value = (rest << 8) | u16::from(*byte);
                *byte = u8::try_from(value / 10).unwrap_or(u8::MAX);
                rest = value % 10;
            }
            digits.push(char::from_digit(rest.into(), 10).unwrap_or('0'));
        }
        f.pad(&digits.iter().rev().collect::<String>())
    }
}

impl fmt::Debug for RawAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As it is displayed.
impl serde::Serialize for RawAmount {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A stored amount is not a decimal number of 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number of at most 256 bits")]
pub struct NotAnAmount;

impl FromStr for RawAmount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        if text.is_empty() || text.len() > 78 {
            return Err(NotAnAmount);
        }
        let mut word = [0_u8; 32];
        for digit in text.chars() {
            let mut carry =
                u16::try_from(digit.to_digit(10).ok_or(NotAnAmount)?).map_err(|_| NotAnAmount)?;
            for byte in word.iter_mut().rev() {
                let value = u16::from(*byte) * 10 + carry;
                let [high, low] = value.to_be_bytes();
                *byte = low;
                carry = high.into();
            }
            if carry != 0 {
                return Err(NotAnAmount);
            }
        }
        Ok(Self(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_needs_its_prefix_and_its_length() {
        let hash = format!("0x{}", "aB".repeat(32));
        assert_eq!(hash.parse::<TxHash>().unwrap().to_string(), hash.to_lowercase());
        assert_eq!("100".parse::<TxHash>(), Err(HexError::NoPrefix));
        assert_eq!("0x1".parse::<TxHash>(), Err(HexError::Length(64)));
        assert_eq!("0x11".parse::<TxHash>(), Err(HexError::Length(64)));
        assert_eq!("0xzz".parse::<TxHash>(), Err(HexError::Digit));
        assert_eq!("0xé".parse::<TxHash>(), Err(HexError::Digit));
        assert_eq!(parse_bytes("0x"), Ok(vec![]));
    }

    #[test]
    fn a_mistyped_address_is_noticed() {
        // The examples of EIP-55.
        for text in [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let address = EvmAddress::parse_written(text).unwrap();
            assert_eq!(address.checksummed(), text);
            assert_eq!(EvmAddress::parse_written(&text.to_lowercase()), Ok(address));
        }
        let mistyped = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed";
        assert_eq!(EvmAddress::parse_written(mistyped), Err(AddressError::Checksum));
    }

    #[test]
    fn quantities_are_hexadecimal_and_bounded() {
        assert_eq!(parse_quantity("0x64"), Ok(100));
        assert_eq!(parse_quantity("0x0"), Ok(0));
        assert_eq!(parse_quantity("0x"), Ok(0));
        assert_eq!(parse_quantity("100"), Err(HexError::NoPrefix));
        assert_eq!(parse_quantity("0x7fffffffffffffff"), Ok(u64::MAX >> 1));
        assert!(parse_quantity("0x8000000000000000").is_err());
        assert!(parse_quantity(&format!("0x{}", "f".repeat(64))).is_err());
        assert!(parse_word(&format!("0x1{}", "0".repeat(64))).is_err());
    }

    #[test]
    fn amounts_keep_every_one_of_their_256_bits() {
        let most = RawAmount([0xff; 32]);
        let text = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(most.to_string(), text);
        assert_eq!(text.parse(), Ok(most));
        assert_eq!(most.to_u128(), None);
        let beyond = format!("{}6", text.trim_end_matches('5'));
        assert_eq!(beyond.parse::<RawAmount>(), Err(NotAnAmount));
        for amount in [0, 1, 10, 1_000_000, u128::MAX] {
            let raw = RawAmount::from(amount);
            assert_eq!(raw.to_u128(), Some(amount));
            assert_eq!(raw.to_string(), amount.to_string());
            assert_eq!(amount.to_string().parse(), Ok(raw));
        }
        let shown = |amount: u128, decimals| RawAmount::from(amount).in_coins(decimals);
        assert_eq!(shown(1_500_000, 6), "1.5");
        assert_eq!(shown(1, 18), "0.000000000000000001");
        assert_eq!(shown(10, 0), "10");
        assert_eq!((shown(0, 6), shown(2_000_000, 6)), ("0".to_owned(), "2".to_owned()));
        assert_eq!(most.in_coins(77), text.replacen('1', "1.", 1));
        for bad in ["", "-1", "0x1", "1e3", " 1"] {
            assert!(bad.parse::<RawAmount>().is_err(), "{bad}");
        }
    }
}
