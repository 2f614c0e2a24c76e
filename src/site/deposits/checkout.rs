//! The checkout: an amount in dollars, a coin, and where to send it. What is chosen stands in the
//! page's address, so that it works without a script. The code that is shown has the plain address:
//! a reader that takes the first address out of a payment link would pay the token's contract.

use super::estimate::about;
use crate::api::deposits::options::{DepositOption, PayTo, PayWith, WhenFinal};
use crate::domain::deposit::{NATIVE_DECIMALS, raw_at_price};
use crate::domain::money::NanoUsd;
use crate::site::format::SignedDollars;
use crate::site::qr::Qr;

/// Amounts that are offered by a click, in dollars.
const PRESETS: [i64; 4] = [10, 25, 50, 100];
/// The one that is chosen where nobody has said anything.
const USUAL: i64 = 25;
/// Dollars that the page writes amounts for, at most.
const AMOUNT_MAX: NanoUsd = NanoUsd::from_nanos(1_000_000_000_000_000);
const NANOS: i64 = 1_000_000_000;

/// See the module.
pub(in crate::site) struct Checkout {
    pub(in crate::site) presets: Vec<AmountPreset>,
    /// The amount as it was typed.
    pub(in crate::site) typed: String,
    /// Why it is not taken, or what else it becomes.
    pub(in crate::site) refusal: Option<String>,
    /// The word of the chosen coin.
    pub(in crate::site) with: String,
    pub(in crate::site) choices: Vec<CoinChoice>,
    pub(in crate::site) payment: CoinPayment,
}

/// An amount to choose.
pub(in crate::site) struct AmountPreset {
    pub(in crate::site) text: String,
    pub(in crate::site) href: String,
    pub(in crate::site) is_current: bool,
}

/// A coin to choose.
pub(in crate::site) struct CoinChoice {
    pub(in crate::site) symbol: String,
    pub(in crate::site) network: String,
    pub(in crate::site) href: String,
    pub(in crate::site) is_current: bool,
    /// `25 USDC`, or nothing where the price is not known.
    pub(in crate::site) amount: String,
    pub(in crate::site) arrival: String,
    pub(in crate::site) minimum: SignedDollars,
    /// What is wrong with its network, in a word.
    pub(in crate::site) trouble: Option<&'static str>,
}

/// How the chosen coin is paid.
pub(in crate::site) struct CoinPayment {
    pub(in crate::site) chain: String,
    pub(in crate::site) chain_id: i64,
    pub(in crate::site) network: String,
    /// What is wrong with it, in a sentence.
    pub(in crate::site) trouble: Option<&'static str>,
    pub(in crate::site) symbol: String,
    /// Empty for the chain's own coin.
    pub(in crate::site) token: String,
    pub(in crate::site) decimals: u8,
    pub(in crate::site) minimum: SignedDollars,
    /// How many coins, where that can be said.
    pub(in crate::site) coins: Option<String>,
    /// What is to be known of the price.
    pub(in crate::site) rate: Option<String>,
    pub(in crate::site) dollars: SignedDollars,
    /// None where the account has to ask for an address first.
    pub(in crate::site) payee: Option<PayeeView>,
    /// Addresses that work as well.
    pub(in crate::site) others: Vec<String>,
    /// When it is credited, in sentences.
    pub(in crate::site) when_credited: String,
    /// Coins that a contract has sent are found.
    pub(in crate::site) reads_contracts: bool,
    /// The payment link.
    pub(in crate::site) uri: Option<String>,
    pub(in crate::site) uri_qr: Option<Qr>,
}

/// The address to pay to.
pub(in crate::site) struct PayeeView {
    pub(in crate::site) address: String,
    /// It is everybody's: the paying wallet has to be linked.
    pub(in crate::site) is_shared: bool,
    /// The address and nothing else, for any camera.
    pub(in crate::site) qr: Option<Qr>,
}

/// One coin of one chain.
struct Way<'a> {
    option: &'a DepositOption,
    coin: &'a PayWith,
}

impl Checkout {
    /// From what is offered for `amount`, and the word of a coin. `None` where nothing is offered.
    pub(super) fn of(offers: &[DepositOption], wanted: &WantedPayment) -> Option<Self> {
        let mut ways: Vec<Way<'_>> = offers
            .iter()
            .flat_map(|option| option.assets.iter().map(move |coin| Way { option, coin }))
            .collect();
        // First what counts as dollars on chains that are well, last what is on chains in trouble.
        ways.sort_by_key(|way| (way.is_in_trouble(), way.coin.token.is_none()));
        let chosen = ways.iter().find(|way| way.word() == wanted.with).or(ways.first())?;
        let with = chosen.word();
        let amount = wanted.amount();
        let choice = |way: &Way<'_>| way.choice(amount, way.word() == with);
        let presets = PRESETS.map(|dollars| {
            let preset = NanoUsd::from_nanos(dollars.saturating_mul(NANOS));
            AmountPreset {
                text: format!("${dollars}"),
                href: href(preset, &with),
                is_current: wanted.refusal.is_none() && preset == amount,
            }
        });
        let minimum = chosen.coin.minimum.0;
        let too_small = (amount < minimum).then(|| {
            let minimum = SignedDollars(minimum);
            format!("The minimum is {minimum} in {} here.", chosen.coin.symbol)
        });
        Some(Self {
            presets: presets.into(),
            typed: wanted.typed.clone(),
            refusal: wanted.refusal.map(str::to_owned).or(too_small),
            choices: ways.iter().map(choice).collect(),
            payment: chosen.payment(amount),
            with,
        })
    }
}

/// What somebody wants to pay, as far as he has said.
pub(super) struct WantedPayment {
    with: String,
    typed: String,
    chosen: Option<NanoUsd>,
    refusal: Option<&'static str>,
}

impl WantedPayment {
    /// From the fields of the page's address.
    pub(super) fn read(amount: &str, with: &str) -> Self {
        let read = dollars(amount);
        Self {
            with: with.to_owned(),
            typed: amount.to_owned(),
            chosen: read.ok().flatten(),
            refusal: read.err(),
        }
    }

    /// The amount that is shown.
    pub(super) fn amount(&self) -> NanoUsd {
        self.chosen.unwrap_or(NanoUsd::from_nanos(USUAL.saturating_mul(NANOS)))
    }
}

impl Way<'_> {
    /// `base.USDC`, as the page's address names it.
    fn word(&self) -> String {
        format!("{}.{}", self.option.chain, self.coin.symbol)
    }

    fn is_in_trouble(&self) -> bool {
        self.option.chain_status.status != "ok"
    }

    /// How many coins are asked for: what a token's minimum is at least.
    fn coins(&self, amount: NanoUsd) -> Option<String> {
        if self.coin.token.is_some() {
            return self.coin.payment_amount.clone();
        }
        let price = self.coin.price.filter(|price| !price.is_stale)?;
        let least = amount.max(self.coin.minimum.0);
        let raw = raw_at_price(least, NATIVE_DECIMALS, price.usd.0)?;
        Some(raw.in_coins(NATIVE_DECIMALS))
    }

    fn arrival(&self) -> String {
        match (self.option.about_secs, &self.option.finality) {
            (Some(secs), _) => about(secs),
            (None, WhenFinal::Finalized) => "about 20 min".to_owned(),
            (None, WhenFinal::Confirmations { needed: 1 }) => "1 confirmation".to_owned(),
            (None, WhenFinal::Confirmations { needed }) => format!("{needed} confirmations"),
        }
    }

    fn choice(&self, amount: NanoUsd, is_current: bool) -> CoinChoice {
        let symbol = &self.coin.symbol;
        CoinChoice {
            symbol: symbol.clone(),
            network: self.option.display_name.clone(),
            href: href(amount, &self.word()),
            is_current,
            amount: self.coins(amount).map(|coins| format!("{coins} {symbol}")).unwrap_or_default(),
            arrival: self.arrival(),
            minimum: SignedDollars(self.coin.minimum.0),
            trouble: match self.option.chain_status.status.as_str() {
                "ok" => None,
                "stopped" => Some("Stopped"),
                _ => Some("Delayed"),
            },
        }
    }

    fn payment(&self, amount: NanoUsd) -> CoinPayment {
        let (option, coin) = (self.option, self.coin);
        let network = &option.display_name;
        let coins = self.coins(amount);
        let words = match &coins {
            Some(coins) => format!("{coins} {}", coin.symbol),
            None => coin.symbol.clone(),
        };
        let payee = option.addresses.first();
        let link = || format!("QR code with a payment link: {words} on {network}");
        CoinPayment {
            chain: option.chain.clone(),
            chain_id: option.chain_id,
            network: network.clone(),
            trouble: option.chain_status.detail,
            symbol: coin.symbol.clone(),
            token: coin.token.clone().unwrap_or_default(),
            decimals: coin.decimals,
            minimum: SignedDollars(coin.minimum.0),
            rate: self.rate(),
            dollars: SignedDollars(amount.max(coin.minimum.0)),
            payee: payee.map(|payee| PayeeView::of(payee, &format!("Send {words} on {network}."))),
            others: option.addresses.iter().skip(1).map(|other| other.address.clone()).collect(),
            when_credited: when_credited(option),
            reads_contracts: option.credits_contract_payments,
            uri_qr: coin.payment_uri.as_deref().and_then(|uri| Qr::new(uri, link())),
            uri: coin.payment_uri.clone(),
            coins,
        }
    }

    /// What a coin is worth, where that is not a dollar a piece.
    fn rate(&self) -> Option<String> {
        if self.coin.token.is_some() {
            return None;
        }
        let symbol = &self.coin.symbol;
        Some(match self.coin.price {
            Some(price) if price.is_stale => format!(
                "The price feed of {symbol} is out of date, so the value cannot be said. A deposit \
                 that arrives meanwhile waits for a manual review. Better choose a stablecoin."
            ),
            Some(price) => format!(
                "1 {symbol} is {} now. Your deposit counts at the price when it arrives.",
                SignedDollars(price.usd.0)
            ),
            None => format!(
                "The price of {symbol} is not available at the moment. Your deposit counts at the \
                 price when it arrives."
            ),
        })
    }
}

impl PayeeView {
    fn of(payee: &PayTo, asked: &str) -> Self {
        let label = format!("QR code of the address {}. {asked}", payee.address);
        Self {
            address: payee.address.clone(),
            is_shared: payee.needs_wallet_proof,
            qr: Qr::new(&payee.address, label),
        }
    }
}

fn when_credited(option: &DepositOption) -> String {
    let when = match option.finality {
        WhenFinal::Finalized => "once its block is final on the chain".to_owned(),
        WhenFinal::Confirmations { needed: 1 } => "after 1 confirmation".to_owned(),
        WhenFinal::Confirmations { needed } => format!("after {needed} confirmations"),
    };
    let usually = match option.about_secs {
        Some(secs) => format!("In {}, {when}.", about(secs)),
        None if matches!(option.finality, WhenFinal::Finalized) => {
            format!("Usually within 20 minutes, {when}.")
        }
        None => format!("It comes {when}."),
    };
    let mut sentences = vec![usually];
    sentences.extend(option.early_credit.iter().map(|tier| {
        let (confirmations, most) = (tier.confirmations, SignedDollars(tier.up_to.0));
        let plural = if confirmations == 1 { "" } else { "s" };
        format!(
            "Up to {most} in 24 hours comes after {confirmations} confirmation{plural}, while \
             capacity lasts."
        )
    }));
    sentences.join(" ")
}

/// The page with another choice.
fn href(amount: NanoUsd, with: &str) -> String {
    let amount = amount.to_string();
    let amount = amount.strip_suffix(".00").unwrap_or(&amount);
    format!("/deposits?amount={amount}&with={with}")
}

/// Dollars as people type them, with a point or a comma; none where nothing is typed.
fn dollars(written: &str) -> Result<Option<NanoUsd>, &'static str> {
    let digits = written.trim().trim_start_matches('$').trim();
    if digits.is_empty() {
        return Ok(None);
    }
    let digits = match digits.rsplit_once(',') {
        // A comma before one or two digits is where others write a point.
        Some((whole, cents)) if cents.len() <= 2 && !whole.contains([',', '.']) => {
            format!("{whole}.{cents}")
        }
        _ => digits.to_owned(),
    };
    let amount: Option<NanoUsd> = digits.parse().ok();
    let amount = amount.filter(|amount| *amount > NanoUsd::ZERO && *amount <= AMOUNT_MAX);
    amount.map(Some).ok_or("Enter an amount in dollars, for example 25 or 12.50.")
}

#[cfg(test)]
mod tests;
