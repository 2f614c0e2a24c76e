//! How fast credit is spent, how long it lasts so, and how a month compares with the one before.

use crate::accounts::usage::cube::UsageCube;
use crate::domain::clock::UtcDay;
use crate::domain::money::NanoUsd;
use crate::site::format::Cents;
use crate::site::usage::days;

/// Days of the nearer past, and of the farther one.
const NEAR: i64 = 7;
const FAR: i64 = 30;
/// A month, on average, in days; so many and more are told in months.
const MONTH: i64 = 30;
const IN_MONTHS: i64 = 60;
const IN_YEARS: i64 = 730;

/// What is spent a day, on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    available: NanoUsd,
    per_day: i64,
}

impl Pace {
    /// The average of the last seven days; of the last thirty, if nothing was spent in those. Who
    /// began later has fewer days.
    pub(super) fn of(cube: &UsageCube, available: NanoUsd, today: UtcDay) -> Self {
        let last = today.number();
        let begun = cube.first_used().unwrap_or(last);
        let average = |length: i64| {
            let first = last.saturating_sub(length).saturating_add(1);
            let days = last.saturating_sub(first.max(begun)).saturating_add(1);
            cube.total(first, last).cost.as_nanos() / days.max(1)
        };
        let near = average(NEAR);
        Self { available, per_day: if near > 0 { near } else { average(FAR) } }
    }

    /// A sentence.
    pub(super) fn in_words(self) -> String {
        if self.per_day <= 0 {
            return "No usage in the last 30 days".to_owned();
        }
        let a_day = Cents(NanoUsd::from_nanos(self.per_day));
        if self.available <= NanoUsd::ZERO {
            return format!("Used up. You spend about {a_day} a day.");
        }
        let span = span(self.available.as_nanos() / self.per_day);
        format!("Lasts {span} at {a_day} a day")
    }
}

fn span(days: i64) -> String {
    match days {
        ..1 => "less than a day".to_owned(),
        1 => "about 1 day".to_owned(),
        2..IN_MONTHS => format!("about {days} days"),
        IN_MONTHS..IN_YEARS => {
            format!("about {} months", days.saturating_add(MONTH / 2) / MONTH)
        }
        _ => "more than 2 years".to_owned(),
    }
}

/// This month beside the same days of the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trend {
    /// `▲ 12 %`; nothing where last month had nothing.
    pub(super) change: String,
    /// For those who hear it.
    pub(super) spoken: String,
    pub(super) against: String,
}

impl Trend {
    /// `None` where there was nothing in either.
    pub(super) fn of(cube: &UsageCube, cost: NanoUsd, today: UtcDay) -> Option<Self> {
        let (first, last) = days::month_before(today);
        let day_of_month = today.days_since(days::month(today).0);
        let until = first.plus(day_of_month).min(last);
        let before = cube.total(first.number(), until.number()).cost;
        let month = days::month_word(first);
        if before <= NanoUsd::ZERO {
            let against = format!("Nothing by this day in {month}");
            let blank = String::new;
            return (cost > NanoUsd::ZERO).then(|| Self {
                change: blank(),
                spoken: blank(),
                against,
            });
        }
        let against = format!("{} by this day in {month}", Cents(before));
        let (now, then) = (i128::from(cost.as_nanos()), i128::from(before.as_nanos()));
        let difference = now.saturating_sub(then).saturating_mul(100);
        let half = if difference < 0 { then / -2 } else { then / 2 };
        let percent = difference.saturating_add(half) / then;
        let size = percent.unsigned_abs();
        let (change, spoken) = match percent {
            0 => ("±0 %".to_owned(), "unchanged".to_owned()),
            1.. => (format!("▲ {size} %"), format!("up {size} percent")),
            _ => (format!("▼ {size} %"), format!("down {size} percent")),
        };
        Some(Self { change, spoken, against })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::models::usage_cube::CubeRow;
    use crate::domain::ids::ApiKeyId;

    fn day(text: &str) -> UtcDay {
        UtcDay::parse(text).unwrap()
    }

    fn cube(days: &[(&str, i64)]) -> UsageCube {
        let row = |(text, dollars): &(&str, i64)| CubeRow {
            bucket: day(text).number(),
            model: "m".to_owned(),
            api_key_id: ApiKeyId(1),
            cost_nanousd: NanoUsd::from_nanos(dollars * 1_000_000_000),
            input_tokens: 0,
            output_tokens: 0,
            cache_write_tokens: 0,
            cache_read_tokens: 0,
            requests: 1,
            errors: 0,
        };
        UsageCube::of(days.iter().map(row).collect())
    }

    fn lasts(dollars: i64, days: &[(&str, i64)]) -> String {
        let available = NanoUsd::from_nanos(dollars * 1_000_000_000);
        let words = Pace::of(&cube(days), available, day("2026-11-22")).in_words();
        words.split(" at <").next().unwrap().to_owned()
    }

    #[test]
    fn the_pace_is_that_of_the_last_week_and_honest_where_there_is_none() {
        assert_eq!(lasts(70, &[("2026-11-10", 30), ("2026-11-20", 35)]), "Lasts about 14 days");
        assert_eq!(lasts(70, &[("2026-10-24", 300)]), "Lasts about 7 days");
        assert_eq!(lasts(70, &[]), "No usage in the last 30 days");
        assert_eq!(lasts(70, &[("2026-10-01", 300)]), "No usage in the last 30 days");
        // Whoever began today has spent that in a day.
        assert_eq!(lasts(70, &[("2026-11-22", 1)]), "Lasts about 2 months");
        assert_eq!(lasts(1, &[("2026-11-22", 2)]), "Lasts less than a day");
        assert_eq!(lasts(3, &[("2026-11-22", 2)]), "Lasts about 1 day");
        assert_eq!(lasts(900, &[("2026-11-22", 1)]), "Lasts more than 2 years");
        assert!(lasts(-1, &[("2026-11-22", 1)]).starts_with("Used up."));
    }

    #[test]
    fn a_month_is_compared_with_the_same_days_of_the_last() {
        let trend = |this: i64, days: &[(&str, i64)], today: &str| {
            let cost = NanoUsd::from_nanos(this * 1_000_000_000);
            Trend::of(&cube(days), cost, day(today)).map(|trend| trend.change)
        };
        // What October had after the 22nd does not count.
        let october = [("2026-10-05", 100), ("2026-10-23", 900)];
        assert_eq!(trend(112, &october, "2026-11-22").as_deref(), Some("▲ 12 %"));
        assert_eq!(trend(50, &october, "2026-11-22").as_deref(), Some("▼ 50 %"));
        assert_eq!(trend(100, &october, "2026-11-22").as_deref(), Some("±0 %"));
        assert_eq!(trend(5, &[], "2026-11-22").as_deref(), Some(""));
        assert_eq!(trend(0, &[], "2026-11-22"), None);
        // February has no 30th.
        assert_eq!(trend(10, &[("2026-02-28", 10)], "2026-03-30").as_deref(), Some("±0 %"));
    }
}
