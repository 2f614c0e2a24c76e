//! An entry of `[[upstreams]]` as written, and what is checked of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    BaseUrl, CREDENTIAL_PHRASES, EgressProxy, ModelPattern, Rename, UpstreamAuth, UpstreamSettings,
    read_authorities,
};
use crate::config::problems::{KeyPath, Problems};
use crate::config::secret::SecretKeys;
use crate::config::value;
use crate::domain::price_list::PriceList;

/// One entry as written, before its secret is fetched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamEntry {
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
    #[serde(default, deserialize_with = "optional_max_streams")]
    max_streams: Option<usize>,
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
    #[serde(
        rename = "first_byte_secs",
        default,
        deserialize_with = "value::optional_secs::<1, 7_200, _>"
    )]
    first_byte: Option<Duration>,
    #[serde(
        rename = "json_head_secs",
        default,
        deserialize_with = "value::optional_secs::<1, 7_200, _>"
    )]
    json_head: Option<Duration>,
    #[serde(
        rename = "idle_secs",
        default,
        deserialize_with = "value::optional_secs::<1, 7_200, _>"
    )]
    idle: Option<Duration>,
    #[serde(default, deserialize_with = "value::optional_text")]
    ca_file: Option<String>,
    #[serde(default, deserialize_with = "optional_proxy")]
    egress_proxy: Option<EgressProxy>,
    #[serde(default, deserialize_with = "value::flag")]
    allow_plaintext: bool,
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
    #[serde(default, deserialize_with = "value::optional_secret")]
    report_credential: Option<SecretString>,
    #[serde(default, deserialize_with = "value::optional_text")]
    report_credential_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    report_credential_env: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    report_workspace: Option<String>,
}

impl UpstreamEntry {
    /// Rules that span keys, except for the secret.
    pub(in crate::config) fn check(
        &self,
        at: &KeyPath,
        prices: Option<&PriceList>,
        problems: &mut Problems,
    ) {
        if !self.base_url.is_https() && !self.base_url.is_loopback() && !self.allow_plaintext {
            problems.add(
                &at.key("base_url"),
                "must be https, unless the upstream is on this host: with allow_plaintext = true, \
                 anyone on the network path can read the credential and the prompts",
            );
        }
        if self.ca_file.is_some() && !self.base_url.is_https() {
            problems.add(&at.key("ca_file"), "has no effect, because base_url is not https");
        }
        if ["/v1", "/v1/messages"].iter().any(|end| self.base_url.as_str().ends_with(end)) {
            problems.add(
                &at.key("base_url"),
                "must not end in /v1 or /v1/messages: Sluice adds the path",
            );
        }
        for (name, value) in &self.headers {
            if header(name, value).is_none() {
                problems.add(
                    &at.key("headers").key(name),
                    "must be a header that Sluice does not set itself, with a value of visible \
                     ASCII",
                );
            }
        }
        for pattern in &self.serves {
            check_pattern(pattern, &at.key("serves"), prices, problems);
        }
        for (ids, names) in &self.models {
            let at = at.key("models").key(ids);
            check_pattern(ids, &at, prices, problems);
            if names.matches('*').count() > ids.matches('*').count() {
                problems.add(&at, "must have at most one *, and only if the id has one");
            }
        }
    }

    /// The entry's name, which must be unique.
    pub(in crate::config) fn name(&self) -> &str {
        &self.name
    }

    /// The entry with its secret in hand, or nothing and a problem that names where the secret
    /// should be.
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<UpstreamSettings> {
        let keys = SecretKeys {
            key: "credential",
            written: self.credential.as_ref(),
            file: self.credential_file.as_deref(),
            env: self.credential_env.as_deref(),
        };
        let credential = keys.fetch(at, env, problems);
        let report_credential = self.fetch_report_credential(at, env, problems);
        let ca_file = self.ca_file.as_deref().filter(|_| self.base_url.is_https());
        let authorities = ca_file.map(read_authorities).transpose();
        let authorities = authorities.map_err(|why| problems.add(&at.key("ca_file"), why)).ok()?;
        let (_, credential) = credential?;
        Some(UpstreamSettings {
            name: self.name,
            base_url: self.base_url,
            auth: self.auth,
            credential,
            models: self.models.iter().map(|(ids, names)| rename(ids, names)).collect(),
            serves: self.serves.iter().map(|ids| pattern(ids)).collect(),
            max_streams: self.max_streams,
            connections_max: self.connections_max,
            receive_buffer_bytes: self.receive_buffer_bytes,
            connect: self.connect,
            first_byte: self.first_byte,
            json_head: self.json_head,
            idle: self.idle,
            authorities,
            egress_proxy: self.egress_proxy,
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
            report_credential,
            report_workspace: self.report_workspace,
        })
    }

    /// The credential for usage reports, where one is given at all.
    fn fetch_report_credential(
        &self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<SecretString> {
        let keys = SecretKeys {
            key: "report_credential",
            written: self.report_credential.as_ref(),
            file: self.report_credential_file.as_deref(),
            env: self.report_credential_env.as_deref(),
        };
        let is_given = keys.written.is_some() || keys.file.is_some() || keys.env.is_some();
        if !is_given {
            if self.report_workspace.is_some() {
                let why = "has no effect without report_credential_env or report_credential_file";
                problems.add(&at.key("report_workspace"), why);
            }
            return None;
        }
        keys.fetch(at, env, problems).map(|(_, secret)| secret)
    }
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

fn pattern(text: &str) -> ModelPattern {
    let Ok(pattern) = text.parse();
    pattern
}

fn rename(ids: &str, names: &str) -> Rename {
    Rename { ids: pattern(ids), names: pattern(names) }
}

/// A name or pattern that stands for no model is a mistake.
fn check_pattern(text: &str, at: &KeyPath, prices: Option<&PriceList>, problems: &mut Problems) {
    let ids = pattern(text);
    if !ids.is_sound() {
        problems.add(at, format!("\"{text}\" has more than one *"));
        return;
    }
    let Some(prices) = prices else { return };
    let is_known = if text.contains('*') {
        prices.models().any(|model| ids.matched(model.id.as_str()).is_some())
    } else {
        prices.find(text).is_some()
    };
    if !is_known {
        problems.add(at, format!("\"{text}\" has no price under [models]"));
    }
}

fn optional_max_streams<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<usize>, D::Error> {
    value::whole::<1, 1_000_000, D, usize>(from).map(Some)
}

fn optional_proxy<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<EgressProxy>, D::Error> {
    value::parsed(from).map(Some)
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
