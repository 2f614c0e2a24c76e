//! The client's IP address, for throttles: that of the connection or, behind a trusted proxy, of
//! `X-Forwarded-For`. Nothing else may ask for it, and the type has no `Debug`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;

use crate::accounts::identity::throttle::ClientAddress;
use crate::config::Server;

/// The peer; behind a proxy of ours, the address that it has put behind all others in
/// `X-Forwarded-For`. What stands before that one the client can have written itself.
#[must_use]
pub fn client_address(http: &HttpRequest, settings: &Server) -> ClientAddress {
    let forwarded = settings.behind_tls_proxy.then(|| forwarded_by_proxy(http)).flatten();
    let peer = || http.peer_addr().map(|peer| peer.ip());
    ClientAddress::new(forwarded.or_else(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

fn forwarded_by_proxy(http: &HttpRequest) -> Option<IpAddr> {
    let last = http.headers().get_all("x-forwarded-for").last()?;
    let hop = last.to_str().ok()?.rsplit(',').next()?.trim();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn forwarded(values: &[&str]) -> Option<IpAddr> {
        let request = values.iter().fold(TestRequest::get(), |request, value| {
            request.append_header(("x-forwarded-for", *value))
        });
        forwarded_by_proxy(&request.to_http_request())
    }

    #[test]
    fn only_what_the_proxy_has_added_counts() {
        let is = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(forwarded(&["192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(forwarded(&["10.0.0.1, 192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(forwarded(&["10.0.0.1", "10.0.0.2,192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(forwarded(&["192.0.2.1:4711"]), is("192.0.2.1"));
        assert_eq!(forwarded(&["[2001:db8::1]:4711"]), is("2001:db8::1"));
        assert_eq!(forwarded(&["2001:db8::1"]), is("2001:db8::1"));
        assert_eq!(forwarded(&["192.0.2.1, unknown"]), None);
        assert_eq!(forwarded(&[]), None);
    }
}
