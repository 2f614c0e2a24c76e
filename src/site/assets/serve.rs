//! `/assets/{name}`: the files, to be kept for good under the name of their content.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::site::page_error::PageError;
use crate::site::{Site, page_request};

/// `GET /assets/{name}`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    let name = http.match_info().query("name");
    let found = site.layout.assets.find(name);
    let Some((asset, is_this)) = found else {
        return page_request::answer(http, payload, &site, async |_| Err(PageError::NotFound))
            .await;
    };
    // During an upgrade another node's page may ask for its own content: ours is near enough, but
    // not for good.
    let caching = if is_this { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, asset.content_type));
    response.insert_header((CACHE_CONTROL, caching));
    let response = site.compressed.respond(&http, response, asset.content.clone());
    page_request::without_session(response, payload)
}
