//! Coins at the common address that no scan shows: those that contracts send, and plain ones where
//! no block is read, are found by its balance as at accounts' own addresses. What has no owner
//! there is told to the operator alone.

use ethers_core::types::{Address, Bytes, H256};
use serde_json::{Value, json};
use sluice::db::models::arrivals::{self as rows, ArrivalRow};
use sluice::domain::deposit::DepositState;
use sluice::domain::ids::AccountId;

use super::arrivals::{arrivals, coins, look, shop, shop_of};
use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::chain::{CHAIN_ID, TestChain};
use crate::support::deposits::{Mint, Shop};
use crate::support::wait::eventually;

const DOLLAR: i64 = 1_000_000_000;

/// What arrived and is no deposit, with whose it is, as operators read it.
fn listed(shop: &Shop) -> Vec<(ArrivalRow, Option<AccountId>)> {
    shop.db(|conn| rows::page(conn, None, 0, 100).unwrap())
}

/// Gives the dev account of that number code by delegation.
pub(super) fn delegate(chain: &TestChain, index: usize) -> Contract {
    let (user, sender) = (Wallet::dev(index), Wallet::dev(0));
    let code = chain.deploy("Wallet1271", (Address::zero(),));
    let authorization = user.authorize(CHAIN_ID, code.address, chain.nonce(user.address()));
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(sender.address()),
        to: user.address(),
        ..Draft::default()
    };
    chain.send_raw(&sender.delegating_transaction(&draft, &[authorization]));
    assert!(chain.code(user.address()).starts_with("0xef0100"));
    Contract::at("Wallet1271", user.address())
}

/// Coins by a proven key with delegated code, in a batch of its own, and by a contract that nobody
/// has proven.
fn paid_from_within(shop: &Shop) -> [H256; 2] {
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    let code = delegate(chain, 2);
    let batch = chain.send(code.address, &code, "execute", (treasury, coins(), Bytes::default()));
    let payer = chain.deploy("Payer", ());
    let by_contract = chain.send_paying(chain.account(3), &payer, "pay", treasury, coins());
    shop.finalize();
    [batch, by_contract]
}

#[test]
fn coins_that_contracts_send_to_the_treasury_are_found_without_a_claim_where_there_are_traces() {
    let shop = shop(true);
    let account = shop.holder_of(2);
    look(&shop);
    let [batch, by_contract] = paid_from_within(&shop);
    eventually("both to be found", || {
        look(&shop);
        let found = |tx| !shop.deposits(tx).is_empty();
        (found(batch) && found(by_contract)).then_some(())
    });
    assert_eq!(shop.credited(batch).account_id, Some(account.id));
    shop.reaches(by_contract, DepositState::Unattributed);
    look(&shop);
    look(&shop);
    assert_eq!((listed(&shop), shop.all_deposits().len()), (Vec::new(), 2));
    assert_eq!(shop.available(&account), 20 * DOLLAR);
    assert_eq!(shop.app.metric("sluice_deposit_arrivals{chain=\"base\"}"), 0);
}

#[test]
fn coins_that_contracts_send_to_the_treasury_are_listed_without_an_account_where_there_are_none() {
    let shop = shop(false);
    let account = shop.holder_of(2);
    look(&shop);
    paid_from_within(&shop);
    let found = eventually("both to be listed", || {
        look(&shop);
        let found = listed(&shop);
        (found.len() == 2 && found.iter().all(|(row, _)| row.tries > 0)).then_some(found)
    });
    for (row, owner) in found {
        let what = (row.address.as_bytes(), row.raw_amount.to_string(), owner);
        assert_eq!(what, (shop.mint.treasury.as_bytes(), coins().to_string(), None));
        assert_eq!(row.after_number + 1, row.block_number, "in its own block");
    }
    assert_eq!(arrivals(&shop, &account), Vec::<Value>::new());
    assert_eq!((shop.available(&account), shop.all_deposits().len()), (0, 0));
    assert_eq!(shop.app.metric("sluice_deposit_arrivals{chain=\"base\"}"), 2);
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn plain_coins_to_the_treasury_are_credited_where_no_block_is_scanned() {
    for has_traces in [false, true] {
        let shop = shop_of(Mint::open(), has_traces, 20, "scan_blocks = false\n");
        let account = shop.holder_of(2);
        let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
        look(&shop);
        look(&shop);
        let before = shop.mint.alpha.calls("eth_getBlockByNumber");
        let is_whole = |params: &&Value| params[1] == json!(true);
        assert_eq!(before.iter().filter(is_whole).count(), 0, "no block is read");
        let plain = shop.pay_coin(2, coins());
        let stranger = shop.pay_coin(3, coins());
        shop.finalize();
        eventually("the plain coins to be found", || {
            look(&shop);
            let found = |tx| !shop.deposits(tx).is_empty();
            (found(plain) && found(stranger)).then_some(())
        });
        assert_eq!(shop.credited(plain).account_id, Some(account.id));
        shop.reaches(stranger, DepositState::Unattributed);
        look(&shop);
        assert_eq!(listed(&shop), Vec::new());

        // Emptied so that the balance is to the last unit what it was at the look before.
        let was = chain.balance(treasury);
        let again = shop.pay_coin(2, coins());
        chain.impersonate(treasury);
        chain.pay(treasury, Address::repeat_byte(0x52), coins() / 2);
        chain.set_balance(treasury, was);
        shop.finalize();
        assert_eq!(chain.balance(treasury), was);
        eventually("what was swept at once to be found", || {
            look(&shop);
            (!shop.deposits(again).is_empty()).then_some(())
        });
        shop.credited(again);
        look(&shop);
        assert_eq!(shop.available(&account), 40 * DOLLAR);
        assert_eq!(shop.all_deposits().len(), 3);
    }
}

#[test]
fn what_came_to_the_treasury_while_the_server_was_down_is_found() {
    let shop = shop_of(Mint::open(), false, 20, "scan_blocks = false\n");
    let account = shop.holder_of(2);
    look(&shop);
    let tx = shop.pay_coin(2, coins());
    // Before it is final, and so before any look can see it.
    assert!(shop.deposits(tx).is_empty());
    let (mint, (database, _folder)) = shop.stop();
    mint.chain.finalize();
    let toml = mint.toml("").replace("[chains.native]\n", "[chains.native]\nscan_blocks = false\n");
    let shop = Shop::on(mint, &toml, |mut builder| {
        builder.database = Some(database);
        builder.set("deposits.balance_check_secs", 10)
    });
    shop.caught_up();
    eventually("it to be found", || {
        look(&shop);
        (!shop.deposits(tx).is_empty()).then_some(())
    });
    assert_eq!(shop.credited(tx).account_id, Some(account.id));
}

#[test]
fn what_comes_to_the_treasury_before_the_first_look_at_it_is_found() {
    let mint = Mint::open();
    let (chain, treasury) = (&mint.chain, mint.treasury);
    chain.set_balance(treasury, coins());
    chain.mine(1);
    let first = chain.head() + 1;
    // Paid, and final, before the server runs for the first time: the first look is at a block
    // behind it.
    let tx = chain.pay(chain.account(2), treasury, coins());
    chain.finalize();
    let toml = mint.toml("").replace("start_block = 1\n", &format!("start_block = {first}\n"));
    let toml = toml.replace("[chains.native]\n", "[chains.native]\nscan_blocks = false\n");
    let shop = Shop::on(mint, &toml, |builder| builder.set("deposits.balance_check_secs", 10));
    shop.caught_up();
    eventually("it to be found", || {
        look(&shop);
        (!shop.deposits(tx).is_empty()).then_some(())
    });
    shop.reaches(tx, DepositState::Unattributed);
    assert_eq!((shop.all_deposits().len(), listed(&shop)), (1, Vec::new()));
}
