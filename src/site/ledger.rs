//! `/ledger`: how the balance came about. By default a month, with the charges of a day on one
//! line; or the entries of some kinds, one by one.

pub(super) mod entry_row;
pub(super) mod statement;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::{Cents, Micros, SignedDollars};
use super::layout::Frame;
use super::page_error::PageError;
use super::query_link::QueryLink;
use super::usage::days;
use super::usage::measure::SwitchLink;
use super::zone::reader_zone;
use super::{Site, page_request};
use crate::accounts::usage::month::{self, BookMonth};
use crate::accounts::usage::statement::{self as entries, EntryDocument};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::reader_zone::ReaderZone;
use entry_row::{EntryTime, EntryView};

/// Entries on a page.
const PAGE: usize = 50;
/// What a deposit may become.
const DEPOSITS: [EntryKind; 3] = [EntryKind::Deposit, EntryKind::Refund, EntryKind::Reversal];

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    All,
    Deposits,
    Usage,
    Adjustments,
    /// Every single entry.
    Entries,
}

impl Shown {
    const TABS: [(Self, &'static str, &'static str); 4] = [
        (Self::All, "", "All"),
        (Self::Deposits, "deposits", "Deposits"),
        (Self::Usage, "usage", "Usage"),
        (Self::Adjustments, "adjustments", "Adjustments"),
    ];

    fn read(word: &str) -> Self {
        if word == "entries" {
            return Self::Entries;
        }
        let known = Self::TABS.iter().find(|(_, name, _)| *name == word);
        known.map_or(Self::All, |(shown, ..)| *shown)
    }

    const fn is_by_month(self) -> bool {
        matches!(self, Self::All | Self::Usage)
    }
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerListPage {
    frame: Frame,
    zone: &'static str,
    tabs: Vec<SwitchLink>,
    /// Of one month, or none.
    month: Option<MonthView>,
    /// What the list is of, where it is not of a month.
    list_title: Option<String>,
    entries: Vec<EntryView>,
    has_balance: bool,
    newest: Option<String>,
    older: Option<String>,
}

/// The month's own figures and its neighbours.
struct MonthView {
    name: String,
    opening: Option<Cents>,
    closing: Option<Cents>,
    /// Some of its charges are not kept any more.
    is_cut: bool,
    earlier: Option<String>,
    later: Option<String>,
    statement: Option<String>,
}

/// What the query asks for.
#[derive(Clone)]
struct LedgerChoice {
    shown: Shown,
    month: UtcDay,
    day: Option<UtcDay>,
    before: Option<i64>,
}

/// What is read for the page.
enum LedgerData {
    Month(Box<BookMonth>),
    List(Vec<EntryDocument>, bool),
}

/// `GET /ledger`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let (query, zone) = (visit.query(), reader_zone(visit.http));
        let today = zone.day(site.now());
        let before = match query.word("before") {
            "" => None,
            number => Some(number.parse::<i64>().map_err(|_| PageError::NotFound)?),
        };
        let month = match query.word("month") {
            "" => days::month(today).0,
            text => days::parse_month(text).ok_or(PageError::NotFound)?,
        };
        let day = match query.word("day") {
            "" => None,
            text => Some(UtcDay::parse(text).ok_or(PageError::NotFound)?),
        };
        let choice = LedgerChoice { shown: Shown::read(query.word("show")), month, day, before };
        let kept_from = site.now().minus(site.settings().privacy.usage_log());
        let wanted = choice.clone();
        let read = move |conn: &mut AnyConnection| {
            transaction::snapshot(conn, |conn| read(conn, account_id, &wanted, zone, kept_from))
        };
        let found = site.run_long(account_id, read).await?;
        let frame = visit.frame("Balance history");
        visit.page(&page(frame, &choice, found, (zone, today), kept_from))
    })
    .await
}

fn read(
    conn: &mut AnyConnection,
    account_id: AccountId,
    choice: &LedgerChoice,
    zone: ReaderZone,
    kept_from: UnixMillis,
) -> Result<LedgerData, DbError> {
    let before = choice.before.unwrap_or(i64::MAX);
    let listed = |(rows, has_more)| LedgerData::List(rows, has_more);
    Ok(match (choice.shown, choice.day) {
        (Shown::All | Shown::Usage, _) => {
            let days = (days::month(choice.month), zone);
            let month = BookMonth::read(conn, account_id, days, false, kept_from)?;
            LedgerData::Month(Box::new(month))
        }
        (Shown::Deposits, _) => {
            listed(month::entries_of(conn, account_id, &DEPOSITS, before, PAGE)?)
        }
        (Shown::Adjustments, _) => {
            let kinds = [EntryKind::Adjustment];
            listed(month::entries_of(conn, account_id, &kinds, before, PAGE)?)
        }
        (Shown::Entries, Some(day)) => {
            listed(month::charges_of(conn, account_id, (day, zone), before, PAGE)?)
        }
        (Shown::Entries, None) => {
            let page = entries::page_within(conn, account_id, None, choice.before, PAGE)?;
            LedgerData::List(page.entries, page.has_more)
        }
    })
}

impl LedgerChoice {
    fn link(&self, before: Option<i64>) -> String {
        let mut link = QueryLink::new("/ledger");
        let name = match self.shown {
            Shown::Entries => "entries",
            shown => Shown::TABS.iter().find(|tab| tab.0 == shown).map_or("", |tab| tab.1),
        };
        link.put("show", name);
        if let Some(day) = self.day {
            link.put("day", &day.to_string());
        }
        link.put("before", &before.map(|id| id.to_string()).unwrap_or_default());
        link.into_text()
    }

    fn link_to_month(&self, day: UtcDay) -> String {
        let mut link = QueryLink::new("/ledger");
        link.put("show", if self.shown == Shown::Usage { "usage" } else { "" });
        link.put("month", &days::month_value(day));
        link.into_text()
    }
}

fn page(
    frame: Frame,
    choice: &LedgerChoice,
    found: LedgerData,
    (zone, today): (ReaderZone, UtcDay),
    kept_from: UnixMillis,
) -> LedgerListPage {
    let tabs = Shown::TABS.map(|(shown, _, text)| {
        let keeps_month = shown.is_by_month() && choice.shown.is_by_month();
        let other = LedgerChoice { shown, day: None, before: None, ..choice.clone() };
        let is_this_month = choice.month == days::month(today).0;
        let link = if keeps_month && !is_this_month {
            other.link_to_month(choice.month)
        } else {
            other.link(None)
        };
        SwitchLink { text, link, is_chosen: shown == choice.shown }
    });
    let mut page = LedgerListPage {
        frame,
        zone: zone.name(),
        tabs: tabs.into(),
        month: None,
        list_title: None,
        entries: Vec::new(),
        has_balance: false,
        newest: choice.before.map(|_| choice.link(None)),
        older: None,
    };
    match found {
        LedgerData::Month(month) => {
            let (first, last) = days::month(choice.month);
            let statement = month
                .opening
                .is_some()
                .then(|| format!("/ledger/statement?month={}", days::month_value(choice.month)));
            page.month = Some(MonthView {
                name: days::month_name(choice.month),
                opening: month.opening.map(Cents),
                closing: month.closing.map(Cents),
                is_cut: BookMonth::is_cut(zone.begin(first), kept_from),
                earlier: (zone.begin(first) > month.opened_at)
                    .then(|| choice.link_to_month(first.plus(-1))),
                later: (last < today).then(|| choice.link_to_month(last.plus(1))),
                statement,
            });
            page.has_balance = choice.shown == Shown::All && month.closing.is_some();
            page.entries = month_lines(&month, choice.shown == Shown::Usage);
        }
        LedgerData::List(documents, has_more) => {
            let last = documents.last().map(|last| last.id).filter(|_| has_more);
            page.older = last.map(|id| choice.link(Some(id)));
            page.has_balance = choice.shown == Shown::Entries && choice.day.is_none();
            page.list_title = match (choice.shown, choice.day) {
                (Shown::Entries, Some(day)) => Some(format!("Charges of {}", days::long_day(day))),
                (Shown::Entries, None) => Some("All entries".to_owned()),
                _ => None,
            };
            page.entries = documents.iter().filter_map(EntryView::of).collect();
        }
    }
    page
}

/// A month line by line, latest first: the charges of a day are one, where the last of them is.
fn month_lines(month: &BookMonth, is_usage_only: bool) -> Vec<EntryView> {
    let days = month.charges.iter().map(EntryView::of_day);
    let others = month.entries.iter().filter(|_| !is_usage_only);
    let others = others.filter_map(|row| {
        EntryView::of(&entries::document(row, None)).map(|view| (row.created_at, row.id, view))
    });
    let mut lines: Vec<(UnixMillis, i64, EntryView)> = days.chain(others).collect();
    lines.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
    let mut balance = month.closing.filter(|_| !is_usage_only);
    let mut views = Vec::with_capacity(lines.len());
    for (_, _, mut view) in lines {
        view.balance = balance.map(Micros);
        balance = balance
            .map(|now| NanoUsd::from_nanos(now.as_nanos().saturating_sub(view.nanos.as_nanos())));
        view.exact_balance = view.balance.map(|Micros(sum)| SignedDollars(sum));
        views.push(view);
    }
    views
}
