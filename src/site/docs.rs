//! `/docs`: how to begin, and `/docs/api`: every operation of the interface, out of the document
//! that programs read.

mod example;
pub(super) mod paying;
pub(super) mod reference;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use self::reference::Reference;
use super::format::GroupedCount;
use super::layout::Frame;
use super::{Site, page_request};
use crate::api::prices;
use crate::config::Settings;
use crate::domain::key_scopes::Scope;

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    model: String,
    limits: GuideLimits,
    chains: Vec<String>,
    scopes: [Scope; 3],
    has_own_addresses: bool,
}

/// What a client may run into.
struct GuideLimits {
    body_mib: u64,
    requests_per_minute: GroupedCount,
    streams: GroupedCount,
    max_minutes: u64,
}

impl GuideLimits {
    fn of(settings: &Settings) -> Self {
        let count = |count: usize| GroupedCount(i64::try_from(count).unwrap_or(i64::MAX));
        let body_bytes = u64::try_from(settings.limits.body_bytes).unwrap_or(u64::MAX);
        Self {
            body_mib: body_bytes / (1024 * 1024),
            requests_per_minute: GroupedCount(
                settings.server.requests_per_minute_per_account.into(),
            ),
            streams: count(settings.server.max_streams_per_account),
            max_minutes: settings.stream.max_duration.as_secs() / 60,
        }
    }
}

#[derive(Template)]
#[template(path = "docs_api.html")]
struct ReferencePage<'a> {
    frame: Frame,
    reference: &'a Reference,
}

/// `GET /docs`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        let prices = prices::in_force(settings, visit.site.now());
        visit.public_page(&DocsPage {
            frame: visit.frame("Documentation"),
            model: super::home::example(&prices),
            limits: GuideLimits::of(settings),
            scopes: Scope::ALL,
            chains: settings.chains.iter().map(|chain| chain.display_name.clone()).collect(),
            has_own_addresses: settings.deposits.account_xpub.is_some(),
        })
    })
    .await
}

/// `GET /docs/api`
pub(super) async fn reference(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let reference = &visit.site.reference;
        visit.public_page(&ReferencePage { frame: visit.frame("API reference"), reference })
    })
    .await
}
