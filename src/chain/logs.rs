//! Token transfers to our addresses in a range of blocks. Providers limit the range in ways of
//! their own, so the caller halves it; what is found is only a reason to look closer.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use serde_json::json;

use super::provider::{CallErrorKind, Provider, ProviderError, RpcCall, quantity, read};
use super::types::TRANSFER_TOPIC;
use super::wire::{Hex, LogBody};
use crate::domain::evm::{EvmAddress, TxHash, to_hex};

/// Payees in one call at most.
pub const PAYEES_MAX: u64 = 500;

/// Numbers of logs at which providers are known, or likely, to cut their answers off without a
/// word.
const CAPS: [usize; 14] =
    [25, 50, 100, 200, 250, 500, 1_000, 2_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000];

/// A transaction with a transfer of one of the tokens to one of the payees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferLog {
    /// The height of its block; where the provider does not tell, of the last one that was asked
    /// for.
    pub block_number: u64,
    /// The transaction.
    pub tx_hash: TxHash,
}

/// What a query came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Each transaction once, in order of their blocks.
    pub found: Vec<TransferLog>,
    /// Logs that were given, ours or not.
    pub given: usize,
    /// A call had a round number of logs: there may be more that the provider has kept to itself.
    pub may_be_cut: bool,
}

/// Which transfers are looked for.
#[derive(Debug)]
pub struct LogFilter {
    tokens: Vec<EvmAddress>,
    payees: Vec<EvmAddress>,
    known: (HashSet<EvmAddress>, HashSet<EvmAddress>),
}

/// How they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogQuery {
    /// By their payees, so many in a call.
    Payees(usize),
    /// All transfers of the tokens, whoever is paid: one call, however many the payees are.
    Everybody,
}

/// Why there are no logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// The range must be smaller.
    #[error("asks for a smaller range of blocks")]
    TooMany {
        /// First and last block that the provider proposes, inside the range that was asked.
        suggested: Option<(u64, u64)>,
        /// What it said.
        error: ProviderError,
    },
    /// Anything else.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl LogFilter {
    /// Transfers of these tokens to these addresses.
    #[must_use]
    pub fn new(tokens: Vec<EvmAddress>, payees: Vec<EvmAddress>) -> Self {
        let known = (tokens.iter().copied().collect(), payees.iter().copied().collect());
        Self { tokens, payees, known }
    }

    /// How many addresses may be paid.
    #[must_use]
    pub const fn payees(&self) -> usize {
        self.payees.len()
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tokens.is_empty() || self.payees.is_empty()
    }

    /// The transfer of a log, if it is one of these. One that does not tell its transaction makes
    /// the whole answer bad: it would be missed.
    fn transfer(
        &self,
        log: &LogBody,
        (from, to): (u64, u64),
    ) -> Result<Option<TransferLog>, ProviderError> {
        let Some((_, payee, amount)) = transfer_of(log) else { return Ok(None) };
        let (tokens, payees) = &self.known;
        // Of nothing at all there is any amount, for nothing but the fee.
        let has_amount = amount != [0; 32];
        let is_ours = has_amount && tokens.contains(&log.address.0) && payees.contains(&payee);
        let block_number = log.block_number.map_or(to, |Hex(number)| number);
        if !is_ours || log.removed == Some(true) || !(from..=to).contains(&block_number) {
            return Ok(None);
        }
        let Some(Hex(tx_hash)) = log.transaction_hash else {
            return Err(ProviderError::BadAnswer("a log without its transaction"));
        };
        Ok(Some(TransferLog { block_number, tx_hash }))
    }

    fn calls(&self, (from, to): (u64, u64), way: LogQuery) -> Vec<RpcCall> {
        let call = |payees: Option<&[EvmAddress]>| filter(from, to, &self.tokens, payees);
        match way {
            LogQuery::Payees(at_once) => {
                self.payees.chunks(at_once.max(1)).map(|some| call(Some(some))).collect()
            }
            LogQuery::Everybody => vec![call(None)],
        }
    }
}

/// Finds the transactions in the blocks `from..=to` that make one of the wanted transfers. The
/// filter is checked again here.
pub async fn transfer_logs(
    provider: &Provider,
    (from, to): (u64, u64),
    wanted: &LogFilter,
    way: LogQuery,
) -> Result<Logs, LogsError> {
    if wanted.is_empty() || from > to {
        return Ok(Logs::default());
    }
    let answers =
        provider.ask(wanted.calls((from, to), way)).await.map_err(|error| match error {
            ProviderError::TooLarge => LogsError::TooMany { suggested: None, error },
            other => LogsError::Provider(other),
        })?;
    let (mut found, mut logs) = (BTreeSet::new(), Logs::default());
    for answer in answers {
        if let Err(error) = &answer
            && let CallErrorKind::TooMany { suggested } = error.kind
        {
            let inside = |&(first, last): &(u64, u64)| first >= from && last < to;
            let (suggested, error) = (suggested.filter(inside), ProviderError::Call(*error));
            return Err(LogsError::TooMany { suggested, error });
        }
        let given: Vec<LogBody> = read(answer)?;
        logs.given = logs.given.saturating_add(given.len());
        logs.may_be_cut |= CAPS.contains(&given.len());
        for log in &given {
            found.extend(wanted.transfer(log, (from, to))?);
        }
    }
    logs.found = found.into_iter().collect();
    Ok(logs)
}

/// The same of one block by its receipts, which nobody cuts off; `None` where the provider does not
/// have it.
///
/// # Errors
/// [`ProviderError`], also of providers that give no receipts of whole blocks.
pub async fn logs_by_receipts(
    provider: &Provider,
    number: u64,
    wanted: &LogFilter,
) -> Result<Option<Logs>, ProviderError> {
    #[derive(Deserialize)]
    struct ReceiptLogs {
        logs: Vec<LogBody>,
    }
    let call = RpcCall::new("eth_getBlockReceipts", json!([quantity(number)]));
    let receipts: Option<Vec<ReceiptLogs>> = provider.ask_one(call).await?;
    let Some(receipts) = receipts else { return Ok(None) };
    let mut found = BTreeSet::new();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        found.extend(wanted.transfer(log, (number, number))?);
    }
    let given = receipts.iter().map(|receipt| receipt.logs.len()).sum();
    Ok(Some(Logs { found: found.into_iter().collect(), given, may_be_cut: false }))
}

fn filter(from: u64, to: u64, tokens: &[EvmAddress], payees: Option<&[EvmAddress]>) -> RpcCall {
    let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    let mut topics = vec![json!(to_hex(&TRANSFER_TOPIC))];
    if let Some(payees) = payees {
        let payees: Vec<String> = payees.iter().map(|payee| to_hex(&topic_of(*payee))).collect();
        topics.extend([json!(null), json!(payees)]);
    }
    let filter = json!({
        "fromBlock": quantity(from),
        "toBlock": quantity(to),
        "address": tokens,
        "topics": topics,
    });
    RpcCall::new(RpcCall::LOGS, json!([filter]))
}

/// Payer, payee and amount of a log that has the shape of an ERC-20 transfer. Any contract can
/// write one.
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

/// A transfer of any token, as its contract tells it. Any contract can write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLog {
    /// The contract.
    pub token: EvmAddress,
    /// The payer, in its words.
    pub from: EvmAddress,
    /// The payee.
    pub payee: EvmAddress,
    /// Above zero.
    pub amount: [u8; 32],
    /// The height of its block.
    pub block_number: u64,
    /// The transaction.
    pub tx_hash: TxHash,
}

/// Finds transfers of tokens of any contract to at most [`PAYEES_MAX`] payees in the blocks
/// `from..=to`.
///
/// # Errors
/// [`ProviderError`], whatever it is that the provider does not like.
pub async fn any_token_logs(
    provider: &Provider,
    (from, to): (u64, u64),
    payees: &[EvmAddress],
) -> Result<Vec<TokenLog>, ProviderError> {
    let most = usize::try_from(PAYEES_MAX).unwrap_or(usize::MAX);
    let topics: Vec<String> =
        payees.iter().take(most).map(|payee| to_hex(&topic_of(*payee))).collect();
    let filter = json!({
        "fromBlock": quantity(from),
        "toBlock": quantity(to),
        "topics": [to_hex(&TRANSFER_TOPIC), null, topics],
    });
    let logs: Vec<Box<serde_json::value::RawValue>> =
        provider.ask_one(RpcCall::new("eth_getLogs", json!([filter]))).await?;
    // Foreign contracts write what they like: what cannot be read is passed over.
    let read = logs.iter().filter_map(|raw| serde_json::from_str::<LogBody>(raw.get()).ok());
    let found = read.filter(|log| log.removed != Some(true)).filter_map(|log| {
        let (sender, payee, amount) = transfer_of(&log)?;
        let block_number = log.block_number?.0;
        let is_asked = (from..=to).contains(&block_number) && payees.contains(&payee);
        (is_asked && amount != [0; 32]).then_some(TokenLog {
            token: log.address.0,
            from: sender,
            payee,
            amount,
            block_number,
            tx_hash: log.transaction_hash?.0,
        })
    });
    Ok(found.collect())
}
