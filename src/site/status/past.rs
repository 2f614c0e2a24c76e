//! What the status page says of the past: a bar for each of 90 days, and how fast models have begun
//! to respond. Read once a minute at most.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::status::days::{DAYS_SHOWN, StatusPart, history};
use crate::db::models::latencies;
use crate::db::models::status_days::{self, StatusDay};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::site::Site;
use crate::site::format::GroupedCount;
use crate::site::page_error::PageError;

/// How old it may be.
const AGE: Duration = Duration::from_mins(1);
/// The requests whose speed counts.
const SPEED_SPAN: Duration = Duration::from_hours(24);
/// Requests without which nothing is said of a model.
const SPEED_LEAST: usize = 5;
/// Width of a day in the picture, the gap included.
pub(super) const DAY_WIDTH: usize = 10;

/// See the module.
pub(super) struct Past {
    today: UtcDay,
    rows: Vec<StatusDay>,
    pub(super) speeds: Vec<ModelSpeed>,
}

/// The latest of it.
#[derive(Default)]
pub(in crate::site) struct PastCache(Mutex<Option<(Instant, Arc<Past>)>>);

/// How fast a model has begun to respond: the median.
pub(super) struct ModelSpeed {
    pub(super) model: String,
    pub(super) millis: GroupedCount,
    pub(super) requests: GroupedCount,
}

/// The days of a part as a picture, and what it says.
pub(super) struct DayBars {
    pub(super) bars: Vec<DayBar>,
    pub(super) summary: String,
}

/// A day.
pub(super) struct DayBar {
    pub(super) x: usize,
    pub(super) class: &'static str,
    pub(super) words: String,
}

impl PastCache {
    /// What is known now.
    pub(super) async fn get(&self, site: &Site) -> Result<Arc<Past>, PageError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, past)) = known.filter(|(at, _)| at.elapsed() < AGE) {
            return Ok(past);
        }
        let now = site.now();
        let past = Arc::new(site.run(move |conn| Past::read(conn, now)).await?);
        let latest = (Instant::now(), Arc::clone(&past));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(latest);
        Ok(past)
    }
}

impl Past {
    fn read(conn: &mut AnyConnection, now: UnixMillis) -> Result<Self, DbError> {
        let today = now.day();
        let rows = status_days::since(conn, today.plus(1 - DAYS_SHOWN))?;
        let speeds = speeds(latencies::first_bytes(conn, now.minus(SPEED_SPAN))?);
        Ok(Self { today, rows, speeds })
    }

    /// The days of a part.
    pub(super) fn of(&self, part: &StatusPart) -> DayBars {
        let days = history(&self.rows, part, self.today);
        let first = self.today.plus(1 - DAYS_SHOWN);
        let bars = days.iter().enumerate().map(|(at, day)| {
            let ago = i64::try_from(at).unwrap_or(0);
            DayBar {
                x: at.saturating_mul(DAY_WIDTH),
                class: class(day.as_ref()),
                words: words(first.plus(ago), day.as_ref()),
            }
        });
        DayBars { bars: bars.collect(), summary: summary(&days) }
    }
}

/// The median of each model, the fastest first.
fn speeds(rows: Vec<(String, i64)>) -> Vec<ModelSpeed> {
    let mut by_model: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (model, millis) in rows {
        by_model.entry(model).or_default().push(millis);
    }
    let known = by_model.into_iter().filter(|(_, all)| all.len() >= SPEED_LEAST);
    let mut speeds: Vec<(i64, ModelSpeed)> = known
        .filter_map(|(model, mut all)| {
            all.sort_unstable();
            let median = *all.get(all.len() / 2)?;
            let requests = GroupedCount(i64::try_from(all.len()).unwrap_or(i64::MAX));
            Some((median, ModelSpeed { model, millis: GroupedCount(median), requests }))
        })
        .collect();
    speeds.sort_by_key(|(median, _)| *median);
    speeds.into_iter().map(|(_, speed)| speed).collect()
}

/// What a day's bar looks like.
fn class(day: Option<&StatusDay>) -> &'static str {
    match day {
        None => "unknown",
        Some(day) if day.minutes_bad == 0 => "good",
        // Less than 5 of 100 minutes.
        Some(day) if day.minutes_bad.saturating_mul(20) < day.minutes_seen => "warn",
        Some(_) => "bad",
    }
}

fn words(day: UtcDay, known: Option<&StatusDay>) -> String {
    let date = chrono::DateTime::from_timestamp_millis(day.begin().as_millis());
    let date = date.unwrap_or_default().format("%-d %b %Y");
    match known {
        None => format!("{date}: no data"),
        Some(day) if day.minutes_bad == 0 => format!("{date}: no incident"),
        Some(day) => format!("{date}: {} min of problems", GroupedCount(day.minutes_bad)),
    }
}

/// In hundredths of a percent, cut off: only what was always well has 100.
fn summary(days: &[Option<StatusDay>]) -> String {
    let known = || days.iter().flatten();
    let seen: i64 = known().map(|day| day.minutes_seen).sum();
    let bad: i64 = known().map(|day| day.minutes_bad).sum();
    let well = seen.saturating_sub(bad).max(0);
    let share = match well.saturating_mul(10_000).checked_div(seen) {
        None => return "No data yet".to_owned(),
        Some(10_000) => "100".to_owned(),
        Some(share) => format!("{}.{:02}", share / 100, share % 100),
    };
    let count = known().count();
    format!("{share}% uptime over {count} day{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(seen: i64, bad: i64) -> StatusDay {
        StatusDay { part: "api".to_owned(), day: 1, minutes_seen: seen, minutes_bad: bad }
    }

    #[test]
    fn what_nobody_saw_is_never_called_well() {
        assert_eq!(class(None), "unknown");
        assert_eq!(words(UtcDay::from_number(0), None), "1 Jan 1970: no data");
        assert_eq!(summary(&[None, None]), "No data yet");
    }

    #[test]
    fn a_single_bad_minute_is_seen() {
        assert_eq!(class(Some(&day(1440, 0))), "good");
        assert_eq!(class(Some(&day(1440, 1))), "warn");
        assert_eq!(class(Some(&day(1440, 72))), "bad");
        assert_eq!(summary(&[Some(day(1440, 0)), None]), "100% uptime over 1 day");
        assert_eq!(summary(&[Some(day(129_600, 1))]), "99.99% uptime over 1 day");
        assert_eq!(summary(&[Some(day(10, 10)), Some(day(10, 10))]), "0.00% uptime over 2 days");
    }

    #[test]
    fn a_speed_is_the_median_of_enough_requests() {
        let rows = [9, 1, 5, 3, 1_000].map(|millis| ("a".to_owned(), millis));
        let few = [1, 2, 3, 4].map(|millis| ("b".to_owned(), millis));
        let speeds = speeds(rows.into_iter().chain(few).collect());
        let [speed] = speeds.as_slice() else { panic!("{} models", speeds.len()) };
        assert_eq!((speed.model.as_str(), speed.millis), ("a", GroupedCount(5)));
    }
}
