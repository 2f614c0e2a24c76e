//! `GET /status`: whether messages are served, and how each chain stands.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::show::{Count, Moment};
use super::{Site, visit};
use crate::api::status::{self, Status};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    status: Status,
    as_of: Moment,
}

/// The class of a badge.
fn badge(status: &str) -> &'static str {
    match status {
        "ok" => "good",
        "degraded" => "warn",
        _ => "bad",
    }
}

/// The number of a block.
const fn block(number: &i64) -> Count {
    Count(*number)
}

/// `GET /status`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let status = status::standing(&visit.site.parts.interface).await?;
        let as_of = Moment(visit.site.now());
        visit.page(&StatusPage { frame: visit.frame("Status"), status, as_of })
    })
    .await
}
