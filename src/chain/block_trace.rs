//! Which transactions of a block may have moved coins to an address from within. A hint from one
//! provider in whatever form it has: what a transaction really moved is read again, and agreed on,
//! by [`super::facts`] and [`super::trace`].

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::provider::{BlockId, Provider, ProviderError, RpcCall, quantity, read};
use super::trace;
use super::wire::{BlockBody, FrameBody, Hex};
use crate::domain::evm::{EvmAddress, RawAmount, TxHash};

/// Transactions of a block that are traced one by one, where the block as a whole is not.
const SINGLE_MAX: usize = 400;

/// One transaction of `debug_traceBlockByNumber`. Older nodes leave the hash out: then its place
/// says which it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Traced {
    #[serde(default)]
    tx_hash: Option<Hex<TxHash>>,
    #[serde(default)]
    result: Option<FrameBody>,
}

/// One frame of `trace_block`, as Parity, Erigon and Nethermind have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flat {
    action: Action,
    #[serde(default)]
    transaction_hash: Option<Hex<TxHash>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    #[serde(default)]
    to: Option<Hex<EvmAddress>>,
    #[serde(default)]
    value: Option<Hex<RawAmount>>,
    /// Of a contract that ends.
    #[serde(default)]
    refund_address: Option<Hex<EvmAddress>>,
}

/// What a provider says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paying {
    /// Each transaction once.
    pub named: Vec<TxHash>,
    /// Whether all of the block was there to be read.
    pub is_whole: bool,
}

/// The transactions of a block that show the address as a receiver of coins somewhere inside.
///
/// # Errors
/// [`ProviderError`] of the last of three ways to ask: the block's traces in two forms, then those
/// of its transactions.
pub async fn paying(
    provider: &Provider,
    number: u64,
    payee: EvmAddress,
) -> Result<Paying, ProviderError> {
    let hashes = hashes(provider, number).await?;
    let options = json!({ "tracer": "callTracer", "timeout": "20s" });
    let whole = RpcCall::new("debug_traceBlockByNumber", json!([quantity(number), options]));
    if let Ok(traces) = provider.ask_one::<Vec<Box<RawValue>>>(whole).await
        && traces.len() == hashes.len()
    {
        // Each by itself: one that is nested too deeply must not hide the others.
        let read = traces.iter().zip(hashes).map(|(raw, hash)| {
            let traced: Traced = serde_json::from_str(raw.get()).ok()?;
            let hash = traced.tx_hash.map_or(hash, |hash| hash.0);
            Some((hash, pays(&traced.result?, payee)))
        });
        return Ok(Paying::of(read, true));
    }
    let flat = RpcCall::new("trace_block", json!([quantity(number)]));
    if let Ok(traces) = provider.ask_one::<Vec<Box<RawValue>>>(flat).await {
        let read = traces.iter().filter_map(|raw| {
            let Ok(frame) = serde_json::from_str::<Flat>(raw.get()) else { return Some(None) };
            // A block's reward is of no transaction.
            let hash = frame.transaction_hash?.0;
            Some(Some((hash, frame.action.pays(payee))))
        });
        return Ok(Paying::of(read, true));
    }
    let are_all = hashes.len() <= SINGLE_MAX;
    let hashes: Vec<TxHash> = hashes.into_iter().take(SINGLE_MAX).collect();
    let answers = provider.ask(hashes.iter().map(|hash| trace::call(*hash)).collect()).await?;
    if let Some(Err(error)) = answers.first() {
        return Err(ProviderError::Call(*error));
    }
    let read = answers.into_iter().zip(hashes).map(|(one, hash)| {
        let top: FrameBody = read(one).ok()?;
        Some((hash, pays(&top, payee)))
    });
    Ok(Paying::of(read, are_all))
}

impl Paying {
    /// Of transactions with whether they pay; `None` where one cannot be read.
    fn of(read: impl Iterator<Item = Option<(TxHash, bool)>>, are_all: bool) -> Self {
        let (mut named, mut is_whole) = (BTreeSet::new(), are_all);
        for one in read {
            match one {
                Some((hash, true)) => drop(named.insert(hash)),
                Some((_, false)) => {}
                None => is_whole = false,
            }
        }
        Self { named: named.into_iter().collect(), is_whole }
    }
}

async fn hashes(provider: &Provider, number: u64) -> Result<Vec<TxHash>, ProviderError> {
    let call = RpcCall::block(BlockId::Number(number), false);
    let block: Option<BlockBody> = provider.ask_one(call).await?;
    let block = block.ok_or(ProviderError::BadAnswer("no such block"))?;
    let hash = |raw: &RawValue| serde_json::from_str::<Hex<TxHash>>(raw.get());
    let written = block.transactions.iter().flatten();
    let hashes: Result<Vec<_>, _> = written.map(|raw| hash(raw)).collect();
    let hashes = hashes.map_err(|_| ProviderError::BadAnswer("a block without its hashes"))?;
    Ok(hashes.into_iter().map(|Hex(hash)| hash).collect())
}

/// A trace is never deeper than its JSON may be nested, so this ends.
fn pays(frame: &FrameBody, payee: EvmAddress) -> bool {
    let is_paid = frame.to.is_some_and(|Hex(to)| to == payee)
        && frame.value.is_some_and(|Hex(value)| !value.is_zero());
    is_paid || frame.calls.iter().flatten().any(|below| pays(below, payee))
}

impl Action {
    fn pays(&self, payee: EvmAddress) -> bool {
        let is_payee = |address: Option<Hex<EvmAddress>>| address.is_some_and(|to| to.0 == payee);
        let has_value = self.value.is_some_and(|Hex(value)| !value.is_zero());
        (is_payee(self.to) && has_value) || is_payee(self.refund_address)
    }
}
