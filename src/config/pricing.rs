//! `[pricing]` and `[models]`: prices as decimal text, turned into the price list.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;
use crate::domain::clock::UnixMillis;
use crate::domain::money::parse_decimal;
use crate::domain::price_list::{
    LongPrompt, Markup, ModelId, ModelSpec, Multiplier, PriceList, PricePeriod, TokenPrices,
};

/// `[pricing]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PricingSection {
    #[serde(deserialize_with = "markup")]
    markup: Markup,
    #[serde(deserialize_with = "nano_usd")]
    web_search_per_1000: i64,
}

/// `[models."ID"]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelSection {
    #[serde(deserialize_with = "value::text")]
    display_name: String,
    #[serde(deserialize_with = "value::date")]
    created_at: NaiveDate,
    #[serde(default, deserialize_with = "optional_date")]
    retires_at: Option<NaiveDate>,
    #[serde(default, deserialize_with = "value::optional_text")]
    successor: Option<String>,
    #[serde(default, deserialize_with = "value::list")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "value::list")]
    dated_ids: Vec<String>,
    #[serde(deserialize_with = "value::whole::<1, 1_000_000_000, _, _>")]
    context_tokens: u64,
    #[serde(deserialize_with = "value::whole::<1, 1_000_000_000, _, _>")]
    max_output_tokens: u64,
    #[serde(default = "default_bytes_per_token", deserialize_with = "thousandths")]
    bytes_per_token: u64,
    #[serde(default)]
    geo: BTreeMap<String, WrittenFactor>,
    #[serde(default)]
    speed: BTreeMap<String, WrittenFactor>,
    #[serde(default = "default_batch")]
    batch: WrittenFactor,
    #[serde(default)]
    prices: Vec<PriceEntry>,
}

/// One entry of `prices` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceEntry {
    #[serde(deserialize_with = "value::date")]
    from: NaiveDate,
    #[serde(deserialize_with = "nano_usd")]
    input: i64,
    #[serde(deserialize_with = "nano_usd")]
    output: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_write_5m: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_write_1h: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_read: i64,
    #[serde(default)]
    long_prompt: Option<LongPromptEntry>,
}

/// `long_prompt` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongPromptEntry {
    #[serde(deserialize_with = "value::whole::<1, 1_000_000_000, _, _>")]
    above_tokens: u64,
    #[serde(deserialize_with = "nano_usd")]
    input: i64,
    #[serde(deserialize_with = "nano_usd")]
    output: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_write_5m: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_write_1h: i64,
    #[serde(deserialize_with = "nano_usd")]
    cache_read: i64,
}

/// A multiplier as written.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct WrittenFactor(#[serde(deserialize_with = "multiplier")] Multiplier);

impl ModelSection {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if self.prices.is_empty() {
            problems.add(&at.key("prices"), "is missing: a model without a price cannot be sold");
        }
        if self.retires_at.is_some_and(|last| last < self.created_at) {
            problems.add(&at.key("retires_at"), "must not be before created_at");
        }
        if self.max_output_tokens > self.context_tokens {
            problems.add(&at.key("max_output_tokens"), "must not be above context_tokens");
        }
        if self.batch.0 > Multiplier::ONE {
            problems
                .add(&at.key("batch"), "must not be above 1: a reservation does not foresee it");
        }
        for (position, (entry, next)) in
            self.prices.iter().zip(self.prices.iter().skip(1)).enumerate()
        {
            if entry.from >= next.from {
                let at = at.key("prices").index(position.saturating_add(1)).key("from");
                problems.add(&at, "must be later than the entry before");
            }
        }
    }

    fn into_spec(self, id: &str) -> ModelSpec {
        let factors = |named: BTreeMap<String, WrittenFactor>| {
            named.into_iter().map(|(name, factor)| (name, factor.0)).collect()
        };
        ModelSpec {
            id: ModelId::new(id),
            display_name: self.display_name,
            created_at: midnight(self.created_at),
            retires_at: self.retires_at.map(|last| midnight(last).day()),
            successor: self.successor,
            aliases: self.aliases,
            dated_ids: self.dated_ids,
            context_tokens: self.context_tokens,
            max_output_tokens: self.max_output_tokens,
            bytes_per_token_milli: self.bytes_per_token,
            geo: factors(self.geo),
            speed: factors(self.speed),
            batch: self.batch.0,
            periods: self.prices.into_iter().map(PriceEntry::into_period).collect(),
        }
    }
}

impl PriceEntry {
    fn into_period(self) -> PricePeriod {
        PricePeriod {
            from: midnight(self.from),
            base: TokenPrices {
                input: self.input,
                output: self.output,
                cache_write_5m: self.cache_write_5m,
                cache_write_1h: self.cache_write_1h,
                cache_read: self.cache_read,
            },
            long_prompt: self.long_prompt.map(|long| LongPrompt {
                above_tokens: long.above_tokens,
                prices: TokenPrices {
                    input: long.input,
                    output: long.output,
                    cache_write_5m: long.cache_write_5m,
                    cache_write_1h: long.cache_write_1h,
                    cache_read: long.cache_read,
                },
            }),
        }
    }
}

/// The price list of all models, or nothing and a problem for each name claimed twice.
pub(super) fn price_list(
    pricing: &PricingSection,
    models: Vec<(String, ModelSection)>,
    problems: &mut Problems,
) -> Option<PriceList> {
    let root = KeyPath::default().key("models");
    let mut owners: BTreeMap<String, String> =
        models.iter().map(|(id, _)| (id.clone(), id.clone())).collect();
    let mut are_names_sound = true;
    for (id, model) in &models {
        let aliases = model.aliases.iter().map(|name| ("aliases", name));
        let dated_ids = model.dated_ids.iter().map(|name| ("dated_ids", name));
        for (key, name) in aliases.chain(dated_ids) {
            if let Some(owner) = owners.insert(name.clone(), id.clone()) {
                problems.add(&root.key(id).key(key), format!("\"{name}\" already names {owner}"));
                are_names_sound = false;
            }
        }
    }
    for (id, model) in &models {
        if let Some(name) = model.successor.as_ref().filter(|name| !owners.contains_key(*name)) {
            let reason = format!("\"{name}\" is no model of this list");
            problems.add(&root.key(id).key("successor"), reason);
            are_names_sound = false;
        }
    }
    if !are_names_sound || models.iter().any(|(_, model)| model.prices.is_empty()) {
        return None;
    }
    let specs = models.into_iter().map(|(id, model)| model.into_spec(&id)).collect();
    match PriceList::new(specs, pricing.markup, pricing.web_search_per_1000) {
        Ok(list) => Some(list),
        Err(reason) => {
            problems.add(&root, reason.to_string());
            None
        }
    }
}

fn midnight(day: NaiveDate) -> UnixMillis {
    UnixMillis::from_millis(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

fn optional_date<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<NaiveDate>, D::Error> {
    value::date(from).map(Some)
}

/// Decimal dollars in nano-dollars; at most a million dollars, which leaves room for every
/// multiplication.
fn nano_usd<'de, D: serde::Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = value::decimal_text(from)?;
    let refusal = || {
        serde::de::Error::custom(format!(
            "\"{text}\" is not a price: write USD with at most nine decimals, such as \"2.50\", \
             up to 1000000"
        ))
    };
    let nanos = parse_decimal(&text, 9).map_err(|_| refusal())?;
    i64::try_from(nanos).ok().filter(|&nanos| nanos <= 1_000_000_000_000_000).ok_or_else(refusal)
}

fn thousandths<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = value::decimal_text(from)?;
    let count = parse_decimal(&text, 3).ok().and_then(|count| u64::try_from(count).ok());
    count.filter(|count| (100..=100_000).contains(count)).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not a number from 0.1 to 100 with at most three decimals"
        ))
    })
}

fn multiplier<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Multiplier, D::Error> {
    let text = value::decimal_text(from)?;
    text.parse().map_err(|reason| serde::de::Error::custom(format!("\"{text}\": {reason}")))
}

fn markup<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Markup, D::Error> {
    let text = value::decimal_text(from)?;
    text.parse().map_err(|reason| serde::de::Error::custom(format!("\"{text}\": {reason}")))
}

const fn default_bytes_per_token() -> u64 {
    3_500
}

const fn default_batch() -> WrittenFactor {
    WrittenFactor(Multiplier::ONE)
}
