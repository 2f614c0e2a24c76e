//! Receipts and series as JSON.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::accounts::usage::{Explanation, LineOf, Series, SeriesLine, Sums, UsageDocument};
use crate::api::values::{Dollars, word_of};
use crate::db::models::usage_logs::{SumsBy, UsageOfKey};
use crate::domain::receipt::{CostFactor, CostLine, PassReceipt, Receipt};
use crate::domain::usage::Waiver;

/// A request with its itemised cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageReceipt)]
pub(in crate::api) struct ReceiptDocument {
    #[serde(flatten)]
    usage: UsageDocument,
    /// `itemised`: see the lines below. Otherwise there are none, and `message` says why.
    /// `refused`: the model refused before producing output, which is free.
    #[schema(schema_with = explanations)]
    explanation: &'static str,
    /// Why there are no lines.
    message: Option<&'static str>,
    /// Whether long-prompt prices applied.
    is_long_prompt: Option<bool>,
    /// The model runs of the response: one, unless there were server-side loops, fallbacks,
    /// compactions or advice.
    passes: Vec<ReceiptPass>,
    /// The usage, each at its price.
    lines: Vec<ReceiptLine>,
    /// Multipliers on token lines; empty if all are 1.
    factors: Vec<ReceiptFactor>,
    /// Dollars added by rounding up to a whole nano-dollar. Lines plus rounding are the cost.
    rounding: Option<String>,
}

/// A run of one model over one prompt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptPass {
    /// The kind of run.
    #[schema(schema_with = kinds)]
    kind: &'static str,
    /// The model of the run.
    model: Option<String>,
    /// Whether long-prompt prices applied to it.
    is_long_prompt: bool,
    /// Why it is free: `refused` or `declined` before producing output.
    free_because: Option<&'static str>,
    /// Whether a fallback credit was redeemed: cache writes then cost as much as reads.
    is_credit_redeemed: bool,
}

/// A line of a receipt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptLine {
    /// Number of the pass, from 1; null for items of the whole response.
    pass: Option<usize>,
    /// The item.
    #[schema(schema_with = items)]
    item: &'static str,
    /// The count.
    count: u64,
    /// Dollars for `per` units, before multipliers.
    price: String,
    /// The number of units the price covers.
    per: u64,
    /// Dollars, exact.
    amount: String,
}

/// A multiplier on tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptFactor {
    /// `inference_geo`, `speed` or `service_tier`.
    of: &'static str,
    /// As the upstream reported it.
    value: String,
    /// The multiplier.
    #[schema(example = "1.1")]
    factor: String,
}

fn explanations() -> Object {
    word_of(["itemised", "free", "refused", "prices_gone", "not_by_counts"], None)
}

fn kinds() -> Object {
    word_of(["answer", "turn", "attempt", "compaction", "advisor"], None)
}

fn items() -> Object {
    word_of(
        ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "web_search"],
        None,
    )
}

impl ReceiptDocument {
    pub(super) fn new(row: &UsageOfKey, explanation: &Explanation) -> Self {
        let receipt = match explanation {
            Explanation::Itemised(receipt) => Some(receipt),
            _ => None,
        };
        Self {
            usage: UsageDocument::from(row),
            explanation: explanation.as_str(),
            message: explanation.sentence(),
            is_long_prompt: receipt
                .map(|receipt| receipt.passes.iter().any(|pass| pass.is_long_prompt)),
            passes: receipt.map(passes).unwrap_or_default(),
            lines: receipt.map(lines).unwrap_or_default(),
            factors: receipt.map(factors).unwrap_or_default(),
            rounding: receipt.map(|receipt| receipt.rounding.to_string()),
        }
    }
}

fn passes(receipt: &Receipt) -> Vec<ReceiptPass> {
    let pass = |receipt: &PassReceipt| ReceiptPass {
        kind: receipt.pass.kind.as_str(),
        model: receipt.pass.model.clone(),
        is_long_prompt: receipt.is_long_prompt,
        free_because: receipt.pass.waiver.map(Waiver::as_str),
        is_credit_redeemed: receipt.pass.is_credit_redeemed,
    };
    receipt.passes.iter().map(pass).collect()
}

fn lines(receipt: &Receipt) -> Vec<ReceiptLine> {
    let line = |pass: Option<usize>, line: &CostLine| ReceiptLine {
        pass,
        item: line.item.as_str(),
        count: line.count,
        price: line.price.to_string(),
        per: line.per,
        amount: line.amount.to_string(),
    };
    let of_passes = (1..)
        .zip(&receipt.passes)
        .flat_map(|(place, pass)| pass.lines.iter().map(move |of| line(Some(place), of)));
    of_passes.chain(receipt.searches.iter().map(|of| line(None, of))).collect()
}

fn factors(receipt: &Receipt) -> Vec<ReceiptFactor> {
    let factor = |factor: &CostFactor| ReceiptFactor {
        of: factor.of,
        value: factor.value.clone(),
        factor: factor.to_string(),
    };
    receipt.factors().into_iter().map(factor).collect()
}

/// Usage by day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSeries)]
pub(in crate::api) struct SeriesDocument {
    /// The first day, UTC.
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    /// `total`, `model` or `key`.
    #[schema(schema_with = bys)]
    by: &'static str,
    /// Sorted by cost, highest first; the rest is combined in the last one. Empty if nothing was
    /// used.
    lines: Vec<SeriesLineDocument>,
}

/// One line of a series.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSeriesLine)]
pub(super) struct SeriesLineDocument {
    /// The id of the model or key; null for the total and for the rest.
    id: Option<String>,
    /// The id of the model or the name of the key, or `total` or `other`.
    name: String,
    /// Sum over all days.
    total: SumsDocument,
    /// Sums for each day, from the first to the last.
    days: Vec<SumsDocument>,
}

/// Sums over requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSums)]
pub(super) struct SumsDocument {
    /// The amount charged.
    cost: Dollars,
    /// Uncached input tokens.
    input_tokens: i64,
    /// Output tokens.
    output_tokens: i64,
    /// Tokens written to the caches.
    cache_write_tokens: i64,
    /// Tokens read from the cache.
    cache_read_tokens: i64,
    /// Requests.
    requests: i64,
}

fn bys() -> Object {
    word_of(["total", "model", "key"], None)
}

impl SeriesDocument {
    pub(super) fn new(series: &Series, by: SumsBy) -> Self {
        Self {
            from: series.from.to_string(),
            to: series.from.plus(series.length.saturating_sub(1)).to_string(),
            by: match by {
                SumsBy::Total => "total",
                SumsBy::Model => "model",
                SumsBy::Key => "key",
            },
            lines: series.lines.iter().map(line_document).collect(),
        }
    }
}

fn line_document(line: &SeriesLine) -> SeriesLineDocument {
    let (id, name) = match &line.of {
        LineOf::Total => (None, "total".to_owned()),
        LineOf::Model(id) => (Some(id.clone()), id.clone()),
        LineOf::Key { id, name } => (Some(id.clone()), name.clone()),
        LineOf::Other => (None, "other".to_owned()),
    };
    let days = line.days.iter().map(sums_document).collect();
    SeriesLineDocument { id, name, total: sums_document(&line.total), days }
}

const fn sums_document(sums: &Sums) -> SumsDocument {
    SumsDocument {
        cost: Dollars(sums.cost),
        input_tokens: sums.input_tokens,
        output_tokens: sums.output_tokens,
        cache_write_tokens: sums.cache_write_tokens,
        cache_read_tokens: sums.cache_read_tokens,
        requests: sums.requests,
    }
}
