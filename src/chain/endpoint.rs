//! One provider as it is reached. Its address is a secret, for most providers put the operator's
//! key into it.

use std::fmt;
use std::time::Duration;

use actix_web::http::Uri;
use secrecy::{ExposeSecret, SecretString};

use super::provider::health::ProviderHealth;
use crate::domain::evm::ChainId;

/// One JSON-RPC provider of one chain, and how much may be asked of it.
#[derive(Clone, Debug)]
pub struct ProviderEndpoint {
    /// Name in logs and metrics, unique within its chain.
    pub name: String,
    /// The chain that it must speak for.
    pub chain_id: ChainId,
    /// Where it is.
    pub url: ProviderUrl,
    /// Time to connect, TLS included.
    pub connect: Duration,
    /// Time for one request, from its first byte to the answer's last.
    pub timeout: Duration,
    /// How long a call may wait for its turn.
    pub patience: Duration,
    /// Calls a second, those of a batch counted one by one.
    pub calls_per_second: u32,
    /// Calls in one request at most; 1 is a provider that takes no batches.
    pub batch_max: usize,
    /// Requests at once.
    pub in_flight_max: usize,
    /// Requests that may wait; more are refused.
    pub queue_max: usize,
    /// Bytes of an answer at most.
    pub body_max_bytes: usize,
    /// Whether `debug_traceTransaction` may be asked of it.
    pub has_traces: bool,
    /// Failures in a row after which it is left alone.
    pub breaker_failures: u32,
    /// How long it is left alone at first; doubles up to sixteen times this. Each pause is shorter
    /// by up to an eighth.
    pub breaker_pause: Duration,
}

impl ProviderEndpoint {
    /// An endpoint with the limits of a common provider's smallest plan.
    #[must_use]
    pub fn new(name: impl Into<String>, chain_id: ChainId, url: ProviderUrl) -> Self {
        Self {
            name: name.into(),
            chain_id,
            url,
            connect: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            patience: Duration::from_secs(30),
            calls_per_second: 25,
            batch_max: 20,
            in_flight_max: 4,
            queue_max: 1000,
            body_max_bytes: 32 * 1024 * 1024,
            has_traces: false,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(5),
        }
    }

    /// How a provider stands that was never asked.
    #[must_use]
    pub fn standing(&self) -> ProviderHealth {
        let batch_calls = u64::try_from(self.batch_max.max(1)).unwrap_or(u64::MAX);
        ProviderHealth::new(self.timeout, batch_calls, self.calls_per_second.max(1))
    }
}

/// A provider's address with whatever keys are in it: host, path, query and user name are all
/// secret.
#[derive(Clone)]
pub struct ProviderUrl {
    /// Without a user name.
    address: SecretString,
    /// User name and password, decoded.
    user: Option<(SecretString, SecretString)>,
    is_https: bool,
}

/// The text is no such address. It does not repeat the text, which may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address such as https://rpc.example.com/key")]
pub struct NotAProviderUrl;

impl ProviderUrl {
    /// Reads an http or https address.
    ///
    /// # Errors
    /// [`NotAProviderUrl`].
    pub fn parse(secret: &SecretString) -> Result<Self, NotAProviderUrl> {
        let text = secret.expose_secret();
        let (scheme, rest) = text.split_once("://").ok_or(NotAProviderUrl)?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(NotAProviderUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(NotAProviderUrl)?;
        let (user, host) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((user, host)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let decoded = |part| percent_decoded(part).map(SecretString::from);
                let user = decoded(name).zip(decoded(password)).ok_or(NotAProviderUrl)?;
                (Some(user), host)
            }
        };
        let address = format!("{scheme}://{host}{path}");
        let uri: Uri = address.parse().map_err(|_| NotAProviderUrl)?;
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if !has_host || path.contains('#') {
            return Err(NotAProviderUrl);
        }
        Ok(Self { address: address.into(), user, is_https })
    }

    /// The address to send to, without a user name.
    #[must_use]
    pub const fn address(&self) -> &SecretString {
        &self.address
    }

    /// User name and password of basic authentication.
    #[must_use]
    pub fn user(&self) -> Option<(&str, &str)> {
        let (name, password) = self.user.as_ref()?;
        Some((name.expose_secret(), password.expose_secret()))
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.is_https
    }
}

/// Shows nothing.
impl fmt::Debug for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut nibble = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (nibble()?, nibble()?);
        bytes.push(u8::try_from((high << 4) | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ProviderUrl, NotAProviderUrl> {
        ProviderUrl::parse(&SecretString::from(text))
    }

    #[test]
    fn an_address_never_shows_itself() {
        let url = parse("https://user:p%40ss@rpc.example.com/v3/key?token=1").unwrap();
        assert_eq!(url.address().expose_secret(), "https://rpc.example.com/v3/key?token=1");
        assert_eq!(url.user(), Some(("user", "p@ss")));
        assert!(url.is_https());
        let endpoint = ProviderEndpoint::new("one", ChainId(1), url);
        let shown = format!("{endpoint:?}");
        for secret in ["user", "p@ss", "p%40ss", "example", "v3", "key", "token"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for bad in [
            "",
            "rpc.example.com",
            "ftp://a",
            "https://",
            "https:///k",
            "http://a/#k",
            "http://a b",
        ] {
            assert_eq!(parse(bad).unwrap_err(), NotAProviderUrl, "{bad}");
        }
        assert_eq!(parse("https://us%zzer@a/").unwrap_err(), NotAProviderUrl);
        assert!(!parse("http://127.0.0.1:8545").unwrap().is_https());
        assert!(parse("http://[::1]:8545/").is_ok());
        assert!(!NotAProviderUrl.to_string().contains("key1"));
    }
}
