//! Bar charts of days, drawn here as SVG: where each bar lies, what stands at the axes, and the
//! same figures as a table. Whole numbers only; colours and sizes of letters are the style sheet's,
//! by classes.

use std::fmt;

use chrono::{DateTime, Utc};

use super::format::{GroupedCount, SignedDollars};
use crate::domain::clock::UtcDay;
use crate::domain::money::NanoUsd;

/// Tenths of a unit of the picture, so that bars of ninety days have a width without fractions of
/// binary numbers.
type Tenths = i64;

/// The area of the bars within the picture of 640 by 224.
const LEFT: Tenths = 960;
const TOP: Tenths = 120;
const WIDTH: Tenths = 5_340;
const HEIGHT: Tenths = 1_700;
/// Series with a colour of their own. The rest is drawn as one.
const COLOURS: usize = 6;
/// What the rest is called.
const REST: &str = "all others";
/// Steps between the lines across.
const STEPS_MAX: i64 = 4;
/// Days that are written below the axis.
const LABELS_MAX: usize = 6;

/// What a chart counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nano-dollars.
    Usd,
    /// Tokens.
    Tokens,
}

impl Unit {
    /// A figure with every digit.
    fn exact(self, value: i64) -> String {
        match self {
            Self::Usd => SignedDollars(NanoUsd::from_nanos(value)).to_string(),
            Self::Tokens => GroupedCount(value).to_string(),
        }
    }

    /// A figure at the axis, where all are multiples of `step`: exact too, since thousands and
    /// millions are only abbreviated where the step is a multiple of them.
    fn tick(self, value: i64, step: i64) -> String {
        match self {
            Self::Usd => self.exact(value),
            Self::Tokens if value == 0 => "0".to_owned(),
            Self::Tokens if step >= 1_000_000 => format!("{}M", GroupedCount(value / 1_000_000)),
            Self::Tokens if step >= 1_000 => format!("{}k", GroupedCount(value / 1_000)),
            Self::Tokens => GroupedCount(value).to_string(),
        }
    }
}

/// What is to be drawn of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChartLine {
    /// A model, a key, or all of it; none of whatever has no line of its own.
    pub(super) name: Option<String>,
    /// Nano-dollars or tokens for each day. What is below zero counts as nothing.
    pub(super) values: Vec<i64>,
}

/// A chart, laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    /// What its elements' names in the page begin with.
    pub(super) id: &'static str,
    /// Heading.
    pub(super) title: String,
    /// One sentence for those who do not see the picture.
    pub(super) description: String,
    /// Series with their colours.
    pub(super) legend: Vec<LegendEntry>,
    /// Lines across.
    pub(super) ticks: Vec<Tick>,
    /// Days with figures.
    pub(super) bars: Vec<Bar>,
    /// Days below the axis.
    pub(super) labels: Vec<Label>,
    /// The same as a table; days without any figure are left out.
    pub(super) rows: Vec<ChartRow>,
    /// The last row of it.
    pub(super) totals: Vec<String>,
    /// The sum of everything.
    pub(super) total: String,
}

/// One series in the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LegendEntry {
    /// As the points have it.
    pub(super) name: String,
    /// Class of its colour.
    pub(super) class: &'static str,
}

/// A line across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Place.
    pub(super) y: SvgLength,
    /// What it means.
    pub(super) text: String,
}

/// A day's part of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// Left edge.
    pub(super) x: SvgLength,
    /// Upper edge.
    pub(super) y: SvgLength,
    /// Breadth.
    pub(super) width: SvgLength,
    /// Height, always more than nothing.
    pub(super) height: SvgLength,
    /// Class of its colour.
    pub(super) class: &'static str,
    /// What a pointer is told.
    pub(super) text: String,
}

/// A day below the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Middle of the day's bar.
    pub(super) x: SvgLength,
    /// Such as `22 Nov`.
    pub(super) text: String,
    /// Whether a narrow screen does without it.
    pub(super) is_optional: bool,
}

/// A day in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChartRow {
    /// `2026-11-22`.
    pub(super) day: String,
    /// One for each series.
    pub(super) cells: Vec<String>,
    /// All of them.
    pub(super) total: String,
}

/// A length in the picture, written as a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SvgLength(Tenths);

impl fmt::Display for SvgLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0.div_euclid(10), self.0.rem_euclid(10));
        if tenth == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{tenth}") }
    }
}

impl Chart {
    /// Lays out so many days from `first` on.
    pub(super) fn new(
        (id, title): (&'static str, &str),
        unit: Unit,
        (first, length): (UtcDay, i64),
        lines: Vec<ChartLine>,
    ) -> Self {
        let table = ChartTable::new(first, length, lines);
        let sums: Vec<i64> = table.days.iter().map(|(_, values)| sum(values)).collect();
        let step = step(sums.iter().copied().max().unwrap_or(0));
        let steps = sums.iter().map(|sum| steps(*sum, step)).max().unwrap_or(0).max(1);
        let top = step.saturating_mul(steps);
        let ticks = (0..=steps).map(|count| {
            let value = step.saturating_mul(count);
            Tick { y: SvgLength(level(value, top)), text: unit.tick(value, step) }
        });
        let legend = table.names.iter().enumerate();
        let legend =
            legend.map(|(place, name)| LegendEntry { name: name.clone(), class: class(place) });
        let total = unit.exact(sum(&sums));
        let last = first.plus(length.saturating_sub(1));
        Self {
            id,
            title: title.to_owned(),
            description: format!(
                "Bar chart by day, {first} to {last}: {title}, {total} in total. The table below \
                 has every figure."
            ),
            legend: legend.collect(),
            ticks: ticks.collect(),
            bars: bars(&table, unit, top),
            labels: labels(&table),
            rows: rows(&table, unit),
            totals: table.sums().into_iter().map(|sum| unit.exact(sum)).collect(),
            total,
        }
    }

    /// Whether there is nothing to draw.
    pub(super) const fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }
}

/// Every day, with a value for each series, in the order in which these are given: a name that is
/// in two charts has the same colour in both.
struct ChartTable {
    names: Vec<String>,
    days: Vec<(UtcDay, Vec<i64>)>,
}

impl ChartTable {
    fn new(first: UtcDay, length: i64, lines: Vec<ChartLine>) -> Self {
        let days = usize::try_from(length).unwrap_or(0);
        let positive = |values: Vec<i64>| -> Vec<i64> {
            values.into_iter().take(days).map(|value| value.max(0)).collect()
        };
        let (with_name, mut rest): (Vec<ChartLine>, Vec<ChartLine>) =
            lines.into_iter().partition(|line| line.name.is_some());
        let mut lines: Vec<(Option<String>, Vec<i64>)> =
            with_name.into_iter().map(|line| (line.name, positive(line.values))).collect();
        // One more has the colour of the rest, as long as there is none.
        if !rest.is_empty() || lines.len() > COLOURS.saturating_add(1) {
            let others = lines.split_off(COLOURS.min(lines.len()));
            rest.extend(others.into_iter().map(|(name, values)| ChartLine { name, values }));
        }
        let rest: Vec<Vec<i64>> = rest.into_iter().map(|line| positive(line.values)).collect();
        let at = |values: &[i64], day: i64| {
            usize::try_from(day).ok().and_then(|day| values.get(day)).copied().unwrap_or(0)
        };
        let of_day = |day: i64| {
            let mut values: Vec<i64> = lines.iter().map(|(_, values)| at(values, day)).collect();
            if !rest.is_empty() {
                let rest: Vec<i64> = rest.iter().map(|values| at(values, day)).collect();
                values.push(sum(&rest));
            }
            (first.plus(day), values)
        };
        let days = (0..length).map(of_day).collect();
        let rest_name = (!rest.is_empty()).then(|| REST.to_owned());
        let names = lines.into_iter().filter_map(|(name, _)| name).chain(rest_name).collect();
        Self { names, days }
    }

    /// The sum of each series.
    fn sums(&self) -> Vec<i64> {
        let of_series = |index| {
            let values = self.days.iter().filter_map(|(_, values)| values.get(index));
            values.fold(0_i64, |sum, value| sum.saturating_add(*value))
        };
        (0..self.names.len()).map(of_series).collect()
    }

    /// Left edge and breadth of a day.
    fn slot(&self, index: usize) -> (Tenths, Tenths) {
        let count = i64::try_from(self.days.len()).unwrap_or(i64::MAX).max(1);
        let edge = |index: usize| {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            LEFT.saturating_add(WIDTH.saturating_mul(index) / count)
        };
        let left = edge(index);
        (left, edge(index.saturating_add(1)).saturating_sub(left))
    }
}

/// The upright bars of each day, one series above the other.
fn bars(table: &ChartTable, unit: Unit, top: i64) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (index, (day, values)) in table.days.iter().enumerate() {
        let (left, breadth) = table.slot(index);
        let gap = breadth / 5;
        let bar = |name: &str, value, place, y: Tenths, height| Bar {
            x: SvgLength(left.saturating_add(gap / 2)),
            y: SvgLength(y),
            width: SvgLength(breadth.saturating_sub(gap).max(1)),
            height: SvgLength(height),
            class: class(place),
            text: format!("{day}, {name}: {}", unit.exact(value)),
        };
        let (mut below, mut lower) = (0_i64, level(0, top));
        let mut drawn = 0;
        for (place, (name, value)) in table.names.iter().zip(values).enumerate() {
            below = below.saturating_add(*value);
            let upper = level(below, top);
            // What is too low to be seen is in the table, and its height is in the next one's.
            if *value > 0 && upper < lower {
                let height = lower.saturating_sub(upper);
                bars.push(bar(name, *value, place, upper, height));
                (lower, drawn) = (upper, height.saturating_add(drawn));
            }
        }
        // A day that cost something shows that it did.
        if below > 0 && drawn == 0 {
            let floor = level(0, top).saturating_sub(10);
            bars.push(bar("in all", below, 0, floor, 10));
        }
    }
    bars
}

fn labels(table: &ChartTable) -> Vec<Label> {
    let every = table.days.len().div_ceil(LABELS_MAX).max(1);
    let days = table.days.iter().enumerate().step_by(every).enumerate();
    let label = |(count, (index, (day, _))): (usize, (usize, &(UtcDay, Vec<i64>)))| {
        let (left, breadth) = table.slot(index);
        Label {
            x: SvgLength(left.saturating_add(breadth / 2)),
            text: short(*day),
            is_optional: !count.is_multiple_of(2),
        }
    };
    days.map(label).collect()
}

fn rows(table: &ChartTable, unit: Unit) -> Vec<ChartRow> {
    let used = table.days.iter().filter(|(_, values)| sum(values) > 0);
    let row = |(day, values): &(UtcDay, Vec<i64>)| ChartRow {
        day: day.to_string(),
        cells: values.iter().map(|value| unit.exact(*value)).collect(),
        total: unit.exact(sum(values)),
    };
    used.map(row).collect()
}

/// The class of the series in that place.
fn class(place: usize) -> &'static str {
    let classes = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6"];
    classes.get(place).copied().unwrap_or("series-rest")
}

/// The least of 1, 2, 5, 10, 20, 50, … that takes at most [`STEPS_MAX`] steps to `most`.
fn step(most: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if step.saturating_mul(STEPS_MAX) >= most {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// How many steps reach a value.
fn steps(value: i64, step: i64) -> i64 {
    (value / step).saturating_add(i64::from(value % step > 0))
}

/// Such as `22 Nov`.
fn short(day: UtcDay) -> String {
    let moment = DateTime::<Utc>::from_timestamp_millis(day.begin().as_millis());
    moment.unwrap_or_default().format("%-d %b").to_string()
}

/// How far down a value lies, with `top` at the upper edge.
fn level(value: i64, top: i64) -> Tenths {
    let share = i128::from(HEIGHT).saturating_mul(value.into()) / i128::from(top.max(1));
    let height = i64::try_from(share).unwrap_or(HEIGHT).clamp(0, HEIGHT);
    TOP.saturating_add(HEIGHT).saturating_sub(height)
}

fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |sum, value| sum.saturating_add(*value))
}

#[cfg(test)]
mod tests;
