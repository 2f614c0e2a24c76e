//! What the query of the usage page asks for, and the links that ask for something else.

use super::days;
use super::measure::Measure;
use crate::accounts::usage::DAYS_MAX;
use crate::db::models::usage_logs::{SumsBy, UsageFilter};
use crate::domain::clock::UtcDay;
use crate::domain::ids::AccountId;
use crate::domain::reader_zone::ReaderZone;
use crate::domain::request_result::RequestResult;
use crate::site::fields::FormFields;
use crate::site::query_link::QueryLink;

/// Days that are shown unless others are asked for.
pub(in crate::site) const DAYS: i64 = 30;
/// Days for which there is a chart of hours.
const HOURLY_DAYS_MAX: i64 = 2;

/// Days by a name, which stay right tomorrow, or two days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Today,
    Yesterday,
    Week,
    Month30,
    ThisMonth,
    LastMonth,
    Days(UtcDay, UtcDay),
}

impl Range {
    const NAMED: [(Self, &'static str, &'static str); 6] = [
        (Self::Today, "today", "Today"),
        (Self::Yesterday, "yesterday", "Yesterday"),
        (Self::Week, "7d", "7 days"),
        (Self::Month30, "30d", "30 days"),
        (Self::ThisMonth, "month", "This month"),
        (Self::LastMonth, "last-month", "Last month"),
    ];

    fn days(self, today: UtcDay) -> (UtcDay, UtcDay) {
        match self {
            Self::Today => (today, today),
            Self::Yesterday => (today.plus(-1), today.plus(-1)),
            Self::Week => (today.plus(-6), today),
            Self::Month30 => (today.plus(1_i64.saturating_sub(DAYS)), today),
            Self::ThisMonth => (days::month(today).0, today),
            Self::LastMonth => days::month_before(today),
            Self::Days(first, last) => (first, last),
        }
    }
}

/// A preset that may be chosen.
pub(super) struct Preset {
    pub(super) text: &'static str,
    pub(super) link: String,
    pub(super) is_chosen: bool,
}

/// In which order requests are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Time,
    Cost,
}

/// See the module.
#[derive(Clone)]
pub(super) struct UsageChoice {
    zone: ReaderZone,
    range: Range,
    pub(super) first: UtcDay,
    /// Included.
    pub(super) last: UtcDay,
    pub(super) model: String,
    pub(super) key: String,
    pub(super) result: Option<RequestResult>,
    pub(super) by: SumsBy,
    pub(super) measure: Measure,
    pub(super) order: Order,
}

impl UsageChoice {
    /// What is asked for, and what of it cannot be.
    pub(super) fn read(
        query: &FormFields,
        today: UtcDay,
        zone: ReaderZone,
    ) -> (Self, Option<String>) {
        let by = match query.word("by") {
            "key" => SumsBy::Key,
            "total" => SumsBy::Total,
            _ => SumsBy::Model,
        };
        let named = Range::NAMED.iter().find(|(_, name, _)| *name == query.word("range"));
        let range = named.map_or(Range::Month30, |(range, ..)| *range);
        let (first, last) = range.days(today);
        let is_by_cost = query.word("sort") == "cost";
        let mut wanted = Self {
            zone,
            range,
            first,
            last,
            model: query.word("model").to_owned(),
            key: query.word("key").to_owned(),
            result: RequestResult::parse(query.word("result")),
            by,
            measure: Measure::read(query.word("show")),
            order: if is_by_cost { Order::Cost } else { Order::Time },
        };
        if named.is_some() {
            return (wanted, None);
        }
        let day = |name| match query.word(name) {
            "" => Some(None),
            text => UtcDay::parse(text).map(Some),
        };
        let (Some(first), Some(last)) = (day("from"), day("to")) else {
            return (wanted, Some("Enter days in the form 2026-11-22.".to_owned()));
        };
        if first.is_none() && last.is_none() {
            return (wanted, None);
        }
        let last = last.unwrap_or(today);
        let first = first.unwrap_or(last.plus(1_i64.saturating_sub(DAYS)));
        let days = last.days_since(first).saturating_add(1);
        if !(1..=DAYS_MAX).contains(&days) {
            let words =
                format!("Choose at most {DAYS_MAX} days; the last must not be before the first.");
            return (wanted, Some(words));
        }
        let preset = Range::NAMED.iter().find(|(range, ..)| range.days(today) == (first, last));
        wanted.range = preset.map_or(Range::Days(first, last), |(range, ..)| *range);
        (wanted.first, wanted.last) = (first, last);
        (wanted, None)
    }

    pub(super) const fn by(&self) -> &'static str {
        match self.by {
            SumsBy::Total => "total",
            SumsBy::Model => "model",
            SumsBy::Key => "key",
        }
    }

    /// The name of the range, if it has one.
    pub(super) fn range(&self) -> &'static str {
        let named = Range::NAMED.iter().find(|(range, ..)| *range == self.range);
        named.map_or("", |(_, name, _)| *name)
    }

    pub(super) fn order(&self) -> &'static str {
        if self.order == Order::Cost { "cost" } else { "" }
    }

    pub(super) fn result(&self) -> &'static str {
        self.result.map_or("", RequestResult::as_str)
    }

    /// Whether the chart has hours.
    pub(super) const fn is_hourly(&self) -> bool {
        self.last.days_since(self.first) < HOURLY_DAYS_MAX
    }

    /// Whether anything but days is filtered.
    pub(super) fn is_narrowed(&self) -> bool {
        !self.model.is_empty() || !self.key.is_empty() || self.result.is_some()
    }

    pub(super) fn presets(&self) -> Vec<Preset> {
        let preset = |(range, _, text): &(Range, &'static str, &'static str)| Preset {
            text,
            link: Self { range: *range, ..self.clone() }.link(),
            is_chosen: *range == self.range,
        };
        Range::NAMED.iter().map(preset).collect()
    }

    /// The same of one day.
    pub(super) fn link_to_day(&self, day: UtcDay) -> String {
        Self { range: Range::Days(day, day), first: day, last: day, ..self.clone() }.link()
    }

    pub(super) fn link_to_measure(&self, measure: Measure) -> String {
        Self { measure, ..self.clone() }.link()
    }

    pub(super) fn link_by(&self, by: SumsBy) -> String {
        Self { by, ..self.clone() }.link()
    }

    pub(super) fn link_in_order(&self, order: Order) -> String {
        Self { order, ..self.clone() }.link()
    }

    /// All of these days.
    pub(super) fn link_to_all(&self) -> String {
        let (model, key) = (String::new(), String::new());
        Self { model, key, result: None, ..self.clone() }.link()
    }

    /// The page of it.
    pub(super) fn link(&self) -> String {
        self.query("/usage").into_text()
    }

    /// The page of it behind or in front of a request.
    pub(super) fn link_to_page(&self, name: &str, value: &str) -> String {
        let mut link = self.query("/usage");
        link.put(name, value);
        link.into_text()
    }

    fn query(&self, path: &str) -> QueryLink {
        let mut link = QueryLink::new(path);
        if let Range::Days(first, last) = self.range {
            link.put("from", &first.to_string());
            link.put("to", &last.to_string());
        } else if self.range != Range::Month30 {
            link.put("range", self.range());
        }
        link.put("model", &self.model);
        link.put("key", &self.key);
        link.put("result", self.result());
        link.put("by", if self.by == SumsBy::Model { "" } else { self.by() });
        link.put("show", if self.measure == Measure::Cost { "" } else { self.measure.as_str() });
        link.put("sort", self.order());
        link
    }

    /// The file of it. Its times are moments, since it knows no zone.
    pub(super) fn export(&self, format: &str) -> String {
        let mut link = QueryLink::new("/api/v1/usage/export");
        link.put("format", format);
        link.put("from", &self.zone.begin(self.first).to_rfc3339_secs());
        link.put("to", &self.zone.begin(self.last.plus(1)).to_rfc3339_secs());
        link.put("model", &self.model);
        link.put("key", &self.key);
        link.put("result", self.result());
        link.put("bom", if format == "csv" { "true" } else { "" });
        link.into_text()
    }

    /// Without the key, which has to be looked up.
    pub(super) fn filter(&self, account_id: AccountId) -> UsageFilter {
        UsageFilter {
            from: self.zone.begin(self.first),
            to: self.zone.begin(self.last.plus(1)),
            model: (!self.model.is_empty()).then(|| self.model.clone()),
            result: self.result,
            ..UsageFilter::all(account_id)
        }
    }

    /// The UTC days that these days touch.
    pub(super) fn utc_days(&self) -> (UtcDay, UtcDay) {
        let end = self.zone.begin(self.last.plus(1)).plus_millis(-1);
        (self.zone.begin(self.first).day(), end.day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> (UsageChoice, Option<String>) {
        let today = UtcDay::parse("2026-11-22").unwrap();
        UsageChoice::read(&FormFields::parse(query).unwrap(), today, ReaderZone::UTC)
    }

    fn days(query: &str) -> String {
        let (wanted, refusal) = read(query);
        assert_eq!(refusal, None, "{query}");
        format!("{} {} {}", wanted.first, wanted.last, wanted.by())
    }

    #[test]
    fn links_say_the_same_again() {
        let query = "from=2026-11-01&to=2026-11-02&model=a%26b+c&key=key_1&result=cut_short&by=key\
            &show=tokens&sort=cost";
        let (wanted, _) = read(query);
        let link = wanted.link();
        assert_eq!(
            link,
            "/usage?from=2026-11-01&to=2026-11-02&model=a%26b%20c&key=key_1&result=cut_short\
             &by=key&show=tokens&sort=cost"
        );
        assert_eq!(read(link.split_once('?').unwrap().1).0.link(), link);
        assert_eq!(
            wanted.link_to_all(),
            "/usage?from=2026-11-01&to=2026-11-02&by=key&show=tokens&sort=cost"
        );
        assert_eq!(
            read("range=month&model=m").0.link_to_page("before", "req_1"),
            "/usage?range=month&model=m&before=req_1"
        );
        assert_eq!(
            read("").0.export("csv"),
            "/api/v1/usage/export?format=csv&from=2026-10-24T00%3A00%3A00Z\
             &to=2026-11-23T00%3A00%3A00Z&bom=true"
        );
    }

    #[test]
    fn days_are_those_asked_for_or_the_last_thirty() {
        assert_eq!(days(""), "2026-10-24 2026-11-22 model");
        assert_eq!(days("from=&to=&by=key"), "2026-10-24 2026-11-22 key");
        assert_eq!(days("to=2026-11-01"), "2026-10-03 2026-11-01 model");
        assert_eq!(days("from=2026-11-22&to=2026-11-22&by=total"), "2026-11-22 2026-11-22 total");
        assert_eq!(days("range=today"), "2026-11-22 2026-11-22 model");
        assert_eq!(days("range=7d&from=2020-01-01"), "2026-11-16 2026-11-22 model");
        assert_eq!(days("range=month"), "2026-11-01 2026-11-22 model");
        assert_eq!(days("range=last-month"), "2026-10-01 2026-10-31 model");
        for query in [
            "from=soon",
            "to=2026-13-01",
            "from=2026-11-23",
            "from=2020-01-01",
            "from=2026-11-02&to=2026-11-01",
        ] {
            let (wanted, refusal) = read(query);
            assert_eq!(wanted.first.to_string(), "2026-10-24", "{query}");
            assert!(refusal.is_some(), "{query}");
        }
    }

    #[test]
    fn days_are_the_readers_and_refusals_of_the_utc_days_that_they_touch() {
        let kolkata = ReaderZone::parse("Asia/Kolkata").unwrap();
        let fields = FormFields::parse("from=2026-11-20&to=2026-11-20").unwrap();
        let today = UtcDay::parse("2026-11-22").unwrap();
        let (wanted, _) = UsageChoice::read(&fields, today, kolkata);
        let filter = wanted.filter(AccountId(1));
        assert_eq!(filter.from.to_rfc3339_secs(), "2026-11-19T18:30:00Z");
        assert_eq!(filter.to.to_rfc3339_secs(), "2026-11-20T18:30:00Z");
        let (first, last) = wanted.utc_days();
        assert_eq!(
            (first.to_string(), last.to_string()),
            ("2026-11-19".into(), "2026-11-20".into())
        );
        assert!(wanted.is_hourly());
    }
}
