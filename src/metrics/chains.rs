//! Where chains stand, and what came in on them.

use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::registered;
use super::registry::DescribedRegistry;
use crate::domain::money::NanoUsd;

/// See the module.
#[derive(Clone, Debug)]
pub struct ChainMetrics {
    ok: IntGaugeVec,
    coin_ok: IntGaugeVec,
    blocks: IntGaugeVec,
    cases: IntGaugeVec,
    arrivals: IntGaugeVec,
    deposits: IntCounterVec,
    deposited_nanousd: IntCounterVec,
}

impl ChainMetrics {
    pub(super) fn new(registry: &DescribedRegistry) -> prometheus::Result<Self> {
        let counters = |name, help| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &["chain"]))
        };
        let gauges = |name, help, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        Ok(Self {
            ok: gauges(
                "sluice_chain_ok",
                "Whether deposits of a chain are processed (1) or wait (0).",
                &["chain"],
            )?,
            coin_ok: gauges(
                "sluice_coin_ok",
                "Whether deposits in a coin of a chain are credited (1), or wait because it does \
                 not match the settings (0).",
                &["chain", "coin"],
            )?,
            blocks: gauges(
                "sluice_chain_block",
                "Heights of a chain: its head, its final block, the last block read.",
                &["chain", "which"],
            )?,
            cases: gauges(
                "sluice_deposit_cases",
                "Transactions and deposits to review manually: `sluice deposit cases`.",
                &["chain"],
            )?,
            arrivals: gauges(
                "sluice_deposit_arrivals",
                "Coins at accounts' own addresses and at the treasury without a known transaction.",
                &["chain"],
            )?,
            deposits: counters("sluice_deposits_credited_total", "Credited deposits.")?,
            deposited_nanousd: counters(
                "sluice_deposited_nanousd_total",
                "Amount credited for deposits, in billionths of a dollar.",
            )?,
        })
    }

    /// Makes the series of a chain. A coin counts as right until it was found to be wrong.
    pub(super) fn declare<'a>(&self, chain: &str, coins: impl Iterator<Item = &'a str>) {
        self.set_cases(chain, 0);
        self.set_arrivals(chain, 0);
        self.count_deposits(chain, 0, NanoUsd::ZERO);
        for coin in coins {
            self.set_coin_ok(chain, coin, true);
        }
    }

    /// Whether deposits of a chain go on.
    pub fn set_ok(&self, chain: &str, is_ok: bool) {
        self.ok.with_label_values(&[chain]).set(is_ok.into());
    }

    /// Leaves a chain to the node that reads it.
    pub fn forget(&self, chain: &str) {
        // What was never shown is no error.
        drop(self.ok.remove_label_values(&[chain]));
        drop(self.cases.remove_label_values(&[chain]));
        drop(self.arrivals.remove_label_values(&[chain]));
        for which in ["head", "final", "scanned"] {
            drop(self.blocks.remove_label_values(&[chain, which]));
        }
    }

    /// Whether deposits in a coin are credited.
    pub fn set_coin_ok(&self, chain: &str, coin: &str, is_ok: bool) {
        self.coin_ok.with_label_values(&[chain, coin]).set(is_ok.into());
    }

    /// Where a chain stands.
    pub fn set_blocks(&self, chain: &str, head: i64, final_number: i64, scanned: i64) {
        for (which, number) in [("head", head), ("final", final_number), ("scanned", scanned)] {
            self.blocks.with_label_values(&[chain, which]).set(number);
        }
    }

    /// How many cases wait for a person.
    pub fn set_cases(&self, chain: &str, count: i64) {
        self.cases.with_label_values(&[chain]).set(count);
    }

    /// How much arrived that is not explained.
    pub fn set_arrivals(&self, chain: &str, count: i64) {
        self.arrivals.with_label_values(&[chain]).set(count);
    }

    /// Counts a credited deposit.
    pub fn count_deposit(&self, chain: &str, value: NanoUsd) {
        self.count_deposits(chain, 1, value);
    }

    fn count_deposits(&self, chain: &str, count: u64, value: NanoUsd) {
        self.deposits.with_label_values(&[chain]).inc_by(count);
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(0);
        self.deposited_nanousd.with_label_values(&[chain]).inc_by(nanos);
    }
}
