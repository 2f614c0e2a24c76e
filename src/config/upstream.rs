//! `[[upstreams]]`: where requests go, and with which credential.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Uri;
use actix_web::http::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::secret::{self, SecretKeys};
use super::{is_loopback_host, value};
use crate::domain::price_list::PriceList;

/// What vendors and gateways say where our credential or credit is refused, by a word, a code or a
/// type: lower case. The default of `credential_phrases`.
pub const CREDENTIAL_PHRASES: [&str; 16] = [
    "credit balance is too low",
    "specified api usage limits",
    "organization has been disabled",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "ramp_limit_exceeded",
    "linked_organization_billing_unavailable",
    "organization_on_hold",
    "insufficient_quota",
    "insufficient_credits",
    "insufficient credits",
    "billing_hard_limit_reached",
    "budget_exceeded",
    "budget has been exceeded",
    "invalid_api_key",
    "security token included in the request is",
];

/// One place that requests may go to.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Name in logs and metrics, unique.
    pub name: String,
    /// Address up to, but without, `/v1`.
    pub base_url: BaseUrl,
    /// How the credential is sent.
    pub auth: UpstreamAuth,
    /// The credential; visible ASCII without spaces, so that it fits a header.
    pub credential: SecretString,
    /// Models that are named differently there: our id to its name.
    pub models: BTreeMap<String, String>,
    /// Ids of the models that it serves; empty is all.
    pub serves: Vec<String>,
    /// Connections open at once for each worker.
    pub connections_max: usize,
    /// Bytes in the kernel that an answer may be ahead of its client.
    pub receive_buffer_bytes: usize,
    /// Time to connect, TLS included.
    pub connect: Duration,
    /// What we call ourselves there.
    pub user_agent: String,
    /// Accounts that meet a 403 until it counts as a refusal of our credential; 0 is never.
    pub forbidden_accounts: usize,
    /// Time within which they do.
    pub forbidden_window: Duration,
    /// Where the credential stands, if it is in a file: it is read again when the file changes.
    pub credential_file: Option<PathBuf>,
    /// Tier; lower ones are asked first. `None` is its place in the file, from 0.
    pub priority: Option<u32>,
    /// Share of the conversations of its tier.
    pub weight: u32,
    /// Further headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What it says where our credential or credit is refused; lower case.
    pub credential_phrases: Vec<String>,
    /// How long it is left alone.
    pub rest: Duration,
    /// Failures in a row until it is.
    pub failures_max: u32,
    /// Heads in a row that do not come in time until it is.
    pub timeouts_max: u32,
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum UpstreamAuth {
    /// `x-api-key: CREDENTIAL`
    #[serde(rename = "x-api-key")]
    XApiKey,
    /// `authorization: Bearer CREDENTIAL`
    #[serde(rename = "bearer")]
    Bearer,
}

/// An http or https address without query, fragment, credentials or slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    is_https: bool,
    is_loopback: bool,
}

/// The text is no such address.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be an address such as \"https://api.example.com\", without query or user name")]
pub struct NotABaseUrl;

impl BaseUrl {
    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether it is this machine for certain.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.is_loopback
    }
}

impl FromStr for BaseUrl {
    type Err = NotABaseUrl;

    fn from_str(text: &str) -> Result<Self, NotABaseUrl> {
        let uri: Uri = text.parse().map_err(|_| NotABaseUrl)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NotABaseUrl),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NotABaseUrl)?;
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if has_user || uri.query().is_some() || text.contains('#') {
            return Err(NotABaseUrl);
        }
        let is_loopback = is_loopback_host(host);
        Ok(Self { text: text.trim_end_matches('/').to_owned(), is_https, is_loopback })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One entry as written, before its secret is fetched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamEntry {
    #[serde(deserialize_with = "value::text")]
    name: String,
    #[serde(deserialize_with = "value::parsed")]
    base_url: BaseUrl,
    #[serde(default = "default_auth")]
    auth: UpstreamAuth,
    #[serde(default, deserialize_with = "value::optional_secret")]
    credential: Option<SecretString>,
    #[serde(default, deserialize_with = "value::optional_text")]
    credential_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    credential_env: Option<String>,
    #[serde(default)]
    models: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "value::list")]
    serves: Vec<String>,
    #[serde(
        default = "default_connections_max",
        deserialize_with = "value::whole::<1, 1_000_000, _, _>"
    )]
    connections_max: usize,
    #[serde(
        default = "default_receive_buffer_bytes",
        deserialize_with = "value::whole::<4_096, 16_777_216, _, _>"
    )]
    receive_buffer_bytes: usize,
    #[serde(
        rename = "connect_secs",
        default = "default_connect",
        deserialize_with = "value::secs::<1, 600, _>"
    )]
    connect: Duration,
    #[serde(default = "default_user_agent", deserialize_with = "user_agent")]
    user_agent: String,
    #[serde(
        default = "default_forbidden_accounts",
        deserialize_with = "value::whole::<0, 1_000, _, _>"
    )]
    forbidden_accounts: usize,
    #[serde(
        rename = "forbidden_window_secs",
        default = "default_forbidden_window",
        deserialize_with = "value::secs::<1, 86_400, _>"
    )]
    forbidden_window: Duration,
    #[serde(default, deserialize_with = "optional_priority")]
    priority: Option<u32>,
    #[serde(default = "default_weight", deserialize_with = "value::whole::<1, 100, _, _>")]
    weight: u32,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "default_credential_phrases", deserialize_with = "value::list")]
    credential_phrases: Vec<String>,
    #[serde(
        rename = "rest_secs",
        default = "default_rest",
        deserialize_with = "value::secs::<1, 3_600, _>"
    )]
    rest: Duration,
    #[serde(default = "default_failures_max", deserialize_with = "value::whole::<1, 1_000, _, _>")]
    failures_max: u32,
    #[serde(default = "default_timeouts_max", deserialize_with = "value::whole::<1, 1_000, _, _>")]
    timeouts_max: u32,
}

impl Upstream {
    /// Whether it serves the model of that priced id.
    #[must_use]
    pub fn serves(&self, model_id: &str) -> bool {
        self.serves.is_empty() || self.serves.iter().any(|served| served == model_id)
    }
}

impl UpstreamEntry {
    /// Rules that span keys, except for the secret.
    pub(super) fn check(&self, at: &KeyPath, prices: Option<&PriceList>, problems: &mut Problems) {
        if !self.base_url.is_https && !self.base_url.is_loopback {
            problems.add(
                &at.key("base_url"),
                "must be https: only an upstream on this host may be reached without TLS",
            );
        }
        if ["/v1", "/v1/messages"].iter().any(|end| self.base_url.text.ends_with(end)) {
            problems.add(
                &at.key("base_url"),
                "must not end in /v1 or /v1/messages: Sluice adds the path",
            );
        }
        for (name, value) in &self.headers {
            if header(name, value).is_none() {
                problems.add(
                    &at.key("headers").key(name),
                    "must be a header that Sluice does not set itself, with a value of visible ASCII",
                );
            }
        }
        let is_unknown = |id: &&String| prices.is_some_and(|prices| prices.find(id).is_none());
        for id in self.serves.iter().filter(is_unknown) {
            problems.add(&at.key("serves"), format!("\"{id}\" has no price under [models]"));
        }
        for id in self.models.keys().filter(is_unknown) {
            problems.add(&at.key("models").key(id), "has no price under [models]");
        }
    }

    /// The entry's name, which must be unique.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The entry with its secret in hand, or nothing and a problem that names where the secret should be.
    pub(super) fn resolve(
        self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<Upstream> {
        let keys = SecretKeys {
            key: "credential",
            written: self.credential.as_ref(),
            file: self.credential_file.as_deref(),
            env: self.credential_env.as_deref(),
        };
        let (_, credential) = keys.fetch(at, env, problems)?;
        Some(Upstream {
            name: self.name,
            base_url: self.base_url,
            auth: self.auth,
            credential,
            models: self.models,
            serves: self.serves,
            connections_max: self.connections_max,
            receive_buffer_bytes: self.receive_buffer_bytes,
            connect: self.connect,
            user_agent: self.user_agent,
            forbidden_accounts: self.forbidden_accounts,
            forbidden_window: self.forbidden_window,
            credential_file: self.credential_file.map(PathBuf::from),
            priority: self.priority,
            weight: self.weight,
            headers: self.headers.iter().filter_map(|(name, value)| header(name, value)).collect(),
            credential_phrases: self.credential_phrases.iter().map(|s| s.to_lowercase()).collect(),
            rest: self.rest,
            failures_max: self.failures_max,
            timeouts_max: self.timeouts_max,
        })
    }
}

/// What stands in the file of a credential.
///
/// # Errors
/// The reason, with the file's name and nothing of its content.
pub fn read_credential(path: &Path) -> Result<SecretString, String> {
    let credential = secret::read(path)?;
    if credential.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(credential);
    }
    Err("must lead to one line of visible ASCII without spaces".to_owned())
}

/// A header that is not one of those that a request has anyway.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    const OURS: [&str; 11] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    ];
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let is_visible = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if OURS.contains(&name.as_str()) || !is_visible || value.trim().is_empty() {
        return None;
    }
    Some((name, HeaderValue::from_str(value).ok()?))
}

fn optional_priority<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    value::whole::<0, 1_000, D, u32>(from).map(Some)
}

const fn default_weight() -> u32 {
    1
}

fn user_agent<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = value::text(from)?;
    if name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(name);
    }
    Err(serde::de::Error::custom("must be visible ASCII"))
}

const fn default_auth() -> UpstreamAuth {
    UpstreamAuth::XApiKey
}

const fn default_connections_max() -> usize {
    10_000
}

const fn default_receive_buffer_bytes() -> usize {
    131_072
}

const fn default_connect() -> Duration {
    Duration::from_secs(5)
}

const fn default_forbidden_accounts() -> usize {
    3
}

const fn default_forbidden_window() -> Duration {
    Duration::from_mins(1)
}

fn default_credential_phrases() -> Vec<String> {
    CREDENTIAL_PHRASES.iter().map(|&phrase| phrase.to_owned()).collect()
}

const fn default_rest() -> Duration {
    Duration::from_secs(30)
}

const fn default_failures_max() -> u32 {
    5
}

const fn default_timeouts_max() -> u32 {
    2
}

fn default_user_agent() -> String {
    format!("sluice/{}", env!("CARGO_PKG_VERSION"))
}
