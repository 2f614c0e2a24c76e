//! The URL table of `/v1`, and nothing else. Unknown paths are answered by the site, with our 404 for whoever is no
//! browser.

use actix_web::web::{self, ServiceConfig};

use super::{count_tokens, messages, models, respond};

/// Adds the routes.
pub fn configure(config: &mut ServiceConfig) {
    let wrong_method = || web::route().to(respond::method_not_allowed);
    config
        .service(
            web::resource("/v1/messages")
                .route(web::post().to(messages::create))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/v1/messages/count_tokens")
                .route(web::post().to(count_tokens::create))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/v1/models")
                .route(web::get().to(models::list))
                .route(web::head().to(models::list))
                .default_service(wrong_method()),
        )
        .service(
            web::resource("/v1/models/{id}")
                .route(web::get().to(models::show))
                .route(web::head().to(models::show))
                .default_service(wrong_method()),
        );
}
