//! `GET /`: what this is, what it costs, and how to begin.

mod sample;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use self::sample::SampleReceipt;
use super::format::SignedDollars;
use super::layout::Frame;
use super::price_table::{self, PriceTable, short_tokens, tokens};
use super::{Site, page_request};
use crate::api::prices;
use crate::config::{Chain, Settings};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    prices: PriceTable,
    /// A model for the examples.
    model: String,
    /// What a request costs, by today's prices.
    sample: Option<SampleReceipt>,
    coins: Vec<ChainCoins>,
    /// The least that is credited.
    minimum: Option<SignedDollars>,
    usage_log_days: u32,
}

/// What can be paid with on a chain.
pub(super) struct ChainCoins {
    pub(super) chain: String,
    /// Such as `USDC, USDT or ETH`.
    pub(super) coins: String,
}

impl ChainCoins {
    pub(super) fn of(chain: &Chain) -> Self {
        let tokens = chain.tokens.iter().map(|token| token.symbol.as_str());
        let coins: Vec<&str> =
            tokens.chain(chain.native.iter().map(|native| native.symbol.as_str())).collect();
        let coins = match coins.split_last() {
            None => String::new(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        };
        Self { chain: chain.display_name.clone(), coins }
    }
}

/// The least value of a deposit that is credited at once, over all coins.
pub(super) fn minimum(settings: &Settings) -> Option<SignedDollars> {
    let chains = settings.chains.iter();
    let all = chains.flat_map(|chain| {
        let tokens = chain.tokens.iter().map(|token| token.minimum);
        tokens.chain(chain.native.iter().map(|native| native.minimum))
    });
    all.min().map(SignedDollars)
}

/// `GET /`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        let prices = prices::in_force(settings, visit.site.now());
        visit.public_page(&HomePage {
            frame: visit.frame("Home"),
            model: price_table::example_id(&prices),
            sample: price_table::example(&prices).and_then(SampleReceipt::of),
            prices: PriceTable::of(prices),
            coins: settings.chains.iter().map(ChainCoins::of).collect(),
            minimum: minimum(settings),
            usage_log_days: settings.privacy.usage_log_days,
        })
    })
    .await
}
