//! Providers that refuse logs of more than ten blocks, each in words of its own, or in none: no
//! chain stands still over words. All of them are chains of one server, before one node.

use std::collections::BTreeMap;

use ethers_core::types::{H256, U256};
use serde_json::json;
use sluice::db::models::deposits::of_transaction;
use sluice::db::models::{chain_providers, chains};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{ChainId, TxHash};

use crate::support::chain::node::number;
use crate::support::chain::{FINALITY_BLOCKS, hex};
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;
use crate::support::wait::{eventually, within};

/// Blocks that each of them takes at once.
const BLOCKS_MAX: u64 = 10;

/// Software, code and words, as issues of these projects and the providers' pages have them, in
/// part shortened.
const WORDS: &[(&str, i64, &str)] = &[
    ("geth", -32000, "exceed maximum block range: 10"),
    ("geth, slow", -32002, "request timed out"),
    ("erigon", -32000, "requested block span is beyond what is served here: 10"),
    ("nethermind", -32005, "Too many logs requested. Max logs per response is 20000."),
    ("nethermind, slow", -32016, "eth_getLogs request was canceled due to enabled timeout."),
    ("reth", -32602, "query exceeds max block range 10"),
    ("reth, dense", -32602, "query exceeds max results 20000, retry with the range 1-77"),
    ("besu", -32005, "Requested range exceeds maximum RPC range limit"),
    ("bor", -32000, "block span greater than 10 max"),
    ("coreth", -32000, "requested too many blocks from 1 to 77, maximum is set to 10"),
    ("sei", -32000, "a maximum of 10 blocks worth of logs may be requested at a time"),
    ("evmos", -32000, "maximum [from, to] blocks distance: 10"),
    (
        "zksync-era",
        -32602,
        "Query returned more than 10000 results. Try with this block range [0x1, 0x5].",
    ),
    ("zksync-era, dense", -32008, "Response is too big"),
    ("proxyd", -32020, "backend response too large"),
    ("jsonrpsee", -32008, "Response is too big. Exceeded max limit of 167772160"),
    ("infura", -32602, "range 60 exceeds limit of 10"),
    ("infura, dense", -32005, "query returned more than 10000 results"),
    (
        "alchemy",
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. \
         Based on your parameters, this block range should work: [0x1, 0xa].",
    ),
    ("quicknode", -32614, "eth_getLogs is limited to a 10 range"),
    ("quicknode, busy", -32007, "15/second request limit reached - reduce calls per second"),
    ("ankr", -32600, "block range is too wide"),
    ("drpc", 35, "ranges over 10 blocks are not supported on freetier"),
    ("chainstack", -32000, "Block range limit exceeded. See more details at the docs."),
    ("blastapi", -32000, "eth_getLogs: 10 blocks and no more"),
    ("bnb", -32005, "limit exceeded"),
    ("moralis", -32000, "Cannot process a span like that"),
    ("getblock", -32000, "Specify less number of blocks"),
    ("tenderly", -32602, "invalid params: distance"),
    (
        "cloudflare",
        -32047,
        "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 10",
    ),
    ("1rpc", -32001, "eth_getLogs is limited to 0 - 10 blocks range"),
    ("llamarpc", -32001, "Unable to complete request at this time."),
    ("blockscout", -32000, "Query timed out"),
    ("hedera", -32000, "Exceeded maximum block range: 10"),
    ("publicnode", -32701, "Please specify an address in your request"),
    ("an answer of a contract", 3, "execution reverted"),
    ("a method that is not there when it is wide", -32601, "the method is not available"),
    ("nobody", 77, "computer says no"),
    ("nobody, without words", 0, ""),
];

fn http(status: u16, headers: &str, body: &str) -> Fault {
    Fault::Http { status, headers: headers.to_owned(), body: body.to_owned() }
}

fn others() -> Vec<(&'static str, Fault)> {
    let page = "<html><title>Oops</title></html>";
    vec![
        ("HTTP 400", http(400, "", "{\"message\":\"Block range too large\"}")),
        ("HTTP 403", http(403, "", page)),
        ("HTTP 413", http(413, "", page)),
        ("HTTP 429", Fault::too_many_requests(None)),
        ("HTTP 429 for a second", Fault::too_many_requests(Some(1))),
        ("HTTP 500", http(500, "", "")),
        ("HTTP 502", http(502, "", page)),
        ("HTTP 503", http(503, "", "upstream connect error")),
        ("HTTP 503 for a second", http(503, "retry-after: 1\r\n", "")),
        ("HTTP 504", http(504, "", page)),
        ("a page", http(200, "", page)),
        ("an empty body", http(200, "", "")),
        ("null", Fault::Null),
        ("an object", Fault::Result(json!({ "logs": [] }))),
        ("half of an answer", Fault::Truncated),
        ("a connection that breaks", Fault::Cut),
        ("a connection that closes", Fault::Close),
        ("silence", Fault::Held),
    ]
}

/// A provider that speaks for a chain of that number, and does this where it is asked for the logs
/// of more blocks than it takes.
fn provider(mint: &Mint, chain_id: u64, fault: Fault) -> Provider {
    let provider = Provider::before(mint.chain.node);
    provider.on("eth_chainId", Fault::Result(json!(hex(chain_id))));
    provider.mutate("eth_getTransactionByHash", move |_, tx| {
        if !tx.is_null() {
            tx["chainId"] = json!(hex(chain_id));
        }
    });
    provider.when("eth_getLogs", move |params| {
        let block = |name: &str| number(&params[0][name]);
        (block("toBlock") - block("fromBlock") >= BLOCKS_MAX).then(|| fault.clone())
    });
    provider
}

fn table(mint: &Mint, chain_id: u64, providers: &[Provider; 2]) -> String {
    let sum = |address| ethers_core::utils::to_checksum(&address, None);
    let (treasury, usdc) = (sum(mint.treasury), sum(mint.usdc.address));
    let [one, two] = providers.each_ref().map(Provider::url);
    format!(
        "[[chains]]\nname = \"c{chain_id}\"\ndisplay_name = \"{chain_id}\"\nchain_id = \
         {chain_id}\ntreasury = \"{treasury}\"\npoll_millis = 1000\nstart_block = 1\n\
         head_age_max_secs = 86400\n[[chains.providers]]\nname = \"one\"\nurl = \"{one}\"\n\
         timeout_secs = 1\nrequests_per_second = 10000\n[[chains.providers]]\nname = \"two\"\nurl \
         = \"{two}\"\ntimeout_secs = 1\nrequests_per_second = 10000\n[[chains.tokens]]\nsymbol = \
         \"USDC\"\naddress = \"{usdc}\"\ndecimals = 6\n"
    )
}

/// Why the payment is not credited yet on a chain.
fn waits(shop: &Shop, paid: H256, chain_id: u64) -> Option<String> {
    let chain_id = ChainId(chain_id.cast_signed());
    let (rows, stand) = shop.db(|conn| {
        let rows = of_transaction(conn, chain_id, TxHash(paid.0)).unwrap();
        (rows, chains::find(conn, chain_id).unwrap())
    });
    let is_credited = rows.iter().any(|row| row.state == DepositState::Credited);
    (!is_credited).then(|| format!("{rows:#?}, {stand:#?}"))
}

#[test]
fn whatever_a_provider_says_of_too_many_blocks_the_payment_is_found() {
    let mint = Mint::open();
    let args = (mint.treasury, U256::from(3 * USDC));
    mint.chain.mine(10);
    let paid = mint.chain.send(mint.chain.account(1), &mint.usdc, "transfer", args);
    mint.chain.mine(60 + FINALITY_BLOCKS);
    let said = WORDS.iter().map(|&(name, code, words)| (name, Fault::error(code, words)));
    let all: Vec<(&str, Fault)> = said.chain(others()).collect();
    assert!(all.len() >= 50);
    let (mut cases, mut providers, mut toml) = (BTreeMap::new(), Vec::new(), String::new());
    for (chain_id, (name, fault)) in (10_000..).zip(all) {
        let both = [fault.clone(), fault].map(|fault| provider(&mint, chain_id, fault));
        toml += &table(&mint, chain_id, &both);
        cases.insert(chain_id, name);
        providers.push(both);
    }
    let now = i64::try_from(number(&mint.chain.block("latest")["timestamp"])).unwrap() * 1000;
    let shop = Shop::on(mint, &toml, |builder| builder.clock_at(now));
    let account = shop.app.account("0");
    shop.link(&account, shop.mint.chain.account(1), UnixMillis::from_millis(0));
    let (began, mut left) = (std::time::Instant::now(), cases.clone());
    let done = within(std::time::Duration::from_mins(1), || {
        shop.app.clock.advance(500);
        while let Some((&chain_id, name)) = left.first_key_value() {
            if waits(&shop, paid, chain_id).is_some() {
                return None;
            }
            println!("{name}: after {:.1} s at most", began.elapsed().as_secs_f64());
            left.pop_first();
        }
        Some(())
    });
    let why = || left.iter().map(|(&chain_id, name)| (*name, waits(&shop, paid, chain_id)));
    assert!(done.is_some(), "in vain: {:#?}", why().collect::<Vec<_>>());
    // What was learned is kept: a round asks for no more than is given.
    for (pair, name) in providers.iter().zip(cases.values()) {
        let asked = pair[0].count("eth_getLogs");
        assert!((7..60).contains(&asked), "{name}: {asked} queries");
        pair[0].heal();
        pair[1].heal();
    }
}

#[test]
fn what_is_refused_of_one_block_is_the_providers_trouble_and_the_chain_says_why() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let secret = "the key path-key of 127.0.0.1 may not";
    shop.mint.beta.on("eth_getLogs", Fault::error(-32005, secret));
    let paid = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    let said = shop.in_trouble("1 providers give logs of the blocks");
    assert!(said.contains("(beta: refused logs of 1 block (code -32005))"), "{said}");
    assert!(!said.contains("path-key") && !said.contains("127.0.0.1"), "{said}");
    // The operator's list has it too.
    let listed = eventually("the refusal to be written down", || {
        let rows = shop.db(|conn| chain_providers::all(conn).unwrap());
        rows.into_iter().find(|row| row.name == "beta" && row.refusal.is_some())
    });
    assert_eq!(listed.refusal.as_deref(), Some("refused logs of 1 block (code -32005)"));
    assert_eq!((listed.log_blocks, listed.batch_calls), (Some(1), 20));
    shop.mint.beta.heal();
    shop.mint.beta.on("eth_getLogs", http(502, "", "path-key"));
    shop.in_trouble("(beta: answered logs of 1 block with HTTP status 502)");
    shop.mint.beta.heal();
    shop.credited(paid);
    shop.well();
    assert_eq!(shop.available(&account), 3_000_000_000);
}

/// Gives so many logs at most, without a word.
fn cut_logs(provider: &Provider, most: usize) {
    provider.mutate("eth_getLogs", move |_, logs| logs.as_array_mut().unwrap().truncate(most));
}

/// So many payments in one block.
fn pay_at_once(shop: &Shop, count: usize) -> Vec<H256> {
    shop.mint.chain.set_automine(false);
    let paid = (0..count).map(|_| shop.pay_usdc(1, 2 * USDC)).collect();
    shop.mint.chain.set_automine(true);
    shop.mine(1);
    paid
}

#[test]
fn logs_that_both_providers_cut_off_without_a_word_are_found_all_the_same() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.caught_up();
    // More than it gives over some blocks, and not of one: halves show all of them.
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        cut_logs(provider, 50);
        provider.on("eth_getBlockReceipts", Fault::unknown_method());
    }
    let mut paid: Vec<H256> = (0..3).flat_map(|_| pay_at_once(&shop, 30)).collect();
    shop.caught_up();
    // More than it gives of one: its receipts do.
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.heal();
        cut_logs(provider, 25);
    }
    paid.extend(pay_at_once(&shop, 60));
    shop.finalize();
    let most = i64::try_from(2 * paid.len()).unwrap() * 1_000_000_000;
    within(std::time::Duration::from_mins(1), || {
        shop.app.clock.advance(500);
        (shop.available(&account) == most).then_some(())
    });
    assert_eq!(shop.available(&account), most);
    assert_eq!(shop.cursor().unwrap().status, "ok");
    // What is no round number is not asked twice, once those blocks are not read once more.
    shop.mine(40);
    shop.caught_up();
    shop.mint.alpha.forget();
    shop.pay_usdc(1, 2 * USDC);
    shop.caught_up();
    assert_eq!(shop.mint.alpha.count("eth_getLogs"), 1);
    assert_eq!(shop.mint.alpha.count("eth_getBlockReceipts"), 0);
}

#[test]
fn filters_that_name_too_many_payees_or_none_are_refused_and_the_payment_is_found() {
    let named = |params: &serde_json::Value| params[0]["topics"][2].as_array().map(Vec::len);
    let many = move |params: &serde_json::Value| {
        let is_refused = named(params).is_some_and(|count| count > 100);
        is_refused.then(|| Fault::error(-32602, "invalid params"))
    };
    let none = move |params: &serde_json::Value| {
        named(params).is_none().then(|| Fault::error(-32701, "Please specify an address"))
    };
    for (issued, is_many) in [(300, true), (2_000, false)] {
        let shop = Shop::open();
        let account = shop.holder_of(1);
        super::idle::issue(&shop.app, issued);
        for provider in [&shop.mint.alpha, &shop.mint.beta] {
            if is_many {
                provider.when("eth_getLogs", many);
            } else {
                provider.when("eth_getLogs", none);
            }
        }
        let paid = shop.pay_usdc(1, 3 * USDC);
        shop.finalize();
        shop.credited(paid);
        assert_eq!(shop.available(&account), 3_000_000_000);
        shop.caught_up();
        shop.well();
        // It is remembered, once the limit is found.
        for _ in 0..20 {
            shop.mine(1);
            shop.caught_up();
        }
        shop.mint.alpha.forget();
        let paid = shop.pay_usdc(1, 3 * USDC);
        shop.finalize();
        shop.credited(paid);
        let refused = |params: &serde_json::Value| {
            if is_many { many(params).is_some() } else { none(params).is_some() }
        };
        assert!(!shop.mint.alpha.calls("eth_getLogs").iter().any(refused), "{issued}");
    }
}
