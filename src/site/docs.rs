//! `/docs`: how to begin and what to know, on a page for each subject, and `/docs/api`: every
//! operation of the interface, out of the document that programs read.

pub(super) mod errors;
mod example;
pub(super) mod paying;
pub(super) mod reference;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use self::reference::Reference;
use super::format::GroupedCount;
use super::layout::Frame;
use super::price_table::{self, PriceTable, short_tokens, tokens};
use super::{Site, page_request};
use crate::api::prices;
use crate::config::Settings;
use crate::domain::key_scopes::Scope;

#[derive(Template)]
#[template(path = "docs.html")]
struct QuickstartPage {
    frame: Frame,
    model: String,
}

#[derive(Template)]
#[template(path = "docs_clients.html")]
struct ClientsPage {
    frame: Frame,
    model: String,
}

#[derive(Template)]
#[template(path = "docs_models.html")]
struct ModelsPage {
    frame: Frame,
    prices: PriceTable,
}

#[derive(Template)]
#[template(path = "docs_billing.html")]
struct BillingPage {
    frame: Frame,
    limits: GuideLimits,
    chains: Vec<String>,
}

#[derive(Template)]
#[template(path = "docs_account_api.html")]
struct AccountApiPage {
    frame: Frame,
    model: String,
    scopes: [Scope; 3],
}

/// What a client may run into.
struct GuideLimits {
    body_mib: u64,
    requests_per_minute: GroupedCount,
    /// The same as a header has it, and one less.
    requests_per_minute_plain: u32,
    requests_left: u32,
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
            requests_per_minute_plain: settings.server.requests_per_minute_per_account,
            requests_left: settings.server.requests_per_minute_per_account.saturating_sub(1),
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
        let model = price_table::example_id(&prices);
        visit.public_page(&QuickstartPage { frame: visit.frame("Documentation"), model })
    })
    .await
}

/// `GET /docs/clients`
pub(super) async fn clients(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        let prices = prices::in_force(settings, visit.site.now());
        let model = price_table::example_id(&prices);
        visit.public_page(&ClientsPage { frame: visit.frame("Clients"), model })
    })
    .await
}

/// `GET /docs/models`
pub(super) async fn models(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let prices = prices::in_force(visit.site.settings(), visit.site.now());
        let frame = visit.frame("Models and prices");
        visit.public_page(&ModelsPage { frame, prices: PriceTable::of(prices) })
    })
    .await
}

/// `GET /docs/billing`
pub(super) async fn billing(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        visit.public_page(&BillingPage {
            frame: visit.frame("Billing and limits"),
            limits: GuideLimits::of(settings),
            chains: settings.chains.iter().map(|chain| chain.display_name.clone()).collect(),
        })
    })
    .await
}

/// `GET /docs/account-api`
pub(super) async fn account_api(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        let prices = prices::in_force(settings, visit.site.now());
        let model = price_table::example_id(&prices);
        let frame = visit.frame("Account API");
        visit.public_page(&AccountApiPage { frame, model, scopes: Scope::ALL })
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
