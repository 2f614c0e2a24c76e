//! Which pages of other sites may call `/v1` from their scripts. Nothing else is for them: a page
//! that may send a key's requests is no reason to let it read accounts.

use actix_cors::Cors;
use actix_web::middleware::Condition;

/// What answers browsers that ask first, and names the origins on answers; nothing where there are
/// none.
pub(super) fn cors(origins: &[String]) -> Condition<Cors> {
    Condition::new(!origins.is_empty(), of(origins))
}

fn of(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST"])
        .allow_any_header()
        .expose_headers(["request-id", "retry-after", "x-should-retry"])
        .max_age(3600);
    if origins.iter().any(|origin| origin == "*") {
        return cors.allow_any_origin().send_wildcard();
    }
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
