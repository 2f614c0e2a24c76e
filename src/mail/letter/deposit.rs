//! A deposit as mail tells of it: in whole coins and names for people.

use crate::config::Chain;
use crate::domain::deposit::DepositReason;
use crate::domain::evm::RawAmount;
use crate::domain::mail::DepositNews;

/// What is said of a deposit.
pub struct DepositLetter {
    /// Its public name.
    pub deposit: String,
    /// `12.5 USDC on Base`.
    pub coins: String,
    /// Such as `12.50`; empty where there is none.
    pub value_usd: String,
    /// Why a person has to look, in a sentence, or nothing.
    pub reason: &'static str,
    /// The transaction that paid a refund, or nothing.
    pub tx_hash: String,
    /// Whether others of its kind go without a mail for an hour.
    pub is_paced: bool,
}

impl DepositLetter {
    /// From what was put in, with the names of these chains.
    #[must_use]
    pub fn of(news: DepositNews, chains: &[Chain]) -> Self {
        let chain = chains.iter().find(|chain| chain.chain_id.0 == news.chain_id);
        let coin = chain.and_then(|chain| match news.token.as_deref() {
            Some(token) => chain.coin(Some(token.parse().ok()?)),
            None => chain.coin(None),
        });
        let raw: Option<RawAmount> = news.raw_amount.parse().ok();
        let amount = raw
            .zip(coin)
            .map(|(raw, (symbol, decimals))| format!("{} {symbol}", raw.in_coins(decimals)));
        let amount = amount.unwrap_or_else(|| "coins".to_owned());
        let on = match chain {
            Some(chain) => chain.display_name.clone(),
            None => format!("chain {}", news.chain_id),
        };
        let reason = news.reason.as_deref().and_then(DepositReason::parse);
        Self {
            deposit: news.deposit,
            coins: format!("{amount} on {on}"),
            value_usd: news.value_usd.unwrap_or_default(),
            reason: reason.map(DepositReason::sentence).unwrap_or_default(),
            tx_hash: news.tx_hash.unwrap_or_default(),
            is_paced: news.is_paced,
        }
    }
}
