//! `GET /status`: whether messages are served, and how each chain stands.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::show::{Count, Moment};
use super::{Site, visit};
use crate::api::status::{self, ChainStanding, MessagesStatus, Status};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    /// Of messages.
    messages: MessagesStatus,
    chains: Vec<Line>,
    as_of: Moment,
}

/// One chain.
struct Line {
    chain: ChainStanding,
    /// The latest block that was seen.
    head: Option<Count>,
}

/// The class of a badge.
fn badge(status: &str) -> &'static str {
    match status {
        "ok" => "good",
        "degraded" => "warn",
        _ => "bad",
    }
}

/// `GET /status`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let Status { messages, chains } = status::standing(&visit.site.parts.interface).await?;
        let line = |chain: ChainStanding| Line { head: chain.chain_status.head.map(Count), chain };
        let chains = chains.into_iter().map(line).collect();
        let as_of = Moment(visit.site.now());
        visit.page(&StatusPage { frame: visit.frame("Status"), messages, chains, as_of })
    })
    .await
}
