//! The proxy by which an upstream is reached.

use std::fmt;
use std::str::FromStr;

use actix_web::http::Uri;
use actix_web::http::header::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// A proxy that opens tunnels (HTTP `CONNECT`), with the user that it asks for.
#[derive(Clone)]
pub struct EgressProxy {
    address: Uri,
    authorization: Option<HeaderValue>,
}

/// The text is no such address. It is not repeated: it may have a password in it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "must be an address such as \"http://proxy.example:3128\" or \
     \"http://user:password@proxy.example:3128\""
)]
pub struct NotAProxy;

impl EgressProxy {
    /// Where it is, with its port.
    #[must_use]
    pub const fn address(&self) -> &Uri {
        &self.address
    }

    /// What it is told of who we are.
    #[must_use]
    pub const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl FromStr for EgressProxy {
    type Err = NotAProxy;

    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        let rest = text.strip_prefix("http://").ok_or(NotAProxy)?;
        let (user, place) =
            rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let place = place.trim_end_matches('/');
        let address: Uri = format!("http://{place}").parse().map_err(|_| NotAProxy)?;
        let is_place = address.authority().is_some_and(|authority| authority.as_str() == place);
        if !is_place || address.port_u16().is_none() || address.host().is_none_or(str::is_empty) {
            return Err(NotAProxy);
        }
        let authorization = user.map(|user| {
            let user: Vec<u8> = percent_decode_str(user).collect();
            let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user)))?;
            value.set_sensitive(true);
            Ok::<_, actix_web::http::header::InvalidHeaderValue>(value)
        });
        let authorization = authorization.transpose().map_err(|_| NotAProxy)?;
        Ok(Self { address, authorization })
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EgressProxy({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_port_and_perhaps_a_user_and_nothing_else() {
        let proxy: EgressProxy = "http://ada:p%40s%3As@proxy.example:3128/".parse().unwrap();
        assert_eq!(proxy.address().authority().unwrap().as_str(), "proxy.example:3128");
        assert_eq!(proxy.authorization().unwrap(), "Basic YWRhOnBAczpz");
        assert!(!format!("{proxy:?}").contains("ada"));
        let plain: EgressProxy = "http://[::1]:3128".parse().unwrap();
        assert_eq!((plain.address().host(), plain.authorization()), (Some("[::1]"), None));
        let none = [
            "proxy.example:3128",
            "https://proxy.example:3128",
            "socks5://proxy.example:1080",
            "http://proxy.example",
            "http://proxy.example:3128/path",
            "http://proxy.example:3128?x",
            "http://:3128",
            "http://",
        ];
        for text in none {
            assert!(text.parse::<EgressProxy>().is_err(), "{text}");
        }
    }
}
