//! Starts what watches chains, on a thread of its own: reading blocks must not hold up a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;

use crate::chain::endpoint::{NotAProviderUrl, ProviderUrl};
use crate::chain::provider::RpcActor;
use crate::chain::{Provider, ProviderEndpoint};
use crate::config::{Chain, RpcProvider, Settings};
use crate::context::AppContext;
use crate::deposits::watcher::{ChainWatcher, ChangeProviders, WatcherParts};
use crate::domain::evm::ChainId;

/// The running watchers. After a reload the same ones may ask others.
pub(super) struct ChainWatchers {
    arbiter: Option<Arbiter>,
    watchers: Vec<(ChainId, Addr<ChainWatcher>)>,
    /// Who is asked about each chain.
    pub(super) providers: Arc<BTreeMap<ChainId, Vec<Provider>>>,
}

/// Providers after a reload, and what the watchers have to hear of them.
pub(super) struct ProviderChanges {
    /// Who is asked about each chain.
    pub(super) providers: Arc<BTreeMap<ChainId, Vec<Provider>>>,
    changes: Vec<(ChainId, ChangeProviders)>,
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
            let asked = start_providers(chain, &arbiter, context, tls)?;
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
            watchers.push((chain.chain_id, ChainWatcher::start_in(&arbiter.handle(), parts)));
            providers.insert(chain.chain_id, asked);
        }
        Ok(Self { arbiter: Some(arbiter), watchers, providers: Arc::new(providers) })
    }

    /// Starts the providers that are not configured as they were before. Nobody asks them yet.
    pub(super) fn prepare(
        &self,
        context: &AppContext,
        before: &Settings,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<ProviderChanges, NotAProviderUrl> {
        let mut providers = BTreeMap::clone(&self.providers);
        let mut changes = Vec::new();
        let Some(arbiter) = &self.arbiter else {
            return Ok(ProviderChanges { providers: Arc::new(providers), changes });
        };
        for chain in &context.settings.chains {
            if !context.settings.has_same_providers(before, chain.chain_id) {
                let asked = start_providers(chain, arbiter, context, tls)?;
                providers.insert(chain.chain_id, asked.clone());
                let chain = Arc::new(chain.clone());
                changes.push((chain.chain_id, ChangeProviders { providers: asked, chain }));
            }
        }
        Ok(ProviderChanges { providers: Arc::new(providers), changes })
    }

    /// Has the watchers ask them.
    pub(super) async fn take_up(&mut self, changes: ProviderChanges) {
        let ProviderChanges { providers, changes } = changes;
        for (chain_id, change) in changes {
            let Some((_, watcher)) = self.watchers.iter().find(|(id, _)| *id == chain_id) else {
                continue;
            };
            if watcher.send(change).await.is_err() {
                tracing::error!("the watcher of a chain has ended");
            }
        }
        self.providers = providers;
    }

    /// Whether all of them are alive.
    pub(super) fn are_alive(&self) -> bool {
        self.watchers.iter().all(|(_, watcher)| watcher.connected())
    }

    /// Ends their thread; what they were doing is found again by the next start.
    pub(super) fn stop(&mut self) {
        let Some(arbiter) = self.arbiter.take() else { return };
        arbiter.stop();
        if arbiter.join().is_err() {
            tracing::error!("the thread of the chain watchers has panicked");
        }
    }
}

fn start_providers(
    chain: &Chain,
    arbiter: &Arbiter,
    context: &AppContext,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Vec<Provider>, NotAProviderUrl> {
    let all = chain.providers.iter().map(|provider| {
        let endpoint = endpoint(chain, provider)?;
        let metrics = Arc::clone(&context.metrics);
        Ok(RpcActor::start(&arbiter.handle(), endpoint, Arc::clone(tls), metrics))
    });
    all.collect()
}

/// A provider of the settings as it is asked.
pub(crate) fn endpoint(
    chain: &Chain,
    provider: &RpcProvider,
) -> Result<ProviderEndpoint, NotAProviderUrl> {
    let url = ProviderUrl::parse(provider.url.secret())?;
    Ok(ProviderEndpoint {
        timeout: provider.timeout,
        calls_per_second: provider.requests_per_second,
        batch_max: provider.batch_max,
        has_traces: provider.traces,
        ..ProviderEndpoint::new(provider.name.clone(), chain.chain_id, url)
    })
}
