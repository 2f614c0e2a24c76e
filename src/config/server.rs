//! `[server]`: the listeners and what clients may ask of them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;

/// The listeners and what clients may ask of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address for clients.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Address of metrics and health.
    #[serde(deserialize_with = "address")]
    pub admin_listen: SocketAddr,
    /// Threads that serve connections; `None` is one per core.
    #[serde(deserialize_with = "value::count_or_auto::<1024, _>")]
    pub workers: Option<NonZeroUsize>,
    /// Exchanges open at once, over all accounts.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub max_streams: usize,
    /// Exchanges open at once for one account.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub max_streams_per_account: usize,
    /// Requests begun within a minute by one account.
    #[serde(deserialize_with = "value::whole::<1, 10_000_000, _, _>")]
    pub requests_per_minute_per_account: u32,
    /// Time for running exchanges to finish at a graceful stop.
    #[serde(rename = "drain_secs", deserialize_with = "value::secs::<0, 86_400, _>")]
    pub drain: Duration,
    /// File of the certificate and its chain, PEM.
    #[serde(default, deserialize_with = "value::optional_text")]
    pub(super) tls_certificate_file: Option<String>,
    /// File of its private key, PEM.
    #[serde(default, deserialize_with = "value::optional_text")]
    pub(super) tls_key_file: Option<String>,
    /// Address whose plaintext is sent over to TLS.
    #[serde(default, deserialize_with = "optional_address")]
    pub redirect_listen: Option<SocketAddr>,
    /// A proxy in front speaks TLS, so that plaintext may leave the loopback.
    #[serde(deserialize_with = "value::flag")]
    pub behind_tls_proxy: bool,
    /// Name of this node among several on one database.
    #[serde(default, deserialize_with = "node_id")]
    pub node_id: Option<String>,
    /// Connections of clients beyond `max_streams`.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub idle_connections_max: usize,
    /// Connections of one address of a client.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub connections_max_per_address: usize,
    /// Time between two probes of whether clients get in; none is made where it is zero.
    #[serde(rename = "probe_secs", deserialize_with = "value::secs::<0, 3_600, _>")]
    pub probe: Duration,
    /// Time that a probe may take.
    #[serde(rename = "probe_timeout_secs", deserialize_with = "value::secs::<1, 60, _>")]
    pub probe_timeout: Duration,
    /// Probes in a row that fail before this node is not ready.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub probe_failures_max: u32,
    /// Time for a client to send the head of a request.
    #[serde(rename = "head_secs", deserialize_with = "value::secs::<1, 600, _>")]
    pub head: Duration,
    /// Time that an idle client connection is kept.
    #[serde(rename = "keep_alive_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    pub keep_alive: Duration,
    /// Bytes in the kernel for one client that reads slowly.
    #[serde(deserialize_with = "value::whole::<4_096, 16_777_216, _, _>")]
    pub send_buffer_bytes: usize,
    /// Time after which a client that has stopped reading is cut off.
    #[serde(rename = "client_stall_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    pub client_stall: Duration,
    /// Origins that browsers may call `/v1` from; `*` is any.
    #[serde(deserialize_with = "value::list")]
    pub cors_origins: Vec<String>,
}

/// Where the certificate for clients is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Server {
    /// What TLS is spoken with; `None` speaks plaintext.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_certificate_file.as_ref()?, self.tls_key_file.as_ref()?);
        Some(TlsFiles { certificate: certificate.into(), key: key.into() })
    }

    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if !self.listen.ip().is_loopback() && !self.behind_tls_proxy && self.tls().is_none() {
            problems.add(
                &at.key("listen"),
                "would carry keys in plaintext beyond this host: set tls_certificate_file and \
                 tls_key_file, or put a TLS proxy in front and set behind_tls_proxy = true, or \
                 listen on 127.0.0.1",
            );
        }
        self.check_tls(at, problems);
        if self.listen == self.admin_listen && self.listen.port() != 0 {
            problems.add(&at.key("admin_listen"), "must differ from listen");
        }
        if self.max_streams_per_account > self.max_streams {
            problems.add(&at.key("max_streams_per_account"), "must not be above max_streams");
        }
        for origin in &self.cors_origins {
            let is_origin =
                origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && is_origin.is_none_or(|host| host.is_empty() || host.contains('/')) {
                problems.add(
                    &at.key("cors_origins"),
                    "each entry is \"*\" or scheme, host and \
                    port, such as \"https://app.example.org\"",
                );
            }
        }
    }

    fn check_tls(&self, at: &KeyPath, problems: &mut Problems) {
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (Some(_), None) => {
                problems.add(&at.key("tls_key_file"), "is missing beside tls_certificate_file");
            }
            (None, Some(_)) => {
                problems.add(&at.key("tls_certificate_file"), "is missing beside tls_key_file");
            }
            (Some(_), Some(_)) if self.behind_tls_proxy => problems.add(
                &at.key("behind_tls_proxy"),
                "must be false if TLS is served here: clients could forge their address",
            ),
            _ => {}
        }
        let Some(redirect) = self.redirect_listen else { return };
        if self.tls().is_none() {
            problems.add(&at.key("redirect_listen"), "needs tls_certificate_file and tls_key_file");
        }
        if redirect.port() != 0 && (redirect == self.listen || redirect == self.admin_listen) {
            problems.add(&at.key("redirect_listen"), "must differ from listen and admin_listen");
        }
    }
}

fn optional_address<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(from).map(Some)
}

fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    value::text(from)?.parse().map_err(|_| {
        serde::de::Error::custom(
            "must be an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        )
    })
}

fn node_id<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = value::text(from)?;
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.';
    if name.len() > 64 || !name.bytes().all(is_plain) {
        return Err(serde::de::Error::custom(
            "must be at most 64 of the characters A-Z a-z 0-9 - _ .",
        ));
    }
    Ok(Some(name))
}
