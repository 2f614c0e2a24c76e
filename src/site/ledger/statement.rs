//! `/ledger/statement`: a month for bookkeeping, to be printed. It opens with a balance, closes
//! with one, and what is between adds up to the difference.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::entry_row::EntryView;
use crate::accounts::usage::month::BookMonth;
use crate::accounts::usage::statement as entries;
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::ledger_entries::PlacedEntry;
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::entry_kind::EntryKind;
use crate::domain::money::NanoUsd;
use crate::site::format::{GroupedCount, SignedDollars, TimeElement};
use crate::site::layout::Frame;
use crate::site::page_error::PageError;
use crate::site::usage::days;
use crate::site::zone::reader_zone;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage {
    frame: Frame,
    zone: &'static str,
    operator: Option<String>,
    account: String,
    email: String,
    month: String,
    span: String,
    /// The month is not over yet.
    is_open: bool,
    is_cut: bool,
    made_at: TimeElement,
    opening: SignedDollars,
    closing: SignedDollars,
    deposits: Part,
    adjustments: Part,
    usage: Vec<ModelCharge>,
    usage_requests: GroupedCount,
    usage_total: SignedDollars,
    ledger: String,
}

/// Entries of some kinds and their sum.
struct Part {
    lines: Vec<StatementLine>,
    total: SignedDollars,
}

struct StatementLine {
    at: TimeElement,
    title: &'static str,
    reference: String,
    amount: SignedDollars,
}

struct ModelCharge {
    model: String,
    requests: GroupedCount,
    amount: SignedDollars,
}

/// `GET /ledger/statement`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let (zone, now) = (reader_zone(visit.http), site.now());
        let today = zone.day(now);
        let month = match visit.query().word("month") {
            "" => days::month(today).0,
            text => days::parse_month(text).ok_or(PageError::NotFound)?,
        };
        let (first, last) = days::month(month);
        let kept_from = now.minus(site.settings().privacy.usage_log());
        let read = move |conn: &mut AnyConnection| {
            transaction::snapshot(conn, |conn| {
                let of = ((first, last), zone);
                let book = BookMonth::read(conn, account_id, of, true, kept_from)?;
                Ok::<_, DbError>(accounts::get(conn, account_id)?.zip(Some(book)))
            })
        };
        let (account, book) = site.run_long(account_id, read).await?.ok_or(PageError::NotFound)?;
        // A month whose charges have been merged cannot be told apart any more.
        let sums = book.opening.zip(book.closing).filter(|_| first <= today);
        let (opening, closing) = sums.ok_or(PageError::NotFound)?;
        let mut page = page(visit.frame("Statement"), &account, &book, (opening, closing));
        page.zone = zone.name();
        page.operator.clone_from(&site.settings().site.operator);
        page.month = days::month_name(month);
        page.span = days::span(first, last.min(today));
        page.is_open = last >= today;
        page.is_cut = BookMonth::is_cut(zone.begin(first), kept_from);
        page.made_at = TimeElement(now);
        page.ledger = format!("/ledger?month={}", days::month_value(month));
        visit.page(&page)
    })
    .await
}

fn page(
    frame: Frame,
    account: &AccountRow,
    book: &BookMonth,
    (opening, closing): (NanoUsd, NanoUsd),
) -> StatementPage {
    let is_adjustment = |row: &&PlacedEntry| row.kind == EntryKind::Adjustment;
    let usage = models(book);
    let requests = usage.iter().fold(0_i64, |sum, (_, count, _)| sum.saturating_add(*count));
    let charged = total(usage.iter().map(|(.., amount)| *amount));
    let charge = |(model, requests, amount): (String, i64, NanoUsd)| ModelCharge {
        model,
        requests: GroupedCount(requests),
        amount: SignedDollars(amount),
    };
    StatementPage {
        frame,
        zone: "",
        operator: None,
        account: account.public_id.clone(),
        email: account.email.clone(),
        month: String::new(),
        span: String::new(),
        is_open: false,
        is_cut: false,
        made_at: TimeElement(account.created_at),
        opening: SignedDollars(opening),
        closing: SignedDollars(closing),
        deposits: part(book.entries.iter().filter(|row| !is_adjustment(row))),
        adjustments: part(book.entries.iter().filter(is_adjustment)),
        usage: usage.into_iter().map(charge).collect(),
        usage_requests: GroupedCount(requests),
        usage_total: SignedDollars(charged),
        ledger: String::new(),
    }
}

/// Charges by model, the largest first.
fn models(book: &BookMonth) -> Vec<(String, i64, NanoUsd)> {
    let mut models: Vec<(String, i64, NanoUsd)> = Vec::new();
    for day in &book.charges {
        let known = models.iter_mut().find(|(model, ..)| *model == day.model);
        if let Some((_, requests, amount)) = known {
            *requests = requests.saturating_add(day.requests);
            *amount = total([*amount, day.amount_nanousd].into_iter());
        } else {
            models.push((day.model.clone(), day.requests, day.amount_nanousd));
        }
    }
    models.sort_by_key(|(.., amount)| *amount);
    models
}

/// Entries, the oldest first.
fn part<'a>(rows: impl Iterator<Item = &'a PlacedEntry>) -> Part {
    let mut rows: Vec<&PlacedEntry> = rows.collect();
    rows.reverse();
    let line = |row: &&PlacedEntry| {
        let view = EntryView::of(&entries::document(row, None))?;
        Some(StatementLine {
            at: TimeElement(row.created_at),
            title: view.title,
            reference: row.reference.clone(),
            amount: SignedDollars(row.amount_nanousd),
        })
    };
    Part {
        lines: rows.iter().filter_map(line).collect(),
        total: SignedDollars(total(rows.iter().map(|row| row.amount_nanousd))),
    }
}

fn total(amounts: impl Iterator<Item = NanoUsd>) -> NanoUsd {
    let nanos = amounts.fold(0_i64, |sum, amount| sum.saturating_add(amount.as_nanos()));
    NanoUsd::from_nanos(nanos)
}
