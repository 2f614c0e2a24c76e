//! The address of an upstream.

use std::fmt;
use std::str::FromStr;

use actix_web::http::Uri;

use crate::config::is_loopback_host;

/// An http or https address without query, fragment, credentials or slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    host: String,
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

    /// Its host, without brackets and port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
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
        let host = host.to_owned();
        Ok(Self { host, text: text.trim_end_matches('/').to_owned(), is_https, is_loopback })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
