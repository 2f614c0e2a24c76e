//! Where a chain stands, in the words of one provider.

use super::rpc::{BlockId, Call, Provider, ProviderError, read};
use super::wire::{BlockBody, Hex};
use serde_json::json;

pub use super::wire::BlockRef;

/// Where one provider says that the chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest block.
    pub latest: BlockRef,
    /// The newest final block; `None` where the provider does not tell.
    pub finalized: Option<BlockRef>,
}

/// Asks for the newest and the newest final block, and whether the provider still speaks for its chain.
///
/// # Errors
/// [`ProviderError`], among them [`ProviderError::WrongChain`]. That the tag `finalized` is refused is no error.
pub async fn head(provider: &Provider) -> Result<Head, ProviderError> {
    let calls = [
        Call::new("eth_chainId", json!([])),
        Call::block(BlockId::Latest, false),
        Call::block(BlockId::Finalized, false),
    ];
    let [chain_id, latest, finalized] = provider.ask_all(calls).await?;
    let Hex(told): Hex<u64> = read(chain_id)?;
    if i64::try_from(told) != Ok(provider.chain_id().0) {
        return Err(ProviderError::WrongChain { told });
    }
    let latest: BlockBody = read(latest)?;
    let finalized: Option<BlockBody> = match finalized {
        Err(_) => None,
        answer => read(answer)?,
    };
    let finalized = finalized.as_ref().map(BlockBody::block_ref).transpose()?;
    let head = Head { latest: latest.block_ref()?, finalized };
    if head.finalized.is_some_and(|block| block.number > head.latest.number) {
        return Err(ProviderError::Implausible("a final block above the newest"));
    }
    Ok(head)
}
