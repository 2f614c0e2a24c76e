//! `/ledger`: every change of the balance, with what it is about.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::{SignedDollars, TimeElement};
use super::layout::Frame;
use super::page_error::PageError;
use super::{Site, page_request};
use crate::accounts::usage::statement::{self, EntryDocument};
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

/// Entries on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerListPage {
    frame: Frame,
    entries: Vec<EntryView>,
    /// The number of the last entry here, if older ones follow.
    next: Option<i64>,
    is_first: bool,
}

struct EntryView {
    at: TimeElement,
    meaning: String,
    reference: String,
    /// The page of what it is about.
    link: Option<String>,
    amount: SignedDollars,
    balance: Option<SignedDollars>,
}

impl EntryView {
    /// `None` where the document does not read back, which none of ours does.
    fn of(document: EntryDocument) -> Option<Self> {
        let dollars = |text: &str| text.parse::<NanoUsd>().ok().map(SignedDollars);
        Some(Self {
            at: TimeElement(UnixMillis::parse_rfc3339(&document.created_at)?),
            link: document.about.as_deref().and_then(link),
            amount: dollars(&document.amount)?,
            balance: document.balance.as_deref().and_then(dollars),
            meaning: document.meaning,
            reference: document.reference,
        })
    }
}

fn link(about: &str) -> Option<String> {
    let is_plain = about.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain {
        return None;
    }
    match about.split_once('_') {
        Some(("dep", _)) => Some(format!("/deposits/{about}")),
        Some(("req", _)) => Some(format!("/usage/{about}")),
        _ => None,
    }
}

/// `GET /ledger`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let before = match visit.query().word("before") {
            "" => None,
            number => Some(number.parse::<i64>().map_err(|_| PageError::NotFound)?),
        };
        let page = site
            .run_long(account_id, move |conn| statement::page(conn, account_id, None, before, PAGE))
            .await?;
        visit.page(&LedgerListPage {
            frame: visit.frame("Ledger"),
            next: page.entries.last().filter(|_| page.has_more).map(|last| last.id),
            entries: page.entries.into_iter().filter_map(EntryView::of).collect(),
            is_first: before.is_none(),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_to_what_it_is_about() {
        assert_eq!(link("dep_0123").as_deref(), Some("/deposits/dep_0123"));
        assert_eq!(link("req_0123").as_deref(), Some("/usage/req_0123"));
        for other in
            ["", "dep", "refund_1", "dep_../..", "req_\" onclick=\"", "javascript:alert(1)"]
        {
            assert_eq!(link(other), None, "{other}");
        }
    }
}
