//! Where a chain stands, in the words of one provider.

use serde_json::json;

use super::blocks::{ScannedBlock, block};
use super::provider::{BlockId, Provider, ProviderError, RpcCall, read};
use super::wire::{BlockBody, Hex};

pub use super::wire::BlockRef;

/// Asks for the newest block, with its transfers if they are wanted: whoever reads every block has
/// it at once.
pub async fn newest(
    provider: &Provider,
    with_transactions: bool,
) -> Result<ScannedBlock, ProviderError> {
    let body: BlockBody =
        provider.ask_one(RpcCall::block(BlockId::Latest, with_transactions)).await?;
    block(&body, with_transactions)
}

/// What else is asked of a provider now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// Whether it still speaks for its chain.
    pub chain_id: bool,
    /// The newest final block.
    pub finalized: bool,
}

/// Asks for that. The newest final block is `None` where the provider does not tell; that the tag
/// `finalized` is refused is no error.
///
/// # Errors
/// [`ProviderError`], among them [`ProviderError::WrongChain`].
pub async fn further(
    provider: &Provider,
    wanted: Further,
) -> Result<Option<BlockRef>, ProviderError> {
    let mut calls = Vec::new();
    if wanted.chain_id {
        calls.push(RpcCall::new("eth_chainId", json!([])));
    }
    if wanted.finalized {
        calls.push(RpcCall::block(BlockId::Finalized, false));
    }
    let mut answers = provider.ask(calls).await?.into_iter();
    if wanted.chain_id {
        let answer = answers.next().ok_or(ProviderError::WrongId)?;
        let Hex(told): Hex<u64> = read(answer)?;
        if i64::try_from(told) != Ok(provider.chain_id().0) {
            return Err(ProviderError::WrongChain { told });
        }
    }
    let Some(Ok(answer)) = answers.next() else { return Ok(None) };
    let finalized: Option<BlockBody> = read(Ok(answer))?;
    finalized.as_ref().map(BlockBody::block_ref).transpose()
}
