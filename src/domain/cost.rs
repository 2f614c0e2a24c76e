//! The cost of a usage: exact in 128 bits over one common denominator. The one rounding is at the
//! end, and up.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::money::{MoneyError, NanoUsd};
use super::price_list::{Multiplier, Rates, TokenPrices};
use super::usage::{Pass, Usage};

/// Everything is summed in this fraction of a nano-dollar: a millionth for the price per million
/// tokens, a thousandth for each of geo, speed and tier, a millionth for the markup.
pub(super) const UNITS_PER_NANO: i128 = 1_000_000 * 1_000 * 1_000 * 1_000 * 1_000_000;

/// Units in one nano-dollar times one millionth of markup, divided among 1,000 searches.
pub(super) const UNITS_PER_SEARCH: i128 = UNITS_PER_NANO / 1_000 / 1_000_000;

/// What an answer costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Rounded up to a whole nano-dollar.
    pub amount: NanoUsd,
    /// Parts of the usage that had no price and were taken at factor 1, for an alert:
    /// `inference_geo`, `speed`, `service_tier`.
    pub unpriced: Vec<&'static str>,
}

impl CostBounds<'_> {
    /// All prompt tokens.
    const fn prompt(&self) -> u64 {
        self.input_tokens.saturating_add(self.cached_tokens)
    }
}

/// A pass with the rates of the model that ran it.
#[derive(Clone, Debug)]
pub struct RatedPass {
    /// The pass.
    pub pass: Pass,
    /// Its model's rates at admission.
    pub rates: Arc<Rates>,
}

/// What a request may cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostBounds<'a> {
    /// Prompt tokens, whatever their class.
    pub input_tokens: u64,
    /// Prompt tokens beside those that are read from the cache.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Web searches.
    pub web_searches: u64,
    /// Whether the prompt may be written to the 5-minute cache.
    pub uses_5m_cache: bool,
    /// Whether the prompt may be written to the 1-hour cache.
    pub uses_1h_cache: bool,
    /// `inference_geo` as asked for.
    pub geo: Option<&'a str>,
    /// `speed` as asked for.
    pub speed: Option<&'a str>,
}

/// What these passes cost, with the factors and searches that `usage` reports; searches at `rates`.
///
/// # Errors
/// [`MoneyError::Overflow`] where the counts are beyond any sum of money.
pub fn cost(rates: &Rates, usage: &Usage, passes: &[RatedPass]) -> Result<Cost, MoneyError> {
    let mut unpriced = Vec::new();
    let mut units = search_units(rates, usage.web_searches).ok_or(MoneyError::Overflow)?;
    for RatedPass { pass, rates } in passes {
        let pass = pass_units(rates, pass, usage, &mut unpriced)?;
        units = units.checked_add(pass).ok_or(MoneyError::Overflow)?;
    }
    Ok(Cost { amount: rounded_up(units)?, unpriced })
}

/// The price of each class of a pass's tokens, in nano-USD per million: by the tier of its own
/// prompt, and where a fallback credit was redeemed, cache writes at the price of reads.
#[must_use]
pub fn prices_of(rates: &Rates, pass: &Pass) -> TokenPrices {
    let prices = *rates.prices_for(pass.tokens.prompt());
    if pass.is_credit_redeemed {
        let read = prices.cache_read;
        TokenPrices { cache_write_5m: read, cache_write_1h: read, ..prices }
    } else {
        prices
    }
}

impl Rates {
    /// What a request within these bounds costs at most: the dearer tier where the prompt may reach
    /// the long one, every prompt token in its dearest class, rounded up. A geo or speed without a
    /// price counts as 1, so refuse it first.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the bounds are beyond any sum of money.
    pub fn worst_cost(&self, bounds: &CostBounds<'_>) -> Result<NanoUsd, MoneyError> {
        let units = self.worst_input_units(bounds).and_then(|units| {
            let output =
                i128::from(bounds.output_tokens).checked_mul(self.worst_output_units(bounds)?)?;
            units.checked_add(output)
        });
        rounded_up(units.ok_or(MoneyError::Overflow)?)
    }

    /// The most output tokens with which a request within these bounds stays payable by `funds`;
    /// `None` where its prompt alone is too dear. [`CostBounds::output_tokens`] is ignored.
    #[must_use]
    pub fn affordable_output(&self, bounds: &CostBounds<'_>, funds: NanoUsd) -> Option<u64> {
        let funds = i128::from(funds.as_nanos()).checked_mul(UNITS_PER_NANO)?;
        let left = funds.checked_sub(self.worst_input_units(bounds)?)?;
        if left < 0 {
            return None;
        }
        let tokens = left.checked_div(self.worst_output_units(bounds)?);
        Some(tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or(u64::MAX))
    }

    /// Nano-USD per million tokens of the dearest class that a prompt within these bounds can use,
    /// before factors.
    #[must_use]
    pub fn dearest_input_price(&self, bounds: &CostBounds<'_>) -> i64 {
        let dearest = |prices: &TokenPrices| {
            let usable = [
                (true, prices.input),
                (true, prices.cache_read),
                (bounds.uses_5m_cache, prices.cache_write_5m),
                (bounds.uses_1h_cache, prices.cache_write_1h),
            ];
            usable
                .into_iter()
                .filter(|(is_usable, _)| *is_usable)
                .map(|(_, price)| price)
                .fold(0, i64::max)
        };
        dearest(&self.base).max(dearest(self.prices_for(bounds.prompt())))
    }

    /// Nano-USD per million tokens of output at the dearer tier that these bounds can reach, before
    /// factors.
    #[must_use]
    pub fn dearest_output_price(&self, bounds: &CostBounds<'_>) -> i64 {
        self.base.output.max(self.prices_for(bounds.prompt()).output)
    }

    fn worst_input_units(&self, bounds: &CostBounds<'_>) -> Option<i128> {
        let input = i128::from(bounds.input_tokens)
            .checked_mul(i128::from(self.dearest_input_price(bounds)))?;
        let read = self.base.cache_read.max(self.prices_for(bounds.prompt()).cache_read);
        let cached = i128::from(bounds.cached_tokens).checked_mul(i128::from(read))?;
        let prompt = input.checked_add(cached)?.checked_mul(self.worst_factor(bounds)?)?;
        prompt.checked_add(search_units(self, bounds.web_searches)?)
    }

    fn worst_output_units(&self, bounds: &CostBounds<'_>) -> Option<i128> {
        i128::from(self.dearest_output_price(bounds)).checked_mul(self.worst_factor(bounds)?)
    }

    fn worst_factor(&self, bounds: &CostBounds<'_>) -> Option<i128> {
        let geo = self.geo_multiplier(bounds.geo).unwrap_or(Multiplier::ONE);
        let speed = self.speed_multiplier(bounds.speed).unwrap_or(Multiplier::ONE);
        factor(self, geo, speed, Multiplier::ONE)
    }
}

/// One pass over one model, in units.
fn pass_units(
    rates: &Rates,
    pass: &Pass,
    usage: &Usage,
    unpriced: &mut Vec<&'static str>,
) -> Result<i128, MoneyError> {
    if pass.waiver.is_some() {
        return Ok(0);
    }
    let mut or_one = |multiplier: Option<Multiplier>, part| {
        multiplier.unwrap_or_else(|| {
            note(unpriced, part);
            Multiplier::ONE
        })
    };
    let geo = or_one(rates.geo_multiplier(usage.inference_geo.as_deref()), "inference_geo");
    let speed = or_one(rates.speed_multiplier(usage.speed.as_deref()), "speed");
    let tier = or_one(rates.tier_multiplier(usage.service_tier.as_deref()), "service_tier");
    let (tokens, prices) = (&pass.tokens, prices_of(rates, pass));
    let classes = [
        (tokens.input, prices.input),
        (tokens.output, prices.output),
        (tokens.cache_write_5m, prices.cache_write_5m),
        (tokens.cache_write_1h, prices.cache_write_1h),
        (tokens.cache_read, prices.cache_read),
    ];
    classes
        .into_iter()
        .try_fold(0_i128, |sum, (count, price)| {
            sum.checked_add(i128::from(count).checked_mul(i128::from(price))?)
        })
        .and_then(|sum| sum.checked_mul(factor(rates, geo, speed, tier)?))
        .ok_or(MoneyError::Overflow)
}

fn factor(rates: &Rates, geo: Multiplier, speed: Multiplier, tier: Multiplier) -> Option<i128> {
    [geo, speed, tier]
        .into_iter()
        .try_fold(i128::from(rates.markup.as_millionths()), |product, multiplier| {
            product.checked_mul(i128::from(multiplier.as_thousandths()))
        })
}

fn search_units(rates: &Rates, searches: u64) -> Option<i128> {
    i128::from(searches)
        .checked_mul(i128::from(rates.web_search_per_1000))?
        .checked_mul(i128::from(rates.markup.as_millionths()))?
        .checked_mul(UNITS_PER_SEARCH)
}

fn rounded_up(units: i128) -> Result<NanoUsd, MoneyError> {
    let whole = units / UNITS_PER_NANO;
    let has_rest = units % UNITS_PER_NANO > 0;
    NanoUsd::from_wide(if has_rest { whole + 1 } else { whole })
}

fn note(unpriced: &mut Vec<&'static str>, part: &'static str) {
    if !unpriced.contains(&part) {
        unpriced.push(part);
    }
}
