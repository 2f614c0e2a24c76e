//! `/api/v1`: what people do with their account, as JSON. Who asks is found out by the same keys as at `/v1`, but the
//! answers have a shape of their own: amounts are decimal text in dollars, times are RFC 3339, and an error is
//! `{"error": {"code", "message"}}` with a word that stays.

pub mod account;
pub mod accounts;
mod answer;
mod archive;
pub mod caller;
mod closing;
pub mod deposits;
mod download;
mod endpoints;
pub mod keys;
pub mod ledger;
pub mod openapi;
pub mod preferences;
pub mod prices;
mod proof;
mod query;
mod refusal;
pub mod sessions;
pub mod status;
pub mod usage;
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
use crate::domain::tombstone::TombstoneKey;
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
    /// What debtors' wallets are known by.
    pub tombstones: TombstoneKey,
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
    archives: Arc<archive::Turns>,
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
        let origin = Origin::new(&settings.site.name, &settings.site.base_url);
        let latest_status = status::Latest::default();
        Self { parts, origin, body, document, latest_status, watchers, archives: Arc::default() }
    }

    /// What describes all of this.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
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
    people()
        .anyone(openapi::show, openapi::__path_show)
        .anyone(prices::show, prices::__path_show)
        .anyone(status::show, status::__path_show)
        .session(keys::list, keys::__path_list)
        .session(keys::create, keys::__path_create)
        .session(keys::show, keys::__path_show)
        .session(keys::change, keys::__path_change)
        .session(keys::revoke, keys::__path_revoke)
        .account(usage::list, usage::__path_list)
        .account(usage::series, usage::__path_series)
        .account(usage::export, usage::__path_export)
        .account(usage::show, usage::__path_show)
        .account(ledger::list, ledger::__path_list)
        .account(ledger::export, ledger::__path_export)
        .session(archive::download, archive::__path_download)
        .session(closing::begin, closing::__path_begin)
        .session(closing::undo, closing::__path_undo)
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

/// What people do with their account by themselves.
fn people() -> Endpoints {
    use account::totp;
    Endpoints::default()
        .anyone(accounts::create, accounts::__path_create)
        .anyone(accounts::confirm, accounts::__path_confirm)
        .anyone(accounts::ask_to_reset, accounts::__path_ask_to_reset)
        .anyone(accounts::reset, accounts::__path_reset)
        .anyone(sessions::create, sessions::__path_create)
        .session(sessions::list, sessions::__path_list)
        .session(sessions::delete_all, sessions::__path_delete_all)
        .session(sessions::delete, sessions::__path_delete)
        .account(account::show, account::__path_show)
        .session(account::change_password, account::__path_change_password)
        .session(account::ask_for_email, account::__path_ask_for_email)
        .anyone(account::confirm_email, account::__path_confirm_email)
        .session(totp::create, totp::__path_create)
        .session(totp::enable, totp::__path_enable)
        .session(totp::disable, totp::__path_disable)
        .session(totp::renew_codes, totp::__path_renew_codes)
        .session(preferences::show, preferences::__path_show)
        .session(preferences::replace, preferences::__path_replace)
}
