//! Where to pay and with what, as the page of deposits shows it. The code that is shown first has
//! the plain address: a reader that takes the first address out of a payment link would pay the
//! token's contract.

use crate::api::deposits::options::{DepositOption, PayTo, PayWith, WhenFinal};
use crate::site::format::{SignedDollars, sooner};
use crate::site::qr::Qr;

/// A chain that accepts deposits.
pub(in crate::site) struct ChainOffer {
    pub(in crate::site) chain: String,
    pub(in crate::site) chain_id: i64,
    /// For people.
    pub(in crate::site) title: String,
    /// What is wrong with it, if anything.
    pub(in crate::site) trouble: Option<&'static str>,
    /// The same in a word.
    pub(in crate::site) badge: Option<&'static str>,
    pub(in crate::site) when_credited: String,
    /// The address to prefer.
    pub(in crate::site) payee: Option<String>,
    /// The same for any camera.
    pub(in crate::site) qr: Option<Qr>,
    /// What to send there, in words.
    pub(in crate::site) asked: String,
    /// Whether that one needs a proven wallet.
    pub(in crate::site) needs_proof: bool,
    pub(in crate::site) addresses: Vec<PayAddress>,
    pub(in crate::site) coins: Vec<OfferedCoin>,
}

/// An address to pay to.
pub(in crate::site) struct PayAddress {
    pub(in crate::site) text: String,
    pub(in crate::site) words: &'static str,
}

/// A coin to pay with.
#[derive(Clone)]
pub(in crate::site) struct OfferedCoin {
    pub(in crate::site) symbol: String,
    /// Empty for the chain's own coin.
    pub(in crate::site) token: String,
    pub(in crate::site) decimals: u8,
    pub(in crate::site) minimum: SignedDollars,
    /// The payment link, and how much it asks for.
    pub(in crate::site) uri: Option<String>,
    pub(in crate::site) asked: String,
    pub(in crate::site) qr: Option<Qr>,
}

/// A coin on a chain, for the wallet of a browser.
pub(in crate::site) struct PayOption {
    pub(in crate::site) chain: String,
    pub(in crate::site) chain_id: i64,
    pub(in crate::site) chain_title: String,
    pub(in crate::site) payee: String,
    pub(in crate::site) needs_proof: bool,
    pub(in crate::site) trouble: Option<&'static str>,
    pub(in crate::site) coin: OfferedCoin,
}

impl PayOption {
    /// All of them: first what counts as dollars on chains that are well, last what is on chains in
    /// trouble.
    pub(super) fn of(offers: &[ChainOffer]) -> Vec<Self> {
        let options = offers.iter().flat_map(|offer| {
            let payee = offer.payee.as_ref();
            payee.into_iter().flat_map(|payee| {
                offer.coins.iter().map(|coin| Self {
                    chain: offer.chain.clone(),
                    chain_id: offer.chain_id,
                    chain_title: offer.title.clone(),
                    payee: payee.clone(),
                    needs_proof: offer.needs_proof,
                    trouble: offer.trouble,
                    coin: coin.clone(),
                })
            })
        });
        let mut options: Vec<Self> = options.collect();
        options.sort_by_key(|option| (option.trouble.is_some(), option.coin.token.is_empty()));
        options
    }
}

impl ChainOffer {
    /// `is_chosen`: somebody has said how much he wants to pay.
    pub(super) fn of(option: DepositOption, is_chosen: bool) -> Self {
        let first = option.addresses.first();
        let payee = first.map(|address| address.address.clone());
        let needs_proof = first.is_some_and(|address| address.needs_wallet_proof);
        let reads_contracts = option.credits_contract_payments;
        let title = option.display_name;
        let asked = asked(&option.assets, &title, is_chosen);
        let label = |payee: &String| format!("QR code of the address {payee}. {asked}");
        let qr = payee.as_ref().and_then(|payee| Qr::new(payee, label(payee)));
        let coin = |coin| OfferedCoin::of(coin, &title, payee.as_deref());
        Self {
            chain: option.chain,
            chain_id: option.chain_id,
            trouble: option.chain_status.detail,
            badge: match option.chain_status.status.as_str() {
                "ok" => None,
                "stopped" => Some("Stopped"),
                _ => Some("Delayed"),
            },
            when_credited: sooner(
                option.early_credit.iter().map(|tier| (tier.confirmations, tier.up_to.0)),
            ) + &match option.finality {
                WhenFinal::Finalized => {
                    "once its block is final on the chain, usually within 20 minutes".to_owned()
                }
                WhenFinal::Confirmations { needed } => format!("after {needed} confirmations"),
            },
            coins: option.assets.into_iter().map(coin).collect(),
            addresses: option
                .addresses
                .iter()
                .map(|address| PayAddress::of(address, reads_contracts))
                .collect(),
            payee,
            qr,
            asked,
            needs_proof,
            title,
        }
    }
}

/// What to send to the address, in words: `Send 25 USDC or 25 USDT on Base to this address.`
fn asked(coins: &[PayWith], chain: &str, is_chosen: bool) -> String {
    let amount = |coin: &PayWith| match &coin.payment_amount {
        Some(amount) if is_chosen => format!("{amount} {}", coin.symbol),
        Some(_) => format!("{} (from {})", coin.symbol, SignedDollars(coin.minimum.0)),
        None if is_chosen => format!("{} of the same value", coin.symbol),
        None => format!("{} (worth {} or more)", coin.symbol, SignedDollars(coin.minimum.0)),
    };
    let amounts: Vec<String> = coins.iter().map(amount).collect();
    let list = match amounts.as_slice() {
        [] => return String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    };
    format!("Send {list} on {chain} to this address.")
}

impl PayAddress {
    fn of(address: &PayTo, reads_contracts: bool) -> Self {
        Self {
            text: address.address.clone(),
            words: if address.needs_wallet_proof {
                "The shared address. Pay to it from a wallet you have linked, not from an exchange."
            } else if reads_contracts {
                "Your own deposit address. Any coin listed below that arrives here is credited to \
                 you, even from an exchange."
            } else {
                "Your own deposit address. Every payment to it counts as yours, even from an \
                 exchange. Tokens are credited automatically. So are native coins, unless a \
                 contract sends them, as some exchanges do. Those are listed below as arrived."
            },
        }
    }
}

impl OfferedCoin {
    fn of(coin: PayWith, chain: &str, payee: Option<&str>) -> Self {
        let payee = payee.unwrap_or_default();
        let asked = match &coin.payment_amount {
            Some(amount) => format!("Pay {amount} {} on {chain} to {payee}", coin.symbol),
            None => format!("Pay any amount of {} on {chain} to {payee}", coin.symbol),
        };
        let label = || format!("QR code with a payment link: {asked}");
        Self {
            qr: coin.payment_uri.as_deref().and_then(|uri| Qr::new(uri, label())),
            uri: coin.payment_uri,
            asked,
            token: coin.token.unwrap_or_default(),
            decimals: coin.decimals,
            minimum: SignedDollars(coin.minimum.0),
            symbol: coin.symbol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::deposits::document::ChainStatus;
    use crate::api::values;

    const PAYEE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

    fn coin(symbol: &str, token: Option<&str>) -> PayWith {
        PayWith {
            symbol: symbol.to_owned(),
            token: token.map(str::to_owned),
            decimals: 6,
            minimum: values::Dollars("1".parse().unwrap()),
            payment_uri: Some(format!("ethereum:{}@1", token.unwrap_or(PAYEE))),
            payment_amount: token.map(|_| "25".to_owned()),
        }
    }

    fn option(chain: &str, status: &str, coins: Vec<PayWith>) -> DepositOption {
        let detail = (status != "ok").then_some("Deposits are delayed.");
        DepositOption {
            chain: chain.to_owned(),
            display_name: chain.to_uppercase(),
            chain_id: 1,
            chain_status: ChainStatus { status: status.to_owned(), detail, head: None },
            finality: WhenFinal::Finalized,
            early_credit: Vec::new(),
            may_issue_address: false,
            credits_contract_payments: true,
            addresses: vec![PayTo {
                kind: "own",
                address: PAYEE.to_owned(),
                needs_wallet_proof: false,
            }],
            assets: coins,
        }
    }

    #[test]
    fn the_first_code_has_the_address_and_nothing_else() {
        let coins = vec![coin("USDC", Some(TOKEN)), coin("ETH", None)];
        let offer = ChainOffer::of(option("base", "ok", coins), true);
        let plain = Qr::new(PAYEE, String::new()).unwrap();
        assert_eq!(offer.qr.map(|qr| qr.path), Some(plain.path));
        assert_eq!(offer.asked, "Send 25 USDC or ETH of the same value on BASE to this address.");
        let nothing = DepositOption { addresses: Vec::new(), ..option("base", "ok", Vec::new()) };
        assert!(ChainOffer::of(nothing, false).qr.is_none());
    }

    #[test]
    fn coins_that_count_as_dollars_come_first_and_chains_in_trouble_last() {
        let both = || vec![coin("ETH", None), coin("USDC", Some(TOKEN))];
        let offers = [
            ChainOffer::of(option("a", "degraded", both()), false),
            ChainOffer::of(option("b", "ok", vec![coin("BNB", None)]), false),
            ChainOffer::of(option("c", "ok", both()), false),
            ChainOffer::of(option("d", "stopped", both()), false),
        ];
        let order: Vec<String> = PayOption::of(&offers)
            .iter()
            .map(|one| format!("{} {}", one.coin.symbol, one.chain))
            .collect();
        assert_eq!(order.join(", "), "USDC c, BNB b, ETH c, USDC a, USDC d, ETH a, ETH d");
        assert_eq!(
            offers.each_ref().map(|one| one.badge),
            [Some("Delayed"), None, None, Some("Stopped")]
        );
    }
}
