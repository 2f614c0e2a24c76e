//! What differs between two price lists: by model, period and class, with what is missing on either
//! side. The markup is the operator's own and not compared.

use std::collections::{BTreeMap, BTreeSet};

use super::{classes, factor};
use crate::config::PricesOfFile;
use crate::domain::clock::UtcDay;
use crate::domain::price_list::{Model, Multiplier, PriceList, Rates, TokenPrices};

/// One thing that is not the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PriceDifference {
    /// The model's id.
    pub(super) model: String,
    /// The first day of the period; `None` where the model as a whole is meant.
    pub(super) from: Option<UtcDay>,
    /// The key, such as `cache_read` or `speed.fast`.
    pub(super) what: String,
    /// In force here; `None` where it is missing.
    pub(super) ours: Option<String>,
    /// In the file.
    pub(super) theirs: Option<String>,
}

/// Keys with their values as text, so that a key that only one side has is missing on the other.
type PriceFacts = BTreeMap<String, String>;

/// All differences, by model, then by period.
pub(super) fn differences(ours: &PriceList, theirs: &PricesOfFile) -> Vec<PriceDifference> {
    let of = |list: &PriceList| -> BTreeMap<String, FactsByPeriod> {
        list.models().map(|model| (model.id.as_str().to_owned(), all_facts(model))).collect()
    };
    let ours = of(ours);
    let mut theirs = of(&theirs.list)
        .into_iter()
        .filter(|(id, _)| theirs.names.contains(id))
        .collect::<BTreeMap<_, _>>();
    let ids: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    let mut found = Vec::new();
    for id in ids {
        match (ours.get(&id), theirs.remove(&id)) {
            (Some(ours), Some(theirs)) => compare(&id, ours, &theirs, &mut found),
            (ours, theirs) => {
                found.push(missing(&id, None, "model", (ours.is_some(), theirs.is_some())));
            }
        }
    }
    found
}

/// What is said of a model as a whole under no day, and of each period under its first.
type FactsByPeriod = BTreeMap<Option<UtcDay>, PriceFacts>;

fn compare(
    id: &str,
    ours: &FactsByPeriod,
    theirs: &FactsByPeriod,
    found: &mut Vec<PriceDifference>,
) {
    let periods: BTreeSet<Option<UtcDay>> = ours.keys().chain(theirs.keys()).copied().collect();
    for from in periods {
        let (Some(ours), Some(theirs)) = (ours.get(&from), theirs.get(&from)) else {
            let has = (ours.contains_key(&from), theirs.contains_key(&from));
            found.push(missing(id, from, "prices", has));
            continue;
        };
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for key in keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key)) {
            found.push(PriceDifference {
                model: id.to_owned(),
                from,
                what: key.clone(),
                ours: ours.get(key).cloned(),
                theirs: theirs.get(key).cloned(),
            });
        }
    }
}

fn missing(id: &str, from: Option<UtcDay>, what: &str, has: (bool, bool)) -> PriceDifference {
    let present = |has: bool| has.then(|| "present".to_owned());
    PriceDifference {
        model: id.to_owned(),
        from,
        what: what.to_owned(),
        ours: present(has.0),
        theirs: present(has.1),
    }
}

fn all_facts(model: &Model) -> FactsByPeriod {
    let mut whole = PriceFacts::new();
    whole.insert("context_tokens".to_owned(), model.context_tokens.to_string());
    whole.insert("max_output_tokens".to_owned(), model.max_output_tokens.to_string());
    whole.extend(model.retires_at.map(|day| ("retires_at".to_owned(), day.to_string())));
    whole.extend(model.successor.clone().map(|id| ("successor".to_owned(), id)));
    let mut all = FactsByPeriod::new();
    for (from, rates) in model.periods() {
        // The factors are the model's, and so the same in each period.
        whole.extend(factors(rates));
        all.insert(Some(from.day()), prices(rates));
    }
    all.insert(None, whole);
    all
}

fn factors(rates: &Rates) -> PriceFacts {
    let named = |prefix: &'static str, factors: &BTreeMap<String, Multiplier>| {
        let texts = factors
            .iter()
            .map(move |(name, by)| (format!("{prefix}.{name}"), factor(by.as_thousandths())));
        texts.collect::<PriceFacts>()
    };
    let mut facts = named("geo", &rates.geo);
    facts.extend(named("speed", &rates.speed));
    facts.insert("batch".to_owned(), factor(rates.batch.as_thousandths()));
    facts
}

fn prices(rates: &Rates) -> PriceFacts {
    let named = |prefix: &'static str, prices: &TokenPrices| {
        classes(prices).map(|(class, amount)| (format!("{prefix}{class}"), amount.to_string()))
    };
    let mut facts: PriceFacts = named("", &rates.base).into_iter().collect();
    if let Some(long) = &rates.long_prompt {
        facts.insert("long_prompt.above_tokens".to_owned(), long.above_tokens.to_string());
        facts.extend(named("long_prompt.", &long.prices));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadPurpose, Sources, load_for, prices_of};

    type Row = (String, Option<String>, Option<String>);

    fn found(file: &str) -> Vec<Row> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.toml");
        std::fs::write(&path, file).unwrap();
        let ours = load_for(&Sources::default(), LoadPurpose::Command).unwrap().prices;
        let all = differences(&ours, &prices_of(&path).unwrap());
        all.into_iter()
            .filter(|one| one.what != "model")
            .map(|one| {
                let from = one.from.map_or_else(String::new, |day| format!("{day} "));
                (format!("{} {from}{}", one.model, one.what), one.ours.clone(), one.theirs.clone())
            })
            .collect()
    }

    fn row(what: &str, ours: Option<&str>, theirs: Option<&str>) -> Row {
        (what.to_owned(), ours.map(str::to_owned), theirs.map(str::to_owned))
    }

    #[test]
    fn the_reference_is_the_same_as_itself() {
        let ours = load_for(&Sources::default(), LoadPurpose::Command).unwrap().prices;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.toml");
        std::fs::write(&path, crate::config::REFERENCE).unwrap();
        assert_eq!(differences(&ours, &prices_of(&path).unwrap()), []);
    }

    #[test]
    fn each_class_factor_period_and_day_that_differs_is_named_with_both_sides() {
        let prices = |from: &str, read: &str| {
            format!(
                "[[models.\"claude-opus-5\".prices]]\nfrom = \"{from}\"\ninput = \"5\"\noutput = \
                 \"25\"\ncache_write_5m = \"6.25\"\ncache_write_1h = \"10\"\ncache_read = \
                 \"{read}\"\n"
            )
        };
        let cases = [
            (prices("2026-07-24", "0.500"), vec![]),
            (
                prices("2026-07-24", "0.25"),
                vec![row("claude-opus-5 2026-07-24 cache_read", Some("0.50"), Some("0.25"))],
            ),
            (
                prices("2026-07-25", "0.50"),
                vec![
                    row("claude-opus-5 2026-07-24 prices", Some("present"), None),
                    row("claude-opus-5 2026-07-25 prices", None, Some("present")),
                ],
            ),
            (
                "[models.\"claude-opus-5\"]\nspeed = { fast = \"3\" }\ngeo = { us = \"1.1\", eu = \
                 \"1.05\" }\n"
                    .to_owned(),
                vec![
                    row("claude-opus-5 geo.eu", None, Some("1.05")),
                    row("claude-opus-5 speed.fast", Some("2"), Some("3")),
                ],
            ),
            (
                "[models.\"claude-opus-5\"]\nretires_at = \"2027-01-01\"\n".to_owned(),
                vec![row("claude-opus-5 retires_at", None, Some("2027-01-01"))],
            ),
        ];
        for (file, expected) in cases {
            assert_eq!(found(&file), expected, "{file}");
        }
    }

    #[test]
    fn models_that_one_side_lacks_are_named_and_other_sections_are_ignored() {
        let file = "[pricing]\nmarkup = \"nonsense\"\n[unknown]\nx = 1\n[models.\"new\"]\n\
            display_name = \"New\"\ncreated_at = \"2026-01-01\"\ncontext_tokens = 9\n\
            max_output_tokens = 9\n[[models.\"new\".prices]]\nfrom = \"2026-01-01\"\ninput = \
            \"1\"\noutput = \"1\"\ncache_write_5m = \"1\"\ncache_write_1h = \"1\"\ncache_read = \
            \"1\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.toml");
        std::fs::write(&path, file).unwrap();
        let ours = load_for(&Sources::default(), LoadPurpose::Command).unwrap().prices;
        let all = differences(&ours, &prices_of(&path).unwrap());
        let present = Some("present".to_owned());
        for one in &all {
            let is_new = one.model == "new";
            assert_eq!((one.what.as_str(), one.ours == present), ("model", !is_new));
            assert_eq!(one.theirs == present, is_new);
        }
        assert_eq!(all.len(), ours.models().count() + 1);
    }
}
