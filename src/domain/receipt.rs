//! What a cost is made of, exactly: each class of tokens at its price, the factors on them, and
//! what the rounding at the end has added. A receipt is made from a usage row and the rates that
//! were in force, and is shown only if it comes to the very amount that was charged.

#[cfg(test)]
mod tests;

use std::fmt;

use super::cost::{RatedPass, UNITS_PER_NANO, UNITS_PER_SEARCH, prices_of};
use super::money::{MoneyError, NANOUSD_PER_USD, NanoUsd};
use super::price_list::{Multiplier, Rates, TokenPrices};
use super::usage::{Pass, TokenCounts, Usage, Waiver};

/// Dollars with as many decimals as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactUsd(i128);

/// Units of [`ExactUsd`] in a dollar: those of [`UNITS_PER_NANO`].
const DECIMALS: usize = 30;

impl ExactUsd {
    fn of(amount: NanoUsd) -> Result<Self, MoneyError> {
        let units = i128::from(amount.as_nanos()).checked_mul(UNITS_PER_NANO);
        units.map(Self).ok_or(MoneyError::Overflow)
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// At least cents, and no zero behind the last digit that counts.
impl fmt::Display for ExactUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_usd = UNITS_PER_NANO.unsigned_abs() * u128::from(NANOUSD_PER_USD.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let fraction = format!("{:0DECIMALS$}", units % per_usd);
        let (cents, rest) = fraction.split_at(2);
        let text = format!("{sign}{}.{cents}{}", units / per_usd, rest.trim_end_matches('0'));
        f.pad(&text)
    }
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostItem {
    /// Uncached input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Tokens written to the 5-minute cache.
    CacheWrite5m,
    /// Tokens written to the 1-hour cache.
    CacheWrite1h,
    /// Tokens read from the cache.
    CacheRead,
    /// Web searches.
    WebSearch,
}

impl CostItem {
    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::CacheRead => "cache_read",
            Self::WebSearch => "web_search",
        }
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// What for.
    pub item: CostItem,
    /// How many.
    pub count: u64,
    /// For how many of them the price is.
    pub per: u64,
    /// The price, before the factors.
    pub price: ExactUsd,
    /// Count × price × factors.
    pub amount: ExactUsd,
}

/// A factor on the tokens' lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostFactor {
    /// `inference_geo`, `speed` or `service_tier`.
    pub of: &'static str,
    /// As the upstream reported it.
    pub value: String,
    /// In thousandths.
    pub thousandths: u32,
}

/// A factor as it is written: `1.1`.
impl fmt::Display for CostFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.thousandths / 1_000, self.thousandths % 1_000);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// What one pass over one model came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassReceipt {
    /// The pass itself.
    pub pass: Pass,
    /// The prices of long prompts counted.
    pub is_long_prompt: bool,
    /// Of the tokens that it used; none where it is free.
    pub lines: Vec<CostLine>,
    /// On each of these lines.
    pub factors: Vec<CostFactor>,
}

/// A cost explained: the lines and the rounding together are what was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// In the order in which they ran.
    pub passes: Vec<PassReceipt>,
    /// Of the web searches, if there were any.
    pub searches: Option<CostLine>,
    /// What rounding up to a whole nano-dollar has added; below one.
    pub rounding: ExactUsd,
}

impl Receipt {
    /// The factors on lines of tokens, each once.
    #[must_use]
    pub fn factors(&self) -> Vec<&CostFactor> {
        let mut all: Vec<&CostFactor> = Vec::new();
        for factor in self.passes.iter().flat_map(|pass| &pass.factors) {
            if !all.contains(&factor) {
                all.push(factor);
            }
        }
        all
    }
}

/// The receipt of an answer by the rates of the models that ran its passes, searches at `rates`, if
/// these explain `charged`.
///
/// # Errors
/// [`MoneyError::Overflow`] where the counts are beyond any sum of money.
pub fn itemise(
    rates: &Rates,
    usage: &Usage,
    passes: &[RatedPass],
    charged: NanoUsd,
) -> Result<Option<Receipt>, MoneyError> {
    let passes = passes
        .iter()
        .map(|rated| pass_receipt(rated, usage).ok_or(MoneyError::Overflow))
        .collect::<Result<Vec<_>, _>>()?;
    let searches = match usage.web_searches {
        0 => None,
        count => Some(search_line(rates, count).ok_or(MoneyError::Overflow)?),
    };
    let lines = passes.iter().flat_map(|pass| &pass.lines).chain(&searches);
    let sum = lines
        .map(|line| line.amount.0)
        .try_fold(0_i128, i128::checked_add)
        .ok_or(MoneyError::Overflow)?;
    let rounding = ExactUsd::of(charged)?.0.checked_sub(sum).ok_or(MoneyError::Overflow)?;
    let is_explained = (0..UNITS_PER_NANO).contains(&rounding);
    Ok(is_explained.then_some(Receipt { passes, searches, rounding: ExactUsd(rounding) }))
}

fn pass_receipt(rated: &RatedPass, usage: &Usage) -> Option<PassReceipt> {
    let RatedPass { pass, rates } = rated;
    let prices = prices_of(rates, pass);
    let factors = factors(rates, usage);
    let lines = match pass.waiver {
        Some(Waiver::Refused | Waiver::Declined) => Vec::new(),
        None => token_classes(&pass.tokens, &prices)
            .into_iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|class| token_line(rates, &factors, class))
            .collect::<Option<Vec<_>>>()?,
    };
    let is_long_prompt = rates.prices_for(pass.tokens.prompt()) != &rates.base;
    Some(PassReceipt { pass: pass.clone(), is_long_prompt, lines, factors })
}

const fn token_classes(tokens: &TokenCounts, prices: &TokenPrices) -> [(CostItem, u64, i64); 5] {
    [
        (CostItem::Input, tokens.input, prices.input),
        (CostItem::Output, tokens.output, prices.output),
        (CostItem::CacheWrite5m, tokens.cache_write_5m, prices.cache_write_5m),
        (CostItem::CacheWrite1h, tokens.cache_write_1h, prices.cache_write_1h),
        (CostItem::CacheRead, tokens.cache_read, prices.cache_read),
    ]
}

/// Nano-dollars per million times thousandths, thrice, times millionths are units.
fn token_line(
    rates: &Rates,
    factors: &[CostFactor],
    (item, count, price): (CostItem, u64, i64),
) -> Option<CostLine> {
    let marked_up = i128::from(price).checked_mul(i128::from(rates.markup.as_millionths()))?;
    let neutral = i128::from(Multiplier::ONE.as_thousandths());
    let mut each = marked_up;
    for place in 0..3_usize {
        let thousandths = factors.get(place).map(|factor| i128::from(factor.thousandths));
        each = each.checked_mul(thousandths.unwrap_or(neutral))?;
    }
    let per_million = marked_up.checked_mul(UNITS_PER_NANO / 1_000_000)?;
    Some(CostLine {
        item,
        count,
        per: 1_000_000,
        price: ExactUsd(per_million),
        amount: ExactUsd(i128::from(count).checked_mul(each)?),
    })
}

fn search_line(rates: &Rates, count: u64) -> Option<CostLine> {
    let each = i128::from(rates.web_search_per_1000)
        .checked_mul(i128::from(rates.markup.as_millionths()))?
        .checked_mul(UNITS_PER_SEARCH)?;
    Some(CostLine {
        item: CostItem::WebSearch,
        count,
        per: 1_000,
        price: ExactUsd(each.checked_mul(1_000)?),
        amount: ExactUsd(i128::from(count).checked_mul(each)?),
    })
}

/// Those that are not 1. One without a price was taken as 1 when the answer was priced.
fn factors(rates: &Rates, usage: &Usage) -> Vec<CostFactor> {
    let named = [
        (
            "inference_geo",
            &usage.inference_geo,
            rates.geo_multiplier(usage.inference_geo.as_deref()),
        ),
        ("speed", &usage.speed, rates.speed_multiplier(usage.speed.as_deref())),
        ("service_tier", &usage.service_tier, rates.tier_multiplier(usage.service_tier.as_deref())),
    ];
    named
        .into_iter()
        .filter_map(|(of, value, factor)| {
            let thousandths = factor.filter(|factor| *factor != Multiplier::ONE)?.as_thousandths();
            Some(CostFactor { of, value: value.clone()?, thousandths })
        })
        .collect()
}
