//! What may be held against the chain, in the usual names, with links to its explorer; and what a
//! receipt says for bookkeeping.

use super::view::coins_of;
use crate::api::deposits::document::{Claim, Deposit};
use crate::config::Chain;
use crate::db::models::deposits::DepositRow;
use crate::domain::deposit::{NATIVE_DECIMALS, price_of};
use crate::domain::money::NanoUsd;
use crate::site::format::{SignedDollars, TimeElement};

/// Something that may be held against the chain.
pub(in crate::site) struct Fact {
    pub(in crate::site) name: &'static str,
    pub(in crate::site) text: String,
    /// Where the explorer shows it.
    pub(in crate::site) href: Option<String>,
}

/// The explorer of a chain, where one is configured.
pub(super) struct Explorer<'a>(Option<&'a str>);

impl<'a> Explorer<'a> {
    pub(super) fn of(name: &str, chains: &'a [Chain]) -> Self {
        let chain = chains.iter().find(|chain| chain.name == name);
        Self(chain.and_then(|chain| chain.explorer.as_deref()))
    }

    pub(super) fn transaction(&self, hash: &str) -> Option<String> {
        self.0.map(|base| format!("{base}/tx/{hash}"))
    }

    fn address(&self, address: &str) -> Option<String> {
        self.0.map(|base| format!("{base}/address/{address}"))
    }
}

/// `price` is what the feed's answer comes to.
pub(super) fn of_deposit(
    deposit: &Deposit,
    price: Option<NanoUsd>,
    explorer: &Explorer<'_>,
) -> Vec<Fact> {
    let plain = |name, text: String| Fact { name, text, href: None };
    let address =
        |name, text: &String| Fact { name, text: text.clone(), href: explorer.address(text) };
    let transaction =
        |name, text: &String| Fact { name, text: text.clone(), href: explorer.transaction(text) };
    let mut facts = vec![
        plain("Network", format!("{} ({})", deposit.chain, deposit.chain_id)),
        transaction("Transaction", &deposit.tx_hash),
        plain("Log index", deposit.ordinal.to_string()),
        address("From", &deposit.payer),
        address("To", &deposit.payee),
        plain("Raw amount", deposit.raw_amount.clone()),
        plain("Block", deposit.block_number.to_string()),
        plain("Block hash", deposit.block_hash.clone()),
    ];
    facts.extend(deposit.token.as_ref().map(|token| address("Token contract", token)));
    if let Some(feed) = &deposit.price {
        facts.push(address("Oracle", &feed.feed));
        let words = price.map(|price| SignedDollars(price).to_string());
        facts.extend(words.or(feed.answer.clone()).map(|text| plain("Oracle price", text)));
        facts.extend(feed.round.clone().map(|text| plain("Oracle round", text)));
    }
    if let Some(refund) = &deposit.refund {
        facts.push(plain("Refund", refund.id.clone()));
        facts.extend(refund.tx_hash.as_ref().map(|hash| transaction("Refund transaction", hash)));
    }
    facts
}

pub(super) fn of_claim(claim: &Claim, explorer: &Explorer<'_>) -> Vec<Fact> {
    let href = explorer.transaction(&claim.tx_hash);
    vec![
        Fact { name: "Network", text: claim.chain.clone(), href: None },
        Fact { name: "Transaction", text: claim.tx_hash.clone(), href },
    ]
}

/// The price that a deposit was valued at, by the feed's answer.
pub(super) fn oracle_price(row: &DepositRow, chain: Option<&Chain>) -> Option<NanoUsd> {
    let answer = row.price_answer.as_deref()?.parse().ok()?;
    let value = row.value_nanousd?;
    let decimals = match row.token {
        None => NATIVE_DECIMALS,
        Some(_) => chain?.coin(row.token)?.1,
    };
    price_of(row.raw_amount, decimals, answer, value)
}

/// What a credit is to somebody's books.
pub(in crate::site) struct BookReceipt {
    /// Who was paid.
    pub(in crate::site) operator: String,
    /// By whom.
    pub(in crate::site) customer: String,
    /// When it was mined, which is the time of its price.
    pub(in crate::site) paid_at: TimeElement,
    pub(in crate::site) coins: String,
    pub(in crate::site) rate: String,
    pub(in crate::site) value: SignedDollars,
}

impl BookReceipt {
    /// None of a deposit without a value.
    pub(super) fn of(
        deposit: &Deposit,
        price: Option<NanoUsd>,
        (operator, customer): (&str, &str),
    ) -> Option<Self> {
        let value = deposit.value?.0;
        let coin = deposit.asset.as_deref().unwrap_or("coin");
        // A token counts a dollar while it is within its band, whatever its feed says exactly.
        let price = match deposit.token {
            Some(_) => Some(NanoUsd::from_nanos(1_000_000_000)),
            None => price,
        };
        Some(Self {
            operator: operator.to_owned(),
            customer: customer.to_owned(),
            paid_at: TimeElement(deposit.block_time.0),
            coins: coins_of(deposit),
            rate: price
                .map(|price| format!("1 {coin} = {}", SignedDollars(price)))
                .unwrap_or_default(),
            value: SignedDollars(value),
        })
    }
}
