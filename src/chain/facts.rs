//! Everything about one transaction that enters a credit, read afresh from one provider and held
//! against itself. A credit needs several providers to say the same: see [`super::quorum`].

use serde_json::json;

use super::logs::transfer_of;
use super::provider::{BlockId, Provider, ProviderError, RpcCall, read};
use super::trace;
pub use super::transfer::{TRANSFERS_MAX, Transfer};
use super::wire::{BlockBody, FlagNumber, LogBody, ReceiptBody, ReceiptLog, TxBody};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::Asset;
use crate::domain::evm::{BlockHash, EvmAddress, RawAmount, TxHash};

/// Arbitrum's own bookkeeping, which moves nothing of anybody's.
const ARBITRUM_INTERNAL: u64 = 0x6a;
/// Senders of transactions that a chain makes by itself: Polygon's state sync, the OP stack,
/// Arbitrum.
const SYSTEM_SENDERS: [EvmAddress; 3] = [
    EvmAddress::ZERO,
    EvmAddress([
        0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde, 0xad, 0xde,
        0xad, 0xde, 0xad, 0x00, 0x01,
    ]),
    EvmAddress([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x4b, 0x05]),
];

/// What one provider knows of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxStatus {
    /// Nothing.
    Unknown,
    /// It has not seen it in a block, or does not have its receipt yet.
    Pending,
    /// It is in a block.
    Mined(TxFacts),
}

/// A transaction in a block.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a statement of its own, by which answers are compared"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxFacts {
    /// Which.
    pub tx_hash: TxHash,
    /// Who signed it. Not necessarily who pays: see [`Transfer::from`].
    pub sender: EvmAddress,
    /// Whether it succeeded; a failed one moves nothing.
    pub is_success: bool,
    /// Whether its status was told. It succeeded without that if it has logs, which the word of
    /// another provider that tells the status must confirm: see
    /// [`super::quorum::agree_on_sightings`].
    pub is_status_told: bool,
    /// The height of its block.
    pub block_number: u64,
    /// Its block, which is on the provider's chain.
    pub block_hash: BlockHash,
    /// The time of that block.
    pub block_time: UnixMillis,
    /// What it moved: tokens by their logs, then coins. Tokens of any contract, among them forged
    /// ones.
    pub transfers: Vec<Transfer>,
    /// Contracts of which there are logs that cannot be read. One of a token that counts makes all
    /// of it unreadable: whoever knows the tokens looks, before answers are compared.
    pub unread_logs_of: Vec<EvmAddress>,
    /// Whether coins moved by contracts inside are among the transfers.
    pub is_traced: bool,
    /// Whether the chain itself made it; then nothing counts as a transfer.
    pub is_system: bool,
}

impl TxFacts {
    /// The first field in which two accounts of one transaction differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> &'static str {
        let fields = [
            ("transaction", self.tx_hash == other.tx_hash),
            ("status", self.is_success == other.is_success),
            ("block number", self.block_number == other.block_number),
            ("block hash", self.block_hash == other.block_hash),
            ("block time", self.block_time == other.block_time),
            ("sender", self.sender == other.sender && self.is_system == other.is_system),
            ("trace", self.is_traced == other.is_traced),
            ("transfers", self.transfers == other.transfers),
        ];
        fields
            .into_iter()
            .find_map(|(name, is_same)| (!is_same).then_some(name))
            .unwrap_or("nothing")
    }
}

/// Asks one provider for a transaction; with `wants_trace` also for what contracts moved inside it,
/// which only a provider that has traces can answer.
///
/// A receipt that is not there says nothing: nodes behind a balancer lag. It is never taken for a
/// failure.
///
/// # Errors
/// [`ProviderError`], also where its answers contradict one another, or where it lacks a status.
pub async fn fetch_transaction(
    provider: &Provider,
    tx_hash: TxHash,
    wants_trace: bool,
) -> Result<TxStatus, ProviderError> {
    let name = json!([tx_hash.to_string()]);
    let calls = [
        RpcCall::new("eth_getTransactionByHash", name.clone()),
        RpcCall::new("eth_getTransactionReceipt", name),
    ];
    let [tx, receipt] = provider.ask_all(calls).await?;
    let (tx, receipt): (Option<TxBody>, Option<ReceiptBody>) = (read(tx)?, read(receipt)?);
    let (tx, receipt) = match (tx, receipt) {
        (None, None) => return Ok(TxStatus::Unknown),
        (Some(_), None) => return Ok(TxStatus::Pending),
        (None, Some(_)) => return implausible("a receipt of an unknown transaction"),
        (Some(tx), Some(receipt)) => (tx, receipt),
    };
    check(tx_hash, &tx, &receipt)?;
    let logs = logs_of(&tx, &receipt)?;
    let (is_success, is_status_told) = status_of(&receipt, logs)?;

    let mut calls = vec![RpcCall::block(BlockId::Number(receipt.block_number.0), false)];
    if wants_trace {
        calls.push(trace::call(tx_hash));
    }
    let mut answers = provider.ask(calls).await?.into_iter();
    let block: Option<BlockBody> = read(answers.next().ok_or(ProviderError::WrongId)?)?;
    let block = block.map(|block| block.block_ref()).transpose()?;
    let Some(block) = block.filter(|block| block.hash == receipt.block_hash.0) else {
        return implausible("a receipt whose block is not on the chain");
    };
    if block.number != receipt.block_number.0 {
        return Err(ProviderError::BadAnswer("another block than was asked for"));
    }

    let is_system =
        tx.kind == Some(FlagNumber(ARBITRUM_INTERNAL)) || SYSTEM_SENDERS.contains(&tx.from.0);
    let mut transfers = Vec::new();
    let trace = answers.next();
    let coins = match trace {
        Some(answer) => trace::read_transfers(answer, &tx, is_success)?,
        None => Vec::new(),
    };
    if is_success && !is_system {
        token_transfers(logs, &mut transfers)?;
        if wants_trace {
            transfers.extend(coins);
        } else {
            transfers.extend(top_level(&tx, !transfers.is_empty())?);
        }
    }
    Ok(TxStatus::Mined(TxFacts {
        tx_hash,
        sender: tx.from.0,
        is_success,
        is_status_told,
        block_number: block.number,
        block_hash: block.hash,
        block_time: block.time,
        transfers,
        unread_logs_of: unread_logs_of(logs),
        is_traced: wants_trace,
        is_system,
    }))
}

/// Holds the two answers against the question and one another. What the transaction says of its
/// chain is not among it: nodes write 0, nothing, or another chain's number there. A chain is told
/// by `eth_chainId` and by its blocks.
fn check(tx_hash: TxHash, tx: &TxBody, receipt: &ReceiptBody) -> Result<(), ProviderError> {
    if tx.hash.0 != tx_hash || receipt.transaction_hash.0 != tx_hash {
        return Err(ProviderError::BadAnswer("another transaction than was asked for"));
    }
    if tx.block_hash.is_some_and(|hash| hash != receipt.block_hash) {
        return implausible("a transaction in one block and its receipt in another");
    }
    let is_foreign = |log: &LogBody| {
        log.removed == Some(true)
            || log.transaction_hash.is_some_and(|hash| hash.0 != tx_hash)
            || log.block_hash.is_some_and(|hash| hash != receipt.block_hash)
    };
    let logs = receipt.logs.as_deref().unwrap_or_default();
    if logs.iter().filter_map(ReceiptLog::body).any(is_foreign) {
        return implausible("a receipt with logs that are not its own");
    }
    if receipt.status == Some(FlagNumber(0)) && !logs.is_empty() {
        return implausible("logs of a transaction that failed");
    }
    Ok(())
}

/// Whether it succeeded, and whether that was told.
const fn status_of(
    receipt: &ReceiptBody,
    logs: &[ReceiptLog],
) -> Result<(bool, bool), ProviderError> {
    match receipt.status {
        Some(FlagNumber(0)) => Ok((false, true)),
        Some(FlagNumber(1)) => Ok((true, true)),
        Some(_) => implausible("a status that is neither success nor failure"),
        // What fails leaves no log.
        None if !logs.is_empty() => Ok((true, false)),
        None => implausible("a receipt without a status"),
    }
}

/// The logs. A receipt may be without any list of them only where there can be none: else a
/// transfer would be missed.
fn logs_of<'a>(tx: &TxBody, receipt: &'a ReceiptBody) -> Result<&'a [ReceiptLog], ProviderError> {
    match &receipt.logs {
        Some(logs) => Ok(logs),
        None if receipt.status == Some(FlagNumber(0)) => Ok(&[]),
        None if receipt.is_bloom_empty().unwrap_or_else(|| tx.is_plain()) => Ok(&[]),
        None => implausible("a receipt without logs"),
    }
}

/// The coins that a transaction carries. One that does not say how many may carry none where it
/// moves tokens; else they may be the whole payment.
fn top_level(tx: &TxBody, has_tokens: bool) -> Result<Option<Transfer>, ProviderError> {
    if tx.value.is_none() && has_tokens {
        return Ok(None);
    }
    trace::top_level(tx)
}

fn unread_logs_of(logs: &[ReceiptLog]) -> Vec<EvmAddress> {
    let unread = |log: &ReceiptLog| match log {
        ReceiptLog::Foreign(address) => Some(*address),
        ReceiptLog::Read(_) => None,
    };
    let mut found: Vec<EvmAddress> = logs.iter().filter_map(unread).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn token_transfers(
    logs: &[ReceiptLog],
    transfers: &mut Vec<Transfer>,
) -> Result<(), ProviderError> {
    if logs.len() > TRANSFERS_MAX {
        return Err(ProviderError::TooLarge);
    }
    for (ordinal, log) in (0..).zip(logs) {
        let Some(log) = log.body() else { continue };
        if let Some((from, to, amount)) = transfer_of(log) {
            let (asset, raw) = (Asset::Token(log.address.0), RawAmount(amount));
            transfers.push(Transfer { ordinal, asset, from, to, raw });
        }
    }
    Ok(())
}

const fn implausible<T>(why: &'static str) -> Result<T, ProviderError> {
    Err(ProviderError::Implausible(why))
}
