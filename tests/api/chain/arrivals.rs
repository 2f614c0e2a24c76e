//! Whatever arrives at an account's own address is found: coins that contracts send by a balance
//! and a trace, or shown as arrived; tokens that are not accepted shown as that.

use ethers_core::types::{Address, Bytes, H256, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::{ClaimReason, DepositState};
use sluice::domain::evm::EvmAddress;

use super::payers::{XPUB, address_of};
use crate::support::app::Account;
use crate::support::chain::CHAIN_ID;
use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposits::{Mint, Shop};
use crate::support::rpc::fault::Fault;
use crate::support::wait::eventually;

pub(super) const DOLLAR: i64 = 1_000_000_000;

/// Twenty dollars.
pub(super) fn coins() -> U256 {
    U256::exp10(16)
}

/// Twenty dollars from a contract to an own address, in a final block.
pub(super) fn paid_by_a_contract(shop: &Shop, mine: Address) -> H256 {
    let chain = &shop.mint.chain;
    let payer = chain.deploy("Payer", ());
    let tx = chain.send_paying(chain.account(3), &payer, "pay", mine, coins());
    shop.finalize();
    tx
}

/// What an account is told first of what arrived.
pub(super) fn first_told(shop: &Shop, account: &Account) -> Value {
    eventually("what arrived to be told", || {
        look(shop);
        arrivals(shop, account).into_iter().next()
    })
}

/// A shop with addresses of accounts' own, whose providers have traces or not.
pub(super) fn shop(has_traces: bool) -> Shop {
    shop_with(has_traces, 6)
}

pub(super) fn shop_with(has_traces: bool, lines: u32) -> Shop {
    shop_of(Mint::open(), has_traces, lines, "")
}

/// The same, with more lines about the chain's own coin.
pub(super) fn shop_of(mint: Mint, has_traces: bool, lines: u32, coin: &str) -> Shop {
    let toml = mint.toml("").replace("traces = true", &format!("traces = {has_traces}"));
    let toml = toml.replace("[chains.native]\n", &format!("[chains.native]\n{coin}"));
    let shop = Shop::on(mint, &toml, |builder| {
        builder
            .set("deposits.account_xpub", format!("\"{XPUB}\""))
            .set("deposits.balance_check_secs", 10)
            .set("deposits.arrivals_max_per_address", lines)
            .set("deposits.own_addresses", format!("[\"{}\"]", gas_station()))
    });
    shop.caught_up();
    shop
}

fn gas_station() -> String {
    ethers_core::utils::to_checksum(&Wallet::dev(1).address(), None)
}

/// Lets the watcher look at what arrived.
pub(super) fn look(shop: &Shop) {
    shop.app.clock.advance(11_000);
    shop.rounds(3);
}

/// What the account is told has arrived.
pub(super) fn arrivals(shop: &Shop, account: &Account) -> Vec<Value> {
    let told = shop.app.api_get(account, "/api/v1/deposits");
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()["arrivals"].as_array().unwrap().clone()
}

/// An exchange's batch, a smart wallet, a key with delegated code by itself and by a relayer, a
/// contract that ends, and one whose first try is undone.
pub(super) fn paid_by_contracts(shop: &Shop, mine: Address) -> Vec<H256> {
    let chain = &shop.mint.chain;
    let from = chain.account(3);
    let payer = chain.deploy("Payer", ());
    let others = [Address::repeat_byte(0x51), Address::repeat_byte(0x52)];
    let batch = (vec![others[0], mine, others[1]], vec![coins() / 2, coins(), coins() / 2]);
    let batch = chain.send_paying(from, &payer, "multiPay", batch, coins() * 2);

    let safe = chain.deploy("Wallet1271", (Wallet::numbered(1).address(),));
    chain.set_balance(safe.address, coins() * 5);
    let smart = chain.send(from, &safe, "execute", (mine, coins(), Bytes::default()));

    let user = Wallet::dev(2);
    let delegate = chain.deploy("Wallet1271", (Address::zero(),));
    let authorization = user.authorize(CHAIN_ID, delegate.address, chain.nonce(user.address()));
    let sender = Wallet::dev(0);
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(sender.address()),
        to: user.address(),
        ..Draft::default()
    };
    chain.send_raw(&sender.delegating_transaction(&draft, &[authorization]));
    assert!(chain.code(user.address()).starts_with("0xef0100"));
    let code = Contract::at("Wallet1271", user.address());
    let pay = (mine, coins(), Bytes::default());
    let by_itself = chain.send(user.address(), &code, "execute", pay.clone());
    let by_relayer = chain.send(from, &code, "execute", pay);

    let ended = chain.send_paying(from, &payer, "payBySelfdestruct", mine, coins());
    let undone = (mine, coins() * 3);
    let undone = chain.send_paying(from, &payer, "payTwiceRevertFirst", undone, coins() * 4);
    vec![batch, smart, by_itself, by_relayer, ended, undone]
}

#[test]
fn coins_that_contracts_send_are_found_without_a_claim_where_there_are_traces() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    let paid = paid_by_contracts(&shop, mine);
    shop.finalize();
    for tx in &paid {
        let row = shop.credited(*tx);
        assert_eq!((row.account_id, row.payee), (Some(account.id), EvmAddress(mine.0)));
    }
    assert_eq!(shop.available(&account), 6 * 20 * DOLLAR);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    assert_eq!(shop.caught_up().status, "ok");
    let page = shop.app.browser(&account).page("/deposits?with=base.ETH");
    assert!(page.contains("submit its transaction hash below"), "{page}");
    assert!(!page.contains("which we cannot detect on this network"), "{page}");
    // Nothing is counted twice, however often the balances are looked at.
    look(&shop);
    look(&shop);
    assert_eq!(shop.all_deposits().len(), paid.len());
    assert_eq!(shop.app.metric("sluice_deposit_arrivals{chain=\"base\"}"), 0);
}

#[test]
fn coins_that_contracts_send_are_shown_as_arrived_where_there_are_no_traces() {
    let shop = shop(false);
    let (account, other) = (shop.app.account("0"), shop.app.account("0"));
    let mine = address_of(&shop, &account);
    address_of(&shop, &other);
    let paid = paid_by_contracts(&shop, mine);
    shop.finalize();
    let told = eventually("what arrived to be told", || {
        look(&shop);
        let told = arrivals(&shop, &account);
        (told.len() >= paid.len()).then_some(told)
    });
    let amounts: Vec<&Value> = told.iter().map(|one| &one["amount"]).collect();
    assert!(amounts.iter().all(|amount| **amount == json!("0.01")), "{told:?}");
    let mut blocks: Vec<u64> = told.iter().map(|one| one["to_block"].as_u64().unwrap()).collect();
    blocks.sort_unstable();
    let mined = |tx: &H256| {
        crate::support::chain::node::number(&shop.mint.chain.receipt(*tx)["blockNumber"])
    };
    let expected: Vec<u64> = paid.iter().map(mined).collect();
    assert_eq!(blocks, expected, "each in its own block");
    assert!(told.iter().all(|one| one["from_block"] == one["to_block"] && one["asset"] == "ETH"));
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("submit the hash") && message.contains("support"), "{message}");
    // Nothing is credited by it, nobody else is told, and the page says what is true here.
    assert_eq!((shop.available(&account), shop.all_deposits().len()), (0, 0));
    assert_eq!(arrivals(&shop, &other), Vec::<Value>::new());
    let page = shop.app.browser(&account).page("/deposits?with=base.ETH");
    let warned = "from a contract, which we cannot detect on this network";
    for words in ["0.01 ETH", "Arrived, but not credited", warned] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(shop.app.metric("sluice_deposit_arrivals{chain=\"base\"}"), 6);
    shop.claim(&account, paid[0]);
    shop.is_refused(&account, paid[0], ClaimReason::InternalNotSupported);
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn plain_coins_are_credited_where_no_block_is_scanned() {
    for has_traces in [false, true] {
        let shop = shop_of(Mint::open(), has_traces, 6, "scan_blocks = false\n");
        let account = shop.app.account("0");
        let mine = address_of(&shop, &account);
        let chain = &shop.mint.chain;
        let plain = chain.pay(chain.account(3), mine, coins());
        chain.pay(Wallet::dev(1).address(), mine, coins() / 10);
        shop.finalize();
        eventually("the plain coins to be found", || {
            look(&shop);
            (!shop.deposits(plain).is_empty()).then_some(())
        });
        assert_eq!(shop.credited(plain).account_id, Some(account.id));
        // Alone in a block that follows a look, and behind a sweep.
        let next = chain.pay(chain.account(3), mine, coins());
        chain.impersonate(mine);
        chain.pay(mine, shop.mint.treasury, coins() / 2);
        let behind = chain.pay(chain.account(3), mine, coins() / 2);
        shop.finalize();
        eventually("those around a sweep to be found", || {
            look(&shop);
            let found = |tx| !shop.deposits(tx).is_empty();
            (found(next) && found(behind)).then_some(())
        });
        shop.credited(next);
        shop.credited(behind);
        assert_eq!(shop.available(&account), 50 * DOLLAR);
        assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    }
}

#[test]
fn coins_behind_a_sweep_are_found_even_in_its_block() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    let chain = &shop.mint.chain;
    let payer = chain.deploy("Payer", ());
    let from = chain.account(3);
    let plain = chain.pay(from, mine, coins() * 3);
    shop.finalize();
    shop.credited(plain);
    look(&shop);
    chain.impersonate(mine);
    // The balance is lower after all of it than it was before.
    chain.pay(mine, shop.mint.treasury, coins());
    let before = chain.send_paying(from, &payer, "pay", mine, coins() / 2);
    chain.set_automine(false);
    let sweep = chain.pay(mine, shop.mint.treasury, coins());
    let beside = chain.send_paying(from, &payer, "pay", mine, coins() / 4);
    chain.mine(1);
    chain.set_automine(true);
    assert_eq!(chain.receipt(sweep)["blockNumber"], chain.receipt(beside)["blockNumber"]);
    shop.finalize();
    for tx in [before, beside] {
        assert_eq!(shop.credited(tx).account_id, Some(account.id));
    }
    assert_eq!(shop.available(&account), (60 + 10 + 5) * DOLLAR);
}

#[test]
fn one_providers_word_of_a_balance_is_no_reason_and_a_balance_credits_nothing() {
    let shop = shop(true);
    let account = shop.app.account("0");
    address_of(&shop, &account);
    look(&shop);
    shop.mint.beta.mutate("eth_call", |params, answer| {
        if params[0].get("to").is_none() {
            *answer = json!(Bytes::from([vec![0; 8], vec![1; 8]].concat()));
        }
    });
    look(&shop);
    look(&shop);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    // Both of them tell of coins that no block brought.
    shop.mint.alpha.mutate("eth_call", |params, answer| {
        if params[0].get("to").is_none() {
            *answer = json!(Bytes::from([vec![0; 8], vec![1; 8]].concat()));
        }
    });
    look(&shop);
    look(&shop);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    assert_eq!((shop.available(&account), shop.all_deposits().len()), (0, 0));
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn where_old_state_is_gone_the_blocks_are_told_and_traces_that_come_later_find_it() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    look(&shop);
    let gone = Fault::error(-32000, "missing trie node 00ff");
    shop.mint.beta.on("eth_getBalance", gone);
    let tx = paid_by_a_contract(&shop, mine);
    let told = first_told(&shop, &account);
    assert_eq!(told["amount"], "0.01");
    assert!(told["from_block"].as_u64() < told["to_block"].as_u64(), "{told}");
    assert!(told["message"].as_str().unwrap().contains("We are looking for"), "{told}");
    assert_eq!((shop.available(&account), shop.deposits(tx).len()), (0, 0));
    shop.mint.beta.heal();
    shop.app.clock.advance(600_000);
    assert_eq!(shop.credited(tx).account_id, Some(account.id));
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
}

#[test]
fn a_claim_ends_what_was_shown_as_arrived() {
    let shop = shop(true);
    let account = shop.app.account("0");
    let mine = address_of(&shop, &account);
    look(&shop);
    // Blocks cannot be traced in any form, single transactions not either for now.
    for method in ["debug_traceBlockByNumber", "trace_block", "debug_traceTransaction"] {
        shop.mint.alpha.on(method, Fault::unknown_method());
        shop.mint.beta.on(method, Fault::unknown_method());
    }
    let tx = paid_by_a_contract(&shop, mine);
    let told = first_told(&shop, &account);
    assert_eq!((&told["from_block"], &told["tx_hash"]), (&told["to_block"], &Value::Null));
    shop.mint.alpha.heal();
    shop.mint.beta.heal();
    shop.claim(&account, tx);
    shop.reaches(tx, DepositState::Credited);
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    assert_eq!(shop.available(&account), 20 * DOLLAR);
}

/// 2,500 addresses of other accounts, newer than any that there is.
fn fill(shop: &Shop) {
    shop.app.db(|conn| {
        use diesel::prelude::*;
        use sluice::db::schema::{accounts, deposit_addresses};
        let template: i64 = accounts::table.select(accounts::id).first(conn).unwrap();
        conn.transaction::<_, diesel::result::Error, _>(|conn| {
            for number in 0..2_500_i64 {
                let name = format!("filler-{number}");
                diesel::sql_query(format!(
                    "INSERT INTO accounts (public_id, email, status, available_nanousd,
                        reserved_nanousd, created_at,
                         wants_notices, closing_waives_balance, at_risk_nanousd, wrong_codes,
                         credentials_epoch)
                     SELECT '{name}', '{name}', status, 0, 0, created_at, wants_notices,
                     closing_waives_balance, 0, 0, 0
                     FROM accounts WHERE id = {template}"
                ))
                .execute(conn)?;
                let id: i64 = accounts::table
                    .filter(accounts::public_id.eq(&name))
                    .select(accounts::id)
                    .first(conn)?;
                let mut address = vec![0x77_u8; 20];
                address[..8].copy_from_slice(&number.to_be_bytes());
                diesel::insert_into(deposit_addresses::table)
                    .values((
                        deposit_addresses::address.eq(address),
                        deposit_addresses::xpub_fingerprint.eq("filler"),
                        deposit_addresses::derivation_index.eq(number),
                        deposit_addresses::account_id.eq(id),
                        deposit_addresses::created_at.eq(i64::MAX / 1_000_000),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn looks_cost_the_same_however_many_addresses_there_are_and_reach_each_of_them() {
    let shop = shop(true);
    let first = shop.app.account("0");
    let mine = address_of(&shop, &first);
    fill(&shop);
    let deployless = || {
        let calls = shop.mint.alpha.calls("eth_call");
        calls.iter().filter(|params| params[0].get("to").is_none()).count()
    };
    look(&shop);
    let before = deployless();
    look(&shop);
    let per_look = deployless() - before;
    assert!((1..=2).contains(&per_look), "{per_look} calls");
    let tx = paid_by_a_contract(&shop, mine);
    eventually("the oldest address to have its turn", || {
        look(&shop);
        (!shop.deposits(tx).is_empty()).then_some(())
    });
    shop.credited(tx);
}
