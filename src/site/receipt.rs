//! `/usage/{id}`: one request, and what its cost is made of to the nano-dollar.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::GroupedCount;
use super::layout::Frame;
use super::page_error::PageError;
use super::usage::days;
use super::usage::request_row::{Request, seconds};
use super::zone::reader_zone;
use super::{Site, page_request};
use crate::accounts::usage::{self, Explanation};
use crate::db::books::UsageRow;
use crate::db::models::usage_logs::UsageOfKey;
use crate::domain::clock::UtcDay;
use crate::domain::receipt::{self, CostFactor, CostItem, PassReceipt, Receipt};
use crate::domain::usage::{PassKind, Waiver};
use crate::domain::usage_record::{Endpoint, Outcome};

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    frame: Frame,
    zone: &'static str,
    request: Request,
    served_model: String,
    kind: &'static str,
    ending: &'static str,
    first_byte: String,
    latency: String,
    /// `7 Oct 2026`
    price_list: String,
    price_version: String,
    is_estimated: bool,
    itemised: Option<Itemised>,
    /// Why there are no lines.
    unexplained: Option<&'static str>,
    counts: Vec<(&'static str, GroupedCount)>,
}

/// A receipt, written out.
struct Itemised {
    parts: Vec<ReceiptPart>,
    /// What rounding has added, if anything.
    rounding: Option<String>,
    factors: Vec<Multiplied>,
    is_long_prompt: bool,
    is_credit_redeemed: bool,
}

/// A pass, or what belongs to the whole answer.
struct ReceiptPart {
    /// Said where there are several.
    title: Option<String>,
    /// Why it is free.
    free: Option<&'static str>,
    lines: Vec<ReceiptRow>,
}

struct ReceiptRow {
    name: &'static str,
    count: String,
    price: String,
    per: GroupedCount,
    amount: String,
}

struct Multiplied {
    number: String,
    why: String,
}

/// `GET /usage/{id}`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let id = visit.part("id").to_owned();
        let prices = Arc::clone(&site.settings().prices);
        let found = site.run(move |conn| usage::explained(conn, account_id, &id, &prices)).await?;
        let (found, explanation) = found.ok_or(PageError::NotFound)?;
        let mut page = page(visit.frame("Receipt"), &found, explanation);
        page.zone = reader_zone(visit.http).name();
        visit.page(&page)
    })
    .await
}

fn page(frame: Frame, found: &UsageOfKey, explanation: Explanation) -> ReceiptPage {
    let row = &found.row;
    let unexplained = explanation.sentence();
    let is_stream = row.endpoint == Endpoint::MessagesStream;
    ReceiptPage {
        frame,
        zone: "",
        request: Request::from(found),
        served_model: row.served_model.clone().unwrap_or_else(|| "not reported".to_owned()),
        kind: if is_stream { "Stream" } else { "JSON response" },
        ending: words(row.ending),
        first_byte: row.first_byte_ms.map_or_else(|| "No token came".to_owned(), seconds),
        latency: seconds(row.latency_ms),
        price_list: price_list(&row.price_version),
        price_version: row.price_version.clone(),
        is_estimated: row.is_estimated,
        unexplained,
        counts: counts(row),
        itemised: match explanation {
            Explanation::Itemised(receipt) => Some(itemised(&receipt)),
            _ => None,
        },
    }
}

fn itemised(receipt: &Receipt) -> Itemised {
    let has_titles = receipt.passes.len() > 1;
    let passes = receipt.passes.iter().map(|of| ReceiptPart {
        title: has_titles.then(|| title(of)),
        free: of.pass.waiver.map(|waiver| match waiver {
            Waiver::Refused => "Free: the model refused before producing output.",
            Waiver::Declined => "Free: the model declined before producing output.",
        }),
        lines: of.lines.iter().map(line).collect(),
    });
    let searches = receipt.searches.iter().map(|of| ReceiptPart {
        title: has_titles.then(|| "Server tools".to_owned()),
        free: None,
        lines: vec![line(of)],
    });
    let factors = receipt
        .factors()
        .into_iter()
        .map(|factor| Multiplied { number: factor.to_string(), why: why(factor) });
    Itemised {
        parts: passes.chain(searches).collect(),
        rounding: (!receipt.rounding.is_zero()).then(|| format!("${}", receipt.rounding)),
        factors: factors.collect(),
        is_long_prompt: receipt.passes.iter().any(|pass| pass.is_long_prompt),
        is_credit_redeemed: receipt.passes.iter().any(|of| of.pass.is_credit_redeemed),
    }
}

fn line(line: &receipt::CostLine) -> ReceiptRow {
    ReceiptRow {
        name: item(line.item),
        count: GroupedCount(i64::try_from(line.count).unwrap_or(i64::MAX)).to_string(),
        price: format!("${}", line.price),
        per: GroupedCount(i64::try_from(line.per).unwrap_or(i64::MAX)),
        amount: format!("${}", line.amount),
    }
}

fn title(of: &PassReceipt) -> String {
    let what = match of.pass.kind {
        PassKind::Answer => "Response",
        PassKind::Turn => "Turn",
        PassKind::Attempt => "Declined attempt",
        PassKind::Compaction => "Conversation summary",
        PassKind::Advisor => "Advisor model",
    };
    match &of.pass.model {
        Some(model) => format!("{what}: {model}"),
        None => what.to_owned(),
    }
}

fn why(factor: &CostFactor) -> String {
    let what = match factor.of {
        "inference_geo" => "inference region",
        "speed" => "speed",
        "service_tier" => "service tier",
        other => other,
    };
    format!("the {what} is “{}”", factor.value)
}

const fn item(item: CostItem) -> &'static str {
    match item {
        CostItem::Input => "Input tokens",
        CostItem::Output => "Output tokens",
        CostItem::CacheWrite5m => "Tokens written to the 5-minute cache",
        CostItem::CacheWrite1h => "Tokens written to the 1-hour cache",
        CostItem::CacheRead => "Tokens read from the cache",
        CostItem::WebSearch => "Web searches",
    }
}

/// What was counted, where it does not explain the cost.
fn counts(row: &UsageRow) -> Vec<(&'static str, GroupedCount)> {
    [
        (CostItem::Input, row.input_tokens),
        (CostItem::Output, row.output_tokens),
        (CostItem::CacheWrite5m, row.cache_write_5m_tokens),
        (CostItem::CacheWrite1h, row.cache_write_1h_tokens),
        (CostItem::CacheRead, row.cache_read_tokens),
        (CostItem::WebSearch, row.web_searches),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(what, count)| (item(what), GroupedCount(count)))
    .collect()
}

/// The day that the name of a price list begins with; else the name itself.
fn price_list(version: &str) -> String {
    let day = version.get(..10).and_then(UtcDay::parse);
    day.map_or_else(|| version.to_owned(), days::long_day)
}

/// How an exchange ended, for the person who pays for it.
const fn words(ending: Outcome) -> &'static str {
    match ending {
        Outcome::Complete => "Complete.",
        Outcome::Refused => "The upstream refused the request.",
        Outcome::Unreachable => {
            "The upstream was unreachable or did not start its response in time."
        }
        Outcome::LateJson => {
            "The response came too late. It was read to its end after you got an error."
        }
        Outcome::UnacceptableHead => "The upstream's response could not be read.",
        Outcome::ErrorAtOnce => "The upstream started with an error.",
        Outcome::ErrorEvent => {
            "The upstream ended with an error. You pay for what was counted \
            until then."
        }
        Outcome::CutOff => "The upstream broke off. You pay for what was counted until then.",
        Outcome::Silent => "The upstream stopped sending. You pay for what was counted until then.",
        Outcome::ClientLeft => {
            "Your client disconnected. You pay for what arrived until the \
            upstream was stopped."
        }
        Outcome::ClientLeftJson => {
            "Your client disconnected before the response, which the upstream charges anyway."
        }
        Outcome::NoUsage => "Complete, but the upstream did not report its usage.",
        Outcome::Stopped => "The service was stopped. You pay for what was delivered.",
        Outcome::Killed => "The service failed. You pay for what was known to be delivered.",
        Outcome::CredentialRefused => "The upstream refused the operator's credential.",
        Outcome::Panicked => "The service failed during the request.",
        Outcome::ClientStalled => {
            "Your client stopped reading. You pay for what arrived until \
            the upstream was stopped."
        }
        Outcome::NotDurable => "The charge could not be saved in time, so the end was withheld.",
        Outcome::MaxDuration => "The request exceeded the maximum duration.",
        Outcome::NotExtended => {
            "Your balance or the key's budget ran out, or the response was \
            longer than the request allows."
        }
    }
}
