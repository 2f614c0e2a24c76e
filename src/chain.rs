//! The chain's side of a deposit: what providers say, and what several of them agree on.
//!
//! | file | what |
//! |---|---|
//! | [`endpoint`] | one provider as it is reached, its address a secret |
//! | [`provider`] | the actor of one provider, its handle [`Provider`], calls and errors |
//! | [`wire`] | the structs of responses; only what is needed must be there |
//! | [`head`], [`blocks`], [`logs`] | scanning, on one provider's word: never enough for a credit |
//! | [`balances`], [`block_trace`] | where to look for coins that contracts have sent |
//! | [`facts`], [`trace`] | everything about one transaction that enters a credit |
//! | [`quorum`] | what enough providers agree on |
//! | [`contract`] | questions to contracts: signatures, tokens, feeds |
//! | `undeployed` | the same of a wallet that is deployed for the question only |
//! | [`feed`] | the price round in force at a moment |
//! | [`types`] | hashes, signatures, ABI: the one place that names the Ethereum crate |
//!
//! Nothing here decides about a deposit or trusts a provider, and only [`provider`] holds state:
//! every answer is read strictly where it matters and tolerantly elsewhere, and no answer whatever
//! may panic.

pub mod balances;
pub mod block_trace;
pub mod blocks;
pub mod contract;
pub mod endpoint;
pub mod facts;
pub mod feed;
pub mod head;
pub mod logs;
pub mod provider;
pub mod quorum;
pub mod signature;
pub mod trace;
pub mod transfer;
pub mod types;
mod undeployed;
pub mod wire;

#[cfg(test)]
mod fixture;

pub use endpoint::ProviderEndpoint;
pub use provider::{Priority, Provider, ProviderError};
