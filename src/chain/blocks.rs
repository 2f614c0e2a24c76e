//! Whole blocks, for the plain transfers of the chain's own coin in them. What is found here is
//! only a reason to look closer: whether a transaction succeeded is not in its block.

use super::provider::{BlockId, Provider, ProviderError, RpcCall, read};
use super::wire::{BlockBody, BlockRef, Hex, TxBody};
use crate::domain::evm::{EvmAddress, RawAmount, TxHash};

/// A block as scanning sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedBlock {
    /// Which.
    pub at: BlockRef,
    /// Its plain transfers of coins; empty if transactions were not asked for.
    pub transfers: Vec<NativeTransfer>,
}

/// A transaction that carries coins to an address. It may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeTransfer {
    /// The transaction.
    pub tx_hash: TxHash,
    /// Who signed it.
    pub from: EvmAddress,
    /// Whom it pays.
    pub to: EvmAddress,
    /// Above zero.
    pub value: RawAmount,
}

/// Reads blocks by their numbers; `None` for those that the provider does not have.
pub async fn blocks(
    provider: &Provider,
    numbers: Vec<u64>,
    with_transactions: bool,
) -> Result<Vec<Option<ScannedBlock>>, ProviderError> {
    let call = |&number: &u64| RpcCall::block(BlockId::Number(number), with_transactions);
    let answers = provider.ask(numbers.iter().map(call).collect()).await?;
    let mut blocks = Vec::with_capacity(numbers.len());
    for (number, answer) in numbers.into_iter().zip(answers) {
        let body: Option<BlockBody> = read(answer)?;
        let block = body.map(|body| block(&body, with_transactions)).transpose()?;
        if block.as_ref().is_some_and(|block| block.at.number != number) {
            return Err(ProviderError::BadAnswer("another block than was asked for"));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

pub(super) fn block(
    body: &BlockBody,
    with_transactions: bool,
) -> Result<ScannedBlock, ProviderError> {
    let transactions = body.transactions.as_deref().unwrap_or_default();
    let transfers = if with_transactions {
        // One that cannot be read is of a kind that only its chain knows.
        let readable = transactions.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok());
        readable.filter_map(|tx: TxBody| plain_transfer(&tx)).collect()
    } else {
        Vec::new()
    };
    Ok(ScannedBlock { at: body.block_ref()?, transfers })
}

/// The transfer of a transaction that carries coins to an address.
#[must_use]
pub fn plain_transfer(tx: &TxBody) -> Option<NativeTransfer> {
    let (Hex(to), Hex(value)) = (tx.to?, tx.value?);
    let transfer = NativeTransfer { tx_hash: tx.hash.0, from: tx.from.0, to, value };
    (!value.is_zero()).then_some(transfer)
}
