//! `/dashboard`: how long the credit lasts, what it was spent on, and what needs an act.

mod pace;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chart::Chart;
use super::fields::FormFields;
use super::format::{Cents, GroupedCount};
use super::layout::Frame;
use super::page_error::PageError;
use super::query_link::QueryLink;
use super::usage::measure::{self, Measure, Ranked, SwitchLink};
use super::usage::refused::RefusedView;
use super::usage::request_row::Request;
use super::usage::{days, rate};
use super::zone::reader_zone;
use super::{Site, page_request};
use crate::accounts::usage::cube::{self, Buckets, UsageCube};
use crate::accounts::usage::refusals::RefusalCounts;
use crate::accounts::usage::{self, LineOf, Sums};
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::api_keys::ApiKeyRow;
use crate::db::models::deposits;
use crate::db::models::ledger_entries;
use crate::db::models::refused_requests::RefusedOfKey;
use crate::db::models::usage_logs::{SumsBy, UsageFilter, UsageOfKey};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::{DAY_MILLIS, UnixMillis, UtcDay};
use crate::domain::deposit::DepositState;
use crate::domain::ids::AccountId;
use crate::domain::key_limits::KeyState;
use crate::domain::money::NanoUsd;
use crate::domain::price_list::Model;
use crate::domain::reader_zone::{HOUR_MILLIS, ReaderZone};
use pace::{Pace, Trend};

/// Requests that are listed.
const LATEST: usize = 10;
/// A balance below this is low, unless the owner has set another threshold.
const LOW: NanoUsd = NanoUsd::from_nanos(1_000_000_000);
/// Hours of the chart of a day.
const HOURS: i64 = 24;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    frame: Frame,
    zone: &'static str,
    available: Cents,
    /// How long it lasts.
    pace: String,
    reserved: Option<Cents>,
    /// Beyond that.
    at_risk: Option<Cents>,
    today: Cents,
    today_requests: GroupedCount,
    /// Such as `November`.
    month: String,
    month_spent: Cents,
    trend: Option<Trend>,
    requests_count: GroupedCount,
    error_rate: String,
    refused: RefusedView,
    banners: Banners,
    steps: Steps,
    /// A model for the shortest request.
    model: String,
    ranges: Vec<SwitchLink>,
    measures: Vec<SwitchLink>,
    groups: Vec<SwitchLink>,
    chart: Chart,
    measure: &'static str,
    top_models: Vec<Ranked>,
    top_keys: Vec<Ranked>,
    requests: Vec<Request>,
}

/// What somebody new has done so far.
struct Steps {
    has_paid: bool,
    has_key: bool,
    has_asked: bool,
}

impl Steps {
    const fn is_done(&self) -> bool {
        self.has_paid && self.has_key && self.has_asked
    }
}

/// What needs an act.
struct Banners {
    /// The balance is below this.
    low_balance: Option<Cents>,
    /// Keys that a budget has stopped: id and name.
    stopped: Vec<(String, String)>,
    /// Deposits that a person looks at.
    held: Vec<String>,
}

/// The days of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChartRange {
    Day,
    Week,
    Month,
}

/// What the query asks for.
#[derive(Clone, Copy)]
struct DashboardChoice {
    range: ChartRange,
    measure: Measure,
    by: SumsBy,
}

impl DashboardChoice {
    const RANGES: [(ChartRange, &'static str, &'static str); 3] = [
        (ChartRange::Day, "24h", "24 h"),
        (ChartRange::Week, "7d", "7 days"),
        (ChartRange::Month, "30d", "30 days"),
    ];

    fn read(query: &FormFields) -> Self {
        let range = Self::RANGES.iter().find(|(_, name, _)| *name == query.word("range"));
        Self {
            range: range.map_or(ChartRange::Month, |(range, ..)| *range),
            measure: Measure::read(query.word("show")),
            by: if query.word("by") == "key" { SumsBy::Key } else { SumsBy::Model },
        }
    }

    fn link(self) -> String {
        let range = Self::RANGES.iter().find(|(range, ..)| *range == self.range);
        let mut link = QueryLink::new("/dashboard");
        link.put("range", range.map_or("", |(_, name, _)| name).trim_start_matches("30d"));
        link.put("show", self.measure.as_str().trim_start_matches("cost"));
        link.put("by", if self.by == SumsBy::Key { "key" } else { "" });
        link.into_text()
    }

    /// The name of the same days on the page of usage.
    const fn usage_range(self) -> &'static str {
        match self.range {
            ChartRange::Day => "today",
            ChartRange::Week => "7d",
            ChartRange::Month => "",
        }
    }

    fn buckets(self, zone: ReaderZone, now: UnixMillis) -> Buckets {
        let end = now.plus_millis(1);
        match self.range {
            ChartRange::Day => {
                let from = now.plus_millis(-HOUR_MILLIS.saturating_mul(HOURS - 1));
                Buckets::of(zone, HOUR_MILLIS, (from, end))
            }
            ChartRange::Week => Buckets { length: 7, ..Self::days(zone, now, 7) },
            ChartRange::Month => Self::days(zone, now, 30),
        }
    }

    fn days(zone: ReaderZone, now: UnixMillis, length: i64) -> Buckets {
        let first = zone.day(now).number().saturating_sub(length).saturating_add(1);
        Buckets { millis: DAY_MILLIS, first, length }
    }
}

/// All of it as of one moment.
struct DashboardData {
    account: AccountRow,
    threshold: Option<NanoUsd>,
    /// By day, from the beginning of last month or thirty days ago.
    days: UsageCube,
    /// Of the last hours, if those are shown.
    hours: Option<UsageCube>,
    keys: Vec<ApiKeyRow>,
    refused: Vec<RefusedOfKey>,
    held: Vec<String>,
    has_paid: bool,
    requests: Vec<UsageOfKey>,
}

/// `GET /dashboard`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let (account_id, now) = (visit.person()?.account_id(), site.now());
        let (choice, zone) = (DashboardChoice::read(&visit.query()), reader_zone(visit.http));
        let counts = Arc::clone(&site.parts.api.context.refusals);
        let read = move |conn: &mut AnyConnection| {
            transaction::snapshot(conn, |conn| {
                gather(conn, account_id, &counts, (choice, zone), now)
            })
        };
        let found = site.run_long(account_id, read).await?.ok_or(PageError::NotFound)?;
        // The cheapest to try with, should there be one at all.
        let output = |model: &Arc<Model>| model.rates_at(now).map(|rates| rates.base.output);
        let model = site.settings().prices.models().min_by_key(|model| output(model));
        let model = model.map(|model| model.id.as_str().to_owned()).unwrap_or_default();
        visit.page(&page(visit.frame("Dashboard"), &found, (choice, zone), now, model))
    })
    .await
}

fn gather(
    conn: &mut AnyConnection,
    account_id: AccountId,
    counts: &RefusalCounts,
    (choice, zone): (DashboardChoice, ReaderZone),
    now: UnixMillis,
) -> Result<Option<DashboardData>, DbError> {
    let Some(account) = accounts::get(conn, account_id)? else { return Ok(None) };
    let today = zone.day(now);
    let first = days::month_before(today).0.min(today.plus(-29));
    let to = now.plus_millis(1);
    let filter = UsageFilter { from: zone.begin(first), to, ..UsageFilter::all(account_id) };
    let of_days = UsageCube::read(conn, &filter, zone, DAY_MILLIS)?;
    let hours = match choice.range {
        ChartRange::Day => {
            let from = now.plus_millis(-HOUR_MILLIS.saturating_mul(HOURS));
            let filter = UsageFilter { from, ..filter };
            Some(UsageCube::read(conn, &filter, zone, HOUR_MILLIS)?)
        }
        ChartRange::Week | ChartRange::Month => None,
    };
    let month = (zone.begin(days::month(today).0).day(), now.day());
    let refused = counts.read(conn, (account_id, None), month)?;
    let held = deposits::Filter {
        state: Some(DepositState::Held),
        account_id: Some(account_id),
        ..deposits::Filter::default()
    };
    let held = deposits::page(conn, &held, 0, 3)?;
    let page = usage::page(conn, &UsageFilter::all(account_id), None, LATEST)?;
    let any = ledger_entries::page(conn, account_id, None, i64::MAX, 1)?;
    Ok(Some(DashboardData {
        threshold: accounts::preferences(conn, account_id)?
            .and_then(|wanted| wanted.low_balance_nanousd),
        account,
        days: of_days,
        hours,
        keys: cube::keys(conn, account_id)?,
        refused,
        held: held.into_iter().map(|row| row.public_id).collect(),
        has_paid: !any.is_empty(),
        requests: page.map(|page| page.rows).unwrap_or_default(),
    }))
}

fn page(
    frame: Frame,
    found: &DashboardData,
    (choice, zone): (DashboardChoice, ReaderZone),
    now: UnixMillis,
    model: String,
) -> DashboardPage {
    let day = zone.day(now);
    let (first, _) = days::month(day);
    let sums = |from: UtcDay, to: UtcDay| found.days.total(from.number(), to.number());
    let (today, month): (Sums, Sums) = (sums(day, day), sums(first, day));
    let refused = RefusedView::of(&found.refused);
    let all = month.requests.saturating_add(refused.total);
    let buckets = choice.buckets(zone, now);
    let shown = found.hours.as_ref().unwrap_or(&found.days);
    let link_to = |day: UtcDay| Some(format!("/usage?from={day}&to={day}"));
    let positive = |sum: NanoUsd| Some(sum).filter(|sum| *sum > NanoUsd::ZERO).map(Cents);
    let choose = |text, other: DashboardChoice, is_chosen| SwitchLink {
        text,
        link: other.link(),
        is_chosen,
    };
    let ranges = DashboardChoice::RANGES.map(|(range, _, text)| {
        choose(text, DashboardChoice { range, ..choice }, range == choice.range)
    });
    let measures = Measure::ALL.map(|measure| {
        choose(measure.title(), DashboardChoice { measure, ..choice }, measure == choice.measure)
    });
    let groups = [(SumsBy::Model, "By model"), (SumsBy::Key, "By key")];
    let groups =
        groups.map(|(by, text)| choose(text, DashboardChoice { by, ..choice }, by == choice.by));
    let top = |by| {
        let lines = shown.lines(by, buckets, &found.keys);
        measure::ranked(&lines, choice.measure, |of| usage_of(of, choice))
    };
    DashboardPage {
        zone: zone.name(),
        available: Cents(found.account.available_nanousd),
        pace: Pace::of(&found.days, found.account.available_nanousd, day).in_words(),
        reserved: positive(found.account.reserved_nanousd),
        at_risk: positive(found.account.at_risk_nanousd),
        today: Cents(today.cost),
        today_requests: GroupedCount(today.requests),
        month: days::month_word(day),
        month_spent: Cents(month.cost),
        trend: Trend::of(&found.days, month.cost, day),
        requests_count: GroupedCount(month.requests),
        error_rate: rate(month.errors.saturating_add(refused.total), all),
        refused,
        banners: banners(found, now),
        steps: Steps {
            has_paid: found.has_paid,
            has_key: found.keys.iter().any(|key| key.revoked_at.is_none()),
            has_asked: !found.requests.is_empty(),
        },
        model,
        ranges: ranges.into(),
        measures: measures.into(),
        groups: groups.into(),
        chart: measure::chart(shown, (choice.measure, choice.by), buckets, &found.keys, link_to),
        measure: choice.measure.title(),
        top_models: top(SumsBy::Model),
        top_keys: top(SumsBy::Key),
        requests: found.requests.iter().map(Request::from).collect(),
        frame,
    }
}

/// The usage of one model or key in the days of the chart.
fn usage_of(of: &LineOf, choice: DashboardChoice) -> String {
    let mut link = QueryLink::new("/usage");
    link.put("range", choice.usage_range());
    match of {
        LineOf::Model(id) => link.put("model", id),
        LineOf::Key { id, .. } => link.put("key", id),
        LineOf::Total | LineOf::Other => {}
    }
    link.into_text()
}

fn banners(found: &DashboardData, now: UnixMillis) -> Banners {
    let AccountRow { available_nanousd: available, reserved_nanousd: reserved, .. } = found.account;
    let funds = available.as_nanos().saturating_add(reserved.as_nanos());
    let threshold = found.threshold.unwrap_or(LOW);
    let is_low = found.has_paid && funds < threshold.as_nanos();
    let stopped = found.keys.iter().filter(|key| matches!(key.state(now), KeyState::Paused(_)));
    Banners {
        low_balance: is_low.then_some(Cents(threshold)),
        stopped: stopped.map(|key| (key.public_id.clone(), key.name.clone())).collect(),
        held: found.held.clone(),
    }
}
