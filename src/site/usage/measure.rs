//! What a chart shows, and charts made of a cube: each ranks its series by what it shows.

use super::days;
use crate::accounts::usage::cube::{Buckets, CubeLine, UsageCube};
use crate::accounts::usage::{LineOf, Sums};
use crate::db::models::api_keys::ApiKeyRow;
use crate::db::models::usage_logs::SumsBy;
use crate::domain::clock::{DAY_MILLIS, UtcDay};
use crate::domain::money::NanoUsd;
use crate::domain::reader_zone::HOUR_MILLIS;
use crate::site::chart::{Chart, ChartBucket, ChartLine, Unit};
use crate::site::format::{Cents, GroupedCount};

/// Names in a ranked list.
const RANKED: usize = 5;

/// What is shown of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::site) enum Measure {
    Cost,
    Tokens,
    Requests,
}

impl Measure {
    pub(in crate::site) const ALL: [Self; 3] = [Self::Cost, Self::Tokens, Self::Requests];

    /// The measure that a query names; cost otherwise.
    pub(in crate::site) fn read(word: &str) -> Self {
        Self::ALL.into_iter().find(|one| one.as_str() == word).unwrap_or(Self::Cost)
    }

    pub(in crate::site) const fn as_str(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }

    pub(in crate::site) const fn title(self) -> &'static str {
        match self {
            Self::Cost => "Cost",
            Self::Tokens => "Tokens",
            Self::Requests => "Requests",
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Cost => Unit::Usd,
            Self::Tokens => Unit::Tokens,
            Self::Requests => Unit::Requests,
        }
    }

    const fn of(self, sums: &Sums) -> i64 {
        match self {
            Self::Cost => sums.cost.as_nanos(),
            Self::Tokens => sums.tokens(),
            Self::Requests => sums.requests,
        }
    }

    /// A value in few words, as HTML.
    fn written(self, value: i64) -> String {
        match self {
            Self::Cost => Cents(NanoUsd::from_nanos(value)).to_string(),
            Self::Tokens | Self::Requests => {
                format!("<span class=\"count\">{}</span>", GroupedCount(value))
            }
        }
    }
}

/// A link of a switch.
pub(in crate::site) struct SwitchLink {
    pub(in crate::site) text: &'static str,
    pub(in crate::site) link: String,
    pub(in crate::site) is_chosen: bool,
}

/// One name of a ranked list.
pub(in crate::site) struct Ranked {
    pub(in crate::site) name: String,
    /// The page or list of it.
    pub(in crate::site) link: String,
    /// In few words, as HTML of ours.
    pub(in crate::site) value: String,
    /// Hundredths of the whole, rounded.
    pub(in crate::site) percent: i64,
}

/// Who has used most, first; with what nobody there is has used left out.
pub(in crate::site) fn ranked(
    lines: &[CubeLine],
    measure: Measure,
    link: impl Fn(&LineOf) -> String,
) -> Vec<Ranked> {
    let mut lines: Vec<(&CubeLine, i64)> =
        lines.iter().map(|line| (line, measure.of(&line.total))).collect();
    lines.retain(|(_, value)| *value > 0);
    lines.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
    let whole: i128 = lines.iter().map(|(_, value)| i128::from(*value)).sum();
    let share = |value: i64| {
        let hundredths = i128::from(value).saturating_mul(100).saturating_add(whole / 2);
        i64::try_from(hundredths.checked_div(whole).unwrap_or(0)).unwrap_or(100)
    };
    let one = |(line, value): &(&CubeLine, i64)| Ranked {
        name: name(&line.of).unwrap_or_else(|| "others".to_owned()),
        link: link(&line.of),
        value: measure.written(*value),
        percent: share(*value),
    };
    lines.iter().take(RANKED).map(one).collect()
}

fn name(of: &LineOf) -> Option<String> {
    match of {
        LineOf::Total => Some("All".to_owned()),
        LineOf::Model(id) => Some(id.clone()),
        LineOf::Key { name, .. } => Some(name.clone()),
        LineOf::Other => None,
    }
}

/// The chart of a cube. `link` leads from a day to it.
pub(in crate::site) fn chart(
    cube: &UsageCube,
    (measure, by): (Measure, SumsBy),
    buckets: Buckets,
    keys: &[ApiKeyRow],
    link: impl Fn(UtcDay) -> Option<String>,
) -> Chart {
    let mut lines = cube.lines(by, buckets, keys);
    lines.retain(|line| measure.of(&line.total) > 0);
    lines.sort_by_key(|line| std::cmp::Reverse(measure.of(&line.total)));
    let lines = lines.into_iter().map(|line| ChartLine {
        name: name(&line.of),
        values: line.buckets.iter().map(|sums| measure.of(sums)).collect(),
    });
    let numbers = (0..buckets.length).map(|place| buckets.first.saturating_add(place));
    let columns = numbers.map(|number| column(number, buckets.millis, &link)).collect();
    Chart::new(("usage", measure.title()), measure.unit(), columns, lines.collect())
}

fn column(number: i64, millis: i64, link: &impl Fn(UtcDay) -> Option<String>) -> ChartBucket {
    if millis == DAY_MILLIS {
        let day = UtcDay::from_number(number);
        return ChartBucket {
            name: days::long_day(day),
            short: days::short_day(day),
            link: link(day),
        };
    }
    let hours = DAY_MILLIS / HOUR_MILLIS;
    let (day, hour) = (number.div_euclid(hours), number.rem_euclid(hours));
    let short = format!("{hour:02}:00");
    let name = format!("{}, {short}", days::short_day(UtcDay::from_number(day)));
    ChartBucket { name, short, link: None }
}
