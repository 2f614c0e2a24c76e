//! How a chain is read: from where, in how large pieces, and only if it is the chain that the
//! settings describe.

use ethers_core::types::U256;
use serde_json::json;
use sluice::domain::deposit::DepositState;

use crate::support::alerting::Watched;
use crate::support::chain::node::number;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const DOLLAR: i64 = 1_000_000_000;

/// The chain's table without its own coin.
fn tokens_only(toml: &str) -> String {
    let (before, rest) = toml.split_once("[chains.native]").unwrap();
    let (_, tokens) = rest.split_once("[[chains.tokens]]").unwrap();
    format!("{before}[[chains.tokens]]{tokens}")
}

#[test]
fn two_thousand_blocks_are_caught_up_with_in_the_ranges_that_each_provider_takes() {
    let mint = Mint::open();
    let chain = &mint.chain;
    let pay = |amount: u64| {
        let args = (mint.treasury, U256::from(amount));
        chain.send(chain.account(1), &mint.usdc, "transfer", args)
    };
    let early = pay(2 * USDC);
    chain.mine(700);
    let middle = pay(3 * USDC);
    chain.mine(1_400);
    let late = pay(5 * USDC);
    chain.finalize();
    mint.alpha.limit_logs(100);
    mint.beta.limit_logs(7);
    let toml = tokens_only(&mint.toml("log_range_max = 1000\n"));
    let now = i64::try_from(number(&chain.block("latest")["timestamp"])).unwrap() * 1000;
    let shop = Shop::on(mint, &toml, |builder| builder.clock_at(now));
    let account = shop.app.account("0");
    let genesis = sluice::domain::clock::UnixMillis::from_millis(0);
    shop.link(&account, shop.mint.chain.account(1), genesis);
    for tx in [early, middle, late] {
        shop.credited(tx);
    }
    shop.caught_up();
    assert_eq!(shop.available(&account), 10 * DOLLAR);
    assert_eq!(shop.cursor().unwrap().status, "ok");
    let (alpha, beta) = (shop.mint.alpha.count("eth_getLogs"), shop.mint.beta.count("eth_getLogs"));
    println!("2,100 blocks: {alpha} queries for logs in hundreds, {beta} in sevens");
    // The rescanned blocks and the attempts at more are on top.
    assert!(alpha < 150 && beta < 1_200, "{alpha}, {beta}");
    assert!(beta > 2_100 / 7);
    // Block by block they would be this many.
    assert!(shop.mint.alpha.count("eth_getBlockByNumber") < 2_000);
}

#[test]
fn whole_blocks_that_are_too_much_at_once_are_read_in_smaller_pieces() {
    let mint = Mint::open();
    let early = mint.chain.pay(mint.chain.account(1), mint.treasury, U256::exp10(16));
    mint.chain.mine(300);
    for provider in [&mint.alpha, &mint.beta] {
        provider.limit_batches(20);
        // As a proxy says it of answers that it does not pass on; whole blocks come twenty at once.
        let at_once = std::sync::Mutex::new(0_u32);
        provider.when("eth_getBlockByNumber", move |params| {
            let mut at_once = at_once.lock().unwrap();
            *at_once = if params[1] == true { *at_once + 1 } else { 0 };
            let too_large =
                Fault::Http { status: 413, headers: String::new(), body: String::new() };
            (*at_once > 5).then(|| {
                *at_once = 0;
                too_large
            })
        });
    }
    let now = i64::try_from(number(&mint.chain.block("latest")["timestamp"])).unwrap() * 1000;
    let toml = mint.toml("");
    let shop = Shop::on(mint, &toml, |builder| builder.clock_at(now));
    let account = shop.app.account("0");
    let genesis = sluice::domain::clock::UnixMillis::from_millis(0);
    shop.link(&account, shop.mint.chain.account(1), genesis);
    shop.credited(early);
    shop.caught_up();
    assert_eq!(shop.available(&account), 20 * DOLLAR);
}

#[test]
fn reading_begins_where_the_settings_say() {
    let mint = Mint::open();
    let pay = |amount: u64| {
        let args = (mint.treasury, U256::from(amount));
        mint.chain.send(mint.chain.account(1), &mint.usdc, "transfer", args)
    };
    let before = pay(2 * USDC);
    let first = mint.chain.head() + 1;
    let after = pay(3 * USDC);
    mint.chain.finalize();
    let toml = mint.toml("rescan_blocks = 0\n");
    let toml = toml.replace("start_block = 1\n", &format!("start_block = {first}\n"));
    let shop = Shop::on(mint, &toml, |builder| builder);
    shop.reaches(after, DepositState::Unattributed);
    shop.caught_up();
    assert!(shop.deposits(before).is_empty());
    assert_eq!(shop.cursor().unwrap().first_number, i64::try_from(first).unwrap());
}

/// An address without a contract.
const NOWHERE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

type Change = fn(&str, &Mint) -> String;

fn sum(address: ethers_core::types::Address) -> String {
    ethers_core::utils::to_checksum(&address, None)
}

/// Waits until the chain says these words, whether it is well or not.
fn says(shop: &Shop, words: &str) -> sluice::db::models::chains::ChainRow {
    let mut last = None;
    let found = crate::support::wait::within(crate::support::wait::PATIENCE, || {
        shop.app.clock.advance(200);
        last = shop.cursor();
        last.clone()
            .filter(|row| row.status_detail.as_deref().is_some_and(|has| has.contains(words)))
    });
    found.unwrap_or_else(|| panic!("in vain: waited for {words:?}: {last:#?}"))
}

#[test]
fn a_coin_that_contradicts_the_settings_stops_alone_and_its_deposits_wait_until_it_is_mended() {
    let usdc: [(Change, &str); 4] = [
        (
            |toml, _| toml.replace("decimals = 6", "decimals = 8"),
            "the config says 8 decimals, the token at",
        ),
        (
            |toml, _| toml.replace("\"USDC / USD\"", "\"USDT / USD\""),
            "describes itself as \"USDC / USD\"",
        ),
        (
            |toml, mint| toml.replace(&sum(mint.usdc_feed.address), NOWHERE),
            "USDC / USD: there is no feed at 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ),
        (
            |toml, mint| {
                // Another contract altogether: a token has no description.
                toml.replace(&sum(mint.usdc_feed.address), &sum(mint.peg.address))
            },
            "USDC / USD: there is no feed at",
        ),
    ];
    for (change, words) in usdc {
        let mint = Mint::open();
        let (good, bad) = (mint.toml(""), change(&mint.toml(""), &mint));
        let shop = Shop::on(mint, &bad, |builder| builder);
        let account = shop.holder_of(1);
        let said = says(&shop, words);
        println!("{said:?}");
        assert_eq!(said.status, "ok");
        let (waits, goes) = (shop.pay_usdc(1, 3 * USDC), shop.pay_coin(1, U256::exp10(16)));
        shop.finalize();
        shop.credited(goes);
        shop.rounds(5);
        assert_eq!(shop.available(&account), 20 * DOLLAR, "{words}");
        assert_eq!(shop.deposits(waits)[0].state, DepositState::Confirming, "{words}");
        assert_eq!(shop.cursor().unwrap().status, "ok", "{words}");
        let coin = |coin: &str| {
            shop.app.metric(&format!("sluice_coin_ok{{chain=\"base\",coin=\"{coin}\"}}"))
        };
        assert_eq!((coin("USDC"), coin("ETH"), coin("PEG")), (0, 1, 1), "{words}");
        // It has been so since the start.
        Watched::before_the_start(shop.app.admin_address).fires(&["SluiceCoinMismatch"]);
        assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 1, "{words}");
        // Mended and started again.
        let (mint, (database, _folder)) = shop.stop();
        let shop = Shop::on(mint, &good, |mut builder| {
            builder.database = Some(database);
            builder
        });
        shop.credited(waits);
        assert_eq!(shop.available(&account), 23 * DOLLAR, "{words}");
        assert_eq!(shop.cursor().unwrap().status_detail, None);
    }
}

#[test]
fn a_coin_whose_feed_is_wrong_stops_and_tokens_go_on() {
    let mint = Mint::open();
    let toml = mint.toml("").replace(&sum(mint.coin_feed.address), NOWHERE);
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    says(&shop, "ETH is stopped: ETH / USD: there is no feed at");
    let (goes, waits) = (shop.pay_usdc(1, 3 * USDC), shop.pay_coin(1, U256::exp10(16)));
    shop.finalize();
    shop.credited(goes);
    shop.rounds(3);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
    assert_eq!(shop.deposits(waits)[0].state, DepositState::Confirming);
}

#[test]
fn decimals_that_change_or_cannot_be_read_stop_a_token_while_it_lasts_and_a_name_never_does() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let usdc = json!(shop.mint.usdc.address);
    let lie = |selector: &'static str, answer: Fault| {
        for provider in [&shop.mint.alpha, &shop.mint.beta] {
            let (usdc, answer) = (usdc.clone(), answer.clone());
            provider.when("eth_call", move |params| {
                let is_it = params[0]["to"] == usdc && params[0]["data"] == selector;
                is_it.then(|| answer.clone())
            });
        }
    };
    let word = |number: u8| json!(format!("0x{number:064x}"));
    let heal = || [&shop.mint.alpha, &shop.mint.beta].map(Provider::heal);
    shop.well();
    // It is renamed while the server runs, at both and at one alone.
    let name = format!("0x{:064x}{:064x}{:0<64}", 32, 4, "55534430");
    lie("0x95d89b41", Fault::Result(json!(name)));
    shop.pass(3_700);
    assert_eq!(says(&shop, "calls itself \"USD0\", and the config says \"USDC\"").status, "ok");
    shop.mint.beta.heal();
    shop.pass(3_700);
    assert_eq!(says(&shop, "USDC: providers differ about how the token calls itself").status, "ok");
    let mut paid = vec![shop.pay_usdc(1, 3 * USDC)];
    shop.finalize();
    shop.credited(paid[0]);
    heal();
    // Other decimals, and later none: new deposits wait, the other coins go on.
    for (count, answer) in [(1, word(18)), (2, json!("0x"))] {
        lie("0x313ce567", Fault::Result(answer));
        shop.pass(3_700);
        says(&shop, "USDC is stopped");
        paid.push(shop.pay_usdc(1, 3 * USDC));
        let chain = &shop.mint.chain;
        let args = (shop.mint.treasury, U256::exp10(19));
        let other = chain.send(chain.account(1), &shop.mint.peg, "transfer", args);
        shop.finalize();
        shop.credited(other);
        assert_eq!(shop.deposits(paid[count])[0].state, DepositState::Confirming);
        heal();
        shop.pass(100);
        shop.credited(paid[count]);
        assert_eq!(shop.cursor().unwrap().status, "ok");
    }
    assert_eq!(shop.available(&account), 29 * DOLLAR);
}

#[test]
fn a_token_that_no_provider_reads_stops_alone() {
    let mint = Mint::open();
    let peg = json!(mint.peg.address);
    for provider in [&mint.alpha, &mint.beta] {
        let peg = peg.clone();
        provider.when("eth_call", move |params| {
            (params[0]["to"] == peg).then(|| Fault::error(-32000, "not today"))
        });
    }
    let toml = mint.toml("");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    let said = says(&shop, "PEG: 0 providers answer about the token PEG and 2 are needed (alpha: ");
    assert_eq!(said.status, "ok");
    let chain = &shop.mint.chain;
    let args = (shop.mint.treasury, U256::exp10(19));
    let waits = chain.send(chain.account(1), &shop.mint.peg, "transfer", args);
    let goes = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.credited(goes);
    shop.rounds(3);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
    shop.mint.alpha.heal();
    shop.mint.beta.heal();
    shop.pass(10);
    shop.credited(waits);
    assert_eq!(shop.available(&account), 13 * DOLLAR);
}

#[test]
fn a_chain_stops_once_none_of_its_coins_is_left() {
    let mint = Mint::open();
    let toml = tokens_only(&mint.toml(""));
    let toml =
        toml.replace("decimals = 6", "decimals = 8").replace("decimals = 18", "decimals = 8");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let said = shop.in_trouble("USDC is stopped");
    assert!(said.contains("; PEG is stopped"), "{said}");
    assert_eq!(shop.cursor().unwrap().status, "stopped");
    assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 0);
}

#[test]
fn a_token_may_call_itself_something_else_if_the_settings_know() {
    let mint = Mint::open();
    let toml = mint
        .toml("")
        .replace("symbol = \"PEG\"\n", "symbol = \"USDT\"\nsymbol_on_chain = \"PEG\"\n");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.credited(tx);
    shop.well();
    assert_eq!(shop.available(&account), 3 * DOLLAR);
}

#[test]
fn a_deposit_in_a_token_that_was_taken_off_the_list_waits_and_the_others_go_on() {
    let mint = Mint::open();
    let (all, tokens) = (mint.toml(""), "[[chains.tokens]]\nsymbol = \"PEG\"");
    let (without, _) = all.split_once(tokens).unwrap();
    let shop = Shop::on(mint, &all, |builder| builder);
    let account = shop.holder_of(1);
    let peg = shop.mint.chain.send(
        shop.mint.chain.account(1),
        &shop.mint.peg,
        "transfer",
        (shop.mint.treasury, U256::exp10(19)),
    );
    shop.reaches(peg, DepositState::Confirming);
    let (mint, (database, _folder)) = shop.stop();
    let shop = Shop::on(mint, without, |mut builder| {
        builder.database = Some(database);
        builder
    });
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.credited(tx);
    let said = shop.in_trouble("a deposit is in a coin that is no longer configured");
    assert!(!said.is_empty());
    assert_eq!(shop.available(&account), 3 * DOLLAR);
}

#[test]
fn where_blocks_are_not_read_a_coin_is_found_by_its_hash_and_tokens_by_themselves() {
    let mint = Mint::open();
    let toml = mint
        .toml("")
        .replace("heartbeat_secs = 3600\n", "heartbeat_secs = 3600\nscan_blocks = false\n");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    let (coin, token) = (shop.pay_coin(1, U256::exp10(16)), shop.pay_usdc(1, 3 * USDC));
    shop.finalize();
    shop.credited(token);
    shop.caught_up();
    assert!(shop.deposits(coin).is_empty());
    let whole = |params: &serde_json::Value| params[1] == true;
    assert!(!shop.mint.alpha.calls("eth_getBlockByNumber").iter().any(whole));
    shop.claim(&account, coin);
    shop.credited(coin);
    assert_eq!(shop.available(&account), 23 * DOLLAR);
}
