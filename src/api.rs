//! `/api/v1`: what people do with their account, as JSON. Who asks is found out by the same keys as at `/v1`, but the
//! answers have a shape of their own: amounts are decimal text in dollars, times are RFC 3339, and an error is
//! `{"error": {"code", "message"}}` with a word that stays.

mod answer;
pub mod caller;
mod deposits;
mod proof;
mod refusal;
mod wallets;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};

use crate::accounts::{KeyRing, People};
use crate::actors::stream::Shared;
use crate::chain::Provider;
use crate::config::{Chain, Deposits, Limits};
use crate::db::{AnyConnection, Database};
use crate::deposits::challenge::Origin;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;
use crate::gateway::limits::AccountLimits;
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
}

/// What handlers work with.
pub struct Api {
    parts: ApiParts,
    /// The site as messages to sign name it.
    origin: Origin,
    body: Limits,
}

impl Api {
    /// From its parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let settings = &parts.shared.settings;
        let body = Limits { body_bytes: BODY_BYTES, ..settings.limits.clone() };
        Self { origin: Origin::new(&settings.site.name, &settings.site.base_url), body, parts }
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
    let wrong_method = || web::route().to(answer::method_not_allowed);
    let scope = web::scope("/api/v1")
        .service(
            web::resource("/deposits/options")
                .route(web::get().to(deposits::options))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/deposits")
                .route(web::get().to(deposits::list))
                .route(web::post().to(deposits::claim))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/deposits/{id}")
                .route(web::get().to(deposits::show))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/wallets/challenge")
                .route(web::post().to(wallets::challenge))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/wallets")
                .route(web::get().to(wallets::list))
                .route(web::post().to(wallets::create))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/wallets/{id}")
                .route(web::delete().to(wallets::delete))
                .default_service(wrong_method()),
        )
        .default_service(web::route().to(answer::not_found));
    config.service(scope);
}
