//! The URL table of `/v1`, and nothing else. Unknown paths are answered by the site, with our 404
//! for whoever is no browser.

use actix_web::http::Method;
use actix_web::web::ServiceConfig;

use super::{count_tokens, messages, models, respond};
use crate::http::table::{RouteTable, Served};

/// Adds the routes, for scripts of pages from these origins too.
pub fn configure(config: &mut ServiceConfig, origins: &[String]) {
    table().serve_across(config, origins);
}

/// All of them.
#[must_use]
pub fn table() -> RouteTable {
    let at = |path| Served::at(path).otherwise(respond::method_not_allowed);
    let mut table = RouteTable::default();
    table
        .service(at("/v1/messages").on(Method::POST, messages::create))
        .service(at("/v1/messages/count_tokens").on(Method::POST, count_tokens::create))
        .service(at("/v1/models").on(Method::GET, models::list).on(Method::HEAD, models::list))
        .service(
            at("/v1/models/{id}").on(Method::GET, models::show).on(Method::HEAD, models::show),
        );
    table
}
