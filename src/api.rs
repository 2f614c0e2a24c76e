//! `/api/v1`: what people do with their account, as JSON. Who asks is found out by the same keys as at `/v1`, but the
//! answers have a shape of their own: amounts are decimal text in dollars, times are RFC 3339, and an error is
//! `{"error": {"code", "message"}}` with a word that stays.

mod answer;
pub mod caller;
pub mod deposits;
mod endpoints;
pub mod openapi;
pub mod prices;
mod proof;
mod refusal;
pub mod status;
pub mod values;
pub mod wallets;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::ServiceConfig;

use crate::accounts::{KeyRing, People};
use crate::actors::stream::Shared;
use crate::chain::Provider;
use crate::config::{Chain, Deposits, Limits};
use crate::db::{AnyConnection, Database};
use crate::deposits::challenge::Origin;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;
use crate::gateway::limits::AccountLimits;
use crate::upstream::Upstream;
use deposits::watch::Watchers;
use endpoints::Endpoints;
use openapi::Document;
use refusal::Refusal;

/// Bytes of a request's body. The longest is a signed message with a contract's signature.
const BODY_BYTES: usize = 64 * 1024;

/// What handlers are made of.
#[derive(Clone)]
pub struct ApiParts {
    /// What exchanges share.
    pub shared: Arc<Shared>,
    /// Storage.
    pub database: Database,
    /// Who is asking.
    pub keys: Arc<KeyRing>,
    /// What people do with their account.
    pub people: Arc<People>,
    /// How much each account may ask.
    pub limits: Arc<AccountLimits>,
    /// Who is asked about each chain.
    pub providers: Arc<BTreeMap<ChainId, Vec<Provider>>>,
    /// Whose health says whether messages are served.
    pub upstreams: Vec<Arc<Upstream>>,
}

/// What handlers work with.
pub struct Api {
    parts: ApiParts,
    /// The site as messages to sign name it.
    origin: Origin,
    body: Limits,
    /// What describes all of this.
    document: Document,
    latest_status: status::Latest,
    watchers: Arc<Watchers>,
}

impl Api {
    /// From its parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let settings = &parts.shared.settings;
        let body = Limits { body_bytes: BODY_BYTES, ..settings.limits.clone() };
        let document = Document::new(&settings.site, endpoints());
        let (chains, limits) = (settings.chains.clone(), &settings.deposits);
        let watchers = Watchers::new(parts.database.clone(), chains, limits);
        let (origin, latest_status) =
            (Origin::new(&settings.site.name, &settings.site.base_url), status::Latest::default());
        Self { parts, origin, body, document, latest_status, watchers }
    }

    fn now(&self) -> UnixMillis {
        self.parts.shared.clock.now()
    }

    fn deposits(&self) -> &Deposits {
        &self.parts.shared.settings.deposits
    }

    fn chains(&self) -> &[Chain] {
        &self.parts.shared.settings.chains
    }

    fn chain(&self, name: &str) -> Result<&Chain, Refusal> {
        self.chains().iter().find(|chain| chain.name == name).ok_or(Refusal::UnknownChain)
    }

    /// Does something with the database, on a thread that may block.
    async fn run<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.parts.database.run(move |conn| Ok(work(conn))).await?.map_err(Into::into)
    }
}

/// Adds the routes.
pub fn configure(config: &mut ServiceConfig) {
    endpoints().serve(config);
}

/// All that is offered. Path, method and description stand at the handler, who may ask stands here.
fn endpoints() -> Endpoints {
    use deposits::{events, options};
    Endpoints::default()
        .anyone(openapi::show, openapi::__path_show)
        .anyone(prices::show, prices::__path_show)
        .anyone(status::show, status::__path_show)
        .account(deposits::list, deposits::__path_list)
        .account(deposits::claim, deposits::__path_claim)
        .account(deposits::show, deposits::__path_show)
        .account(options::options, options::__path_options)
        .account(events::follow, events::__path_follow)
        .account(wallets::challenge, wallets::__path_challenge)
        .account(wallets::list, wallets::__path_list)
        .account(wallets::create, wallets::__path_create)
        .account(wallets::delete, wallets::__path_delete)
}
