//! `/usage`: what the account has used, as pictures of days and as a list of requests.

use std::fmt::Write;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chart::{Chart, ChartLine, Unit};
use super::fields::FormFields;
use super::format::{GroupedCount, SignedDollars, TimeElement};
use super::layout::Frame;
use super::page_error::PageError;
use super::select_option::SelectOption;
use super::{Site, page_request};
use crate::accounts::usage::{self, DAYS_MAX, LineOf, Series, Sums};
use crate::db::models::api_keys::{self, ApiKeyRow};
use crate::db::models::usage_logs::{SumsBy, UsageFilter, UsageOfKey};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UtcDay;
use crate::domain::ids::AccountId;

/// Requests on a page.
const PAGE: usize = 50;
/// Days that are shown unless others are asked for.
pub(super) const DAYS: i64 = 30;

#[derive(Template)]
#[template(path = "usage.html")]
struct UsageListPage {
    frame: Frame,
    wanted: UsageChoice,
    refusal: Option<String>,
    models: Vec<SelectOption>,
    keys: Vec<SelectOption>,
    series: Vec<SelectOption>,
    cost: Chart,
    tokens: Chart,
    requests: Vec<Request>,
    /// The id of the last request here, if older ones follow.
    next: Option<String>,
    is_first: bool,
}

/// One request in a list.
pub(super) struct Request {
    pub(super) id: String,
    pub(super) at: TimeElement,
    pub(super) model: String,
    pub(super) key_id: String,
    pub(super) key_name: String,
    /// All that the model has read, cached or not.
    pub(super) input: GroupedCount,
    pub(super) output: GroupedCount,
    pub(super) cost: SignedDollars,
    pub(super) status: i32,
}

impl From<&UsageOfKey> for Request {
    fn from(UsageOfKey { row, key_id, key_name }: &UsageOfKey) -> Self {
        let input = row
            .input_tokens
            .saturating_add(row.cache_write_5m_tokens)
            .saturating_add(row.cache_write_1h_tokens)
            .saturating_add(row.cache_read_tokens);
        Self {
            id: row.id.clone(),
            at: TimeElement(row.created_at),
            model: row.requested_model.clone(),
            key_id: key_id.clone(),
            key_name: key_name.clone(),
            input: GroupedCount(input),
            output: GroupedCount(row.output_tokens),
            cost: SignedDollars(row.cost_nanousd),
            status: row.http_status,
        }
    }
}

/// What the query asks for.
struct UsageChoice {
    first: UtcDay,
    /// Included.
    last: UtcDay,
    model: String,
    key: String,
    by: SumsBy,
}

impl UsageChoice {
    /// What is asked for, and what of it cannot be.
    fn read(query: &FormFields, today: UtcDay) -> (Self, Option<String>) {
        let by = match query.word("by") {
            "key" => SumsBy::Key,
            "total" => SumsBy::Total,
            _ => SumsBy::Model,
        };
        let mut wanted = Self {
            first: today.plus(1_i64.saturating_sub(DAYS)),
            last: today,
            model: query.word("model").to_owned(),
            key: query.word("key").to_owned(),
            by,
        };
        let day = |name| match query.word(name) {
            "" => Some(None),
            text => UtcDay::parse(text).map(Some),
        };
        let (Some(first), Some(last)) = (day("from"), day("to")) else {
            return (wanted, Some("Enter days in the form 2026-11-22.".to_owned()));
        };
        let last = last.unwrap_or(today);
        let first = first.unwrap_or(last.plus(1_i64.saturating_sub(DAYS)));
        let days = last.days_since(first).saturating_add(1);
        if !(1..=DAYS_MAX).contains(&days) {
            let words =
                format!("Choose at most {DAYS_MAX} days; the last must not be before the first.");
            return (wanted, Some(words));
        }
        (wanted.first, wanted.last) = (first, last);
        (wanted, None)
    }

    const fn by(&self) -> &'static str {
        match self.by {
            SumsBy::Total => "total",
            SumsBy::Model => "model",
            SumsBy::Key => "key",
        }
    }

    /// The page of it, behind a request.
    fn link(&self, before: Option<&str>) -> String {
        let mut link = QueryLink::new("/usage");
        self.put(&mut link);
        link.put("by", self.by());
        link.put("before", before.unwrap_or_default());
        link.0
    }

    /// The file of it.
    fn export(&self, format: &str) -> String {
        let mut link = QueryLink::new("/api/v1/usage/export");
        link.put("format", format);
        self.put(&mut link);
        link.0
    }

    fn put(&self, link: &mut QueryLink) {
        link.put("from", &self.first.to_string());
        link.put("to", &self.last.to_string());
        link.put("model", &self.model);
        link.put("key", &self.key);
    }

    const fn length(&self) -> i64 {
        self.last.days_since(self.first).saturating_add(1)
    }

    /// Whether the list leaves out what the charts show.
    fn is_narrowed(&self) -> bool {
        !self.model.is_empty() || !self.key.is_empty()
    }

    fn filter(&self, account_id: AccountId, key: Option<&ApiKeyRow>) -> UsageFilter {
        UsageFilter {
            account_id,
            from: self.first.begin(),
            to: self.last.plus(1).begin(),
            model: (!self.model.is_empty()).then(|| self.model.clone()),
            api_key_id: key.map(|key| key.id),
            result: None,
        }
    }
}

/// A path with a query.
struct QueryLink(String);

impl QueryLink {
    fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds a value, unless it is empty. What is no plain letter is encoded.
    fn put(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing into text does not fail.
                write!(self.0, "%{byte:02X}").unwrap_or_default();
            }
        }
    }
}

struct UsageData {
    keys: Vec<ApiKeyRow>,
    page: usage::UsageRows,
    series: Series,
}

/// `GET /usage`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let query = visit.query();
        let (wanted, refusal) = UsageChoice::read(&query, site.now().day());
        let before = Some(query.word("before").to_owned()).filter(|id| !id.is_empty());
        let (is_first, key) = (before.is_none(), wanted.key.clone());
        let (days, by) = ((wanted.first, wanted.last), wanted.by);
        let filter = wanted.filter(account_id, None);
        let read = move |conn: &mut AnyConnection| {
            let keys = api_keys::of_account(conn, account_id)?;
            let chosen = keys.iter().find(|row| row.public_id == key);
            if chosen.is_none() && !key.is_empty() {
                return Ok(None);
            }
            let api_key_id = chosen.map(|row| row.id);
            let filter = UsageFilter { api_key_id, ..filter };
            let page = usage::page(conn, &filter, before.as_deref(), PAGE)?;
            let series = usage::series(conn, (account_id, None), days, by)?;
            Ok::<_, DbError>(page.zip(series).map(|(page, series)| UsageData {
                keys,
                page,
                series,
            }))
        };
        let found = site.run_long(account_id, read).await?.ok_or(PageError::NotFound)?;
        visit.page(&page(&site, visit.frame("Usage"), wanted, refusal, (found, is_first)))
    })
    .await
}

fn page(
    site: &Site,
    frame: Frame,
    wanted: UsageChoice,
    refusal: Option<String>,
    (found, is_first): (UsageData, bool),
) -> UsageListPage {
    let priced = site.settings().prices.models().map(|model| model.id.as_str().to_owned());
    let models = SelectOption::list(priced.map(|id| (id.clone(), id)), &wanted.model);
    let keys = found.keys.iter().map(|key| (key.public_id.clone(), key.name.clone()));
    let series = [("model", "Model"), ("key", "Key"), ("total", "Total")];
    let series = series.map(|(value, text)| (value.to_owned(), text.to_owned()));
    let span = (wanted.first, wanted.length());
    UsageListPage {
        frame,
        refusal,
        models,
        keys: SelectOption::list(keys, &wanted.key),
        series: SelectOption::list(series, wanted.by()),
        cost: cost_chart(&found.series, span),
        tokens: token_chart(&found.series, span),
        next: found
            .page
            .rows
            .last()
            .filter(|_| found.page.has_more)
            .map(|last| last.row.id.clone()),
        requests: found.page.rows.iter().map(Request::from).collect(),
        is_first,
        wanted,
    }
}

/// What the days of a series have cost.
pub(super) fn cost_chart(series: &Series, span: (UtcDay, i64)) -> Chart {
    let lines = lines(series, |sums| sums.cost.as_nanos());
    Chart::new(("cost", "Cost"), Unit::Usd, span, lines)
}

/// The tokens of the days of a series, of every kind.
pub(super) fn token_chart(series: &Series, span: (UtcDay, i64)) -> Chart {
    let all = |sums: &Sums| {
        sums.input_tokens
            .saturating_add(sums.output_tokens)
            .saturating_add(sums.cache_write_tokens)
            .saturating_add(sums.cache_read_tokens)
    };
    Chart::new(("tokens", "Tokens"), Unit::Tokens, span, lines(series, all))
}

fn lines(series: &Series, value: impl Fn(&Sums) -> i64) -> Vec<ChartLine> {
    let line = |line: &usage::SeriesLine| ChartLine {
        name: match &line.of {
            LineOf::Total => Some("all".to_owned()),
            LineOf::Model(id) => Some(id.clone()),
            LineOf::Key { name, .. } => Some(name.clone()),
            LineOf::Other => None,
        },
        values: line.days.iter().map(&value).collect(),
    };
    series.lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> (String, Option<String>) {
        let today = UtcDay::parse("2026-11-22").unwrap();
        let (wanted, refusal) = UsageChoice::read(&FormFields::parse(query).unwrap(), today);
        (format!("{} {} {}", wanted.first, wanted.last, wanted.by()), refusal)
    }

    #[test]
    fn links_say_the_same_again() {
        let today = UtcDay::parse("2026-11-22").unwrap();
        let query = "from=2026-11-01&to=2026-11-02&model=a%26b+c&key=key_1&by=key";
        let (wanted, _) = UsageChoice::read(&FormFields::parse(query).unwrap(), today);
        let link = wanted.link(Some("req_1"));
        assert_eq!(
            link,
            "/usage?from=2026-11-01&to=2026-11-02&model=a%26b%20c&key=key_1&by=key&before=req_1"
        );
        let again =
            UsageChoice::read(&FormFields::parse(link.split_once('?').unwrap().1).unwrap(), today);
        assert_eq!(again.0.link(None), wanted.link(None));
        let file = UsageChoice::read(&FormFields::parse("").unwrap(), today).0.export("csv");
        assert_eq!(file, "/api/v1/usage/export?format=csv&from=2026-10-24&to=2026-11-22");
    }

    #[test]
    fn days_are_those_asked_for_or_the_last_thirty() {
        let days = |query| {
            let (days, refusal) = read(query);
            assert_eq!(refusal, None, "{query}");
            days
        };
        assert_eq!(days(""), "2026-10-24 2026-11-22 model");
        assert_eq!(days("from=&to=&by=key"), "2026-10-24 2026-11-22 key");
        assert_eq!(days("to=2026-11-01"), "2026-10-03 2026-11-01 model");
        assert_eq!(days("from=2026-11-22&to=2026-11-22&by=total"), "2026-11-22 2026-11-22 total");
        for query in [
            "from=soon",
            "to=2026-13-01",
            "from=2026-11-23",
            "from=2020-01-01",
            "from=2026-11-02&to=2026-11-01",
        ] {
            let (days, refusal) = read(query);
            assert_eq!(days, "2026-10-24 2026-11-22 model", "{query}");
            assert!(refusal.is_some(), "{query}");
        }
    }
}
