//! `[[chains.providers]]`: who is asked about a chain. An address often carries its key, so the
//! whole of it is a secret.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Uri;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::secret::SecretKeys;
use super::{is_loopback_host, value};

/// One JSON-RPC endpoint of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcProvider {
    /// Name in logs and metrics, unique within the chain.
    pub name: String,
    /// Where it is.
    pub url: RpcUrl,
    /// Time for one answer.
    pub timeout: Duration,
    /// Calls begun within a second.
    pub requests_per_second: u32,
    /// Calls sent in one request.
    pub batch_max: usize,
    /// Whether it offers `debug_traceTransaction` with `callTracer`.
    pub traces: bool,
}

/// An https address, or http on the loopback. Its text is a secret.
#[derive(Clone)]
pub struct RpcUrl {
    text: SecretString,
    host: String,
    is_loopback: bool,
}

/// The text is no such address. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnRpcUrl {
    /// Not an address at all.
    #[error("must be an address such as \"https://rpc.example.com/KEY\"")]
    Malformed,
    /// Anybody on the way could read the key and forge the answers.
    #[error("must be https: only a provider on this host may be reached without TLS")]
    Plaintext,
}

impl PartialEq for RpcUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }
}

impl RpcUrl {
    /// The whole address.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.text
    }

    /// Whether it is on this host for certain.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether both are served by the same host, and so by the same operator.
    pub(super) fn has_same_host(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl FromStr for RpcUrl {
    type Err = NotAnRpcUrl;

    fn from_str(text: &str) -> Result<Self, NotAnRpcUrl> {
        let malformed = NotAnRpcUrl::Malformed;
        let uri: Uri = text.parse().map_err(|_| malformed)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(malformed)?.to_owned();
        if text.contains('#') {
            return Err(malformed);
        }
        let is_loopback = is_loopback_host(&host);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback => {}
            Some("http") => return Err(NotAnRpcUrl::Plaintext),
            _ => return Err(malformed),
        }
        Ok(Self { text: SecretString::from(text), host, is_loopback })
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RpcUrl(********)")
    }
}

/// One entry as written, before its address is fetched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderEntry {
    #[serde(deserialize_with = "value::text")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "value::optional_secret")]
    url: Option<SecretString>,
    #[serde(default, deserialize_with = "value::optional_text")]
    url_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    url_env: Option<String>,
    #[serde(
        rename = "timeout_secs",
        default = "default_timeout",
        deserialize_with = "value::secs::<1, 120, _>"
    )]
    timeout: Duration,
    #[serde(
        default = "default_requests_per_second",
        deserialize_with = "value::whole::<1, 100_000, _, _>"
    )]
    requests_per_second: u32,
    #[serde(default = "default_batch_max", deserialize_with = "value::whole::<1, 1_000, _, _>")]
    batch_max: usize,
    #[serde(default, deserialize_with = "value::flag")]
    traces: bool,
}

impl ProviderEntry {
    /// What can be said of the address without fetching it.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if let Some(url) = &self.url
            && let Err(reason) = url.expose_secret().parse::<RpcUrl>()
        {
            problems.add(&at.key("url"), reason.to_string());
        }
    }

    /// The entry with its address in hand, or nothing and a problem.
    pub(super) fn resolve(
        self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<RpcProvider> {
        let keys = SecretKeys {
            key: "url",
            written: self.url.as_ref(),
            file: self.url_file.as_deref(),
            env: self.url_env.as_deref(),
        };
        let (at, secret) = keys.fetch(at, env, problems)?;
        let url = match secret.expose_secret().parse() {
            Ok(url) => url,
            Err(reason) => {
                let reason: NotAnRpcUrl = reason;
                problems.add(&at, reason.to_string());
                return None;
            }
        };
        Some(RpcProvider {
            name: self.name,
            url,
            timeout: self.timeout,
            requests_per_second: self.requests_per_second,
            batch_max: self.batch_max,
            traces: self.traces,
        })
    }
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn default_requests_per_second() -> u32 {
    20
}

const fn default_batch_max() -> usize {
    20
}
