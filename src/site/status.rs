//! `GET /status`: how each part of the service is doing, what the operator says, and how the last
//! days were.

pub(super) mod past;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use self::past::{DayBars, Past};
use super::format::{GroupedCount, TimeElement};
use super::layout::Frame;
use super::{Site, page_request};
use crate::api::status::days::StatusPart;
use crate::api::status::{self, Status};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    overall: Condition,
    /// The same in words.
    headline: &'static str,
    /// The operator's sentence.
    message: Option<String>,
    parts: Vec<PartLine>,
    past: Arc<Past>,
    as_of: TimeElement,
}

/// How something is doing, as a badge.
#[derive(Clone, Copy)]
struct Condition {
    class: &'static str,
    words: &'static str,
}

/// One part of the service.
struct PartLine {
    id: String,
    title: String,
    condition: Condition,
    detail: Option<&'static str>,
    is_chain: bool,
    /// The latest block that was seen, of a chain.
    head: Option<GroupedCount>,
    days: DayBars,
}

const OPERATIONAL: Condition = Condition { class: "good", words: "Operational" };
const DEGRADED: Condition = Condition { class: "warn", words: "Degraded" };
const OUTAGE: Condition = Condition { class: "bad", words: "Outage" };

impl Condition {
    /// By the word that the interface has for it.
    fn of(status: &str) -> Self {
        match status {
            "ok" => OPERATIONAL,
            "degraded" | "delayed" => DEGRADED,
            _ => OUTAGE,
        }
    }
}

fn overall(status: &Status) -> Condition {
    let is_well = status.parts().iter().all(|(_, is_well)| *is_well);
    match (status.messages.status, is_well) {
        ("ok", true) => OPERATIONAL,
        ("ok", false) => DEGRADED,
        _ => OUTAGE,
    }
}

fn headline(overall: Condition) -> &'static str {
    match overall.class {
        "good" => "API: Operational",
        "warn" => "API: Operational. Other parts are degraded.",
        _ => "API: Outage",
    }
}

/// A word of the interface, and what it means.
type Standing<'a> = (&'a str, Option<&'static str>);

fn line(known: &Past, part: &StatusPart, title: &str, (word, detail): Standing<'_>) -> PartLine {
    PartLine {
        id: part.name().replace(':', "-"),
        title: title.to_owned(),
        condition: Condition::of(word),
        detail,
        is_chain: matches!(part, StatusPart::Chain(_)),
        head: None,
        days: known.of(part),
    }
}

fn lines(status: Status, known: &Past) -> Vec<PartLine> {
    let mut lines = vec![
        line(known, &StatusPart::Api, "API", (status.messages.status, status.messages.detail)),
        line(known, &StatusPart::Pages, "Sign-in and pages", ("ok", None)),
    ];
    for chain in status.chains {
        let title = format!("Deposits on {}", chain.display_name);
        let standing = chain.chain_status;
        let part = StatusPart::Chain(chain.chain);
        let of_chain = line(known, &part, &title, (&standing.status, standing.detail));
        lines.push(PartLine { head: standing.head.map(GroupedCount), ..of_chain });
    }
    lines.push(line(known, &StatusPart::Mail, "Email", (status.mail.status, status.mail.detail)));
    lines
}

/// `GET /status`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let status = status::standing(&visit.site.parts.interface).await?;
        let past = visit.site.past.get(visit.site).await?;
        visit.public_page(&StatusPage {
            frame: visit.frame("Status"),
            overall: overall(&status),
            headline: headline(overall(&status)),
            message: status.message.clone(),
            parts: lines(status, &past),
            past,
            as_of: TimeElement(visit.site.now()),
        })
    })
    .await
}
