//! Questions to contracts that enough providers must answer alike: what a token or a feed says of
//! itself, whether there is a contract at all.

use super::provider::{BlockId, CallError, CallErrorKind, Provider, ProviderError, RpcCall, read};
use super::quorum::{QuorumResult, agree, ask_each};
use super::types;
use super::wire::{BlockBody, Hex};
use crate::domain::evm::{BlockHash, EvmAddress, RawAmount};

/// Gas for questions to contracts that the operator chose. Those that users choose get what the
/// caller allows.
const GAS: u64 = 1_000_000;

/// What a contract answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    /// These bytes; none at all where there is no contract.
    Returned(Vec<u8>),
    /// It failed, which is an answer too.
    Reverted,
}

impl Execution {
    /// The bytes of a call that did not fail.
    #[must_use]
    pub fn returned(&self) -> Option<&[u8]> {
        match self {
            Self::Returned(bytes) => Some(bytes),
            Self::Reverted => None,
        }
    }
}

/// A call to a contract, and where.
#[derive(Clone, Debug)]
pub struct Question {
    /// The contract.
    pub to: EvmAddress,
    /// Selector and arguments.
    pub data: Vec<u8>,
    /// What it may use up.
    pub gas: u64,
    /// At which block's state.
    pub at: BlockId,
}

impl Question {
    pub(super) async fn put_to(&self, provider: &Provider) -> Result<Execution, ProviderError> {
        let call = |at| RpcCall::contract(self.to, &self.data, self.gas, at);
        ask_at(provider, self.at, call, outcome).await
    }
}

/// Reads the answer to an `eth_call`.
///
/// # Errors
/// [`ProviderError`] where it is the provider that refused, not the contract.
pub fn outcome(
    answer: Result<Box<serde_json::value::RawValue>, CallError>,
) -> Result<Execution, ProviderError> {
    match answer {
        Err(CallError { kind: CallErrorKind::Reverted, .. }) => Ok(Execution::Reverted),
        answer => read(answer).map(|Hex(bytes)| Execution::Returned(bytes)),
    }
}

type CallResult = Result<Box<serde_json::value::RawValue>, CallError>;

/// Asks about the state at a block. A node that takes no block's hash there (EIP-1898) is asked by
/// the block's number.
pub(super) async fn ask_at<T>(
    provider: &Provider,
    at: BlockId,
    call: impl Fn(BlockId) -> RpcCall,
    read: impl Fn(CallResult) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let mut refusal = ProviderError::BadAnswer("no block of that hash");
    let mut is_about_the_block = false;
    let hash = match at {
        BlockId::Hash(hash) if provider.standing().takes_no_hashes() => hash,
        at => {
            let [answer] = provider.ask_all([call(at)]).await?;
            match (at, read(answer)) {
                (BlockId::Hash(hash), Err(error @ ProviderError::Call(why))) => {
                    is_about_the_block = why.kind == CallErrorKind::NoBlock;
                    refusal = error;
                    hash
                }
                (_, answer) => return answer,
            }
        }
    };
    let block: Option<BlockBody> =
        provider.ask_one(RpcCall::block(BlockId::Hash(hash), false)).await?;
    let number = block.ok_or(refusal)?.block_ref()?.number;
    // A number names the block that is there at the moment, so it has to be the same one before and
    // after.
    expect_block(provider, number, hash).await?;
    let [answer] = provider.ask_all([call(BlockId::Number(number))]).await?;
    let answer = read(answer)?;
    expect_block(provider, number, hash).await?;
    if !is_about_the_block {
        provider.standing().set_takes_no_hashes();
    }
    Ok(answer)
}

async fn expect_block(
    provider: &Provider,
    number: u64,
    hash: BlockHash,
) -> Result<(), ProviderError> {
    let call = RpcCall::block(BlockId::Number(number), false);
    let block: Option<BlockBody> = provider.ask_one(call).await?;
    let there = block.map(|block| block.block_ref()).transpose()?;
    if there.is_some_and(|block| block.hash == hash) {
        Ok(())
    } else {
        Err(ProviderError::Implausible("a block that has left the chain"))
    }
}

/// Asks a contract.
pub async fn call(
    providers: &[Provider],
    quorum: usize,
    question: &Question,
) -> QuorumResult<Execution> {
    let ask = |provider: &'_ Provider| {
        let provider = provider.clone();
        async move { question.put_to(&provider).await }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "answer of the contract")
}

/// The code at an address; empty for a plain account. A delegated account (EIP-7702) has 23 bytes
/// that begin with `0xef0100`.
pub async fn code(
    providers: &[Provider],
    quorum: usize,
    address: EvmAddress,
    at: BlockId,
) -> QuorumResult<Vec<u8>> {
    let ask = |provider: &'_ Provider| {
        let provider = provider.clone();
        async move {
            let code = |answer| read(answer).map(|Hex(code)| code);
            ask_at(&provider, at, |at| RpcCall::code(address, at), code).await
        }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "code of the account")
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// `decimals()`, if there is such a contract.
    pub decimals: Option<u8>,
    /// `symbol()`, if it has a readable one. Anybody can choose any: it identifies nothing.
    pub symbol: Option<String>,
}

/// What a feed says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedFacts {
    /// `description()`, such as `ETH / USD`.
    pub description: Option<String>,
    /// `decimals()`.
    pub decimals: Option<u8>,
}

/// Asks a token for its decimals and symbol.
pub async fn token_facts(
    providers: &[Provider],
    quorum: usize,
    token: EvmAddress,
) -> QuorumResult<TokenFacts> {
    let said =
        ask_each(providers, |provider| number_and_text(provider, token, types::SYMBOL)).await;
    let facts = |(decimals, symbol)| TokenFacts { decimals, symbol };
    let difference = |one: &TokenFacts, other: &TokenFacts| {
        if one.decimals == other.decimals { "symbol" } else { "decimals" }
    };
    agree(map(said, facts), quorum, difference)
}

/// Asks a token for its decimals alone; `None` where there is no such contract.
pub async fn token_decimals(
    providers: &[Provider],
    quorum: usize,
    token: EvmAddress,
) -> QuorumResult<Option<u8>> {
    let (data, at) = (types::DECIMALS.to_vec(), BlockId::Latest);
    let question = Question { to: token, data, gas: GAS, at };
    let QuorumResult { agreement, dissenting, silent } = call(providers, quorum, &question).await;
    let decimals = |outcome: Execution| outcome.returned().and_then(types::read_u8);
    QuorumResult { agreement: agreement.map(decimals), dissenting, silent }
}

/// Asks a feed for its description and decimals.
pub async fn feed_facts(
    providers: &[Provider],
    quorum: usize,
    feed: EvmAddress,
) -> QuorumResult<FeedFacts> {
    let ask = |provider| number_and_text(provider, feed, types::DESCRIPTION);
    let said = ask_each(providers, ask).await;
    let facts = |(decimals, description)| FeedFacts { description, decimals };
    let difference = |one: &FeedFacts, other: &FeedFacts| {
        if one.decimals == other.decimals { "description" } else { "decimals" }
    };
    agree(map(said, facts), quorum, difference)
}

/// A holder's balance of a token, `None` where there is no such contract.
pub async fn balance(
    providers: &[Provider],
    quorum: usize,
    (token, holder): (EvmAddress, EvmAddress),
    at: BlockId,
) -> QuorumResult<Option<RawAmount>> {
    let question = Question { to: token, data: types::balance_call(holder), gas: GAS, at };
    let QuorumResult { agreement, dissenting, silent } = call(providers, quorum, &question).await;
    let amount = |outcome: Execution| outcome.returned().and_then(types::read_amount);
    QuorumResult { agreement: agreement.map(amount), dissenting, silent }
}

async fn number_and_text(
    provider: &Provider,
    contract: EvmAddress,
    text: [u8; 4],
) -> Result<(Option<u8>, Option<String>), ProviderError> {
    let call = |selector: [u8; 4]| RpcCall::contract(contract, &selector, GAS, BlockId::Latest);
    let [decimals, text] = provider.ask_all([call(types::DECIMALS), call(text)]).await?;
    let (decimals, text) = (outcome(decimals)?, outcome(text)?);
    Ok((decimals.returned().and_then(types::read_u8), text.returned().and_then(types::read_text)))
}

fn map<T, U>(
    said: Vec<super::quorum::ProviderAnswer<T>>,
    into: impl Fn(T) -> U,
) -> Vec<super::quorum::ProviderAnswer<U>> {
    said.into_iter().map(|(name, answer)| (name, answer.map(&into))).collect()
}
