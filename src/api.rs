//! `/api/v1`: what people do with their account, as JSON. Who asks is found out by the same keys as
//! at `/v1`, but the answers have a shape of their own: amounts are decimal text in dollars, times
//! are RFC 3339, and an error is `{"error": {"code", "message"}}` with a word that stays.

pub mod account;
pub mod accounts;
mod answer;
mod archive;
pub mod caller;
mod closing;
pub mod deposits;
mod download;
mod endpoints;
mod extractors;
pub mod keys;
pub mod ledger;
mod middleware;
mod offer;
pub mod openapi;
mod own_key;
pub mod preferences;
pub mod prices;
mod proof;
mod query;
mod refusal;
mod respond;
pub mod sessions;
mod signature;
pub mod status;
pub mod usage;
pub mod values;
pub mod wallets;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::ServiceConfig;

use crate::accounts::identity::Identity;
use crate::accounts::keys::ApiKeyCache;
use crate::chain::Provider;
use crate::config::{Chain, Deposits, Limits, SiteSettings};
use crate::context::AppContext;
use crate::db::{AnyConnection, DbError};
use crate::deposits::challenge::Origin;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;
use crate::domain::ids::AccountId;
use crate::domain::key_scopes::Scope;
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
    /// The main components of this node.
    pub context: Arc<AppContext>,
    /// Who is asking.
    pub keys: Arc<ApiKeyCache>,
    /// What people do with their account.
    pub people: Arc<Identity>,
    /// How much each account may ask.
    pub limits: Arc<AccountLimits>,
    /// Who is asked about each chain.
    pub providers: Arc<BTreeMap<ChainId, Vec<Provider>>>,
    /// Whose health says whether messages are served.
    pub upstreams: Vec<Arc<Upstream>>,
}

impl ApiParts {
    /// Reads over all that an account has used: in its turn, so that others are not kept from the
    /// database.
    ///
    /// # Errors
    /// 429 where the account has too many such reads, storage's, or those of `work`.
    pub async fn run_long<T, E, R, F>(&self, account_id: AccountId, work: F) -> Result<T, R>
    where
        T: Send + 'static,
        E: Into<R> + Send + 'static,
        R: From<ApiError> + From<DbError>,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        let turn = self.limits.read(account_id).await?;
        let read = self.context.database.run(move |conn| {
            let done = work(conn);
            // Here: whoever leaves takes no turn along, for his read goes on.
            drop(turn);
            Ok(done)
        });
        read.await?.map_err(Into::into)
    }
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
    quotes: deposits::quotes::CoinQuotes,
    watchers: Arc<Watchers>,
    archives: Arc<archive::Turns>,
}

impl Api {
    /// From its parts.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        let settings = &parts.context.settings;
        let body = settings.limits.of_small_body(BODY_BYTES);
        let document = describe(&settings.site);
        let (chains, limits) = (settings.chains.clone(), &settings.deposits);
        let watchers = Watchers::new(parts.context.database.clone(), chains, limits);
        let origin = Origin::new(&settings.site.name, &settings.site.base_url);
        Self {
            parts,
            origin,
            body,
            document,
            latest_status: status::Latest::default(),
            quotes: deposits::quotes::CoinQuotes::default(),
            watchers,
            archives: Arc::default(),
        }
    }

    /// The same from other parts, on the same chains: who watches and who exports goes on.
    #[must_use]
    pub fn with_parts(&self, parts: ApiParts) -> Self {
        let (watchers, archives) = (Arc::clone(&self.watchers), Arc::clone(&self.archives));
        Self { watchers, archives, ..Self::new(parts) }
    }

    /// What describes all of this.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    fn now(&self) -> UnixMillis {
        self.parts.context.clock.now()
    }

    fn deposits(&self) -> &Deposits {
        &self.parts.context.settings.deposits
    }

    fn chains(&self) -> &[Chain] {
        &self.parts.context.settings.chains
    }

    fn chain(&self, name: &str) -> Result<&Chain, Refusal> {
        self.chains().iter().find(|chain| chain.name == name).ok_or(Refusal::UnknownChain)
    }

    /// See [`ApiParts::run_long`].
    async fn run_long<T, E, F>(&self, account_id: AccountId, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.parts.run_long(account_id, work).await
    }

    /// Does something with the database, on a thread that may block.
    async fn run<T, E, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    {
        self.parts.context.database.run(move |conn| Ok(work(conn))).await?.map_err(Into::into)
    }
}

/// What a key sees of its own with either scope, and of all keys with the second.
const OWN: &[Scope] = &[Scope::Inference, Scope::Read];
/// What every key may see.
const ANY: &[Scope] = &[Scope::Inference, Scope::Read, Scope::Billing];
/// What is only looked at.
const READ: &[Scope] = &[Scope::Read];
/// What who pays in has to see too.
const READ_OR_BILLING: &[Scope] = &[Scope::Read, Scope::Billing];
/// Paying in.
const BILLING: &[Scope] = &[Scope::Billing];

/// What describes all that is offered at a site.
#[must_use]
pub fn describe(site: &SiteSettings) -> Document {
    Document::new(site, endpoints())
}

/// Adds the routes.
pub fn configure(config: &mut ServiceConfig) {
    endpoints().serve(config);
}

/// All that is offered, in groups. Path, method and description stand at the handler, who may ask
/// stands here.
fn endpoints() -> Endpoints {
    use deposits::{events, options, own_address};
    people()
        .tag("service")
        .anyone(openapi::show, openapi::__path_show)
        .anyone(prices::show, prices::__path_show)
        .anyone(status::show, status::__path_show)
        .tag("keys")
        .key(OWN, keys::list, keys::__path_list)
        .session(keys::create, keys::__path_create)
        .key(OWN, keys::show, keys::__path_show)
        .session(keys::change, keys::__path_change)
        .session(keys::rotation::rotate, keys::rotation::__path_rotate)
        .session(keys::revoke, keys::__path_revoke)
        .key(ANY, own_key::show, own_key::__path_show)
        .tag("usage")
        .key(OWN, usage::list, usage::__path_list)
        .key(OWN, usage::series, usage::__path_series)
        .key(OWN, usage::refusals::list, usage::refusals::__path_list)
        .key(OWN, usage::export, usage::__path_export)
        .key(OWN, usage::show, usage::__path_show)
        .tag("ledger")
        .key(READ, ledger::list, ledger::__path_list)
        .key(READ, ledger::export, ledger::__path_export)
        .tag("deposits")
        .key(READ_OR_BILLING, deposits::list, deposits::__path_list)
        .key(BILLING, deposits::claim, deposits::__path_claim)
        .key(READ_OR_BILLING, deposits::show, deposits::__path_show)
        .key(BILLING, options::options, options::__path_options)
        .key(BILLING, own_address::issue, own_address::__path_issue)
        .key(READ_OR_BILLING, events::follow_all, events::__path_follow_all)
        .key(READ_OR_BILLING, events::follow, events::__path_follow)
        .tag("wallets")
        .key(BILLING, wallets::challenge, wallets::__path_challenge)
        .key(READ_OR_BILLING, wallets::list, wallets::__path_list)
        .key(BILLING, wallets::create, wallets::__path_create)
        .session(wallets::delete, wallets::__path_delete)
}

/// What people do with their account by themselves.
fn people() -> Endpoints {
    use account::totp;
    Endpoints::default()
        .tag("accounts")
        .anyone(accounts::create, accounts::__path_create)
        .anyone(accounts::confirm, accounts::__path_confirm)
        .anyone(accounts::ask_to_reset, accounts::__path_ask_to_reset)
        .anyone(accounts::reset, accounts::__path_reset)
        .tag("sessions")
        .anyone(sessions::create, sessions::__path_create)
        .session(sessions::list, sessions::__path_list)
        .session(sessions::delete_all, sessions::__path_delete_all)
        .session(sessions::delete, sessions::__path_delete)
        .tag("account")
        .key(READ_OR_BILLING, account::show, account::__path_show)
        .session(account::change_password, account::__path_change_password)
        .session(account::ask_for_email, account::__path_ask_for_email)
        .anyone(account::confirm_email, account::__path_confirm_email)
        .session(totp::create, totp::__path_create)
        .session(totp::enable, totp::__path_enable)
        .session(totp::disable, totp::__path_disable)
        .session(totp::renew_codes, totp::__path_renew_codes)
        .session(preferences::show, preferences::__path_show)
        .session(preferences::replace, preferences::__path_replace)
        .session(archive::download, archive::__path_download)
        .session(closing::begin, closing::__path_begin)
        .session(closing::undo, closing::__path_undo)
}
