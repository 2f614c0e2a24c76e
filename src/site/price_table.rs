//! The price list as pages show it: models by family, with what each can take, and what is the same
//! for all of them said once.

use super::format::GroupedCount;
use crate::api::prices::{ModelPrices, Prices};

/// See the module.
pub(super) struct PriceTable {
    pub(super) families: Vec<ModelFamily>,
    /// Dollars for 1,000 searches.
    pub(super) web_search: Option<String>,
    /// How much less cached input costs, such as `90%` or `up to 90%`.
    pub(super) saving: Option<String>,
    /// Models whose price depends on where, how fast, or in which tier they serve.
    pub(super) with_factors: Vec<ModelPrices>,
}

/// Models of one name in several versions.
pub(super) struct ModelFamily {
    pub(super) name: String,
    pub(super) models: Vec<ModelPrices>,
}

impl PriceTable {
    pub(super) fn of(prices: Prices) -> Self {
        let has_factors = |model: &&ModelPrices| {
            !model.geo_factors.is_empty()
                || !model.speed_factors.is_empty()
                || model.batch_factor != "1"
        };
        let with_factors = prices.models.iter().filter(has_factors).cloned().collect();
        let web_search = prices.models.first().map(|model| model.per_thousand_web_searches.clone());
        let saving = saving(&prices.models);
        let mut families: Vec<ModelFamily> = Vec::new();
        for model in prices.models {
            let name = family(&model.display_name);
            match families.iter_mut().find(|family| family.name == name) {
                Some(family) => family.models.push(model),
                None => families.push(ModelFamily { name: name.to_owned(), models: vec![model] }),
            }
        }
        Self { families, web_search, saving, with_factors }
    }
}

/// The words of a name before its version: `Claude Opus` of `Claude Opus 5.5`.
fn family(name: &str) -> &str {
    let version = name.find(|character: char| character.is_ascii_digit());
    let words = version.map_or(name, |at| name.get(..at).unwrap_or(name)).trim();
    if words.is_empty() { name } else { words }
}

/// What is saved where a model reads input from the cache, by the models for which that is least
/// and most.
fn saving(models: &[ModelPrices]) -> Option<String> {
    let percent = |model: &ModelPrices| {
        let input: u64 = units(&model.per_million_tokens.input)?;
        let read: u64 = units(&model.per_million_tokens.cache_read)?;
        input.checked_sub(read)?.checked_mul(100)?.checked_div(input)
    };
    let all: Vec<u64> = models.iter().filter_map(percent).collect();
    let (least, most) = (all.iter().min()?, all.iter().max()?);
    match (least, most) {
        (_, 0) => None,
        (least, most) if least == most => Some(format!("{most}%")),
        (_, most) => Some(format!("up to {most}%")),
    }
}

/// A price in millionths of a dollar, what is less cut off.
fn units(price: &str) -> Option<u64> {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    format!("{whole}{digits}").parse().ok()
}

/// A number of tokens in groups of three digits.
pub(super) fn tokens(count: u64) -> GroupedCount {
    GroupedCount(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A round number of tokens as people say it: `200K`, `1M`.
pub(super) fn short_tokens(count: u64) -> String {
    match count {
        0 => "–".to_owned(),
        count if count.is_multiple_of(1_000_000) => format!("{}M", count / 1_000_000),
        count if count.is_multiple_of(1_000) => format!("{}K", count / 1_000),
        count => tokens(count).to_string(),
    }
}

/// The model that examples name: of those that stay the one with the cheapest input, as far as its
/// price tells.
pub(super) fn example(prices: &Prices) -> Option<&ModelPrices> {
    let staying = prices.models.iter().filter(|model| model.retires_at.is_none());
    staying.min_by_key(|model| {
        let input = &model.per_million_tokens.input;
        // Decimal text of the same form sorts by its length first.
        let whole = input.split('.').next().map_or(0, str::len);
        (whole, input.clone())
    })
}

/// The id of that model.
pub(super) fn example_id(prices: &Prices) -> String {
    example(prices).map_or_else(|| "MODEL".to_owned(), |model| model.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_name_without_its_version() {
        assert_eq!(family("Claude Opus 5.5"), "Claude Opus");
        assert_eq!(family("4o mini"), "4o mini");
        assert_eq!(family("Plain"), "Plain");
    }

    #[test]
    fn tokens_are_short_where_they_are_round() {
        let shown = [0, 200_000, 1_000_000, 64_000, 8_192].map(short_tokens);
        assert_eq!(shown, ["–", "200K", "1M", "64K", "8,192"]);
    }

    #[test]
    fn prices_are_read_to_the_millionth() {
        assert_eq!(units("0.115"), Some(115_000));
        assert_eq!(units("15.00"), Some(15_000_000));
        assert_eq!(units("0.0000001"), Some(0));
        assert_eq!(units("x"), None);
    }
}
