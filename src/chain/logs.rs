//! Token transfers to our addresses in a range of blocks. Providers limit the range in ways of their own, so the
//! caller halves it; what is found is only a reason to look closer.

use std::collections::{BTreeSet, HashSet};

use serde_json::json;

use super::rpc::{Call, CallErrorKind, Provider, ProviderError, quantity, read};
use super::types::TRANSFER_TOPIC;
use super::wire::{Hex, LogBody};
use crate::domain::evm::{BlockHash, EvmAddress, TxHash, to_hex};

/// Payees in one call at most.
const PAYEES_MAX: usize = 500;

/// A transaction with a transfer of one of the tokens to one of the payees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferLog {
    /// The height of its block.
    pub block_number: u64,
    /// Its block.
    pub block_hash: BlockHash,
    /// The transaction.
    pub tx_hash: TxHash,
}

/// Why there are no logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// The range must be smaller.
    #[error("asks for a smaller range of blocks")]
    TooMany {
        /// First and last block that the provider proposes, inside the range that was asked.
        suggested: Option<(u64, u64)>,
    },
    /// Anything else.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// Finds the transactions in the blocks `from..=to` that transfer one of `tokens` to one of `payees`, each once and in
/// order of their blocks. The filter is checked again here.
///
/// # Errors
/// [`LogsError`].
pub async fn transfer_logs(
    provider: &Provider,
    from: u64,
    to: u64,
    tokens: &[EvmAddress],
    payees: &[EvmAddress],
) -> Result<Vec<TransferLog>, LogsError> {
    if tokens.is_empty() || payees.is_empty() || from > to {
        return Ok(Vec::new());
    }
    let call = |payees: &[EvmAddress]| filter(from, to, tokens, payees);
    let calls = payees.chunks(PAYEES_MAX).map(call).collect();
    let answers = provider.ask(calls).await.map_err(|error| match error {
        ProviderError::TooLarge => LogsError::TooMany { suggested: None },
        other => LogsError::Provider(other),
    })?;
    let (tokens, payees) = (tokens.iter().collect(), payees.iter().collect());
    let mut found = BTreeSet::new();
    for answer in answers {
        if let Err(error) = &answer
            && let CallErrorKind::TooMany { suggested } = error.kind
        {
            let inside = |&(first, last): &(u64, u64)| first >= from && last < to;
            return Err(LogsError::TooMany { suggested: suggested.filter(inside) });
        }
        let logs: Vec<LogBody> = read(answer)?;
        let wanted = |log: &LogBody| transfer(log, &tokens, &payees);
        let in_range = |log: &TransferLog| (from..=to).contains(&log.block_number);
        found.extend(logs.iter().filter_map(wanted).filter(in_range));
    }
    Ok(found.into_iter().collect())
}

fn filter(from: u64, to: u64, tokens: &[EvmAddress], payees: &[EvmAddress]) -> Call {
    let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    let payees: Vec<String> = payees.iter().map(|payee| to_hex(&topic_of(*payee))).collect();
    let filter = json!({
        "fromBlock": quantity(from),
        "toBlock": quantity(to),
        "address": tokens,
        "topics": [to_hex(&TRANSFER_TOPIC), null, payees],
    });
    Call::new("eth_getLogs", json!([filter]))
}

fn transfer(
    log: &LogBody,
    tokens: &HashSet<&EvmAddress>,
    payees: &HashSet<&EvmAddress>,
) -> Option<TransferLog> {
    let (_, payee, amount) = transfer_of(log)?;
    // Of nothing at all there is any amount, for nothing but the fee.
    let has_amount = amount != [0; 32];
    let is_ours = has_amount && tokens.contains(&log.address.0) && payees.contains(&payee);
    let is_there = log.removed != Some(true);
    (is_ours && is_there).then_some(TransferLog {
        block_number: log.block_number?.0,
        block_hash: log.block_hash?.0,
        tx_hash: log.transaction_hash?.0,
    })
}

/// Payer, payee and amount of a log that has the shape of an ERC-20 transfer. Any contract can write one.
#[must_use]
pub fn transfer_of(log: &LogBody) -> Option<(EvmAddress, EvmAddress, [u8; 32])> {
    let [Hex(TRANSFER_TOPIC), Hex(from), Hex(to)] = log.topics.as_slice() else { return None };
    let amount = log.data.0.as_slice().try_into().ok()?;
    Some((address_of(from)?, address_of(to)?, amount))
}

fn address_of(topic: &[u8; 32]) -> Option<EvmAddress> {
    let (padding, address) = topic.split_at(12);
    if padding.iter().any(|&byte| byte != 0) {
        return None;
    }
    EvmAddress::from_slice(address)
}

fn topic_of(address: EvmAddress) -> [u8; 32] {
    let mut topic = [0; 32];
    for (place, byte) in topic.iter_mut().skip(12).zip(address.0) {
        *place = byte;
    }
    topic
}
