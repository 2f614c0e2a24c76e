//! A receipt that nobody has: what a request of a usual size costs at today's prices.

use crate::api::prices::ModelPrices;
use crate::domain::money::NanoUsd;
use crate::site::format::{GroupedCount, Micros};

/// Tokens of each class, in the order of the lines.
const TOKENS: [(&str, i64); 3] = [("Input", 2_000), ("Cached input", 48_000), ("Output", 1_000)];

/// See the module.
pub(super) struct SampleReceipt {
    pub(super) model: String,
    pub(super) lines: Vec<SampleLine>,
    pub(super) total: Micros,
}

/// Tokens of one class.
pub(super) struct SampleLine {
    pub(super) class: &'static str,
    pub(super) tokens: GroupedCount,
    /// Dollars per million.
    pub(super) price: String,
    pub(super) cost: Micros,
}

impl SampleReceipt {
    /// None where a price has more digits than money.
    pub(super) fn of(model: &ModelPrices) -> Option<Self> {
        let prices = &model.per_million_tokens;
        let prices = [&prices.input, &prices.cache_read, &prices.output];
        let mut total: i64 = 0;
        let mut lines = Vec::new();
        for ((class, tokens), price) in TOKENS.into_iter().zip(prices) {
            let nanos = price.parse::<NanoUsd>().ok()?.as_nanos();
            let cost = nanos.checked_mul(tokens)?.checked_add(999_999)?.checked_div(1_000_000)?;
            total = total.checked_add(cost)?;
            let cost = Micros(NanoUsd::from_nanos(cost));
            lines.push(SampleLine {
                class,
                tokens: GroupedCount(tokens),
                price: price.clone(),
                cost,
            });
        }
        let total = Micros(NanoUsd::from_nanos(total));
        Some(Self { model: model.display_name.clone(), lines, total })
    }
}
