//! JSON-RPC as the chain's functions use it: calls go out in batches through a [`Provider`],
//! answers come back in the order of the calls. Who sends them is the `RpcActor`, behind the
//! [`CallBatch`] message.

use std::fmt;
use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{CallError, ProviderError};
use super::health::ProviderHealth;
use crate::chain::endpoint::ProviderEndpoint;
use crate::domain::evm::{BlockHash, ChainId, EvmAddress, to_hex};

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcCall {
    /// The method's name.
    pub method: &'static str,
    /// Its parameters, an array.
    pub params: Value,
}

/// Where a question about state or a block is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockId {
    /// The newest block, which may yet go.
    Latest,
    /// The newest block that the chain calls final.
    Finalized,
    /// The block of that number.
    Number(u64),
    /// The block of that hash, and only if it is on the chain (EIP-1898).
    Hash(BlockHash),
}

impl BlockId {
    /// As a parameter of a call.
    #[must_use]
    pub fn to_param(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Finalized => json!("finalized"),
            Self::Number(number) => json!(quantity(number)),
            Self::Hash(hash) => json!({ "blockHash": hash.to_string(), "requireCanonical": true }),
        }
    }
}

impl RpcCall {
    /// The method that finds logs.
    pub const LOGS: &str = "eth_getLogs";

    /// A call of any method.
    #[must_use]
    pub const fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    /// `eth_getBlockByNumber`, or by hash.
    #[must_use]
    pub fn block(id: BlockId, with_transactions: bool) -> Self {
        match id {
            BlockId::Hash(hash) => {
                Self::new("eth_getBlockByHash", json!([hash.to_string(), with_transactions]))
            }
            id => Self::new("eth_getBlockByNumber", json!([id.to_param(), with_transactions])),
        }
    }

    /// `eth_call` without a sender.
    #[must_use]
    pub fn contract(to: EvmAddress, data: &[u8], gas: u64, at: BlockId) -> Self {
        let call = json!({ "to": to.to_string(), "data": to_hex(data), "gas": quantity(gas) });
        Self::new("eth_call", json!([call, at.to_param()]))
    }

    /// `eth_getCode`.
    #[must_use]
    pub fn code(address: EvmAddress, at: BlockId) -> Self {
        Self::new("eth_getCode", json!([address.to_string(), at.to_param()]))
    }
}

/// A number as JSON-RPC wants it.
#[must_use]
pub fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// Who goes first where a provider cannot take everything at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Priority {
    /// Scanning, finality, and what enters a credit.
    #[default]
    Credit,
    /// Claims of users, of which there may be any number.
    Claim,
}

/// The answers to a batch, in its order: a raw result, or the provider's refusal of that call.
pub type Answers = Vec<Result<Box<RawValue>, CallError>>;

/// Calls that go out as one request, as few as the provider takes at once.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Answers, ProviderError>")]
pub struct CallBatch {
    /// The calls.
    pub calls: Vec<RpcCall>,
    /// Its turn.
    pub priority: Priority,
}

/// A handle on one provider of one chain; cheap to clone.
#[derive(Clone)]
pub struct Provider {
    name: Arc<str>,
    chain_id: ChainId,
    has_traces: bool,
    batch_max: usize,
    priority: Priority,
    standing: Arc<ProviderHealth>,
    recipient: Recipient<CallBatch>,
}

impl Provider {
    /// A handle on whoever answers for `endpoint`, and notes how it stands.
    #[must_use]
    pub fn new(
        endpoint: &ProviderEndpoint,
        standing: Arc<ProviderHealth>,
        recipient: Recipient<CallBatch>,
    ) -> Self {
        Self {
            name: endpoint.name.as_str().into(),
            chain_id: endpoint.chain_id,
            has_traces: endpoint.has_traces,
            batch_max: endpoint.batch_max.max(1),
            priority: Priority::default(),
            standing,
            recipient,
        }
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> &ProviderHealth {
        &self.standing
    }

    /// The name in the operator's config.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The chain that it must speak for.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// Whether it traces transactions.
    #[must_use]
    pub const fn has_traces(&self) -> bool {
        self.has_traces
    }

    /// The same provider, asked at another priority.
    #[must_use]
    pub fn at(&self, priority: Priority) -> Self {
        Self { priority, ..self.clone() }
    }

    /// Asks any number of calls, in as many requests as it takes.
    ///
    /// # Errors
    /// [`ProviderError`] if any of the requests failed as a whole.
    pub async fn ask(&self, mut calls: Vec<RpcCall>) -> Result<Answers, ProviderError> {
        let mut requests = Vec::new();
        while !calls.is_empty() {
            let rest = calls.split_off(calls.len().min(self.batch_max));
            let batch =
                CallBatch { calls: std::mem::replace(&mut calls, rest), priority: self.priority };
            let expected = batch.calls.len();
            requests.push(async move {
                let sent = self.recipient.send(batch).await;
                let answers = sent.map_err(|_| ProviderError::Stopped)??;
                // Whoever sits behind the recipient: later code takes answers by their place.
                if answers.len() == expected { Ok(answers) } else { Err(ProviderError::WrongId) }
            });
        }
        Ok(try_join_all(requests).await?.into_iter().flatten().collect())
    }

    /// Asks a fixed number of calls.
    ///
    /// # Errors
    /// As [`Provider::ask`].
    pub async fn ask_all<const N: usize>(
        &self,
        calls: [RpcCall; N],
    ) -> Result<[Result<Box<RawValue>, CallError>; N], ProviderError> {
        let answers = self.ask(calls.into()).await?;
        answers.try_into().map_err(|_| ProviderError::WrongId)
    }

    /// Asks one call and reads its answer.
    ///
    /// # Errors
    /// As [`Provider::ask`], and for a call that is refused or answered unreadably.
    pub async fn ask_one<T: DeserializeOwned>(&self, call: RpcCall) -> Result<T, ProviderError> {
        let [answer] = self.ask_all([call]).await?;
        read(answer)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({} of chain {})", self.name, self.chain_id)
    }
}

/// Reads the answer of a call that must succeed.
///
/// # Errors
/// [`ProviderError::Call`] or [`ProviderError::BadAnswer`].
pub fn read<T: DeserializeOwned>(
    answer: Result<Box<RawValue>, CallError>,
) -> Result<T, ProviderError> {
    let raw = answer.map_err(ProviderError::Call)?;
    // The error would quote what it could not read.
    serde_json::from_str(raw.get())
        .map_err(|_| ProviderError::BadAnswer("a result of another shape"))
}
