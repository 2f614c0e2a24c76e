//! Whose a transfer is: wallets that are contracts, links that come and go, and addresses of one
//! account alone.

use ethers_core::types::{Address, Bytes, H256, U256};
use serde_json::json;
use sluice::db::models::{deposit_addresses, wallets};
use sluice::deposits::addresses;
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{DepositReason, DepositState};
use sluice::domain::evm::EvmAddress;
use sluice::domain::money::NanoUsd;
use sluice::domain::xpub::Xpub;

use crate::support::app::Account;
use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::chain::{CHAIN_ID, node};
use crate::support::deposits::{Shop, USDC};
use crate::support::wait::eventually;

/// `m/44'/60'/0'` of the mnemonic that every test chain knows, `test test … junk`.
pub(super) const XPUB: &str = "xpub6DCoCpSuQZB2jawqnGMEPS63ePKWkwWPH4TU45Q7LPXWuNd8TMtVxRrg\
    jtEshuqpK3mdhaWHPFsBngh5GFZaM6si3yZdUsT8ddYM3PwnATt";

const DOLLAR: i64 = 1_000_000_000;
const HERE: i64 = CHAIN_ID.cast_signed();

/// A wallet that is a contract, with tokens, and what its owner signed.
struct Safe {
    contract: Contract,
    hash: [u8; 32],
    signature: [u8; 65],
}

impl Safe {
    fn open(shop: &Shop) -> Self {
        let (chain, owner) = (&shop.mint.chain, Wallet::numbered(1));
        let contract = chain.deploy("Wallet1271", (owner.address(),));
        let funds = (contract.address, U256::from(100 * USDC));
        chain.send(chain.account(0), &shop.mint.usdc, "mint", funds);
        let hash = [7; 32];
        Self { contract, hash, signature: owner.sign_digest(hash) }
    }

    fn pay(&self, shop: &Shop, amount: u64) -> H256 {
        let Self { contract, .. } = self;
        let usdc = &shop.mint.usdc;
        let input = usdc.input("transfer", (shop.mint.treasury, U256::from(amount)));
        let args = (usdc.address, U256::zero(), input);
        shop.mint.chain.send(shop.mint.chain.account(3), contract, "execute", args)
    }

    fn link(&self, shop: &Shop, account: &Account, chain_id: i64) {
        let proof = (self.hash, self.signature.as_slice());
        shop.link_contract(account, self.contract.address, proof, chain_id);
    }
}

#[test]
fn a_contract_pays_for_whom_it_has_signed_as_of_the_deposits_block() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let (chain, safe) = (&shop.mint.chain, Safe::open(&shop));
    safe.link(&shop, &account, HERE);
    let paid = safe.pay(&shop, 3 * USDC);
    // Another owner afterwards changes nothing about it.
    chain.send(chain.account(0), &safe.contract, "setOwner", (chain.account(0),));
    let late = safe.pay(&shop, 5 * USDC);
    shop.finalize();
    assert_eq!(shop.credited(paid).account_id, Some(account.id));
    let row = shop.reaches(late, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::ProofInvalidAtBlock));
    assert_eq!(shop.available(&account), 3 * DOLLAR);
}

#[test]
fn a_contract_that_answers_oddly_or_is_proven_elsewhere_pays_for_nobody() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let chain = &shop.mint.chain;
    let elsewhere = Safe::open(&shop);
    elsewhere.link(&shop, &account, HERE + 1);
    let foreign = elsewhere.pay(&shop, 2 * USDC);
    let odd: Vec<H256> = (2_u8..7)
        .map(|answer| {
            let safe = Safe::open(&shop);
            safe.link(&shop, &account, HERE);
            chain.send(chain.account(0), &safe.contract, "setAnswer", (answer,));
            safe.pay(&shop, 3 * USDC)
        })
        .collect();
    shop.finalize();
    shop.reaches(foreign, DepositState::Unattributed);
    for tx in odd {
        shop.reaches(tx, DepositState::Held);
    }
    assert_eq!(shop.available(&account), 0);
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn a_contract_that_nobody_can_ask_as_of_its_block_waits_and_troubles_nobody() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let other = shop.holder_of(1);
    let safe = Safe::open(&shop);
    safe.link(&shop, &account, HERE);
    let gone = crate::support::rpc::fault::Fault::error(-32000, "missing trie node 00ff");
    shop.mint.beta.when("eth_call", move |params| (params[1] != "latest").then(|| gone.clone()));
    let tx = safe.pay(&shop, 3 * USDC);
    let plain = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(plain);
    assert_eq!(shop.caught_up().status, "ok");
    assert_eq!((shop.available(&account), shop.available(&other)), (0, 2 * DOLLAR));
    shop.mint.beta.heal();
    eventually("the contract's deposit", || {
        shop.app.clock.advance(1_000);
        (shop.available(&account) == 3 * DOLLAR).then_some(())
    });
    shop.credited(tx);
}

#[test]
fn the_link_at_inclusion_decides_whatever_comes_after_it() {
    let shop = Shop::open();
    let (first, second) = (shop.app.account("0"), shop.app.account("0"));
    let wallet = shop.mint.chain.account(1);
    let unlink = |at: UnixMillis, reason: &str| {
        let address = EvmAddress(wallet.0);
        shop.app.db(|conn| {
            let link = wallets::in_force(conn, address, wallets::EVERY_CHAIN).unwrap().unwrap();
            assert!(wallets::end(conn, link.id, reason, at).unwrap());
        });
    };
    let block_time = |tx: H256| {
        let number = node::number(&shop.mint.chain.receipt(tx)["blockNumber"]);
        let secs = node::number(&shop.mint.chain.block(number)["timestamp"]);
        UnixMillis::from_millis(i64::try_from(secs).unwrap() * 1000)
    };
    shop.keep_time();
    shop.link(&first, wallet, shop.app.clock.now());
    let linked = shop.pay_usdc(1, 2 * USDC);
    // Unlinked in the very moment of the block: the transfer was not the first one's any more.
    let unlinked = shop.pay_usdc(1, 3 * USDC);
    unlink(block_time(unlinked), "unlinked");
    let between = shop.pay_usdc(1, 5 * USDC);
    let moved = shop.pay_usdc(1, 7 * USDC);
    shop.link(&second, wallet, block_time(moved));
    shop.finalize();
    shop.app.clock.advance(60_000);
    for tx in [linked, unlinked, between, moved] {
        shop.credited(tx);
    }
    assert_eq!(shop.available(&first), 2 * DOLLAR);
    // What lay between the two went to the first proof after it.
    assert_eq!(shop.available(&second), (3 + 5 + 7) * DOLLAR);
    // Proven again by the first, later transfers are its own.
    unlink(shop.app.clock.now(), "moved");
    shop.link(&first, wallet, shop.app.clock.now());
    shop.mint
        .chain
        .set_next_timestamp(u64::try_from(shop.app.clock.now().as_millis()).unwrap() / 1000 + 1);
    let back = shop.pay_usdc(1, 11 * USDC);
    shop.finalize();
    shop.credited(back);
    assert_eq!(shop.available(&first), 13 * DOLLAR);
}

fn with_addresses() -> Shop {
    Shop::open_with(|builder| builder.set("deposits.account_xpub", format!("\"{XPUB}\"")), "")
}

pub(super) fn address_of(shop: &Shop, account: &Account) -> Address {
    let (key, now) = (Xpub::parse(XPUB).unwrap(), shop.app.clock.now());
    shop.app.db(|conn| addresses::of_account(conn, &key, account.id, now).unwrap()).0.into()
}

#[test]
fn an_address_of_one_account_needs_no_proof_and_two_in_one_transaction_are_told_apart() {
    let shop = with_addresses();
    let accounts = [shop.app.account("0"), shop.app.account("0")];
    let mine = accounts.each_ref().map(|account| address_of(&shop, account));
    let chain = &shop.mint.chain;
    let from = chain.account(3);
    let coins = chain.pay(from, mine[0], U256::exp10(16));
    let amounts: Vec<U256> = [2 * USDC, 3 * USDC, 5 * USDC].map(U256::from).to_vec();
    let payees = vec![mine[0], mine[1], shop.mint.treasury];
    let tokens = chain.send(from, &shop.mint.usdc, "multi", (payees, amounts));
    let payer = chain.deploy("Payer", ());
    let parts = vec![U256::exp10(15), U256::exp10(15) * 2];
    let within =
        chain.send_paying(from, &payer, "multiPay", (mine.to_vec(), parts), U256::exp10(15) * 3);
    shop.finalize();
    assert_eq!(shop.credited(coins).account_id, Some(accounts[0].id));
    shop.claim(&accounts[1], within);
    let rows = shop.reaches(within, DepositState::Credited);
    let whose: Vec<_> = rows.iter().map(|row| row.account_id).collect();
    assert_eq!(whose, [Some(accounts[1].id), Some(accounts[0].id)]);
    eventually("the token deposits", || {
        shop.app.clock.advance(50);
        let rows = shop.deposits(tokens);
        let states: Vec<_> = rows.iter().map(|row| row.state).collect();
        (states == [DepositState::Credited, DepositState::Credited, DepositState::Unattributed])
            .then_some(())
    });
    assert_eq!(shop.available(&accounts[0]), (20 + 2 + 2) * DOLLAR);
    assert_eq!(shop.available(&accounts[1]), (4 + 3) * DOLLAR);
}

#[test]
fn an_erased_accounts_address_and_sweeps_and_gas_money_credit_nobody() {
    let gas_station = Wallet::dev(2).address();
    let own = ethers_core::utils::to_checksum(&gas_station, None);
    let shop = Shop::open_with(
        |builder| {
            builder
                .set("deposits.account_xpub", format!("\"{XPUB}\""))
                .set("deposits.own_addresses", format!("[\"{own}\"]"))
        },
        "",
    );
    let (kept, erased) = (shop.app.account("0"), shop.app.account("0"));
    let (mine, gone) = (address_of(&shop, &kept), address_of(&shop, &erased));
    shop.app.db(|conn| {
        use diesel::prelude::*;
        use sluice::db::schema::deposit_addresses::dsl::{account_id, deposit_addresses};
        let of_erased = deposit_addresses.filter(account_id.eq(erased.id.0));
        diesel::update(of_erased).set(account_id.eq(None::<i64>)).execute(conn).unwrap();
    });
    let chain = &shop.mint.chain;
    let late = chain.pay(chain.account(3), gone, U256::exp10(16));
    // The derived address pays to the treasury, with gas money of the operator's.
    let gas = chain.pay(gas_station, mine, U256::exp10(17));
    chain.impersonate(mine);
    let sweep = chain.pay(mine, shop.mint.treasury, U256::exp10(16));
    let usdc = &shop.mint.usdc;
    // Made for the address, as bridges do.
    let minted = chain.send(chain.account(0), usdc, "mint", (mine, U256::from(9 * USDC)));
    let tokens = chain.send(mine, usdc, "transfer", (shop.mint.treasury, U256::from(9 * USDC)));
    shop.finalize();
    let row = shop.reaches(late, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::ErasedAccount));
    shop.caught_up();
    for tx in [gas, sweep, tokens] {
        assert!(shop.deposits(tx).is_empty());
    }
    shop.credited(minted);
    assert_eq!((shop.available(&kept), shop.available(&erased)), (9 * DOLLAR, 0));
    let rows = shop.app.db(|conn| deposit_addresses::all(conn).unwrap().len());
    assert_eq!(rows, 2, "its index is not issued again");
}

#[test]
fn blobs_and_delegations_beside_payments_do_no_harm_and_pay_as_others_do() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    let (wallet, other) = (Wallet::dev(1), Wallet::dev(2));
    let delegate = chain.deploy("Wallet1271", (Address::zero(),));
    let draft = |wallet: &Wallet, nonces: u64, wei: U256| Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()) + nonces,
        to: treasury,
        value: wei,
        ..Draft::default()
    };
    let first = draft(&wallet, 0, U256::exp10(16));
    // The wallet lets a contract's code stand for its own, and pays all the same.
    let leave = wallet.authorize(CHAIN_ID, delegate.address, first.nonce + 2);
    chain.set_automine(false);
    let blob = chain.send_raw(&wallet.blob_transaction(&first));
    let delegating = draft(&wallet, 0, U256::exp10(16) * 2);
    let delegating = Draft { nonce: first.nonce + 1, ..delegating };
    let delegating = chain.send_raw(&wallet.delegating_transaction(&delegating, &[leave]));
    let plain = chain.pay(other.address(), treasury, U256::exp10(16) * 3);
    chain.mine(1);
    chain.set_automine(true);
    assert!(chain.code(wallet.address()).starts_with("0xef0100"));
    let by_code = {
        let input = Contract::at("Wallet1271", wallet.address())
            .input("execute", (treasury, U256::exp10(15), Bytes::default()));
        chain.transact(json!({ "from": other.address(), "to": wallet.address(), "data": input }))
    };
    shop.finalize();
    assert_eq!(shop.credited(blob).value_nanousd.map(NanoUsd::as_nanos), Some(20 * DOLLAR));
    assert_eq!(shop.credited(delegating).value_nanousd.map(NanoUsd::as_nanos), Some(40 * DOLLAR));
    shop.reaches(plain, DepositState::Unattributed);
    shop.claim(&account, by_code);
    assert_eq!(shop.credited(by_code).ordinal, -1);
    assert_eq!(shop.available(&account), 62 * DOLLAR);
}

#[test]
fn the_largest_amount_of_a_listed_token_waits_for_a_person() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, usdc) = (&shop.mint.chain, &shop.mint.usdc);
    let supply: U256 = chain.ask(usdc, "totalSupply", ());
    let rich = chain.account(1);
    chain.send(chain.account(0), usdc, "mint", (rich, U256::MAX - supply));
    let all: U256 = chain.ask(usdc, "balanceOf", (rich,));
    let tx = chain.send(rich, usdc, "transfer", (shop.mint.treasury, all));
    let good = shop.pay_coin(1, U256::exp10(16));
    shop.finalize();
    let row = shop.reaches(tx, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::ImplausibleAmount));
    assert_eq!((row.value_nanousd, row.raw_amount.to_string()), (None, all.to_string()));
    shop.credited(good);
    assert_eq!(shop.available(&account), 20 * DOLLAR);
}
