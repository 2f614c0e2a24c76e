//! Bar charts over time, drawn here as SVG: where each bar lies, what stands at the axes, and the
//! same figures as a table. A chart is as wide as its place and always as high: places across are
//! parts of the width, places down are pixels, and letters keep their size. Whole numbers only;
//! colours and sizes of letters are the style sheet's, by classes.

use std::fmt::{self, Write};

use super::format::{GroupedCount, SignedDollars};
use crate::domain::money::NanoUsd;

/// Tenths of a pixel, down the picture.
type Tenths = i64;
/// Hundredths of a percent of the width.
type Parts = i64;

/// The area of the bars, which are as wide as the picture.
const TOP: Tenths = 100;
const HEIGHT: Tenths = 1_600;
const WIDTH: Parts = 10_000;
/// Series with a colour of their own. The rest is drawn as one.
const COLOURS: usize = 6;
/// What the rest is called.
const REST: &str = "all others";
/// Steps between the lines across.
const STEPS_MAX: i64 = 4;
/// Buckets that are named below the axis.
const LABELS_MAX: usize = 6;

/// What a chart counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nano-dollars.
    Usd,
    Tokens,
    Requests,
}

impl Unit {
    /// A figure with every digit.
    fn exact(self, value: i64) -> String {
        match self {
            Self::Usd => SignedDollars(NanoUsd::from_nanos(value)).to_string(),
            Self::Tokens | Self::Requests => GroupedCount(value).to_string(),
        }
    }

    /// A figure at the axis, where all are multiples of `step`: exact too, since thousands and
    /// millions are only abbreviated where the step is a multiple of them.
    fn tick(self, value: i64, step: i64) -> String {
        match self {
            Self::Usd => self.exact(value),
            _ if value == 0 => "0".to_owned(),
            _ if step >= 1_000_000 => format!("{}M", GroupedCount(value / 1_000_000)),
            _ if step >= 1_000 => format!("{}k", GroupedCount(value / 1_000)),
            _ => GroupedCount(value).to_string(),
        }
    }
}

/// What is to be drawn of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChartLine {
    /// A model, a key, or all of it; none of whatever has no line of its own.
    pub(super) name: Option<String>,
    /// A value for each bucket. What is below zero counts as nothing.
    pub(super) values: Vec<i64>,
}

/// A day or an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChartBucket {
    /// `22 Nov 2026`, `22 Nov, 14:00`.
    pub(super) name: String,
    /// `22 Nov`, `14:00`.
    pub(super) short: String,
    /// Where it leads.
    pub(super) link: Option<String>,
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
    /// Parts of buckets.
    pub(super) bars: Vec<Bar>,
    /// Whole buckets that have figures, for a pointer.
    pub(super) hits: Vec<Hit>,
    /// Buckets below the axis.
    pub(super) labels: Vec<Label>,
    /// The same as a table; buckets without any figure are left out.
    pub(super) rows: Vec<ChartRow>,
    /// The last row of it.
    pub(super) totals: Vec<String>,
    /// The sum of everything.
    pub(super) total: String,
}

/// One series in the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LegendEntry {
    pub(super) name: String,
    /// Class of its colour.
    pub(super) class: &'static str,
}

/// A line across.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Place.
    pub(super) y: Pixels,
    /// What it means.
    pub(super) text: String,
}

/// A bucket's part of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// Left edge.
    pub(super) x: Percent,
    /// Upper edge.
    pub(super) y: Pixels,
    /// Breadth.
    pub(super) width: Percent,
    /// Height, always more than nothing.
    pub(super) height: Pixels,
    /// Class of its colour.
    pub(super) class: &'static str,
}

/// The place of a whole bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Left edge.
    pub(super) x: Percent,
    /// Breadth.
    pub(super) width: Percent,
    /// Where it leads.
    pub(super) link: Option<String>,
    /// What a pointer is told.
    pub(super) text: String,
}

/// A bucket below the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Middle of the bucket.
    pub(super) x: Percent,
    /// Such as `22 Nov`.
    pub(super) text: String,
    /// Whether a narrow screen does without it.
    pub(super) is_optional: bool,
}

/// A bucket in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChartRow {
    /// `22 Nov 2026`.
    pub(super) name: String,
    /// Where it leads.
    pub(super) link: Option<String>,
    /// One for each series.
    pub(super) cells: Vec<String>,
    /// All of them.
    pub(super) total: String,
}

/// A length down the picture, in pixels with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pixels(Tenths);

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0.div_euclid(10), self.0.rem_euclid(10));
        if tenth == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{tenth}") }
    }
}

/// A part of the width, with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percent(Parts);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.div_euclid(100), self.0.rem_euclid(100));
        if rest == 0 { write!(f, "{whole}%") } else { write!(f, "{whole}.{rest:02}%") }
    }
}

impl Chart {
    /// Lays out some buckets, with series in the order of their colours.
    pub(super) fn new(
        (id, title): (&'static str, &str),
        unit: Unit,
        buckets: Vec<ChartBucket>,
        lines: Vec<ChartLine>,
    ) -> Self {
        let table = ChartTable::new(buckets, lines);
        let sums: Vec<i64> = table.columns.iter().map(|(_, values)| sum(values)).collect();
        let step = step(sums.iter().copied().max().unwrap_or(0));
        let steps = sums.iter().map(|sum| steps(*sum, step)).max().unwrap_or(0).max(1);
        let top = step.saturating_mul(steps);
        let ticks = (0..=steps).map(|count| {
            let value = step.saturating_mul(count);
            Tick { y: Pixels(level(value, top)), text: unit.tick(value, step) }
        });
        let legend = table.names.iter().enumerate();
        let legend =
            legend.map(|(place, name)| LegendEntry { name: name.clone(), class: class(place) });
        let total = unit.exact(sum(&sums));
        let name = |column: Option<&(ChartBucket, Vec<i64>)>| {
            column.map(|(bucket, _)| bucket.name.clone()).unwrap_or_default()
        };
        let (first, last) = (name(table.columns.first()), name(table.columns.last()));
        Self {
            id,
            title: title.to_owned(),
            description: format!(
                "Bar chart from {first} to {last}: {title}, {total} in total. The table below has \
                 every figure."
            ),
            legend: legend.collect(),
            ticks: ticks.collect(),
            bars: bars(&table, top),
            hits: hits(&table, unit),
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

/// Every bucket, with a value for each series.
struct ChartTable {
    names: Vec<String>,
    columns: Vec<(ChartBucket, Vec<i64>)>,
}

impl ChartTable {
    fn new(buckets: Vec<ChartBucket>, lines: Vec<ChartLine>) -> Self {
        let length = buckets.len();
        let positive = |values: Vec<i64>| -> Vec<i64> {
            values.into_iter().take(length).map(|value| value.max(0)).collect()
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
        let at = |values: &[i64], place: usize| values.get(place).copied().unwrap_or(0);
        let of_place = |place: usize| {
            let mut values: Vec<i64> = lines.iter().map(|(_, values)| at(values, place)).collect();
            if !rest.is_empty() {
                let rest: Vec<i64> = rest.iter().map(|values| at(values, place)).collect();
                values.push(sum(&rest));
            }
            values
        };
        let columns = buckets.into_iter().enumerate();
        let columns = columns.map(|(place, bucket)| (bucket, of_place(place))).collect();
        let mut names: Vec<String> = lines.into_iter().filter_map(|(name, _)| name).collect();
        if !rest.is_empty() {
            names.push(REST.to_owned());
        }
        Self { names, columns }
    }

    /// Of each series over all buckets.
    fn sums(&self) -> Vec<i64> {
        let all = |place: usize| {
            let values = self.columns.iter().filter_map(|(_, values)| values.get(place));
            values.fold(0, |sum: i64, value| sum.saturating_add(*value))
        };
        (0..self.names.len()).map(all).collect()
    }

    /// Left edge and breadth of a bucket.
    fn slot(&self, place: usize) -> (Parts, Parts) {
        let count = i64::try_from(self.columns.len()).unwrap_or(1).max(1);
        let place = i64::try_from(place).unwrap_or(0);
        let left = WIDTH.saturating_mul(place) / count;
        let right = WIDTH.saturating_mul(place.saturating_add(1)) / count;
        (left, right.saturating_sub(left))
    }
}

fn bars(table: &ChartTable, top: i64) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (place, (_, values)) in table.columns.iter().enumerate() {
        let (left, slot) = table.slot(place);
        let breadth = (slot.saturating_mul(3) / 4).max(1);
        let (x, width) = (Percent(left.saturating_add(slot / 8)), Percent(breadth));
        let (mut below, mut lower, mut drawn) = (0_i64, level(0, top), 0_i64);
        let bar = |series, y, height| Bar {
            x,
            y: Pixels(y),
            width,
            height: Pixels(height),
            class: class(series),
        };
        for (series, value) in values.iter().enumerate() {
            below = below.saturating_add(*value);
            let upper = level(below, top);
            // What is too low to be seen is in the table, and its height is in the next one's.
            if *value > 0 && upper < lower {
                let height = lower.saturating_sub(upper);
                bars.push(bar(series, upper, height));
                (lower, drawn) = (upper, height.saturating_add(drawn));
            }
        }
        // A bucket that has anything shows that it does.
        if below > 0 && drawn == 0 {
            bars.push(bar(0, level(0, top).saturating_sub(10), 10));
        }
    }
    bars
}

/// What the pointer finds at each bucket that has figures.
fn hits(table: &ChartTable, unit: Unit) -> Vec<Hit> {
    let used = table.columns.iter().enumerate().filter(|(_, (_, values))| sum(values) > 0);
    let hit = |(place, (bucket, values)): (usize, &(ChartBucket, Vec<i64>))| {
        let (left, slot) = table.slot(place);
        let mut text = format!("{}: {}", bucket.name, unit.exact(sum(values)));
        if table.names.len() > 1 {
            let each = table.names.iter().zip(values).filter(|(_, value)| **value > 0);
            for (name, value) in each {
                // Writing into text does not fail.
                write!(text, "\n{name}: {}", unit.exact(*value)).unwrap_or_default();
            }
        }
        Hit { x: Percent(left), width: Percent(slot), link: bucket.link.clone(), text }
    };
    used.map(hit).collect()
}

fn labels(table: &ChartTable) -> Vec<Label> {
    let every = table.columns.len().div_ceil(LABELS_MAX).max(1);
    let some = table.columns.iter().enumerate().step_by(every).enumerate();
    let label = |(count, (place, (bucket, _))): (usize, (usize, &(ChartBucket, Vec<i64>)))| {
        let (left, slot) = table.slot(place);
        Label {
            x: Percent(left.saturating_add(slot / 2)),
            text: bucket.short.clone(),
            is_optional: !count.is_multiple_of(2),
        }
    };
    some.map(label).collect()
}

fn rows(table: &ChartTable, unit: Unit) -> Vec<ChartRow> {
    let used = table.columns.iter().filter(|(_, values)| sum(values) > 0);
    let row = |(bucket, values): &(ChartBucket, Vec<i64>)| ChartRow {
        name: bucket.name.clone(),
        link: bucket.link.clone(),
        cells: values.iter().map(|value| cell(unit, *value)).collect(),
        total: unit.exact(sum(values)),
    };
    used.map(row).collect()
}

/// What a series had, or a dash.
fn cell(unit: Unit, value: i64) -> String {
    if value > 0 { unit.exact(value) } else { "–".to_owned() }
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
