//! How a chain is read: from where, in how large pieces, and only if it is the chain that the settings describe.

use ethers_core::types::U256;
use sluice::domain::deposit::DepositState;

use crate::support::chain::node::number;
use crate::support::deposits::{Mint, Shop, USDC};
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

#[test]
fn settings_that_contradict_the_chain_stop_it_and_nothing_else() {
    type Change = fn(&str, &Mint) -> String;
    let sum = |address| ethers_core::utils::to_checksum(&address, None);
    let cases: [(Change, &str); 5] = [
        (
            |toml, _| toml.replace("decimals = 6", "decimals = 8"),
            "the config says 8 decimals, the token at",
        ),
        (
            |toml, _| toml.replace("symbol = \"PEG\"", "symbol = \"USDT\""),
            "calls itself \"PEG\", and the config says \"USDT\"",
        ),
        (
            |toml, _| toml.replace("\"USDC / USD\"", "\"USDT / USD\""),
            "describes itself as \"USDC / USD\"",
        ),
        (
            |toml, mint| {
                let usdc = ethers_core::utils::to_checksum(&mint.usdc.address, None);
                toml.replace(&usdc, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
            },
            "USDC: there is no token at 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ),
        (
            |toml, mint| {
                let feed = ethers_core::utils::to_checksum(&mint.coin_feed.address, None);
                toml.replace(&feed, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
            },
            "ETH / USD: there is no feed at 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ),
    ];
    for (change, words) in cases {
        let mint = Mint::open();
        assert!(mint.toml("").contains(&sum(mint.usdc.address)));
        let toml = change(&mint.toml(""), &mint);
        let shop = Shop::on(mint, &toml, |builder| builder);
        let account = shop.holder_of(1);
        let said = shop.in_trouble(words);
        println!("{said}");
        assert_eq!(shop.cursor().unwrap().status, "stopped");
        shop.pay_usdc(1, 3 * USDC);
        shop.finalize();
        assert_eq!(shop.app.models(&account).status, 200);
        assert!(shop.all_deposits().is_empty());
    }
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
    let said = shop.in_trouble("a deposit is in a coin that is not configured any more");
    assert!(!said.is_empty());
    assert_eq!(shop.available(&account), 3 * DOLLAR);
}
