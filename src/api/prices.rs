//! `GET /api/v1/prices`: what each model costs now, the operator's factor included, as exact
//! decimals.

use std::collections::BTreeMap;

use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Json;
use super::extractors::Visitor;
use super::refusal::Refusal;
use super::values::Moment;
use crate::config::Settings;
use crate::domain::clock::UnixMillis;
use crate::domain::price_list::{Markup, Model, Multiplier, Rates, TokenPrices};

/// Decimals of a dollar in a price: nine of a nano-dollar, six of the operator's factor.
const DECIMALS: usize = 15;

/// The price list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Prices {
    /// Always `USD`.
    pub currency: &'static str,
    /// Available models, newest first.
    pub models: Vec<ModelPrices>,
}

/// The prices of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelPrices {
    /// Its id, as used in requests.
    #[schema(example = "claude-haiku-5-5")]
    pub id: String,
    /// Its display name.
    #[schema(example = "Claude Haiku 5.5")]
    pub display_name: String,
    /// Its release date.
    pub released_at: Moment,
    /// The last day on which it is available, UTC; null if unknown. Later requests for it are
    /// refused.
    #[schema(format = Date, example = "2026-11-30")]
    pub retires_at: Option<String>,
    /// The id of the model to use instead; null if there is none.
    pub successor: Option<String>,
    /// Maximum tokens of prompt and response together.
    pub context_tokens: u64,
    /// Maximum tokens of a response.
    pub max_output_tokens: u64,
    /// Version of these prices. Each usage row names the version that applied.
    #[schema(example = "2026-10-07-53383ef0")]
    pub version: String,
    /// Dollars per million tokens.
    pub per_million_tokens: ClassPrices,
    /// Prices for long prompts; null if length does not matter.
    pub long_prompt: Option<LongPromptPrices>,
    /// Dollars for 1,000 web searches.
    #[schema(example = "10.00")]
    pub per_thousand_web_searches: String,
    /// Multipliers on tokens by the response's `inference_geo`. Values not listed cost the normal
    /// price or are not available.
    #[schema(example = json!({ "us": "1.1" }))]
    pub geo_factors: BTreeMap<String, String>,
    /// Multipliers on tokens by the response's `speed`.
    #[schema(example = json!({ "fast": "2" }))]
    pub speed_factors: BTreeMap<String, String>,
    /// Multiplier on tokens in the service tier `batch`.
    #[schema(example = "0.5")]
    pub batch_factor: String,
}

/// Dollars per million tokens of each type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClassPrices {
    /// Uncached input.
    #[schema(example = "2.00")]
    pub input: String,
    /// Output.
    pub output: String,
    /// Written to the cache for five minutes.
    pub cache_write_5m: String,
    /// Written to the cache for one hour.
    pub cache_write_1h: String,
    /// Read from the cache.
    pub cache_read: String,
}

/// Prices of all tokens of a request with a long prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LongPromptPrices {
    /// The longest prompt at normal prices in tokens, including cached parts.
    pub above_tokens: u64,
    /// Dollars per million tokens for longer prompts.
    pub per_million_tokens: ClassPrices,
}

/// Get prices.
///
/// The current prices of each model. Prices are exact: with the operator's multiplier they may have
/// more decimals than amounts. The cost of a request is summed exactly and rounded up once, to a
/// billionth of a dollar.
#[utoipa::path(
    get, path = "/api/v1/prices", operation_id = "get_prices",
    responses((status = 200, description = "The current prices.")),
)]
pub(super) async fn show(_: Visitor, api: Data<Api>) -> Result<Json<Prices>, Refusal> {
    Ok(Json(in_force(&api.parts.context.settings, api.now())))
}

/// The prices of every model that is priced at a moment and that some upstream serves.
#[must_use]
pub fn in_force(settings: &Settings, now: UnixMillis) -> Prices {
    let is_served = |model: &Model| {
        settings.upstreams.iter().any(|upstream| upstream.serves(model.id.as_str()))
    };
    let models = settings.prices.models();
    let models = models.filter(|model| is_served(model) && !model.is_retired_at(now));
    let models =
        models.filter_map(|model| Some(prices_of(model, model.rates_at(now)?.as_ref()))).collect();
    Prices { currency: "USD", models }
}

fn prices_of(model: &Model, rates: &Rates) -> ModelPrices {
    let markup = rates.markup;
    let factors = |factors: &BTreeMap<String, Multiplier>| {
        factors.iter().map(|(name, factor)| (name.clone(), factor_text(*factor))).collect()
    };
    ModelPrices {
        id: model.id.as_str().to_owned(),
        display_name: model.display_name.clone(),
        released_at: Moment(model.created_at),
        retires_at: model.retires_at.map(|day| day.to_string()),
        successor: model.successor.clone(),
        context_tokens: model.context_tokens,
        max_output_tokens: model.max_output_tokens,
        version: rates.version.clone(),
        per_million_tokens: classes(&rates.base, markup),
        long_prompt: rates.long_prompt.as_ref().map(|long| LongPromptPrices {
            above_tokens: long.above_tokens,
            per_million_tokens: classes(&long.prices, markup),
        }),
        per_thousand_web_searches: price(rates.web_search_per_1000, markup),
        geo_factors: factors(&rates.geo),
        speed_factors: factors(&rates.speed),
        batch_factor: factor_text(rates.batch),
    }
}

fn classes(prices: &TokenPrices, markup: Markup) -> ClassPrices {
    ClassPrices {
        input: price(prices.input, markup),
        output: price(prices.output, markup),
        cache_write_5m: price(prices.cache_write_5m, markup),
        cache_write_1h: price(prices.cache_write_1h, markup),
        cache_read: price(prices.cache_read, markup),
    }
}

/// A price in nano-dollars times the operator's factor in millionths, as dollars with two decimals
/// at least.
fn price(nanos: i64, markup: Markup) -> String {
    let units = u128::from(nanos.unsigned_abs()).saturating_mul(u128::from(markup.as_millionths()));
    decimal(units, DECIMALS, 2)
}

fn factor_text(factor: Multiplier) -> String {
    decimal(factor.as_thousandths().into(), 3, 0)
}

/// A count of units of which ten to the power of `decimals` make one, without needless zeros.
fn decimal(units: u128, decimals: usize, least: usize) -> String {
    let width = decimals.saturating_add(1);
    let digits = format!("{units:0width$}");
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
    let kept = fraction.trim_end_matches('0').len().max(least);
    let fraction: String = fraction.chars().take(kept).collect();
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_keep_every_decimal() {
        let price = |nanos, markup: &str| price(nanos, markup.parse().unwrap());
        assert_eq!(price(8_000_000_000, "1"), "8.00");
        assert_eq!(price(125_000_000, "1"), "0.125");
        assert_eq!(price(100_000_000, "1.15"), "0.115");
        assert_eq!(price(1, "0.000001"), "0.000000000000001");
        assert_eq!(price(7, "1000"), "0.000007");
        assert_eq!(price(0, "1"), "0.00");
        assert_eq!(price(i64::MAX, "1000"), "9223372036854.775807");
        assert_eq!(factor_text("1.1".parse().unwrap()), "1.1");
        assert_eq!(factor_text("2".parse().unwrap()), "2");
        assert_eq!(factor_text("0.5".parse().unwrap()), "0.5");
    }
}
