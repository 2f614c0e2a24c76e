//! Valuation: what a deposit counts in dollars, and when a person has to look first. Pure.

use std::time::Duration;

use crate::config::{NativeCoin, Token};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, FeedPrice, NATIVE_DECIMALS, value_of};
use crate::domain::evm::RawAmount;
use crate::domain::money::NanoUsd;

/// Beyond the heartbeat a round may be late by this much: the update itself has to be mined.
pub const LATENESS: Duration = Duration::from_mins(5);

/// What is transferred, with its settings.
#[derive(Clone, Copy, Debug)]
pub enum ConfiguredCoin<'a> {
    /// The chain's own.
    Native(&'a NativeCoin),
    /// A token.
    Token(&'a Token),
}

/// The round of a feed that was in force at the inclusion block's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedRound {
    /// What it says.
    pub price: FeedPrice,
    /// Since when.
    pub updated_at: UnixMillis,
}

/// What a deposit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valuation {
    /// So much.
    Worth(NanoUsd),
    /// A person decides; so much is proposed, where anything can be.
    Held(DepositReason, Option<NanoUsd>),
}

/// Values `raw` of a coin, mined at `mined_at`. `round` is `None` where the coin has no feed or the
/// feed no round.
#[must_use]
pub fn value(
    coin: ConfiguredCoin<'_>,
    raw: RawAmount,
    round: Option<FeedRound>,
    mined_at: UnixMillis,
) -> Valuation {
    let (decimals, feed, band) = match coin {
        ConfiguredCoin::Native(native) => (NATIVE_DECIMALS, Some(&native.feed), None),
        ConfiguredCoin::Token(token) => {
            (token.decimals, token.feed.as_ref(), Some((token.band_low, token.band_high)))
        }
    };
    let worth = |price| match value_of(raw, decimals, price) {
        Some(value) => Valuation::Worth(value),
        None => Valuation::Held(DepositReason::ImplausibleAmount, None),
    };
    let Some(feed) = feed else { return worth(FeedPrice::ONE) };
    let Some(round) = round else { return Valuation::Held(DepositReason::StalePrice, None) };
    let age = mined_at.millis_since(round.updated_at);
    let most = feed.heartbeat.saturating_add(LATENESS).as_millis();
    if u128::from(age.unsigned_abs()) > most {
        return Valuation::Held(DepositReason::StalePrice, None);
    }
    let Some((low, high)) = band else { return worth(round.price) };
    match round.price.per_coin() {
        Some(one) if (low..=high).contains(&one) => worth(FeedPrice::ONE),
        _ => {
            let price = round.price.min(FeedPrice::ONE);
            let value = price.and_then(|price| value_of(raw, decimals, price));
            Valuation::Held(DepositReason::Depegged, value)
        }
    }
}
