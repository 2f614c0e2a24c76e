//! `[[upstreams]]`: where requests go, and with which credential.

mod base_url;
mod egress_proxy;
mod entry;
mod pattern;

use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Stream;
use super::secret;
pub use base_url::BaseUrl;
pub use egress_proxy::EgressProxy;
pub(super) use entry::UpstreamEntry;
pub use pattern::{ModelPattern, Rename};

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
pub struct UpstreamSettings {
    /// Name in logs and metrics, unique.
    pub name: String,
    /// Address up to, but without, `/v1`.
    pub base_url: BaseUrl,
    /// How the credential is sent.
    pub auth: UpstreamAuth,
    /// The credential; visible ASCII without spaces, so that it fits a header.
    pub credential: SecretString,
    /// Models that are named differently there.
    pub models: Vec<Rename>,
    /// The models that it serves; empty is all.
    pub serves: Vec<ModelPattern>,
    /// Requests that it has at once from this node; `None` is any number.
    pub max_streams: Option<usize>,
    /// Connections open at once for each worker.
    pub connections_max: usize,
    /// Bytes in the kernel that an answer may be ahead of its client.
    pub receive_buffer_bytes: usize,
    /// Time to connect, TLS included.
    pub connect: Duration,
    /// Time for the head of a streamed answer, where it is not that of `[stream]`.
    first_byte: Option<Duration>,
    /// Time for the head of any other answer, where it is not that of `[stream]`.
    json_head: Option<Duration>,
    /// Silence after which it counts as gone, where it is not that of `[stream]`.
    idle: Option<Duration>,
    /// The only authorities that its certificate may be of; `None` is the web's.
    pub authorities: Option<RootCertStore>,
    /// The proxy by which it is reached.
    pub egress_proxy: Option<EgressProxy>,
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
    /// What its usage reports are asked for with; `None` is not at all.
    pub report_credential: Option<SecretString>,
    /// The only workspace that the reports are about; `None` is the whole organisation.
    pub report_workspace: Option<String>,
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

impl UpstreamSettings {
    /// Whether it serves the model of that priced id.
    #[must_use]
    pub fn serves(&self, model_id: &str) -> bool {
        self.serves.is_empty() || self.serves.iter().any(|ids| ids.matched(model_id).is_some())
    }

    /// What it calls the model of that priced id, where it calls it otherwise.
    #[must_use]
    pub fn name_of(&self, model_id: &str) -> Option<String> {
        Rename::of(&self.models, model_id)
    }

    /// The same place for questions for its usage reports, which have a credential of their own;
    /// `None` where it has none.
    #[must_use]
    pub fn for_reports(&self) -> Option<Self> {
        let credential = self.report_credential.clone()?;
        let auth = UpstreamAuth::XApiKey;
        Some(Self { credential, credential_file: None, auth, ..self.clone() })
    }

    /// Time for the head of an answer, streamed or not.
    #[must_use]
    pub fn head(&self, stream: &Stream, is_stream: bool) -> Duration {
        let (own, usual) = if is_stream {
            (self.first_byte, stream.first_byte)
        } else {
            (self.json_head, stream.json_head)
        };
        own.unwrap_or(usual)
    }

    /// Silence after which it counts as gone.
    #[must_use]
    pub fn idle(&self, stream: &Stream) -> Duration {
        self.idle.unwrap_or(stream.idle)
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

/// The authorities of a PEM file.
///
/// # Errors
/// The reason, with the file's name.
fn read_authorities(path: &str) -> Result<RootCertStore, String> {
    let unreadable =
        |error: &dyn std::fmt::Display| format!("the file {path} cannot be read as PEM: {error}");
    let mut authorities = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        authorities.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if authorities.is_empty() {
        return Err(format!("the file {path} has no certificate in it"));
    }
    Ok(authorities)
}
