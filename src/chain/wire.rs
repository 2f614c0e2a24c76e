//! The structs that answers are read into. What a deposit depends on must be there and be
//! hexadecimal with `0x`; everything else may be missing, new, or of any shape, for every chain has
//! transactions and fields of its own.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;
use serde_json::value::RawValue;

use super::provider::ProviderError;
use super::types::TRANSFER_TOPIC;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{
    BlockHash, EvmAddress, HexError, RawAmount, TxHash, parse_bytes, parse_fixed, parse_quantity,
    parse_word, to_hex,
};

/// A value that is written as hexadecimal with `0x`, and is refused otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<T>(pub T);

/// What [`Hex`] can hold.
pub trait ReadHex: Sized {
    /// Reads it.
    fn read_hex(text: &str) -> Result<Self, HexError>;
}

impl ReadHex for u64 {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        parse_quantity(text)
    }
}

impl ReadHex for RawAmount {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        parse_word(text).map(Self)
    }
}

impl ReadHex for Vec<u8> {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        parse_bytes(text)
    }
}

impl ReadHex for [u8; 32] {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        parse_fixed(text)
    }
}

impl ReadHex for EvmAddress {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        text.parse()
    }
}

impl ReadHex for TxHash {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        text.parse()
    }
}

impl ReadHex for BlockHash {
    fn read_hex(text: &str) -> Result<Self, HexError> {
        text.parse()
    }
}

impl<'de, T: ReadHex> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        T::read_hex(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A number that says which of a few things something is. Nodes write it as a JSON number too, or
/// as true and false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagNumber(pub u64);

impl<'de> Deserialize<'de> for FlagNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = match Value::deserialize(from)? {
            Value::String(text) => parse_quantity(&text).ok(),
            Value::Number(number) => number.as_u64(),
            Value::Bool(is_one) => Some(is_one.into()),
            _ => None,
        };
        word.map(Self).ok_or_else(|| D::Error::custom("neither a number nor true or false"))
    }
}

/// A [`FlagNumber`] that nothing of a credit depends on: of any other shape it is not there.
fn word_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<FlagNumber>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// A block by number and hash, with what links it to its chain and to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// The hash of the block below it.
    pub parent_hash: BlockHash,
    /// What its maker says the time was, in whole seconds.
    pub time: UnixMillis,
}

/// `eth_getBlockByNumber`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockBody {
    number: Hex<u64>,
    hash: Hex<BlockHash>,
    parent_hash: Hex<BlockHash>,
    timestamp: Hex<u64>,
    /// Hashes or transactions, as was asked; each is read by itself.
    #[serde(default)]
    pub transactions: Option<Vec<Box<RawValue>>>,
}

impl BlockBody {
    /// The block without its transactions.
    ///
    /// # Errors
    /// [`ProviderError::Implausible`] for a time beyond all time.
    pub fn block_ref(&self) -> Result<BlockRef, ProviderError> {
        let millis =
            self.timestamp.0.checked_mul(1000).and_then(|millis| i64::try_from(millis).ok());
        let time = millis.ok_or(ProviderError::Implausible("a block of the far future"))?;
        Ok(BlockRef {
            number: self.number.0,
            hash: self.hash.0,
            parent_hash: self.parent_hash.0,
            time: UnixMillis::from_millis(time),
        })
    }
}

/// A transaction: what of it may move money, and where it stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TxBody {
    /// Its hash.
    pub hash: Hex<TxHash>,
    /// Who signed it.
    pub from: Hex<EvmAddress>,
    /// None creates a contract.
    #[serde(default)]
    pub to: Option<Hex<EvmAddress>>,
    /// Coins for `to`. Some chains' own transactions have none.
    #[serde(default)]
    pub value: Option<Hex<RawAmount>>,
    /// None while it is not mined.
    #[serde(default)]
    pub block_hash: Option<Hex<BlockHash>>,
    /// EIP-2718, and what chains add of their own.
    #[serde(default, rename = "type", deserialize_with = "word_or_none")]
    pub kind: Option<FlagNumber>,
    /// What a contract is told.
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
}

impl TxBody {
    /// Whether it carries coins and says nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.input.as_ref().is_some_and(|input| matches!(input.get(), "\"0x\"" | "\"\""))
    }
}

/// A receipt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    /// Whose.
    pub transaction_hash: Hex<TxHash>,
    /// The block that it is in.
    pub block_hash: Hex<BlockHash>,
    /// That block's height.
    pub block_number: Hex<u64>,
    /// 1 is success, 0 is failure; missing before Byzantium.
    #[serde(default)]
    pub status: Option<FlagNumber>,
    /// In the order in which they were written; some nodes have none where none were.
    #[serde(default)]
    pub logs: Option<Vec<ReceiptLog>>,
    /// Which logs there may be. Zero says that there are none.
    #[serde(default)]
    pub logs_bloom: Option<Box<RawValue>>,
}

impl ReceiptBody {
    /// Whether the bloom says that there are no logs; `None` where it says nothing.
    #[must_use]
    pub fn is_bloom_empty(&self) -> Option<bool> {
        let text: &str = serde_json::from_str(self.logs_bloom.as_ref()?.get()).ok()?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 512)?;
        Some(digits.bytes().all(|digit| digit == b'0'))
    }
}

/// A log of a receipt. One that cannot be the transfer of a token may have any shape, but keeps its
/// place.
#[derive(Debug)]
pub enum ReceiptLog {
    /// It reads as a log.
    Read(LogBody),
    /// It does not, and has nothing of a transfer. Which contract wrote it.
    Foreign(EvmAddress),
}

impl ReceiptLog {
    /// The log, if it reads as one.
    #[must_use]
    pub const fn body(&self) -> Option<&LogBody> {
        match self {
            Self::Read(log) => Some(log),
            Self::Foreign(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for ReceiptLog {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        let unread = match serde_json::from_str(raw.get()) {
            Ok(log) => return Ok(Self::Read(log)),
            Err(error) => error,
        };
        // Whatever its shape: a transfer has its topic in it.
        let topic = to_hex(&TRANSFER_TOPIC);
        let topic = topic.trim_start_matches("0x");
        match serde_json::from_str(raw.get()) {
            Ok(Author { address: Hex(address) })
                if !raw.get().to_ascii_lowercase().contains(topic) =>
            {
                Ok(Self::Foreign(address))
            }
            _ => Err(D::Error::custom(unread)),
        }
    }
}

/// Of a log, who wrote it.
#[derive(Deserialize)]
struct Author {
    address: Hex<EvmAddress>,
}

/// A log, of a receipt or of `eth_getLogs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogBody {
    /// The contract that wrote it.
    pub address: Hex<EvmAddress>,
    /// What it is, and its indexed values.
    pub topics: Vec<Hex<[u8; 32]>>,
    /// Its other values.
    pub data: Hex<Vec<u8>>,
    /// The transaction that it belongs to.
    #[serde(default)]
    pub transaction_hash: Option<Hex<TxHash>>,
    /// The block that it is in.
    #[serde(default)]
    pub block_hash: Option<Hex<BlockHash>>,
    /// That block's height.
    #[serde(default)]
    pub block_number: Option<Hex<u64>>,
    /// Whether its block has left the chain.
    #[serde(default)]
    pub removed: Option<bool>,
}

/// A frame of the `callTracer`. How deep frames may be nested is bounded by the reader of JSON.
#[derive(Debug, Deserialize)]
pub struct FrameBody {
    /// The instruction.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who called.
    #[serde(default)]
    pub from: Option<Hex<EvmAddress>>,
    /// Who was called or created.
    #[serde(default)]
    pub to: Option<Hex<EvmAddress>>,
    /// Coins that went along.
    #[serde(default)]
    pub value: Option<Hex<RawAmount>>,
    /// There if it failed, and with it all below it.
    #[serde(default)]
    pub error: Option<serde::de::IgnoredAny>,
    /// What it called, in order.
    #[serde(default)]
    pub calls: Option<Vec<FrameBody>>,
}

#[cfg(test)]
mod tests;
