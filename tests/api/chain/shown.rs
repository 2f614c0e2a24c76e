//! What is shown as arrived at an account's own address, and what is not.

use ethers_core::types::{Address, U256};
use serde_json::{Value, json};

use super::arrivals::{DOLLAR, arrivals, coins, look, paid_by_contracts, shop, shop_with};
use super::payers::address_of;
use crate::support::app::Account;
use crate::support::chain::wallet::Wallet;
use crate::support::deposits::{Shop, USDC};
use crate::support::rpc::fault::Fault;
use crate::support::wait::eventually;

#[test]
fn many_small_coins_make_no_more_lines_than_an_address_may_have_and_none_is_left_out() {
    let shop = shop_with(false, 2);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    paid_by_contracts(&shop, mine);
    let sum = |shop: &Shop| -> u128 {
        let amount = |one: &Value| one["raw_amount"].as_str().unwrap().parse::<u128>().unwrap();
        arrivals(shop, &account).iter().map(amount).sum()
    };
    let coin = coins().as_u128();
    shop.finalize();
    eventually("all of it to be told", || {
        look(&shop);
        (sum(&shop) == 6 * coin).then_some(())
    });
    assert_eq!(arrivals(&shop, &account).len(), 2);
    // What comes after them is told with the last of them, since there is no room for its own line.
    let chain = &shop.mint.chain;
    let payer = chain.deploy("Payer", ());
    chain.send_paying(chain.account(3), &payer, "pay", mine, coins());
    shop.finalize();
    eventually("the one after them to be told", || {
        look(&shop);
        (sum(&shop) == 7 * coin).then_some(())
    });
    assert_eq!(arrivals(&shop, &account).len(), 2);
    // A sweep afterwards hides nothing of it.
    chain.impersonate(mine);
    chain.pay(mine, shop.mint.treasury, coins());
    shop.finalize();
    look(&shop);
    look(&shop);
    assert_eq!((arrivals(&shop, &account).len(), sum(&shop)), (2, 7 * coin));
}

#[test]
fn what_waits_for_its_first_look_is_told_so() {
    let shop = shop(true);
    let accounts: Vec<Account> = (0..40).map(|_| shop.app.account("0")).collect();
    let chain = &shop.mint.chain;
    let mine: Vec<Address> = accounts.iter().map(|account| address_of(&shop, account)).collect();
    look(&shop);
    // Four have their turn at a look, and the nodes are slow to say anything about them.
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.on("eth_getBalance", Fault::error(-32000, "missing trie node 00ff"));
    }
    let payer = chain.deploy("Payer", ());
    for address in mine {
        chain.send_paying(chain.account(3), &payer, "pay", address, coins());
    }
    shop.finalize();
    look(&shop);
    let told = eventually("all of them to be told", || {
        look(&shop);
        let told: Vec<_> = accounts.iter().map(|account| arrivals(&shop, account)).collect();
        told.iter().all(|one| one.len() == 1).then_some(told)
    });
    let (mut waiting, mut tried) = (0, 0);
    for one in told {
        let [one] = one.as_slice() else { panic!("nothing is told: {one:?}") };
        let message = one["message"].as_str().unwrap();
        assert_eq!(one["amount"], "0.01");
        waiting += usize::from(message.contains("queued for a search"));
        tried += usize::from(message.contains("We are looking for"));
    }
    assert!(waiting > 0 && tried > 0 && waiting + tried == 40, "{waiting}, {tried}");
}

#[test]
fn what_is_known_the_operators_own_money_and_sweeps_are_no_arrivals() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    let chain = &shop.mint.chain;
    let plain = chain.pay(chain.account(3), mine, coins());
    chain.pay(Wallet::dev(1).address(), mine, coins() / 10);
    // Gas money by a contract of the operator's, in whose name it is sent on.
    let payer = chain.deploy("Payer", ());
    chain.send_paying(Wallet::dev(1).address(), &payer, "pay", mine, coins() / 10);
    shop.finalize();
    shop.credited(plain);
    look(&shop);
    look(&shop);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    // Swept, and paid again plainly in between.
    chain.impersonate(mine);
    chain.pay(mine, shop.mint.treasury, coins() / 2);
    let again = chain.pay(chain.account(3), mine, coins());
    chain.pay(mine, shop.mint.treasury, coins());
    shop.finalize();
    shop.credited(again);
    look(&shop);
    look(&shop);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    assert_eq!(shop.available(&account), 2 * 20 * DOLLAR);
    assert_eq!(shop.app.metric("sluice_deposit_arrivals{chain=\"base\"}"), 0);
}

#[test]
fn a_token_that_is_not_accepted_is_told_by_its_contract_alone_and_spam_is_bounded() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    look(&shop);
    let chain = &shop.mint.chain;
    let token = |name: &str| {
        let args = (name.to_owned(), "https://evil.example".to_owned(), 6_u8, 0_u16);
        let token = chain.deploy("Token", args);
        chain.send(chain.account(0), &token, "mint", (mine, U256::from(7 * USDC)));
        token
    };
    let bridged = token("USD Coin (bridged)");
    let usdc = chain.send(chain.account(3), &shop.mint.usdc, "transfer", (mine, U256::from(USDC)));
    shop.finalize();
    shop.credited(usdc);
    let told = eventually("the token to be told", || {
        shop.app.clock.advance(3_600_000);
        shop.rounds(3);
        arrivals(&shop, &account).into_iter().next()
    });
    assert_eq!(told["kind"], "unaccepted_token");
    let sum = ethers_core::utils::to_checksum(&bridged.address, None);
    assert_eq!((&told["token"], &told["raw_amount"]), (&json!(sum), &json!("7000000")));
    assert!(told["tx_hash"].is_string() && told["amount"].is_null(), "{told}");
    let page = shop.app.browser(&account).page("/deposits");
    assert!(page.contains(&sum) && page.contains("A token that is not accepted"), "{page}");
    assert!(!page.contains("evil.example") && !page.contains("bridged"), "{page}");
    // The same once more is the same line, and of many others only the last six are kept.
    chain.send(chain.account(0), &bridged, "mint", (mine, U256::from(USDC)));
    let spam: Vec<String> = (0..7)
        .map(|number| ethers_core::utils::to_checksum(&token(&number.to_string()).address, None))
        .collect();
    shop.finalize();
    shop.caught_up();
    eventually("the others to be told", || {
        shop.app.clock.advance(3_600_000);
        shop.rounds(3);
        let told = arrivals(&shop, &account);
        let tokens: Vec<&str> = told.iter().filter_map(|one| one["token"].as_str()).collect();
        let last: Vec<&str> = spam.iter().rev().take(6).map(String::as_str).collect();
        (tokens == last).then_some(())
    });
    assert_eq!(shop.available(&account), DOLLAR);
}
