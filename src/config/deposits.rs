//! `[deposits]`: whose transfers are credited, what an account may ask for, and when a person looks
//! first.

use std::time::Duration;

use serde::Deserialize;

use super::chains::Chain;
use super::problems::{KeyPath, Problems};
use super::value;
use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;
use crate::domain::xpub::Xpub;

/// Whose transfers are credited, what an account may ask for, and when a person looks first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposits {
    /// What each account's own address is derived from; `None` offers none.
    #[serde(default, deserialize_with = "account_xpub")]
    pub account_xpub: Option<Xpub>,
    /// Addresses of the operator beside treasuries and derived ones. What comes from any of them is
    /// no deposit.
    #[serde(deserialize_with = "value::addresses")]
    pub own_addresses: Vec<EvmAddress>,
    /// Claims that one account may have open.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub open_claims_max_per_account: u32,
    /// Claims that one account may submit within an hour.
    #[serde(deserialize_with = "value::whole::<1, 100_000, _, _>")]
    pub claims_per_hour_per_account: u32,
    /// Time in which a challenge must be signed.
    #[serde(rename = "challenge_secs", deserialize_with = "value::secs::<60, 3_600, _>")]
    pub challenge: Duration,
    /// Wallets that one account may have linked.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub wallets_max_per_account: u32,
    /// Time for which an unknown transaction is looked up.
    #[serde(rename = "claim_open_secs", deserialize_with = "value::secs::<600, 2_592_000, _>")]
    pub claim_open: Duration,
    /// Claims looked up for each block, over all accounts.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub claims_per_block: u32,
    /// Time after which what providers cannot read or agree on is a case for a person.
    #[serde(rename = "case_after_secs", deserialize_with = "value::secs::<600, 2_592_000, _>")]
    pub case_after: Duration,
    /// Time between two looks at the balances of accounts' own addresses.
    #[serde(rename = "balance_check_secs", deserialize_with = "value::secs::<10, 86_400, _>")]
    pub balance_check: Duration,
    /// Lines of what arrived at an own address and is no deposit: so many of coins, and so many of
    /// tokens.
    #[serde(deserialize_with = "value::whole::<1, 200, _, _>")]
    pub arrivals_max_per_address: u32,
    /// Event streams of deposits that may be open on this node.
    #[serde(deserialize_with = "value::whole::<1, 10_000, _, _>")]
    pub event_streams_max: usize,
    /// And those of one account.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub event_streams_max_per_account: usize,
    /// An account may be erased with a debt of so much, and its wallets be linked again.
    #[serde(rename = "debt_forgiven_usd", deserialize_with = "value::usd")]
    pub debt_forgiven: NanoUsd,
    /// What a payer sends to one address in one transaction and token makes no deposit below this,
    /// and transfers below it are added up within their transaction.
    #[serde(rename = "dust_usd", deserialize_with = "value::usd")]
    pub dust: NanoUsd,
    /// Deposits worth as much are mailed about one by one, and when they are first seen too.
    #[serde(rename = "mail_seen_above_usd", deserialize_with = "value::usd")]
    pub mail_seen_above: NanoUsd,
    /// Deposits worth more wait for a person; `None` holds none for its size.
    #[serde(default, deserialize_with = "value::optional_usd")]
    pub review_above: Option<NanoUsd>,
}

impl Deposits {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        for (position, address) in self.own_addresses.iter().enumerate() {
            if self.own_addresses.iter().take(position).any(|earlier| earlier == address) {
                let reason = format!("{} is listed twice", address.checksummed());
                problems.add(&at.key("own_addresses"), reason);
            }
        }
    }

    /// Rules between these keys and those of the chains.
    pub(super) fn check_with(&self, at: &KeyPath, chains: &[Chain], problems: &mut Problems) {
        let of_tokens = chains.iter().flat_map(|chain| &chain.tokens);
        let minimums = of_tokens.map(|token| (&token.symbol, token.minimum));
        let Some((symbol, minimum)) = minimums.min_by_key(|(_, minimum)| *minimum) else { return };
        if self.dust > minimum {
            let reason = format!("must be at most {minimum}, the smallest minimum, of {symbol}");
            problems.add(&at.key("dust_usd"), reason);
        }
    }
}

fn account_xpub<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Xpub>, D::Error> {
    value::parsed(from).map(Some)
}
