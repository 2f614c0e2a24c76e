//! An account's usage: pages of it, single exchanges with what their cost is made of, and sums by
//! day.

pub mod cube;
mod document;
pub mod export;
pub mod month;
pub mod refusals;
pub mod statement;

use std::sync::Arc;

use crate::db::books::{PassRow, UsageRow, passes_of};
use crate::db::models::api_keys;
use crate::db::models::usage_cube::CubeRow;
use crate::db::models::usage_logs::{self, DaySums, SumsBy, UsageFilter, UsageOfKey, UsagePlace};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::cost::RatedPass;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::price_list::PriceList;
use crate::domain::receipt::{Receipt, itemise};
use crate::domain::usage::{Pass, TokenCounts, Usage};

pub use document::UsageDocument;

/// Days in a series at most.
pub const DAYS_MAX: i64 = 400;
/// Models or keys that a series tells apart; the rest is one line.
pub const LINES_MAX: i64 = 12;

/// A page of usage.
pub struct UsageRows {
    /// Newest first.
    pub rows: Vec<UsageOfKey>,
    /// There are older ones that the filter lets pass.
    pub has_more: bool,
}

/// A page of at most `limit` rows, newest first, behind the exchange named `before`; `None` if the
/// account has no such exchange.
pub fn page(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    before: Option<&str>,
    limit: usize,
) -> Result<Option<UsageRows>, DbError> {
    let place = match before {
        None => None,
        Some(id) => match usage_logs::find(conn, filter.account_id, id)? {
            Some(found) if filter.covers_key(found.row.api_key_id) => {
                Some(UsagePlace::from(&found.row))
            }
            Some(_) | None => return Ok(None),
        },
    };
    // One more tells whether there are more.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = usage_logs::page(conn, filter, place.as_ref(), wanted)?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Some(UsageRows { rows, has_more }))
}

/// The page of at most `limit` rows in front of the exchange named `after`, newest first; `None` if
/// the account has no such exchange. `has_more` says whether there are newer ones still.
pub fn page_in_front(
    conn: &mut AnyConnection,
    filter: &UsageFilter,
    after: &str,
    limit: usize,
) -> Result<Option<UsageRows>, DbError> {
    let Some(found) = usage_logs::find(conn, filter.account_id, after)? else { return Ok(None) };
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let place = UsagePlace::from(&found.row);
    let mut rows = usage_logs::following(conn, filter, Some(&place), wanted)?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    rows.reverse();
    Ok(Some(UsageRows { rows, has_more }))
}

/// What an account, or one key of it, has spent since midnight, UTC.
pub fn spent_today(
    conn: &mut AnyConnection,
    (account_id, api_key_id): (AccountId, Option<ApiKeyId>),
    now: UnixMillis,
) -> Result<NanoUsd, DbError> {
    let from = now.day().begin();
    let filter = UsageFilter { from, api_key_id, ..UsageFilter::all(account_id) };
    usage_logs::cost(conn, &filter)
}

/// What an account has spent in the calendar month, UTC: what its keys have noted of it.
pub fn spent_this_month(
    conn: &mut AnyConnection,
    account_id: AccountId,
    now: UnixMillis,
) -> Result<NanoUsd, DbError> {
    let keys = api_keys::of_account(conn, account_id)?;
    let spent = keys.iter().map(|key| key.spending().month_spent_at(now).as_nanos());
    Ok(NanoUsd::from_nanos(spent.fold(0, i64::saturating_add)))
}

/// What a cost is made of, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// Line by line, to the nano-dollar.
    Itemised(Receipt),
    /// Nothing was charged.
    Free,
    /// The model refused before it wrote anything, which the upstream gives away, and so do we.
    Refused,
    /// The prices of then are not known any more.
    PricesGone,
    /// The sum over the counts is not what was charged: a row from before the passes of an answer
    /// were kept.
    NotByCounts,
}

impl Explanation {
    /// Its name in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Itemised(_) => "itemised",
            Self::Free => "free",
            Self::Refused => "refused",
            Self::PricesGone => "prices_gone",
            Self::NotByCounts => "not_by_counts",
        }
    }

    /// What is to be said where there are no lines.
    #[must_use]
    pub const fn sentence(&self) -> Option<&'static str> {
        match self {
            Self::Itemised(_) => None,
            Self::Free => Some("Nothing was charged for this request."),
            Self::Refused => Some(
                "The model refused this request before producing output. Such a refusal is free.",
            ),
            Self::PricesGone => Some(
                "The price list of that time is no longer available, so only the counts and the \
                 total are shown.",
            ),
            Self::NotByCounts => Some(
                "The counts alone do not explain this charge, so only the counts and the total \
                 are shown.",
            ),
        }
    }
}

/// One exchange of an account with what its cost is made of; `None` if it has no such exchange.
pub fn explained(
    conn: &mut AnyConnection,
    account_id: AccountId,
    id: &str,
    prices: &PriceList,
) -> Result<Option<(UsageOfKey, Explanation)>, DbError> {
    let Some(found) = usage_logs::find(conn, account_id, id)? else { return Ok(None) };
    let passes: Vec<Pass> = passes_of(conn, id)?.iter().map(PassRow::read).collect();
    let explanation = explain(&found.row, &passes, prices);
    Ok(Some((found, explanation)))
}

/// Explains what an exchange has cost by the prices that were in force when it was admitted.
/// `passes` is empty for one ordinary answer.
#[must_use]
pub fn explain(row: &UsageRow, passes: &[Pass], prices: &PriceList) -> Explanation {
    let is_waived = !passes.is_empty() && passes.iter().all(|pass| pass.waiver.is_some());
    if row.cost_nanousd == NanoUsd::ZERO {
        return if is_waived { Explanation::Refused } else { Explanation::Free };
    }
    let at = row.created_at;
    let requested = prices.rates(&row.requested_model, at);
    let Some(requested) = requested.filter(|rates| rates.version == row.price_version) else {
        return Explanation::PricesGone;
    };
    let served = row.served_model.as_deref().and_then(|name| prices.rates(name, at));
    let served = served.unwrap_or(requested);
    let usage = counts(row);
    let passes = if passes.is_empty() { usage.passes() } else { passes.to_vec() };
    let rated: Vec<RatedPass> = passes
        .into_iter()
        .map(|pass| {
            let named = pass.model.as_deref().and_then(|name| prices.rates(name, at));
            RatedPass { rates: Arc::clone(named.unwrap_or(served)), pass }
        })
        .collect();
    match itemise(served, &usage, &rated, row.cost_nanousd) {
        Ok(Some(receipt)) => Explanation::Itemised(receipt),
        // Rows from before passes were kept apart.
        Ok(None) | Err(_) => Explanation::NotByCounts,
    }
}

fn counts(row: &UsageRow) -> Usage {
    let count = |stored: i64| u64::try_from(stored).unwrap_or(0);
    Usage {
        served_model: row.served_model.clone(),
        tokens: TokenCounts {
            input: count(row.input_tokens),
            output: count(row.output_tokens),
            cache_write_5m: count(row.cache_write_5m_tokens),
            cache_write_1h: count(row.cache_write_1h_tokens),
            cache_read: count(row.cache_read_tokens),
        },
        web_searches: count(row.web_searches),
        service_tier: row.service_tier.clone(),
        inference_geo: row.inference_geo.clone(),
        speed: row.speed.clone(),
        ..Usage::default()
    }
}

/// Sums over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// What was charged.
    pub cost: NanoUsd,
    /// Uncached input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Tokens written to the caches.
    pub cache_write_tokens: i64,
    /// Tokens read from the cache.
    pub cache_read_tokens: i64,
    /// Requests.
    pub requests: i64,
    /// Requests whose result counts as an error, where that was asked for.
    pub errors: i64,
}

impl Sums {
    /// All tokens, of every kind.
    #[must_use]
    pub const fn tokens(&self) -> i64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.cache_read_tokens)
    }

    fn add_row(&mut self, row: &CubeRow) {
        let cost = self.cost.as_nanos().saturating_add(row.cost_nanousd.as_nanos());
        *self = Self {
            cost: NanoUsd::from_nanos(cost),
            input_tokens: self.input_tokens.saturating_add(row.input_tokens),
            output_tokens: self.output_tokens.saturating_add(row.output_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(row.cache_write_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(row.cache_read_tokens),
            requests: self.requests.saturating_add(row.requests),
            errors: self.errors.saturating_add(row.errors),
        };
    }

    fn add(&mut self, day: &DaySums) {
        let cost = self.cost.as_nanos().saturating_add(day.cost_nanousd.as_nanos());
        *self = Self {
            cost: NanoUsd::from_nanos(cost),
            input_tokens: self.input_tokens.saturating_add(day.input_tokens),
            output_tokens: self.output_tokens.saturating_add(day.output_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(day.cache_write_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(day.cache_read_tokens),
            requests: self.requests.saturating_add(day.requests),
            errors: self.errors,
        };
    }
}

/// Whose sums a line has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOf {
    /// Everything.
    Total,
    /// A model that was asked for, by its priced id.
    Model(String),
    /// A key.
    Key {
        /// Its public name.
        id: String,
        /// What its owner calls it.
        name: String,
    },
    /// Whatever is not among the largest.
    Other,
}

/// One line of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesLine {
    /// Whose.
    pub of: LineOf,
    /// Over all days.
    pub total: Sums,
    /// For each day of the series, in their order.
    pub days: Vec<Sums>,
}

/// Usage over time, by day in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The first day.
    pub from: UtcDay,
    /// How many days.
    pub length: i64,
    /// What cost most comes first, the rest together last. Empty where nothing was used.
    pub lines: Vec<SeriesLine>,
}

/// The series of an account, or of one key of it, from one day to another, both included; `None`
/// where that is no time, or longer than [`DAYS_MAX`] days.
pub fn series(
    conn: &mut AnyConnection,
    (account_id, key): (AccountId, Option<ApiKeyId>),
    (first, last): (UtcDay, UtcDay),
    by: SumsBy,
) -> Result<Option<Series>, DbError> {
    let length = last.days_since(first).saturating_add(1);
    if !(1..=DAYS_MAX).contains(&length) {
        return Ok(None);
    }
    let span = (first.begin(), last.plus(1).begin());
    let sums = usage_logs::sums_by_day(conn, (account_id, key), span, by, LINES_MAX)?;
    let keys = match by {
        SumsBy::Key if !sums.is_empty() => api_keys::of_account(conn, account_id)?,
        _ => Vec::new(),
    };
    let mut lines: Vec<(Option<String>, SeriesLine)> = Vec::new();
    for day in &sums {
        let at = lines.iter().position(|(name, _)| *name == day.name).unwrap_or(lines.len());
        if at == lines.len() {
            let of = match (&day.name, by) {
                (None, _) => LineOf::Other,
                (Some(_), SumsBy::Total) => LineOf::Total,
                (Some(model), SumsBy::Model) => LineOf::Model(model.clone()),
                (Some(number), SumsBy::Key) => {
                    keys.iter().find(|key| key.id.0.to_string() == *number).map_or(
                        LineOf::Other,
                        |key| LineOf::Key { id: key.public_id.clone(), name: key.name.clone() },
                    )
                }
            };
            let days = (0..length).map(|_| Sums::default()).collect();
            lines.push((day.name.clone(), SeriesLine { of, total: Sums::default(), days }));
        }
        let Some((_, line)) = lines.get_mut(at) else { continue };
        line.total.add(day);
        let place = usize::try_from(UtcDay::from_number(day.day).days_since(first));
        if let Some(sums) = place.ok().and_then(|place| line.days.get_mut(place)) {
            sums.add(day);
        }
    }
    lines.sort_by_key(|(name, line)| (name.is_none(), std::cmp::Reverse(line.total.cost)));
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    Ok(Some(Series { from: first, length, lines }))
}
