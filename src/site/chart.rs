//! Bar charts of days, drawn here as SVG: where each bar lies, what stands at the axes, and the same figures as a table.
//! Whole numbers only; colours and sizes of letters are the style sheet's, by classes.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;

use crate::domain::money::NanoUsd;

/// Tenths of a unit of the picture, so that bars of ninety days have a width without fractions of binary numbers.
type Tenths = i64;

/// The area of the bars within the picture of 640 by 220.
const LEFT: Tenths = 800;
const TOP: Tenths = 120;
const WIDTH: Tenths = 5_500;
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
pub enum Unit {
    /// Nano-dollars.
    Usd,
    /// Tokens.
    Tokens,
}

impl Unit {
    /// A figure with every digit.
    fn exact(self, value: i64) -> String {
        match self {
            Self::Usd => format!("${}", NanoUsd::from_nanos(value)),
            Self::Tokens => grouped(value),
        }
    }

    /// A figure at the axis, where all are multiples of `step`: exact too, since thousands and millions are only
    /// abbreviated where the step is a multiple of them.
    fn tick(self, value: i64, step: i64) -> String {
        match self {
            Self::Usd => self.exact(value),
            Self::Tokens if value == 0 => "0".to_owned(),
            Self::Tokens if step >= 1_000_000 => format!("{}M", grouped(value / 1_000_000)),
            Self::Tokens if step >= 1_000 => format!("{}k", grouped(value / 1_000)),
            Self::Tokens => grouped(value),
        }
    }
}

/// A figure of one series on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// UTC.
    pub day: NaiveDate,
    /// The series: a model, a key, or all of it.
    pub name: String,
    /// Nano-dollars or tokens. What is below zero counts as nothing.
    pub value: i64,
}

/// A chart, laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// What its elements' names in the page begin with.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// One sentence for those who do not see the picture.
    pub description: String,
    /// Series, the largest first, with their colours.
    pub legend: Vec<Key>,
    /// Lines across.
    pub ticks: Vec<Tick>,
    /// Days with figures.
    pub bars: Vec<Bar>,
    /// Days below the axis.
    pub labels: Vec<Label>,
    /// The same as a table; days without any figure are left out.
    pub rows: Vec<Row>,
    /// The last row of it.
    pub totals: Vec<String>,
    /// The sum of everything.
    pub total: String,
}

/// One series in the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As the points have it.
    pub name: String,
    /// Number of its colour.
    pub colour: usize,
}

/// A line across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Place.
    pub y: Place,
    /// What it means.
    pub text: String,
}

/// A day's part of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Left edge.
    pub x: Place,
    /// Upper edge.
    pub y: Place,
    /// Breadth.
    pub width: Place,
    /// Height, always more than nothing.
    pub height: Place,
    /// Number of the colour.
    pub colour: usize,
    /// What a pointer is told.
    pub text: String,
}

/// A day below the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Middle of the day's bar.
    pub x: Place,
    /// Such as `22 Nov`.
    pub text: String,
    /// Whether a narrow screen does without it.
    pub is_optional: bool,
}

/// A day in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `2026-11-22`.
    pub day: String,
    /// One for each series.
    pub cells: Vec<String>,
    /// All of them.
    pub total: String,
}

/// A length in the picture, written as a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Tenths);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0.div_euclid(10), self.0.rem_euclid(10));
        if tenth == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{tenth}") }
    }
}

impl Chart {
    /// Lays out the days from `first` to `last`. Points on other days are left out, and those of one day and series are
    /// added up.
    #[must_use]
    pub fn new(
        (id, title): (&'static str, String),
        unit: Unit,
        (first, last): (NaiveDate, NaiveDate),
        points: impl IntoIterator<Item = Point>,
    ) -> Self {
        let table = Table::new(first, last, points);
        let sums: Vec<i64> = table.days.iter().map(|(_, values)| sum(values)).collect();
        let step = step(sums.iter().copied().max().unwrap_or(0));
        let steps = sums.iter().map(|sum| steps(*sum, step)).max().unwrap_or(0).max(1);
        let top = step.saturating_mul(steps);
        let ticks = (0..=steps).map(|count| {
            let value = step.saturating_mul(count);
            Tick { y: Place(level(value, top)), text: unit.tick(value, step) }
        });
        let total = unit.exact(sum(&sums));
        let description = format!(
            "{title}: {total} from {first} to {last}, as bars of days. The table below has every figure."
        );
        let colour = |index: usize| index.min(COLOURS);
        let legend = table.names.iter().enumerate();
        Self {
            id,
            description,
            legend: legend
                .map(|(index, name)| Key { name: name.clone(), colour: colour(index) })
                .collect(),
            ticks: ticks.collect(),
            bars: bars(&table, unit, top),
            labels: labels(&table),
            rows: rows(&table, unit),
            totals: table.sums().into_iter().map(|sum| unit.exact(sum)).collect(),
            total,
            title,
        }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }
}

/// Every day of the range, with a value for each series, the largest series first.
struct Table {
    names: Vec<String>,
    days: Vec<(NaiveDate, Vec<i64>)>,
}

impl Table {
    fn new(first: NaiveDate, last: NaiveDate, points: impl IntoIterator<Item = Point>) -> Self {
        let mut found: BTreeMap<String, BTreeMap<NaiveDate, i64>> = BTreeMap::new();
        for Point { day, name, value } in points {
            if (first..=last).contains(&day) && value > 0 {
                let days = found.entry(name).or_default();
                let sum = days.entry(day).or_insert(0);
                *sum = sum.saturating_add(value);
            }
        }
        let mut series: Vec<_> = found.into_iter().collect();
        let size = |days: &BTreeMap<NaiveDate, i64>| -> i64 {
            days.values().fold(0, |sum, value| sum.saturating_add(*value))
        };
        series.sort_by(|(one, days), (two, others)| {
            size(others).cmp(&size(days)).then_with(|| one.cmp(two))
        });
        if series.len() > COLOURS.saturating_add(1) {
            let mut rest: BTreeMap<NaiveDate, i64> = BTreeMap::new();
            for (_, days) in series.split_off(COLOURS) {
                for (day, value) in days {
                    let sum = rest.entry(day).or_insert(0);
                    *sum = sum.saturating_add(value);
                }
            }
            series.push((REST.to_owned(), rest));
        }
        let of_day = |day: NaiveDate| {
            let values = series.iter().map(|(_, days)| days.get(&day).copied().unwrap_or(0));
            (day, values.collect())
        };
        let days = first.iter_days().take_while(|day| *day <= last).map(of_day).collect();
        Self { names: series.into_iter().map(|(name, _)| name).collect(), days }
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
fn bars(table: &Table, unit: Unit, top: i64) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (index, (day, values)) in table.days.iter().enumerate() {
        let (left, breadth) = table.slot(index);
        let gap = breadth / 5;
        let bar = |name: &str, value, colour, y: Tenths, height| Bar {
            x: Place(left.saturating_add(gap / 2)),
            y: Place(y),
            width: Place(breadth.saturating_sub(gap).max(1)),
            height: Place(height),
            colour,
            text: format!("{day}, {name}: {}", unit.exact(value)),
        };
        let (mut below, mut lower) = (0_i64, level(0, top));
        let mut drawn = 0;
        for (colour, (name, value)) in table.names.iter().zip(values).enumerate() {
            below = below.saturating_add(*value);
            let upper = level(below, top);
            // What is too low to be seen is in the table, and its height is in the next one's.
            if *value > 0 && upper < lower {
                let height = lower.saturating_sub(upper);
                bars.push(bar(name, *value, colour.min(COLOURS), upper, height));
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

fn labels(table: &Table) -> Vec<Label> {
    let every = table.days.len().div_ceil(LABELS_MAX).max(1);
    let days = table.days.iter().enumerate().step_by(every).enumerate();
    let label = |(count, (index, (day, _))): (usize, (usize, &(NaiveDate, Vec<i64>)))| {
        let (left, breadth) = table.slot(index);
        Label {
            x: Place(left.saturating_add(breadth / 2)),
            text: day.format("%-d %b").to_string(),
            is_optional: !count.is_multiple_of(2),
        }
    };
    days.map(label).collect()
}

fn rows(table: &Table, unit: Unit) -> Vec<Row> {
    let used = table.days.iter().filter(|(_, values)| sum(values) > 0);
    let row = |(day, values): &(NaiveDate, Vec<i64>)| Row {
        day: day.to_string(),
        cells: values.iter().map(|value| unit.exact(*value)).collect(),
        total: unit.exact(sum(values)),
    };
    used.map(row).collect()
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

/// How far down a value lies, with `top` at the upper edge.
fn level(value: i64, top: i64) -> Tenths {
    let share = i128::from(HEIGHT).saturating_mul(value.into()) / i128::from(top.max(1));
    let height = i64::try_from(share).unwrap_or(HEIGHT).clamp(0, HEIGHT);
    TOP.saturating_add(HEIGHT).saturating_sub(height)
}

fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |sum, value| sum.saturating_add(*value))
}

/// Digits in groups of three: `1,234,567`.
#[must_use]
pub fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        let behind = digits.len().saturating_sub(index);
        if index > 0 && behind.is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
