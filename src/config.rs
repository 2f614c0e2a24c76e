//! Settings: read from three layers, checked as a whole, and typed so that nothing inside checks
//! them again. The only module that knows how a setting is written; it reads files and secrets, but
//! never the process's environment by itself.

mod abuse;
mod accounts;
mod backup;
mod chains;
mod credentials;
mod database;
mod deposits;
mod draft;
mod examples;
mod layers;
mod limits;
mod lines;
mod mail;
mod notes;
mod otlp;
mod pricing;
mod privacy;
mod problems;
mod providers;
mod read;
mod readiness;
mod reconcile;
mod reload;
mod requests;
mod reservation;
mod secret;
mod server;
mod show;
mod site;
mod stream;
#[cfg(test)]
mod tests;
mod tiers;
mod upstream;
mod value;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::abuse::Abuse;
pub use self::accounts::Accounts;
pub use self::backup::BackupSettings;
pub use self::chains::{Chain, Feed, Finality, NativeCoin, Token};
pub use self::database::{DatabaseSettings, DatabaseUrl, DatabaseUrlError};
pub use self::deposits::Deposits;
pub use self::draft::{Draft, DraftError};
pub use self::examples::chain_names;
pub use self::limits::Limits;
pub use self::mail::{Mail, MailDelivery, MailTls, Smtp};
pub use self::otlp::Otlp;
pub use self::privacy::{NotATimeOfDay, Privacy, TimeOfDay, TombstoneSecret};
pub use self::problems::{ConfigErrors, Problem, SettingLocation};
pub use self::providers::{NotAnRpcUrl, RpcProvider, RpcUrl};
pub use self::readiness::Unready;
pub use self::reconcile::Reconcile;
pub use self::reload::SettingsChanges;
pub use self::requests::{Requests, Tools};
pub use self::reservation::ReservationSettings;
pub use self::server::{Server, TlsFiles};
pub use self::site::{DARK_GROUND, LIGHT_GROUND, Log, LogFormat, SiteSettings};
pub use self::stream::{ClientGone, Stream};
pub use self::tiers::Tier;
pub use self::upstream::{
    BaseUrl, CREDENTIAL_PHRASES, EgressProxy, ModelPattern, Rename, UpstreamAuth, UpstreamSettings,
    read_credential,
};
use crate::domain::price_list::PriceList;

/// The reference: every key with its default, as built into the program.
pub const REFERENCE: &str = include_str!("../config/default.toml");

/// Where settings come from, beyond the reference.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The operator's file.
    pub file: Option<PathBuf>,
    /// The whole environment, for `SLUICE__…` and for `credential_env`.
    pub env: Vec<(String, String)>,
}

/// A secret that stands alone in a file.
///
/// # Errors
/// The reason, which names the file, never its content.
pub fn secret_in_file(path: &Path) -> Result<secrecy::SecretString, String> {
    secret::read(path)
}

/// A secret that an environment variable holds.
///
/// # Errors
/// The reason, which names the variable, never its content.
pub fn secret_in_env(
    variable: &str,
    env: &[(String, String)],
) -> Result<secrecy::SecretString, String> {
    secret::from_env(variable, env)
}

/// What the settings are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    /// To serve, or to check that serving would work: upstreams must be there, and every secret.
    Serve,
    /// For a command that only needs the database: upstreams and providers are checked as written,
    /// their secrets are not fetched, and [`Settings::upstreams`] and [`Chain::providers`] stay
    /// empty.
    Command,
}

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listeners and clients.
    pub server: Server,
    /// Storage.
    pub database: DatabaseSettings,
    /// Sizes and times of a request.
    pub limits: Limits,
    /// Times and endings of an exchange.
    pub stream: Stream,
    /// Estimates.
    pub reservation: ReservationSettings,
    /// Typed tools.
    pub tools: Tools,
    /// Refusals.
    pub requests: Requests,
    /// Where requests go, in order of preference.
    pub upstreams: Vec<UpstreamSettings>,
    /// Whose deposits are taken, and how many are asked for at once.
    pub deposits: Deposits,
    /// How people sign up and log in.
    pub accounts: Accounts,
    /// When people are told that something is unusual.
    pub abuse: Abuse,
    /// How usage is compared with what upstreams report.
    pub reconcile: Reconcile,
    /// How long things are kept.
    pub privacy: Privacy,
    /// How a copy of the database is kept.
    pub backup: BackupSettings,
    /// Chains on which deposits are taken.
    pub chains: Vec<Chain>,
    /// How people are written to.
    pub mail: Mail,
    /// What people see.
    pub site: SiteSettings,
    /// What the operator sees.
    pub log: Log,
    /// Where traces go.
    pub otlp: Otlp,
    /// Models and prices, markup included.
    pub prices: Arc<PriceList>,
    shown: String,
    hashes: reload::KeyHashes,
}

impl Settings {
    /// The settings in force as TOML that loads again, with every secret as `********`.
    #[must_use]
    pub fn render(&self) -> &str {
        &self.shown
    }
}

/// Settings to serve with.
///
/// # Errors
/// [`ConfigErrors`] with everything that is wrong, each with its place, key and reason.
pub fn load(sources: &Sources) -> Result<Settings, ConfigErrors> {
    load_for(sources, LoadPurpose::Serve)
}

/// Settings for a purpose.
///
/// # Errors
/// [`ConfigErrors`] with everything that is wrong, each with its place, key and reason.
pub fn load_for(sources: &Sources, purpose: LoadPurpose) -> Result<Settings, ConfigErrors> {
    let layers = layers::merge(sources)?;
    read::settings(&layers, &sources.env, purpose)
}

/// Settings to serve with, of a text that is to become the file `path`.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    path: &Path,
    text: &str,
    env: &[(String, String)],
) -> Result<Settings, ConfigErrors> {
    let layers = layers::merge_text(Some((path, text)), env)?;
    read::settings(&layers, env, LoadPurpose::Serve)
}

/// The prices of a file, for a comparison.
#[derive(Debug)]
pub struct PricesOfFile {
    /// The file's models laid over those of the reference.
    pub list: PriceList,
    /// The ids of the models that the file names.
    pub names: BTreeSet<String>,
}

/// Reads the `[models."ID"]` of a file in the form of the settings, and nothing else of it.
///
/// # Errors
/// [`ConfigErrors`] if the file cannot be read, or its models are not in order.
pub fn prices_of(file: &Path) -> Result<PricesOfFile, ConfigErrors> {
    let sources = Sources { file: Some(file.to_owned()), env: Vec::new() };
    read::prices_of_file(layers::merge(&sources)?)
}

/// Whether a host, as a URL has it, is this machine for certain.
fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
