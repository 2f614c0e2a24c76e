//! Starts what watches chains, on a thread of its own: reading blocks must not hold up a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;

use crate::chain::endpoint::{NotAProviderUrl, ProviderUrl};
use crate::chain::provider::RpcActor;
use crate::chain::{Provider, ProviderEndpoint};
use crate::config::{Chain, RpcProvider};
use crate::context::AppContext;
use crate::deposits::watcher::{ChainWatcher, WatcherParts};
use crate::domain::evm::ChainId;

/// The running watchers.
pub(super) struct ChainWatchers {
    arbiter: Option<Arbiter>,
    watchers: Vec<Addr<ChainWatcher>>,
    /// Who is asked about each chain.
    pub(super) providers: Arc<BTreeMap<ChainId, Vec<Provider>>>,
}

impl ChainWatchers {
    /// Starts an actor for each provider and one for each chain.
    pub(super) fn start(
        context: &AppContext,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, NotAProviderUrl> {
        let settings = &context.settings;
        if settings.chains.is_empty() {
            return Ok(Self { arbiter: None, watchers: Vec::new(), providers: Arc::default() });
        }
        let arbiter = Arbiter::new();
        let mut providers = BTreeMap::new();
        let mut watchers = Vec::new();
        for chain in &settings.chains {
            let asked = chain.providers.iter().map(|provider| {
                let endpoint = endpoint(chain, provider)?;
                let metrics = Arc::clone(&context.metrics);
                Ok(RpcActor::start(&arbiter.handle(), endpoint, Arc::clone(tls), metrics))
            });
            let asked = asked.collect::<Result<Vec<Provider>, NotAProviderUrl>>()?;
            let parts = WatcherParts {
                chain: Arc::new(chain.clone()),
                deposits: Arc::new(settings.deposits.clone()),
                providers: asked.clone(),
                node_id: Arc::clone(&context.node_id),
                database: context.database.clone(),
                tombstones: context.tombstones.clone(),
                clock: context.clock.clone(),
                tracker: context.tracker.clone(),
                metrics: Arc::clone(&context.metrics),
            };
            watchers.push(ChainWatcher::start_in(&arbiter.handle(), parts));
            providers.insert(chain.chain_id, asked);
        }
        Ok(Self { arbiter: Some(arbiter), watchers, providers: Arc::new(providers) })
    }

    /// Whether all of them are alive.
    pub(super) fn are_alive(&self) -> bool {
        self.watchers.iter().all(Addr::connected)
    }

    /// Ends their thread; what they were doing is found again by the next start.
    pub(super) fn stop(self) {
        let Some(arbiter) = self.arbiter else { return };
        arbiter.stop();
        if arbiter.join().is_err() {
            tracing::error!("the thread of the chain watchers has panicked");
        }
    }
}

fn endpoint(chain: &Chain, provider: &RpcProvider) -> Result<ProviderEndpoint, NotAProviderUrl> {
    let url = ProviderUrl::parse(provider.url.secret())?;
    Ok(ProviderEndpoint {
        timeout: provider.timeout,
        calls_per_second: provider.requests_per_second,
        batch_max: provider.batch_max,
        has_traces: provider.traces,
        ..ProviderEndpoint::new(provider.name.clone(), chain.chain_id, url)
    })
}
