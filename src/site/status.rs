//! `GET /status`: whether messages are served, and how each chain stands.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::{GroupedCount, TimeElement};
use super::layout::Frame;
use super::{Site, page_request};
use crate::api::status::{self, ChainStanding, MessagesStatus, Status};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    /// Of messages.
    messages: MessagesStatus,
    chains: Vec<ChainLine>,
    as_of: TimeElement,
}

/// One chain.
struct ChainLine {
    chain: ChainStanding,
    /// The latest block that was seen.
    head: Option<GroupedCount>,
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
    page_request::answer(http, payload, &site, async |visit| {
        let Status { messages, chains, .. } = status::standing(&visit.site.parts.interface).await?;
        let line = |chain: ChainStanding| ChainLine {
            head: chain.chain_status.head.map(GroupedCount),
            chain,
        };
        let chains = chains.into_iter().map(line).collect();
        let as_of = TimeElement(visit.site.now());
        visit.public_page(&StatusPage { frame: visit.frame("Status"), messages, chains, as_of })
    })
    .await
}
