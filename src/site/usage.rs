//! `/usage`: what the account has used, as a chart, as totals and as a list of requests, all of the
//! same selection. Days and hours are those of the reader's zone.

mod choice;
pub(super) mod days;
pub(super) mod measure;
pub(super) mod refused;
pub(super) mod request_row;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::chart::Chart;
use super::format::{Cents, GroupedCount};
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::select_option::SelectOption;
use super::zone::reader_zone;
use super::{Site, page_request};
use crate::accounts::usage::cube::{self, Buckets, FoundId, UsageCube};
use crate::accounts::usage::refusals::RefusalCounts;
use crate::accounts::usage::{self, Sums, UsageRows};
use crate::db::models::api_keys::ApiKeyRow;
use crate::db::models::refused_requests::RefusedOfKey;
use crate::db::models::usage_cube;
use crate::db::models::usage_logs::{SumsBy, UsageFilter};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::DAY_MILLIS;
use crate::domain::ids::AccountId;
use crate::domain::reader_zone::{HOUR_MILLIS, ReaderZone};
use crate::domain::request_result::RequestResult;
use choice::{Order, UsageChoice};
use measure::{Measure, SwitchLink};
use refused::RefusedView;
use request_row::{Request, result_title};

/// Requests on a page.
const PAGE: usize = 50;
/// Requests that are put in the order of their cost: more have to be narrowed first.
const SORTED_MAX: i64 = 100_000;
/// Pages in the order of cost.
const SORTED_PAGES: i64 = 200;

#[derive(Template)]
#[template(path = "usage.html")]
struct UsageListPage {
    frame: Frame,
    zone: &'static str,
    wanted: UsageChoice,
    refusal: Option<String>,
    /// What became of a search by id.
    search: Option<&'static str>,
    searched: String,
    span: String,
    presets: Vec<choice::Preset>,
    models: Vec<SelectOption>,
    keys: Vec<SelectOption>,
    results: Vec<SelectOption>,
    measures: Vec<SwitchLink>,
    groups: Vec<SwitchLink>,
    orders: Vec<SwitchLink>,
    totals: Totals,
    refused: Option<RefusedView>,
    chart: Chart,
    requests: Vec<Request>,
    /// Why they are not in the order asked for.
    is_unsorted: bool,
    newest: Option<String>,
    newer: Option<String>,
    older: Option<String>,
}

/// The sums of the selection.
struct Totals {
    requests: GroupedCount,
    input: GroupedCount,
    cached: GroupedCount,
    written: GroupedCount,
    output: GroupedCount,
    cost: Cents,
    errors: GroupedCount,
    /// `1.2 %`
    error_rate: String,
}

impl Totals {
    fn of(sums: &Sums) -> Self {
        Self {
            requests: GroupedCount(sums.requests),
            input: GroupedCount(sums.input_tokens),
            cached: GroupedCount(sums.cache_read_tokens),
            written: GroupedCount(sums.cache_write_tokens),
            output: GroupedCount(sums.output_tokens),
            cost: Cents(sums.cost),
            errors: GroupedCount(sums.errors),
            error_rate: rate(sums.errors, sums.requests),
        }
    }
}

/// A part of a whole, such as `1.2 %`; what is more than nothing is never `0.0 %`.
pub(super) fn rate(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "0 %".to_owned();
    }
    let tenths = part.saturating_mul(1_000).saturating_add(whole / 2) / whole;
    match tenths {
        0 if part > 0 => "< 0.1 %".to_owned(),
        0 => "0 %".to_owned(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// Where in the list the page begins.
#[derive(Clone)]
enum Place {
    Newest,
    Before(String),
    After(String),
    /// In the order of cost.
    Page(i64),
}

/// What is read for the page.
struct UsageData {
    keys: Vec<ApiKeyRow>,
    cube: UsageCube,
    total: Sums,
    refused: Option<Vec<RefusedOfKey>>,
    page: UsageRows,
}

/// `GET /usage`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let (query, zone) = (visit.query(), reader_zone(visit.http));
        let searched = query.word("find").to_owned();
        let mut search = None;
        if !searched.is_empty() {
            match find(&site, account_id, searched.clone()).await? {
                FoundId::One(id) => return visit.see_other(&format!("/usage/{id}"), None),
                other => search = Some(search_words(&other)),
            }
        }
        let (wanted, refusal) = UsageChoice::read(&query, zone.day(site.now()), zone);
        let word = |name| Some(query.word(name).to_owned()).filter(|id| !id.is_empty());
        let place = match (wanted.order, word("before"), word("after")) {
            (Order::Cost, ..) => {
                let page = query.word("page").parse::<i64>().unwrap_or(0);
                Place::Page(page.clamp(0, SORTED_PAGES))
            }
            (Order::Time, Some(id), _) => Place::Before(id),
            (Order::Time, None, Some(id)) => Place::After(id),
            (Order::Time, None, None) => Place::Newest,
        };
        let found = read(&site, account_id, (wanted.clone(), zone), place.clone()).await?;
        let mut page = page(&site, visit, (wanted, zone), (found, place));
        (page.refusal, page.search, page.searched) = (refusal, search, searched);
        visit.page(&page)
    })
    .await
}

async fn find(site: &Site, account_id: AccountId, text: String) -> Result<FoundId, PageError> {
    site.run(move |conn| cube::find_id(conn, account_id, &text)).await
}

const fn search_words(found: &FoundId) -> &'static str {
    match found {
        FoundId::Several => "Several requests begin like this. Enter more of the ID.",
        FoundId::TooShort => "Enter the whole request ID, or at least its first 12 characters.",
        FoundId::Nothing | FoundId::One(_) => "No request of this account has this ID.",
    }
}

async fn read(
    site: &Site,
    account_id: AccountId,
    (wanted, zone): (UsageChoice, ReaderZone),
    place: Place,
) -> Result<UsageData, PageError> {
    let counts = Arc::clone(&site.parts.api.context.refusals);
    let work = move |conn: &mut AnyConnection| {
        transaction::snapshot(conn, |conn| {
            gather(conn, account_id, &counts, (&wanted, zone), &place)
        })
    };
    site.run_long(account_id, work).await?.ok_or(PageError::NotFound)
}

/// `None` where the query names what is not there.
fn gather(
    conn: &mut AnyConnection,
    account_id: AccountId,
    counts: &RefusalCounts,
    (wanted, zone): (&UsageChoice, ReaderZone),
    place: &Place,
) -> Result<Option<UsageData>, DbError> {
    let keys = cube::keys(conn, account_id)?;
    let chosen = keys.iter().find(|row| row.public_id == wanted.key);
    if chosen.is_none() && !wanted.key.is_empty() {
        return Ok(None);
    }
    let api_key_id = chosen.map(|row| row.id);
    let filter = UsageFilter { api_key_id, ..wanted.filter(account_id) };
    let millis = if wanted.is_hourly() { HOUR_MILLIS } else { DAY_MILLIS };
    let cube = UsageCube::read(conn, &filter, zone, millis)?;
    let total = cube.total(i64::MIN, i64::MAX);
    // They have no model and no other result.
    let has_refused = wanted.model.is_empty()
        && wanted.result.is_none_or(|result| result == RequestResult::Refused);
    let refused = has_refused
        .then(|| counts.read(conn, (account_id, api_key_id), wanted.utc_days()))
        .transpose()?;
    let page = match place {
        Place::Newest => usage::page(conn, &filter, None, PAGE)?,
        Place::Before(id) => usage::page(conn, &filter, Some(id), PAGE)?,
        Place::After(id) => usage::page_in_front(conn, &filter, id, PAGE)?,
        Place::Page(_) if total.requests > SORTED_MAX => usage::page(conn, &filter, None, PAGE)?,
        Place::Page(number) => Some(dearest(conn, &filter, *number)?),
    };
    Ok(page.map(|page| UsageData { keys, cube, total, refused, page }))
}

fn dearest(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    number: i64,
) -> Result<UsageRows, DbError> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let from = number.saturating_mul(limit);
    let mut rows = usage_cube::dearest(conn, filter, (from, limit.saturating_add(1)))?;
    let has_more = rows.len() > PAGE && number < SORTED_PAGES;
    rows.truncate(PAGE);
    Ok(UsageRows { rows, has_more })
}

fn page(
    site: &Site,
    visit: &PageRequest<'_>,
    (wanted, zone): (UsageChoice, ReaderZone),
    (found, place): (UsageData, Place),
) -> UsageListPage {
    let priced = site.settings().prices.models().map(|model| model.id.as_str().to_owned());
    let models = SelectOption::list(priced.map(|id| (id.clone(), id)), &wanted.model);
    let keys = found.keys.iter().map(|key| (key.public_id.clone(), key.name.clone()));
    let results = RequestResult::ALL
        .map(|result| (result.as_str().to_owned(), result_title(result).to_owned()));
    let filter = wanted.filter(AccountId(0));
    let millis = if wanted.is_hourly() { HOUR_MILLIS } else { DAY_MILLIS };
    let buckets = Buckets::of(zone, millis, (filter.from, filter.to));
    let to_day = |day| Some(wanted.link_to_day(day));
    let shown = (wanted.measure, wanted.by);
    let chart = measure::chart(&found.cube, shown, buckets, &found.keys, to_day);
    let is_unsorted = wanted.order == Order::Cost && found.total.requests > SORTED_MAX;
    let (newest, newer, older) = neighbours(&wanted, &place, &found.page, is_unsorted);
    let choose = |text, link, is_chosen| SwitchLink { text, link, is_chosen };
    let measures = Measure::ALL.map(|measure| {
        choose(measure.title(), wanted.link_to_measure(measure), measure == wanted.measure)
    });
    let groups = [(SumsBy::Model, "By model"), (SumsBy::Key, "By key"), (SumsBy::Total, "Total")];
    let groups = groups.map(|(by, text)| choose(text, wanted.link_by(by), by == wanted.by));
    let orders = [(Order::Time, "Newest first"), (Order::Cost, "Most expensive first")];
    let orders = orders
        .map(|(order, text)| choose(text, wanted.link_in_order(order), order == wanted.order));
    UsageListPage {
        frame: visit.frame("Usage"),
        zone: zone.name(),
        refusal: None,
        search: None,
        searched: String::new(),
        span: days::span(wanted.first, wanted.last),
        presets: wanted.presets(),
        models,
        keys: SelectOption::list(keys, &wanted.key),
        results: SelectOption::list(results, wanted.result()),
        measures: measures.into(),
        groups: groups.into(),
        orders: orders.into(),
        totals: Totals::of(&found.total),
        refused: found.refused.map(|counts| RefusedView::of(&counts)).filter(|one| one.total > 0),
        chart,
        requests: found.page.rows.iter().map(Request::from).collect(),
        is_unsorted,
        newest,
        newer,
        older,
        wanted,
    }
}

/// Links to the newest page, to the one in front, and to the one behind.
fn neighbours(
    wanted: &UsageChoice,
    place: &Place,
    page: &UsageRows,
    is_unsorted: bool,
) -> (Option<String>, Option<String>, Option<String>) {
    let first = page.rows.first().map(|row| wanted.link_to_page("after", &row.row.id));
    let last = page.rows.last().map(|row| wanted.link_to_page("before", &row.row.id));
    match place {
        Place::Page(_) if is_unsorted => (None, None, None),
        Place::Page(number) => {
            let at = |number: i64| wanted.link_to_page("page", &number.to_string());
            let newest = (*number > 0).then(|| wanted.link());
            let newer = (*number > 0).then(|| at(number.saturating_sub(1)));
            let older = page.has_more.then(|| at(number.saturating_add(1)));
            (newest, newer, older)
        }
        Place::Newest => (None, None, last.filter(|_| page.has_more)),
        Place::Before(_) => (Some(wanted.link()), first, last.filter(|_| page.has_more)),
        Place::After(_) => (Some(wanted.link()), first.filter(|_| page.has_more), last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_never_nothing_where_there_is_something() {
        assert_eq!(rate(0, 0), "0 %");
        assert_eq!(rate(0, 10), "0 %");
        assert_eq!(rate(1, 100_000), "< 0.1 %");
        assert_eq!(rate(12, 1_000), "1.2 %");
        assert_eq!(rate(7, 7), "100.0 %");
    }
}
