//! What the handlers of every worker share, made of the settings; and made anew of other ones, with
//! all that is counted and remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::Data;

use super::StartError;
use super::chains::ChainWatchers;
use crate::accounts::identity::Identity;
use crate::accounts::keys::ApiKeyCache;
use crate::api::{Api, ApiParts};
use crate::chain::Provider;
use crate::context::AppContext;
use crate::domain::evm::ChainId;
use crate::gateway::Gateway;
use crate::gateway::intake::Intake;
use crate::gateway::limits::AccountLimits;
use crate::gateway::unknown_fields::UnknownFields;
use crate::site::{Site, SiteParts};
use crate::upstream::client::UpstreamClient;
use crate::upstream::node::CallContext;
use crate::upstream::{Upstream, credential};

/// See the module.
pub(super) struct Handlers {
    pub(super) context: Arc<AppContext>,
    kept: Kept,
    upstreams: Vec<Arc<Upstream>>,
    people: Arc<Identity>,
    pub(super) api: Data<Api>,
    pub(super) site: Data<Site>,
}

/// What counts and remembers, whatever the settings are.
#[derive(Clone)]
struct Kept {
    keys: Arc<ApiKeyCache>,
    limits: Arc<AccountLimits>,
    intake: Arc<Intake>,
    unknown_fields: Arc<UnknownFields>,
}

/// Watches the file of its credential, and shows how many requests it has.
fn begin(upstream: &Arc<Upstream>, node: &CallContext) {
    credential::watch(upstream, node);
    let open = node.metrics.upstreams.open(&upstream.settings.name);
    upstream.places.with(|places| places.show(open));
}

impl Handlers {
    /// Nothing is counted yet.
    pub(super) fn new(
        context: &Arc<AppContext>,
        upstream_tls: &Arc<rustls::ClientConfig>,
        chains: &ChainWatchers,
    ) -> Result<Self, StartError> {
        let settings = &context.settings;
        let metrics = Arc::clone(&context.metrics);
        let kept = Kept {
            keys: Arc::new(ApiKeyCache::new(context.database.clone())),
            limits: AccountLimits::new(settings, &context.standing, metrics),
            intake: Intake::new(settings, &context.metrics),
            unknown_fields: Arc::default(),
        };
        let (database, clock) = (context.database.clone(), context.clock.clone());
        let people = Identity::new(database, settings, context.tombstones.clone(), clock)?;
        let upstreams = settings.upstreams.iter().cloned();
        let upstreams = upstreams.map(|one| Upstream::new(one, upstream_tls).map(Arc::new));
        let upstreams = upstreams.collect::<Result<Vec<_>, _>>().map_err(StartError::Tls)?;
        let node = context.node();
        for upstream in &upstreams {
            begin(upstream, &node);
        }
        let state = (kept, Arc::new(people), upstreams);
        Ok(Self::assemble(context, state, &chains.providers, Api::new))
    }

    /// The same with the settings of another context. What is counted and remembered goes on, and
    /// so does every upstream that is still configured as it was.
    pub(super) fn with_context(
        &self,
        context: &Arc<AppContext>,
        upstream_tls: &Arc<rustls::ClientConfig>,
        providers: &Arc<BTreeMap<ChainId, Vec<Provider>>>,
    ) -> Result<Self, rustls::Error> {
        let settings = &context.settings;
        let upstreams = self.upstreams_of(context, upstream_tls)?;
        for upstream in upstreams.iter().filter(|one| !self.has(one)) {
            context.metrics.upstreams.set_resting(&upstream.settings.name, false);
            begin(upstream, &context.node());
        }
        for gone in &self.upstreams {
            if upstreams.iter().all(|one| one.settings.name != gone.settings.name) {
                context.metrics.upstreams.forget(&gone.settings.name);
            }
        }
        self.kept.limits.take_up(&settings.server);
        self.kept.intake.bodies.take_up(&settings.limits);
        let people = Arc::new(self.people.with_settings(settings));
        let state = (self.kept.clone(), people, upstreams);
        Ok(Self::assemble(context, state, providers, |parts| self.api.with_parts(parts)))
    }

    fn upstreams_of(
        &self,
        context: &AppContext,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Vec<Arc<Upstream>>, rustls::Error> {
        let (before, settings) = (&self.context.settings, &context.settings);
        let upstreams = settings.upstreams.iter().map(|one| {
            let known = self.upstreams.iter().find(|known| known.settings.name == one.name);
            match known {
                Some(known) if settings.has_same_upstream(before, &one.name) => {
                    Ok(Arc::clone(known))
                }
                Some(known) => known.with_settings(one.clone(), tls).map(Arc::new),
                None => Upstream::new(one.clone(), tls).map(Arc::new),
            }
        });
        upstreams.collect()
    }

    fn has(&self, upstream: &Arc<Upstream>) -> bool {
        self.upstreams.iter().any(|known| Arc::ptr_eq(known, upstream))
    }

    fn assemble(
        context: &Arc<AppContext>,
        (kept, people, upstreams): (Kept, Arc<Identity>, Vec<Arc<Upstream>>),
        providers: &Arc<BTreeMap<ChainId, Vec<Provider>>>,
        api: impl FnOnce(ApiParts) -> Api,
    ) -> Self {
        let parts = ApiParts {
            context: Arc::clone(context),
            keys: Arc::clone(&kept.keys),
            people: Arc::clone(&people),
            limits: Arc::clone(&kept.limits),
            providers: Arc::clone(providers),
            upstreams: upstreams.clone(),
        };
        let api = Data::new(api(parts.clone()));
        let site = Data::new(Site::new(SiteParts { api: parts, interface: api.clone() }));
        Self { context: Arc::clone(context), kept, upstreams, people, api, site }
    }

    /// One for each worker, since its clients belong to one thread. Those of an upstream that is
    /// still the same keep their connections.
    pub(super) fn gateway(&self, before: &[UpstreamClient]) -> Gateway {
        let clients = self.upstreams.iter().map(|one| {
            let known = before.iter().find(|client| Arc::ptr_eq(&client.upstream, one));
            known.cloned().unwrap_or_else(|| UpstreamClient::new(Arc::clone(one)))
        });
        Gateway {
            context: Arc::clone(&self.context),
            keys: Arc::clone(&self.kept.keys),
            limits: Arc::clone(&self.kept.limits),
            intake: Arc::clone(&self.kept.intake),
            unknown_fields: Arc::clone(&self.kept.unknown_fields),
            upstreams: clients.collect(),
        }
    }
}
