//! Whose a signature is, as enough providers answer alike for the contract that it is of.

use super::contract::Question;
use super::provider::{BlockId, Provider};
use super::quorum::{QuorumResult, agree, ask_each};
use super::{types, undeployed};
use crate::domain::evm::EvmAddress;

/// What a wallet's contract may use up to look at a signature. The same at the proof as at each
/// deposit's block, so that the one does not succeed where the other must fail.
pub const SIGNATURE_GAS: u64 = 3_000_000;

/// Asks a contract whether a signature (`signed`: hash, signature) is its own (EIP-1271). An
/// address without code, a revert, and any other answer than the magic value mean no. The gas is
/// bounded, since the contract is the user's choice. A signature that brings the wallet's
/// deployment along (ERC-6492) is asked about after that, if the wallet has no code at that block.
pub async fn is_valid_signature(
    providers: &[Provider],
    quorum: usize,
    contract: EvmAddress,
    signed: (&[u8; 32], &[u8]),
    (gas, at): (u64, BlockId),
) -> QuorumResult<bool> {
    let (hash, signature) = signed;
    if let Some(wrapped) = types::unwrapped(signature) {
        let asked = (hash, &wrapped);
        return undeployed::is_valid_signature(providers, quorum, contract, asked, (gas, at)).await;
    }
    let data = types::is_valid_signature_call(*hash, signature);
    let question = Question { to: contract, data, gas, at };
    let ask = |provider: &'_ Provider| {
        let (provider, question) = (provider.clone(), &question);
        async move { Ok(question.put_to(&provider).await?.returned().is_some_and(types::is_magic)) }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "validity of the signature")
}
