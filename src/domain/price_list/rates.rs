//! The prices of one model in one period of time. Absolute for every class of tokens, because the
//! ratios between classes differ by model and change.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::domain::clock::UnixMillis;
use crate::domain::money::parse_decimal;

/// Prices in nano-USD per million tokens, one for each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPrices {
    /// Uncached input.
    pub input: i64,
    /// Output.
    pub output: i64,
    /// Written to the cache for five minutes.
    pub cache_write_5m: i64,
    /// Written to the cache for one hour.
    pub cache_write_1h: i64,
    /// Read from the cache.
    pub cache_read: i64,
}

impl TokenPrices {
    /// Whether some class costs nothing.
    #[must_use]
    pub fn has_zero(&self) -> bool {
        let Self { input, output, cache_write_5m, cache_write_1h, cache_read } = *self;
        [input, output, cache_write_5m, cache_write_1h, cache_read].contains(&0)
    }
}

/// Prices of a pass whose prompt, cached parts included, is longer than `above_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrompt {
    /// The longest prompt at ordinary prices.
    pub above_tokens: u64,
    /// What a longer one costs, all of it.
    pub prices: TokenPrices,
}

/// A factor on token prices in thousandths, above 0 and at most 1,000. Thousandths leave room for
/// three factors and the markup in exact 128-bit arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Multiplier(pub(super) u32);

/// The operator's factor on everything in millionths, at most 1,000. Zero gives the service away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Markup(pub(super) u32);

/// The text is no factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiplierError {
    /// Not a [`Multiplier`].
    #[error("must be a number above 0, at most 1000, with at most three decimals")]
    Multiplier,
    /// Not a [`Markup`].
    #[error("must be a number from 0 to 1000 with at most six decimals")]
    Markup,
}

impl Multiplier {
    /// No change.
    pub const ONE: Self = Self(1_000);

    /// The factor in thousandths.
    #[must_use]
    pub const fn as_thousandths(self) -> u32 {
        self.0
    }
}

impl FromStr for Multiplier {
    type Err = MultiplierError;

    fn from_str(text: &str) -> Result<Self, MultiplierError> {
        factor(text, 3).filter(|&count| count > 0).map(Self).ok_or(MultiplierError::Multiplier)
    }
}

impl Markup {
    /// Prices are passed on.
    pub const ONE: Self = Self(1_000_000);

    /// The factor in millionths.
    #[must_use]
    pub const fn as_millionths(self) -> u32 {
        self.0
    }
}

impl FromStr for Markup {
    type Err = MultiplierError;

    fn from_str(text: &str) -> Result<Self, MultiplierError> {
        factor(text, 6).map(Self).ok_or(MultiplierError::Markup)
    }
}

fn factor(text: &str, decimals: u32) -> Option<u32> {
    let count = parse_decimal(text, usize::try_from(decimals).ok()?).ok()?;
    let most = 1_000_i128.checked_mul(10_i128.checked_pow(decimals)?)?;
    if count > most { None } else { u32::try_from(count).ok() }
}

/// All that is needed to price an answer of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Stable name of these rates: the first day and eight hex digits over everything below, so
    /// that a usage row says what it was priced by.
    pub version: String,
    /// Prices of a prompt of ordinary length.
    pub base: TokenPrices,
    /// Prices of a longer one.
    pub long_prompt: Option<LongPrompt>,
    /// Factors by `inference_geo`, on tokens.
    pub geo: BTreeMap<String, Multiplier>,
    /// Factors by `speed`, on tokens.
    pub speed: BTreeMap<String, Multiplier>,
    /// Factor of the service tier `batch`, on tokens.
    pub batch: Multiplier,
    /// Nano-USD for 1,000 web searches.
    pub web_search_per_1000: i64,
    /// The operator's factor on everything.
    pub markup: Markup,
}

impl Rates {
    /// The prices of a pass with a prompt of so many tokens, cached parts included.
    #[must_use]
    pub fn prices_for(&self, prompt_tokens: u64) -> &TokenPrices {
        match &self.long_prompt {
            Some(long) if prompt_tokens > long.above_tokens => &long.prices,
            _ => &self.base,
        }
    }

    /// The factor for an `inference_geo`; `None` where it has no price.
    #[must_use]
    pub fn geo_multiplier(&self, geo: Option<&str>) -> Option<Multiplier> {
        named(&self.geo, geo, &["global", "not_available"])
    }

    /// The factor for a `speed`; `None` where it has no price.
    #[must_use]
    pub fn speed_multiplier(&self, speed: Option<&str>) -> Option<Multiplier> {
        named(&self.speed, speed, &["standard"])
    }

    /// The factor for a `service_tier`; `None` where it has no price.
    #[must_use]
    pub fn tier_multiplier(&self, tier: Option<&str>) -> Option<Multiplier> {
        match tier {
            None | Some("standard") => Some(Multiplier::ONE),
            Some("batch") => Some(self.batch),
            Some(_) => None,
        }
    }

    /// Names these rates after their first day and their content.
    pub(super) fn with_version(mut self, from: UnixMillis) -> Self {
        let digest = Sha256::digest(self.canonical());
        let prefix = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let day: String = from.to_string().chars().take(10).collect();
        self.version = format!("{day}-{prefix:08x}");
        self
    }

    /// One text for one meaning, whatever order things were written in.
    fn canonical(&self) -> String {
        let prices = |prices: &TokenPrices| {
            let TokenPrices { input, output, cache_write_5m, cache_write_1h, cache_read } = prices;
            format!("{input},{output},{cache_write_5m},{cache_write_1h},{cache_read}")
        };
        let factors = |named: &BTreeMap<String, Multiplier>| {
            named
                .iter()
                .map(|(name, factor)| format!("{name:?}={}", factor.0))
                .collect::<Vec<_>>()
                .join(",")
        };
        let long = self.long_prompt.as_ref();
        let long = long.map(|long| format!("{}:{}", long.above_tokens, prices(&long.prices)));
        format!(
            "v1;base={};long={};geo={};speed={};batch={};search={};markup={}",
            prices(&self.base),
            long.unwrap_or_default(),
            factors(&self.geo),
            factors(&self.speed),
            self.batch.0,
            self.web_search_per_1000,
            self.markup.0,
        )
    }
}

fn named(
    factors: &BTreeMap<String, Multiplier>,
    name: Option<&str>,
    neutral: &[&str],
) -> Option<Multiplier> {
    let Some(name) = name else { return Some(Multiplier::ONE) };
    let factor = factors.get(name).copied();
    if neutral.contains(&name) { factor.or(Some(Multiplier::ONE)) } else { factor }
}
