//! `GET /`: what this is, what it costs, and how to begin.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::{Site, visit};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
}

/// `GET /`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        visit.page(&HomePage { frame: visit.frame("Home") })
    })
    .await
}
