//! The structs that answers are read into. What a deposit depends on must be there and be hexadecimal with `0x`;
//! everything else may be missing, new, or of any shape, for every chain has transactions and fields of its own.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use super::rpc::ProviderError;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{
    BlockHash, EvmAddress, HexError, RawAmount, TxHash, parse_bytes, parse_fixed, parse_quantity,
    parse_word,
};

/// A value that is written as hexadecimal with `0x`, and is refused otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<T>(pub T);

/// What [`Hex`] can hold.
pub trait ReadHex: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// [`HexError`].
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
    /// None before EIP-155.
    #[serde(default)]
    pub chain_id: Option<Hex<u64>>,
    /// EIP-2718, and what chains add of their own.
    #[serde(default, rename = "type")]
    pub kind: Option<Hex<u64>>,
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
    pub status: Option<Hex<u64>>,
    /// In the order in which they were written.
    pub logs: Vec<LogBody>,
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
