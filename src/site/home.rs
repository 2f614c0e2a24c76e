//! `GET /`: what this is, what it costs, and how to begin.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::GroupedCount;
use super::layout::Frame;
use super::{Site, page_request};
use crate::api::prices::{self, ModelPrices, Prices};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    prices: Prices,
    /// A model for the examples.
    model: String,
    notes: Notes,
}

/// What is said below the table because it is the same for most models.
struct Notes {
    web_search: Option<String>,
    has_factors: bool,
}

impl Notes {
    fn of(prices: &Prices) -> Self {
        let has_factors = |model: &ModelPrices| {
            !model.geo_factors.is_empty()
                || !model.speed_factors.is_empty()
                || model.batch_factor != "1"
        };
        Self {
            web_search: prices.models.first().map(|model| model.per_thousand_web_searches.clone()),
            has_factors: prices.models.iter().any(has_factors),
        }
    }
}

/// A number of tokens in groups of three digits.
fn tokens(count: u64) -> GroupedCount {
    GroupedCount(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The model that examples name: of those that stay the one with the cheapest input, as far as its
/// price tells.
pub(super) fn example(prices: &Prices) -> String {
    let staying = prices.models.iter().filter(|model| model.retires_at.is_none());
    let cheapest = staying.min_by_key(|model| {
        let input = &model.per_million_tokens.input;
        // Decimal text of the same form sorts by its length first.
        let whole = input.split('.').next().map_or(0, str::len);
        (whole, input.clone())
    });
    cheapest.map_or_else(|| "MODEL".to_owned(), |model| model.id.clone())
}

/// `GET /`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let prices = prices::in_force(visit.site.settings(), visit.site.now());
        visit.public_page(&HomePage {
            frame: visit.frame("Home"),
            model: example(&prices),
            notes: Notes::of(&prices),
            prices,
        })
    })
    .await
}
