//! Where to pay and with what, as the page of deposits shows it.

use crate::api::deposits::options::{DepositOption, PayTo, PayWith, WhenFinal};
use crate::site::qr::Qr;
use crate::site::show::Dollars;

/// A chain on which deposits are taken.
pub(in crate::site) struct Offer {
    pub(in crate::site) chain: String,
    pub(in crate::site) chain_id: i64,
    /// For people.
    pub(in crate::site) title: String,
    /// What is wrong with it, if anything.
    pub(in crate::site) trouble: Option<&'static str>,
    pub(in crate::site) when_final: String,
    /// The address to prefer.
    pub(in crate::site) payee: Option<String>,
    /// Whether that one needs a proven wallet.
    pub(in crate::site) needs_proof: bool,
    pub(in crate::site) addresses: Vec<Address>,
    pub(in crate::site) coins: Vec<Coin>,
}

/// An address to pay to.
pub(in crate::site) struct Address {
    pub(in crate::site) text: String,
    pub(in crate::site) words: &'static str,
}

/// A coin to pay with.
pub(in crate::site) struct Coin {
    pub(in crate::site) symbol: String,
    /// Empty for the chain's own coin.
    pub(in crate::site) token: String,
    pub(in crate::site) decimals: u8,
    pub(in crate::site) minimum: Dollars,
    pub(in crate::site) uri: Option<String>,
    pub(in crate::site) qr: Option<Qr>,
}

impl Offer {
    pub(super) fn of(option: DepositOption) -> Self {
        let first = option.addresses.first();
        let payee = first.map(|address| address.address.clone());
        let needs_proof = first.is_some_and(|address| address.needs_wallet_proof);
        let reads_contracts = option.credits_contract_payments;
        let title = option.display_name;
        let coin = |coin| Coin::of(coin, &title, payee.as_deref());
        Self {
            chain: option.chain,
            chain_id: option.chain_id,
            trouble: option.chain_status.detail,
            when_final: match option.finality {
                WhenFinal::Finalized => "as soon as the chain calls its block final".to_owned(),
                WhenFinal::Confirmations { needed } => format!("after {needed} confirmations"),
            },
            coins: option.assets.into_iter().map(coin).collect(),
            addresses: option
                .addresses
                .iter()
                .map(|address| Address::of(address, reads_contracts))
                .collect(),
            payee,
            needs_proof,
            title,
        }
    }
}

impl Address {
    fn of(address: &PayTo, reads_contracts: bool) -> Self {
        Self {
            text: address.address.clone(),
            words: if address.needs_wallet_proof {
                "The common address. Pay to it from a wallet that you have linked, and not from an exchange."
            } else if reads_contracts {
                "Your own address: whatever arrives here in a coin listed below is credited to you, from an exchange too."
            } else {
                "Your own address: whatever arrives here is yours, from an exchange too. Tokens are credited by themselves. The chain's own coin is, unless a contract sends it, as some exchanges do: then it is listed below as arrived."
            },
        }
    }
}

impl Coin {
    fn of(coin: PayWith, chain: &str, payee: Option<&str>) -> Self {
        let label = || {
            let payee = payee.unwrap_or_default();
            format!("Code to scan: pay {} on {chain} to {payee}", coin.symbol)
        };
        Self {
            qr: coin.payment_uri.as_deref().and_then(|uri| Qr::new(uri, label())),
            uri: coin.payment_uri,
            token: coin.token.unwrap_or_default(),
            decimals: coin.decimals,
            minimum: Dollars(coin.minimum.0),
            symbol: coin.symbol,
        }
    }
}
