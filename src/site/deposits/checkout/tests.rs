//! The order of coins, their amounts, and what the codes hold.

use super::*;
use crate::api::deposits::document::ChainStatus;
use crate::api::deposits::quotes::CoinPrice;
use crate::api::values;
use crate::domain::clock::UnixMillis;

const PAYEE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

fn coin(symbol: &str, token: Option<&str>) -> PayWith {
    PayWith {
        symbol: symbol.to_owned(),
        token: token.map(str::to_owned),
        decimals: 6,
        minimum: values::Dollars("1".parse().unwrap()),
        price: None,
        payment_uri: Some(format!("ethereum:{}@1", token.unwrap_or(PAYEE))),
        payment_amount: token.map(|_| "25".to_owned()),
    }
}

fn priced(usd: &str, is_stale: bool) -> PayWith {
    let price = CoinPrice {
        usd: values::Dollars(usd.parse().unwrap()),
        updated_at: values::Moment(UnixMillis::from_millis(0)),
        is_stale,
    };
    PayWith { price: Some(price), ..coin("ETH", None) }
}

fn option(chain: &str, status: &str, coins: Vec<PayWith>) -> DepositOption {
    let detail = (status != "ok").then_some("Deposits are delayed.");
    DepositOption {
        chain: chain.to_owned(),
        display_name: chain.to_uppercase(),
        chain_id: 1,
        chain_status: ChainStatus { status: status.to_owned(), detail, head: None },
        finality: WhenFinal::Finalized,
        about_secs: None,
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

fn checkout(offers: &[DepositOption], amount: &str, with: &str) -> Checkout {
    Checkout::of(offers, &WantedPayment::read(amount, with)).unwrap()
}

#[test]
fn amounts_are_read_as_people_write_them() {
    let read = |text| dollars(text).map(|sum| sum.map(|sum| sum.to_string()));
    for (text, sum) in [("25", "25.00"), ("$12.50", "12.50"), ("0,5", "0.50"), (" $ 3 ", "3.00")] {
        assert_eq!(read(text), Ok(Some(sum.to_owned())), "{text}");
    }
    assert_eq!((read(""), read(" ")), (Ok(None), Ok(None)));
    for text in ["0", "-1", "ten", "1,000", "1.000,50", "1000001", "1e3"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn coins_that_count_as_dollars_come_first_and_chains_in_trouble_last() {
    let both = || vec![coin("ETH", None), coin("USDC", Some(TOKEN))];
    let offers = [
        option("a", "degraded", both()),
        option("b", "ok", vec![coin("BNB", None)]),
        option("c", "ok", both()),
        option("d", "stopped", both()),
    ];
    let page = checkout(&offers, "", "");
    let order: Vec<String> =
        page.choices.iter().map(|one| format!("{} {}", one.symbol, one.network)).collect();
    assert_eq!(order.join(", "), "USDC C, BNB B, ETH C, USDC A, USDC D, ETH A, ETH D");
    let troubles: Vec<Option<&str>> = page.choices.iter().map(|one| one.trouble).collect();
    assert_eq!(troubles[2..5], [None, Some("Delayed"), Some("Stopped")]);
    assert_eq!((page.with.as_str(), page.payment.symbol.as_str()), ("c.USDC", "USDC"));
    let current = |page: &Checkout| page.choices.iter().filter(|one| one.is_current).count();
    assert_eq!(current(&page), 1);
    let chosen = checkout(&offers, "", "b.BNB");
    assert_eq!((chosen.payment.symbol.as_str(), current(&chosen)), ("BNB", 1));
    assert_eq!(checkout(&offers, "", "nowhere.USDC").with, "c.USDC");
    assert!(Checkout::of(&[], &WantedPayment::read("", "")).is_none());
}

#[test]
fn the_code_has_the_address_and_nothing_else() {
    let offers = [option("base", "ok", vec![coin("USDC", Some(TOKEN))])];
    let page = checkout(&offers, "25", "");
    let plain = Qr::new(PAYEE, String::new()).unwrap();
    let payee = page.payment.payee.unwrap();
    assert_eq!(payee.qr.map(|qr| qr.path), Some(plain.path));
    assert_eq!((payee.address.as_str(), payee.is_shared), (PAYEE, false));
    assert_eq!(page.payment.coins.as_deref(), Some("25"));
    let none = DepositOption {
        addresses: Vec::new(),
        ..option("base", "ok", vec![coin("USDC", Some(TOKEN))])
    };
    assert!(checkout(&[none], "25", "").payment.payee.is_none());
}

#[test]
fn a_coin_with_a_price_says_how_many_and_one_without_says_none() {
    let amount = |coin: PayWith| {
        let payment = checkout(&[option("base", "ok", vec![coin])], "25", "").payment;
        (payment.coins, payment.rate.unwrap())
    };
    let (coins, rate) = amount(priced("2000", false));
    assert_eq!(coins.as_deref(), Some("0.0125"));
    assert!(rate.starts_with("1 ETH is $2,000.00 now."), "{rate}");
    let (coins, rate) = amount(priced("2000", true));
    assert!(coins.is_none() && rate.contains("out of date"), "{rate}");
    let (coins, rate) = amount(coin("ETH", None));
    assert!(coins.is_none() && rate.contains("not available"), "{rate}");
}

#[test]
fn choices_keep_each_other_and_too_little_is_said() {
    let offers = [option("base", "ok", vec![coin("USDC", Some(TOKEN)), priced("2000", false)])];
    let page = checkout(&offers, "50", "base.ETH");
    let links: Vec<&str> = page.presets.iter().map(|one| one.href.as_str()).collect();
    assert_eq!(links[0], "/deposits?amount=10&with=base.ETH");
    let current: Vec<&str> =
        page.presets.iter().filter(|one| one.is_current).map(|one| one.text.as_str()).collect();
    assert_eq!(current, ["$50"]);
    assert_eq!(page.choices[0].href, "/deposits?amount=50&with=base.USDC");
    assert_eq!(
        checkout(&offers, "12,5", "").choices[0].href,
        "/deposits?amount=12.50&with=base.USDC"
    );
    let small = checkout(&offers, "0.5", "");
    assert_eq!(small.refusal.as_deref(), Some("The minimum is $1.00 in USDC here."));
    assert_eq!(small.payment.dollars.to_string(), "$1.00");
    assert!(checkout(&offers, "ten", "").refusal.unwrap().starts_with("Enter an amount"));
    assert!(page.refusal.is_none());
}
