//! Whether a browser says that a form comes from a page of ours: a second protection against CSRF,
//! beside the token in the form.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN};

use crate::config::SiteSettings;

/// `Origin: null` is what browsers send from pages without a referrer, as ours are; there, and
/// where an old browser says nothing, the word in the form decides alone.
pub(super) fn is_ours(http: &HttpRequest, site: &SiteSettings) -> bool {
    let headers = http.headers();
    let is_same_site = text(headers, "sec-fetch-site").is_none_or(|said| said == "same-origin");
    is_same_site
        && text(headers, ORIGIN.as_str()).is_none_or(|origin| {
            origin == "null"
                || origin.eq_ignore_ascii_case(origin_of(site.base_url.as_str()))
                || is_host(origin, headers)
        })
}

/// Whether an origin is the very host that the browser asks, whatever name it goes by.
fn is_host(origin: &str, headers: &HeaderMap) -> bool {
    let (Some((_, authority)), Some(host)) =
        (origin.split_once("://"), text(headers, HOST.as_str()))
    else {
        return false;
    };
    authority.eq_ignore_ascii_case(host)
}

/// Scheme, host and port.
fn origin_of(base_url: &str) -> &str {
    let path = base_url.split_once("://").and_then(|(scheme, rest)| {
        Some(scheme.len().saturating_add(3).saturating_add(rest.find('/')?))
    });
    path.and_then(|end| base_url.get(..end)).unwrap_or(base_url)
}

/// A header's value; of one that is no text, something that is nobody's.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::{self, LoadPurpose, Sources};

    fn site(base_url: &str) -> SiteSettings {
        let env =
            [("SLUICE__SITE__BASE_URL", base_url), ("SLUICE__SITE__SUPPORT_EMAIL", "a@b.example")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        config::load_for(&Sources { file: None, env }, LoadPurpose::Command).unwrap().site
    }

    #[test]
    fn forms_come_from_pages_of_ours() {
        let site = site("https://gateway.example/base");
        let ask = |headers: &[(&'static str, &'static str)]| {
            let request = TestRequest::post().insert_header(("host", "node-1.internal"));
            let request =
                headers.iter().fold(request, |request, header| request.insert_header(*header));
            is_ours(&request.to_http_request(), &site)
        };
        for ours in [
            &[][..],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://gateway.example")],
            &[("origin", "http://node-1.internal"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(ask(ours), "{ours:?}");
        }
        for other in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "https://gateway.example.evil.example")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://gateway.example"), ("sec-fetch-site", "cross-site")],
            &[("origin", "")],
        ] {
            assert!(!ask(other), "{other:?}");
        }
    }
}
