//! The zone that a visitor reads in. A script of ours writes it into a cookie; without it all is
//! UTC. It is a name from the zone database and nothing else, and is not stored.

use actix_web::HttpRequest;

use crate::domain::reader_zone::ReaderZone;

/// As `usage.js` calls it.
const COOKIE: &str = "sluice_zone";

/// See the module.
pub(super) fn reader_zone(http: &HttpRequest) -> ReaderZone {
    let named = http.cookie(COOKIE);
    named.and_then(|cookie| ReaderZone::parse(cookie.value())).unwrap_or(ReaderZone::UTC)
}
