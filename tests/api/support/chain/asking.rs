//! Asking providers as the gateway does: through an `RpcActor` for each.

use std::sync::Arc;

use actix::{Arbiter, System};
use secrecy::SecretString;
use sluice::chain::endpoint::{ProviderEndpoint, ProviderUrl};
use sluice::chain::provider::RpcActor;
use sluice::domain::evm::ChainId;
use sluice::metrics::Metrics;
use sluice::upstream::client::tls_config;

use super::super::rpc::Provider;
use super::CHAIN_ID;

/// An endpoint that nothing holds up, at the path where a provider expects its key.
pub(crate) fn endpoint(name: &str, provider: &Provider) -> ProviderEndpoint {
    let url = SecretString::from(format!("{}/v2/path-key?token=query-key", provider.url()));
    let chain_id = ChainId(i64::try_from(CHAIN_ID).unwrap());
    let mut endpoint = ProviderEndpoint::new(name, chain_id, ProviderUrl::parse(&url).unwrap());
    endpoint.calls_per_second = 100_000;
    endpoint.has_traces = true;
    endpoint
}

/// Runs a question against providers `a`, `b`, `c` … in this order.
pub(crate) fn ask<T>(
    providers: &[&Provider],
    question: impl AsyncFnOnce(Vec<sluice::chain::Provider>) -> T,
) -> T {
    let endpoints = providers.iter().zip('a'..).map(|(provider, name)| {
        let name = name.to_string();
        endpoint(&name, provider)
    });
    ask_at(endpoints.collect(), question).0
}

/// Runs a question against endpoints, and gives what the metrics say afterwards.
pub(crate) fn ask_at<T>(
    endpoints: Vec<ProviderEndpoint>,
    question: impl AsyncFnOnce(Vec<sluice::chain::Provider>) -> T,
) -> (T, String) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let answer = System::new().block_on(async {
        let arbiter = Arbiter::current();
        let start = |endpoint| {
            RpcActor::start(&arbiter, endpoint, tls_config().unwrap(), Arc::clone(&metrics))
        };
        question(endpoints.into_iter().map(start).collect()).await
    });
    (answer, metrics.render())
}
