//! Prices, written down a second time, and what a usage row has to cost by them. Shares nothing
//! with the gateway's arithmetic.

use sluice::db::books::UsageRow;

/// Micro-dollars per million tokens: input, output, 5-minute write, 1-hour write, read.
type Prices = [i128; 5];

fn prices(model: &str) -> Prices {
    match model {
        "claude-haiku-4-5" => [1_000_000, 5_000_000, 1_250_000, 2_000_000, 100_000],
        "claude-sonnet-4-5" | "claude-sonnet-4-6" => {
            [3_000_000, 15_000_000, 3_750_000, 6_000_000, 300_000]
        }
        "claude-sonnet-5-5" => [2_000_000, 10_000_000, 2_500_000, 4_000_000, 100_000],
        "claude-opus-5-5" => [4_000_000, 20_000_000, 5_000_000, 8_000_000, 200_000],
        other => panic!("no price written down for {other}"),
    }
}

/// The row's cost in nano-dollars, from its own counts, rounded up once.
pub(crate) fn cost_of(row: &UsageRow) -> i64 {
    let model = row.served_model.as_deref().unwrap_or(&row.requested_model);
    let counts = [
        row.input_tokens,
        row.output_tokens,
        row.cache_write_5m_tokens,
        row.cache_write_1h_tokens,
        row.cache_read_tokens,
    ];
    let mut thousandths = 1000_i128;
    if row.inference_geo.as_deref() == Some("us") && model.contains("-5-5") {
        thousandths = thousandths * 11 / 10;
    }
    if row.speed.as_deref() == Some("fast") {
        assert_eq!(model, "claude-opus-5-5");
        thousandths *= 2;
    }
    let tokens: i128 = counts
        .into_iter()
        .zip(prices(model))
        .map(|(count, micro_usd)| i128::from(count) * micro_usd * thousandths)
        .sum();
    // Micro-dollars per million tokens times thousandths: a nano-dollar is 10^6 of these units.
    let units = tokens + i128::from(row.web_searches) * 10_000_000 * 1_000_000;
    let nanos = units / 1_000_000 + i128::from(units % 1_000_000 > 0);
    i64::try_from(nanos).unwrap()
}

/// Nano-dollars of so many tokens in and out on the model of most tests.
pub(crate) fn haiku(input: i64, output: i64) -> i64 {
    input * 1000 + output * 5000
}

/// Tokens that so many bytes of deltas are taken for.
pub(crate) fn estimated_tokens(bytes: usize) -> i64 {
    i64::try_from(bytes * 2 / 7).unwrap()
}
