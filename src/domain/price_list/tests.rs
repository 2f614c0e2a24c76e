//! The list as built into the program, and the names of its rates.

use super::*;
use crate::config::{LoadPurpose, Sources, load_for};

/// The reference's list with a markup.
pub(crate) fn built_in(markup: &str) -> Arc<PriceList> {
    let env = vec![("SLUICE__PRICING__MARKUP".to_owned(), markup.to_owned())];
    load_for(&Sources { file: None, env }, LoadPurpose::Command).unwrap().prices
}

/// A moment of a day in UTC.
pub(crate) fn day(text: &str) -> UnixMillis {
    let midnight = format!("{text}T00:00:00Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    UnixMillis::from_millis(midnight.timestamp_millis())
}

#[test]
fn models_go_by_id_and_dated_id_and_come_newest_first() {
    let list = built_in("1");
    let dated = list.find("claude-haiku-4-5-20251001").unwrap();
    assert_eq!(dated.id.as_str(), "claude-haiku-4-5");
    assert!(list.find("claude-mythos-9").is_none());
    let ids: Vec<&str> = list.models().map(|model| model.id.as_str()).collect();
    assert_eq!(ids.len(), 18);
    assert_eq!(ids[..3], ["claude-fable-5-2", "claude-mythos-5-2", "claude-haiku-5-5"]);
    assert_eq!(ids[17], "claude-sonnet-4-5");
}

#[test]
fn a_price_holds_from_its_day_on() {
    let list = built_in("1");
    let read = |moment| list.rates("claude-sonnet-5-5", moment).map(|rates| rates.base.cache_read);
    let change = day("2026-10-07");
    assert_eq!(read(change.plus_millis(-1)), Some(200_000_000));
    assert_eq!(read(change), Some(100_000_000));
    assert_eq!(read(day("2026-09-28")), Some(200_000_000));
    assert_eq!(read(day("2026-09-28").plus_millis(-1)), None);
    let model = list.find("claude-sonnet-5-5").unwrap();
    let periods = model.periods().map(|(from, rates)| (from, rates.base.cache_read));
    let expected = [(day("2026-09-28"), 200_000_000), (change, 100_000_000)];
    assert_eq!(periods.collect::<Vec<_>>(), expected);
}

#[test]
fn a_model_is_sold_to_the_end_of_its_last_day_and_one_without_such_a_day_for_good() {
    let list = built_in("1");
    let retired = |model, moment| list.find(model).unwrap().is_retired_at(moment);
    let over = day("2026-12-01");
    for (model, moment, expected) in [
        ("claude-sonnet-4-5", day("2026-11-29"), false),
        ("claude-sonnet-4-5", over.plus_millis(-1), false),
        ("claude-sonnet-4-5", over, true),
        ("claude-sonnet-4-5", day("2027-12-01"), true),
        ("claude-opus-5", day("2036-12-01"), false),
    ] {
        assert_eq!(retired(model, moment), expected, "{model} {moment:?}");
    }
}

#[test]
fn a_version_names_the_day_and_changes_with_anything_that_is_charged() {
    let now = day("2026-11-22");
    let version = |markup, model| built_in(markup).rates(model, now).unwrap().version.clone();
    let plain = version("1", "claude-sonnet-5-5");
    assert!(plain.starts_with("2026-10-07-") && plain.len() == 19, "{plain}");
    assert_eq!(plain, version("1.000", "claude-sonnet-5-5"));
    assert_ne!(plain, version("1.000001", "claude-sonnet-5-5"));
    let list = built_in("1");
    let before = list.rates("claude-sonnet-5-5", day("2026-10-01")).unwrap();
    assert_ne!(plain.get(10..), before.version.get(10..));
}

#[test]
fn bytes_stand_for_tokens_rounded_up() {
    let list = built_in("1");
    let model = list.find("claude-opus-5").unwrap();
    let tokens = [0, 1, 7, 8].map(|bytes| model.output_tokens_of_bytes(bytes));
    assert_eq!(tokens, [0, 1, 2, 3]);
}

#[test]
fn factors_are_read_exactly() {
    assert_eq!("1.1".parse(), Ok(Multiplier(1_100)));
    assert_eq!("1000".parse(), Ok(Multiplier(1_000_000)));
    for text in ["0", "-1", "1.1234", "1000.001", "1e2", ""] {
        assert_eq!(text.parse::<Multiplier>(), Err(MultiplierError::Multiplier), "{text}");
    }
    assert_eq!("0".parse(), Ok(Markup(0)));
    assert_eq!("1.234567".parse(), Ok(Markup(1_234_567)));
    assert_eq!("1.2345678".parse::<Markup>(), Err(MultiplierError::Markup));
}
