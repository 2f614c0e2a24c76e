//! Days and months as people write them. A day may be of any zone: it is a number on a calendar.

use chrono::{DateTime, Utc};

use crate::domain::clock::UtcDay;

/// The first and the last day of a day's month.
pub(in crate::site) fn month(day: UtcDay) -> (UtcDay, UtcDay) {
    let month = day.begin().month();
    (month.begin().day(), month.next().begin().day().plus(-1))
}

/// The first and the last day of the month before a day's.
pub(in crate::site) fn month_before(day: UtcDay) -> (UtcDay, UtcDay) {
    month(month(day).0.plus(-1))
}

/// Such as `22 Nov`.
pub(in crate::site) fn short_day(day: UtcDay) -> String {
    written(day, "%-d %b")
}

/// Such as `22 Nov 2026`.
pub(in crate::site) fn long_day(day: UtcDay) -> String {
    written(day, "%-d %b %Y")
}

/// Such as `November 2026`.
pub(in crate::site) fn month_name(day: UtcDay) -> String {
    written(day, "%B %Y")
}

/// Such as `November`.
pub(in crate::site) fn month_word(day: UtcDay) -> String {
    written(day, "%B")
}

/// Such as `2026-11`, as queries have it.
pub(in crate::site) fn month_value(day: UtcDay) -> String {
    written(day, "%Y-%m")
}

/// The first day of a month that a query names.
pub(in crate::site) fn parse_month(text: &str) -> Option<UtcDay> {
    UtcDay::parse(&format!("{text}-01")).filter(|day| month_value(*day) == text)
}

/// Days from one to another: `20 Nov 2026`, `1 – 30 Nov 2026`, `25 Oct – 23 Nov 2026`.
pub(in crate::site) fn span(first: UtcDay, last: UtcDay) -> String {
    if first == last {
        return long_day(last);
    }
    let from = if month_value(first) == month_value(last) {
        written(first, "%-d")
    } else if written(first, "%Y") == written(last, "%Y") {
        short_day(first)
    } else {
        long_day(first)
    };
    format!("{from} – {}", long_day(last))
}

fn written(day: UtcDay, format: &str) -> String {
    let moment = DateTime::<Utc>::from_timestamp_millis(day.begin().as_millis());
    moment.unwrap_or_default().format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_spans_are_written_as_people_do() {
        let day = |text| UtcDay::parse(text).unwrap();
        assert_eq!(month(day("2026-02-14")), (day("2026-02-01"), day("2026-02-28")));
        assert_eq!(month_before(day("2026-01-05")), (day("2025-12-01"), day("2025-12-31")));
        assert_eq!(span(day("2026-11-20"), day("2026-11-20")), "20 Nov 2026");
        assert_eq!(span(day("2026-11-01"), day("2026-11-30")), "1 – 30 Nov 2026");
        assert_eq!(span(day("2026-10-25"), day("2026-11-23")), "25 Oct – 23 Nov 2026");
        assert_eq!(span(day("2025-12-25"), day("2026-01-02")), "25 Dec 2025 – 2 Jan 2026");
        assert_eq!(parse_month("2026-11"), Some(day("2026-11-01")));
        for bad in ["", "2026", "2026-1", "2026-13", "2026-11-01"] {
            assert_eq!(parse_month(bad), None, "{bad}");
        }
    }
}
