//! `/dashboard`: where an account stands, and what to do next.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{DateTime, Utc};

use super::chart::Chart;
use super::format::SignedDollars;
use super::layout::Frame;
use super::page_error::PageError;
use super::usage::{DAYS, Request, cost_chart, token_chart};
use super::{Site, page_request};
use crate::accounts::usage::{self, Series};
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::usage_logs::{SumsBy, UsageFilter, UsageOfKey};
use crate::db::models::{api_keys, ledger_entries};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::price_list::Model;

/// Requests that are listed.
const LATEST: usize = 10;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    frame: Frame,
    available: SignedDollars,
    reserved: SignedDollars,
    /// Beyond that; `None` where nothing is.
    at_risk: Option<SignedDollars>,
    /// Such as `November 2026`.
    month: String,
    month_spent: SignedDollars,
    steps: Steps,
    /// A model for the shortest request.
    model: String,
    cost: Chart,
    tokens: Chart,
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

/// All of it as of one moment.
struct DashboardData {
    account: AccountRow,
    month_spent: NanoUsd,
    steps: Steps,
    series: Series,
    requests: Vec<UsageOfKey>,
}

/// `GET /dashboard`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let (account_id, now) = (visit.person()?.account_id(), site.now());
        let read = move |conn: &mut AnyConnection| {
            transaction::snapshot(conn, |conn| stand(conn, account_id, now))
        };
        let stand = site.run_long(account_id, read).await?.ok_or(PageError::NotFound)?;
        let first = now.day().plus(1_i64.saturating_sub(DAYS));
        // The cheapest to try with, should there be one at all.
        let output = |model: &Arc<Model>| model.rates_at(now).map(|rates| rates.base.output);
        let model = site.settings().prices.models().min_by_key(|model| output(model));
        visit.page(&DashboardPage {
            frame: visit.frame("Dashboard"),
            available: SignedDollars(stand.account.available_nanousd),
            reserved: SignedDollars(stand.account.reserved_nanousd),
            at_risk: Some(stand.account.at_risk_nanousd)
                .filter(|sum| *sum > NanoUsd::ZERO)
                .map(SignedDollars),
            month: name_of_month(now),
            month_spent: SignedDollars(stand.month_spent),
            model: model.map(|model| model.id.as_str().to_owned()).unwrap_or_default(),
            cost: cost_chart(&stand.series, (first, DAYS)),
            tokens: token_chart(&stand.series, (first, DAYS)),
            requests: stand.requests.iter().map(Request::from).collect(),
            steps: stand.steps,
        })
    })
    .await
}

fn stand(
    conn: &mut AnyConnection,
    account_id: AccountId,
    now: UnixMillis,
) -> Result<Option<DashboardData>, DbError> {
    let Some(account) = accounts::get(conn, account_id)? else { return Ok(None) };
    let today = now.day();
    let of_month = (now.month().begin().day(), today);
    let month = usage::series(conn, (account_id, None), of_month, SumsBy::Total)?;
    let of_chart = (today.plus(1_i64.saturating_sub(DAYS)), today);
    let Some(series) = usage::series(conn, (account_id, None), of_chart, SumsBy::Model)? else {
        return Ok(None);
    };
    let page = usage::page(conn, &UsageFilter::all(account_id), None, LATEST)?;
    let requests = page.map(|page| page.rows).unwrap_or_default();
    let steps = Steps {
        has_paid: !ledger_entries::page(conn, account_id, None, i64::MAX, 1)?.is_empty(),
        has_key: api_keys::count_unrevoked(conn, account_id)? > 0,
        has_asked: !requests.is_empty(),
    };
    let total = month.as_ref().and_then(|month| month.lines.first());
    let month_spent = total.map(|line| line.total.cost).unwrap_or_default();
    Ok(Some(DashboardData { account, month_spent, steps, series, requests }))
}

fn name_of_month(now: UnixMillis) -> String {
    let moment = DateTime::<Utc>::from_timestamp_millis(now.as_millis()).unwrap_or_default();
    moment.format("%B %Y").to_string()
}
