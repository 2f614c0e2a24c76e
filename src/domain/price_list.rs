//! What each model costs and by which names it goes. Immutable once made: a change of prices is a
//! new list, and a request keeps the list it was admitted under.

mod rates;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use self::rates::{LongPrompt, Markup, Multiplier, MultiplierError, Rates, TokenPrices};
use super::clock::{UnixMillis, UtcDay};

/// The id under which a model is priced and listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(String);

impl ModelId {
    /// An id as the price list writes it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A model as it is configured, before the markup.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Its id.
    pub id: ModelId,
    /// Its name for people.
    pub display_name: String,
    /// Its day of release.
    pub created_at: UnixMillis,
    /// The last day on which it is sold.
    pub retires_at: Option<UtcDay>,
    /// The id of the model to use instead.
    pub successor: Option<String>,
    /// Other names.
    pub aliases: Vec<String>,
    /// Names of fixed versions.
    pub dated_ids: Vec<String>,
    /// The most tokens of prompt and answer together.
    pub context_tokens: u64,
    /// The most tokens of an answer.
    pub max_output_tokens: u64,
    /// Thousandths of a byte in a token of output, on average.
    pub bytes_per_token_milli: u64,
    /// Factors by `inference_geo`.
    pub geo: BTreeMap<String, Multiplier>,
    /// Factors by `speed`.
    pub speed: BTreeMap<String, Multiplier>,
    /// Factor of the service tier `batch`.
    pub batch: Multiplier,
    /// Prices, in any order.
    pub periods: Vec<PricePeriod>,
}

/// Prices from a moment on.
#[derive(Clone, Debug)]
pub struct PricePeriod {
    /// The first moment.
    pub from: UnixMillis,
    /// Prices of a prompt of ordinary length.
    pub base: TokenPrices,
    /// Prices of a longer one.
    pub long_prompt: Option<LongPrompt>,
}

/// Why a price list cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceListError {
    /// A name would lead to two models.
    #[error("the name \"{0}\" is claimed twice")]
    NameTwice(String),
    /// A model without prices.
    #[error("the model \"{0}\" has no price")]
    Unpriced(String),
}

/// A model with everything that it is sold by.
#[derive(Debug)]
pub struct Model {
    /// The id under which it is priced.
    pub id: ModelId,
    /// Its name for people.
    pub display_name: String,
    /// Its day of release.
    pub created_at: UnixMillis,
    /// The last day on which it is sold. What was admitted before is priced after it, too.
    pub retires_at: Option<UtcDay>,
    /// The id of the model to use instead.
    pub successor: Option<String>,
    /// The most tokens of prompt and answer together.
    pub context_tokens: u64,
    /// The most tokens of an answer.
    pub max_output_tokens: u64,
    /// Thousandths of a byte in a token of output, on average; above 0.
    pub bytes_per_token_milli: u64,
    /// In the order of time, never empty.
    periods: Vec<(UnixMillis, Arc<Rates>)>,
}

impl Model {
    /// The rates in force at a moment; none before the first price.
    #[must_use]
    pub fn rates_at(&self, now: UnixMillis) -> Option<&Arc<Rates>> {
        self.periods.iter().rev().find(|(from, _)| *from <= now).map(|(_, rates)| rates)
    }

    /// Whether its last day is over.
    #[must_use]
    pub fn is_retired_at(&self, now: UnixMillis) -> bool {
        self.retires_at.is_some_and(|last| now.day() > last)
    }

    /// All its prices with the moments from which each counts, in the order of time; never empty.
    pub fn periods(&self) -> impl Iterator<Item = (UnixMillis, &Rates)> {
        self.periods.iter().map(|(from, rates)| (*from, rates.as_ref()))
    }

    /// Output tokens that so many bytes of deltas stand for, rounded up.
    #[must_use]
    pub fn output_tokens_of_bytes(&self, bytes: u64) -> u64 {
        let tokens =
            (u128::from(bytes) * 1_000).div_ceil(u128::from(self.bytes_per_token_milli.max(1)));
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

/// Every model that is sold.
#[derive(Debug)]
pub struct PriceList {
    /// Newest first, then by id.
    models: Vec<Arc<Model>>,
    /// Ids, aliases and dated ids.
    names: HashMap<String, Arc<Model>>,
}

impl PriceList {
    /// Makes a list. `markup` is applied to everything, `web_search_per_1000` is in nano-USD.
    ///
    /// # Errors
    /// [`PriceListError`] where a name would lead to two models, or a model has no price.
    pub fn new(
        specs: Vec<ModelSpec>,
        markup: Markup,
        web_search_per_1000: i64,
    ) -> Result<Self, PriceListError> {
        let mut models = Vec::with_capacity(specs.len());
        let mut names = HashMap::new();
        for spec in specs {
            let aliases = spec.aliases.iter().chain(&spec.dated_ids).cloned();
            let own_names: Vec<String> =
                std::iter::once(spec.id.0.clone()).chain(aliases).collect();
            let model = Arc::new(model(spec, markup, web_search_per_1000)?);
            for name in own_names {
                if names.insert(name.clone(), Arc::clone(&model)).is_some() {
                    return Err(PriceListError::NameTwice(name));
                }
            }
            models.push(model);
        }
        models.sort_by(|one, other| {
            other.created_at.cmp(&one.created_at).then_with(|| one.id.cmp(&other.id))
        });
        Ok(Self { models, names })
    }

    /// Whether anything is sold for nothing.
    #[must_use]
    pub fn has_free(&self) -> bool {
        self.models()
            .flat_map(|model| model.periods())
            .any(|(_, rates)| rates.prices_for(0).has_zero())
    }

    /// The model that goes by this id, alias or dated id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.names.get(name)
    }

    /// The rates of a name at a moment.
    #[must_use]
    pub fn rates(&self, name: &str, now: UnixMillis) -> Option<&Arc<Rates>> {
        self.find(name)?.rates_at(now)
    }

    /// All models, newest first.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.iter()
    }
}

fn model(
    spec: ModelSpec,
    markup: Markup,
    web_search_per_1000: i64,
) -> Result<Model, PriceListError> {
    let ModelSpec { id, geo, speed, batch, mut periods, .. } = spec;
    if periods.is_empty() {
        return Err(PriceListError::Unpriced(id.0));
    }
    periods.sort_by_key(|period| period.from);
    let periods = periods
        .into_iter()
        .map(|period| {
            let from = period.from;
            let rates = Rates {
                version: String::new(),
                base: period.base,
                long_prompt: period.long_prompt,
                geo: geo.clone(),
                speed: speed.clone(),
                batch,
                web_search_per_1000,
                markup,
            };
            (from, Arc::new(rates.with_version(from)))
        })
        .collect();
    Ok(Model {
        id,
        display_name: spec.display_name,
        created_at: spec.created_at,
        retires_at: spec.retires_at,
        successor: spec.successor,
        context_tokens: spec.context_tokens,
        max_output_tokens: spec.max_output_tokens,
        bytes_per_token_milli: spec.bytes_per_token_milli,
        periods,
    })
}
