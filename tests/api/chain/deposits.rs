//! Deposits on a real node: what is credited, when, to whom, and what never is.

use ethers_core::types::{Address, U256};
use serde_json::json;
use sluice::domain::deposit::{DepositReason, DepositState};
use sluice::domain::money::NanoUsd;

use crate::support::alerting::Watched;
use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet, transaction_hash};
use crate::support::deposits::{Shop, USDC};

/// Nano-dollars in one dollar.
const DOLLAR: i64 = 1_000_000_000;

#[test]
fn tokens_and_coins_are_credited_at_finality_and_not_before() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let tokens = shop.pay_usdc(1, 25 * USDC + 1);
    let coins = shop.pay_coin(1, U256::exp10(16));
    let peg = shop.mint.chain.send(
        shop.mint.chain.account(1),
        &shop.mint.peg,
        "transfer",
        (shop.mint.treasury, U256::exp10(19) + 1),
    );
    shop.well();
    let ready = shop.app.admin("/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
    for tx in [tokens, coins, peg] {
        let row = shop.reaches(tx, DepositState::Confirming).remove(0);
        assert_eq!(row.account_id, Some(account.id));
    }
    // The last block but one before finality.
    shop.mine(5);
    shop.caught_up();
    assert_eq!(shop.available(&account), 0, "nothing is credited before it is final");

    shop.finalize();
    assert_eq!(
        shop.credited(tokens).value_nanousd.map(NanoUsd::as_nanos),
        Some(25 * DOLLAR + 1000)
    );
    let coin = shop.credited(coins);
    assert_eq!(coin.value_nanousd.map(NanoUsd::as_nanos), Some(20 * DOLLAR));
    assert_eq!(coin.price_answer.as_deref(), Some("200000000000"));
    assert_eq!(coin.ordinal, -1);
    // Eighteen decimals, and what is below a nano-dollar goes down.
    assert_eq!(shop.credited(peg).value_nanousd.map(NanoUsd::as_nanos), Some(10 * DOLLAR));
    assert_eq!(shop.available(&account), 55 * DOLLAR + 1000);
    assert_eq!(shop.app.entries(&account, "deposit").len(), 3);
    assert_eq!(shop.caught_up().status, "ok");
}

#[test]
fn a_block_that_leaves_takes_its_deposit_along_until_it_is_mined_again() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 10 * USDC);
    shop.reaches(tx, DepositState::Confirming);
    let pending = shop.mint.chain.transaction(tx);
    shop.mint.chain.reorg(1, &[]);
    shop.mine(3);
    shop.reaches(tx, DepositState::Orphaned);
    shop.finalize();
    shop.caught_up();
    assert_eq!(shop.available(&account), 0);

    // The wallet sends the same transaction again.
    let again = shop.pay_usdc(1, 10 * USDC);
    assert_eq!(pending["nonce"], shop.mint.chain.transaction(again)["nonce"]);
    shop.finalize();
    shop.credited(again);
    assert_eq!(shop.available(&account), 10 * DOLLAR);
    assert_eq!(shop.app.entries(&account, "deposit").len(), 1);
}

#[test]
fn a_credit_whose_block_leaves_is_taken_back_and_given_again_once_it_is_mined_again() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    let wallet = Wallet::dev(1);
    let raw = wallet.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: shop.mint.usdc.address,
        data: shop.mint.usdc.input("transfer", (shop.mint.treasury, U256::from(10 * USDC))),
        ..Draft::default()
    });
    let tx = chain.send_raw(&raw);
    shop.finalize();
    assert_eq!(shop.credited(tx).credit_number, 1);

    // Deeper than what the chain had called final.
    let watched = Watched::new(shop.app.admin_address);
    chain.reorg(10, &[]);
    shop.mine(1);
    let gone = shop.reaches(tx, DepositState::Reversed).remove(0);
    watched.fires(&["SluiceChainReorganisation"]);
    assert_eq!(gone.value_nanousd.map(NanoUsd::as_nanos), Some(10 * DOLLAR));
    assert_eq!(shop.available(&account), 0);
    assert_eq!(shop.app.entries(&account, "reversal"), [-10 * DOLLAR]);

    // In a block with another transfer before it, so that its logs have other indexes.
    chain.set_automine(false);
    let usdc = &shop.mint.usdc;
    let dearer = serde_json::json!({
        "from": chain.account(2),
        "to": usdc.address,
        "data": usdc.input("transfer", (shop.mint.treasury, U256::from(USDC))),
        "gasPrice": U256::exp10(12),
    });
    chain.transact(dearer);
    chain.send_raw(&raw);
    chain.mine(1);
    chain.set_automine(true);
    assert_eq!(chain.receipt(tx)["logs"][0]["logIndex"], "0x1");
    shop.finalize();
    assert_eq!(shop.credited(tx).credit_number, 2);
    assert_eq!(shop.available(&account), 10 * DOLLAR);
    assert_eq!(shop.app.entries(&account, "deposit"), [10 * DOLLAR, 10 * DOLLAR]);
}

#[test]
fn what_is_not_a_transfer_to_us_credits_nobody() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, mint) = (&shop.mint.chain, &shop.mint);
    let (from, treasury) = (chain.account(1), mint.treasury);
    // More than the account has: it fails.
    let failed = shop.pay_usdc(1, 2_000_000 * USDC);
    // Says yes and does nothing.
    chain.send(chain.account(0), &mint.usdc, "setRefuses", (true,));
    let silent = shop.pay_usdc(1, USDC);
    chain.send(chain.account(0), &mint.usdc, "setRefuses", (false,));
    // A namesake of the token, and a contract that writes what it likes.
    let fake = chain.deploy("Token", ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    chain.send(chain.account(0), &fake, "mint", (from, U256::from(100 * USDC)));
    let forged = chain.send(from, &fake, "transfer", (treasury, U256::from(100 * USDC)));
    let spoof = chain.deploy("Spoof", ());
    let spoofed = chain.send(from, &spoof, "say", (from, treasury, U256::MAX));
    let erc721 = chain.send(from, &spoof, "sayErc721", (from, treasury, U256::from(USDC)));
    // Coins that an inner call gave back, and coins that never moved.
    let payer = chain.deploy("Payer", ());
    let inner = chain.send_paying(from, &payer, "payAndRevertInner", (treasury,), U256::exp10(18));
    let delegated =
        chain.send_paying(from, &payer, "payByDelegatecall", (treasury,), U256::exp10(18));
    // Money between our own addresses, and nothing at all.
    chain.impersonate(treasury);
    chain.set_balance(treasury, U256::exp10(20));
    let own = chain.pay(treasury, treasury, U256::exp10(18));
    let nothing = shop.pay_usdc(1, 0);
    let good = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.credited(good);
    shop.caught_up();
    assert_eq!(shop.all_deposits().len(), 1);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
    assert_eq!(shop.candidates(), 0, "nothing is left to look into");
    for tx in [failed, silent, forged, spoofed, erc721, inner, delegated, own, nothing] {
        assert!(shop.deposits(tx).is_empty());
    }
}

#[test]
fn every_transfer_of_a_transaction_counts_once_and_by_what_arrived() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, mint) = (&shop.mint.chain, &shop.mint);
    let (from, treasury) = (chain.account(1), mint.treasury);
    let other = Address::repeat_byte(0x99);
    let amounts: Vec<U256> = [2 * USDC, 5 * USDC, 7 * USDC].map(U256::from).to_vec();
    let many = chain.send(from, &mint.usdc, "multi", (vec![treasury, other, treasury], amounts));
    chain.send(chain.account(0), &mint.usdc, "setFeeBps", (100_u16,));
    let with_fee = shop.pay_usdc(1, 10 * USDC);
    shop.finalize();
    let rows = shop.reaches(many, DepositState::Credited);
    assert_eq!(rows.iter().map(|row| row.ordinal).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(shop.credited(with_fee).value_nanousd.map(NanoUsd::as_nanos), Some(9_900_000_000));
    assert_eq!(shop.available(&account), 9 * DOLLAR + 9_900_000_000);
}

#[test]
fn small_deposits_add_up_until_they_reach_the_minimum() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let first = shop.pay_usdc(1, USDC / 2);
    let coin = shop.pay_coin(1, U256::exp10(14));
    shop.finalize();
    shop.reaches(first, DepositState::BelowMinimum);
    shop.reaches(coin, DepositState::BelowMinimum);
    assert_eq!(shop.available(&account), 0);
    let second = shop.pay_usdc(1, USDC / 2);
    shop.finalize();
    shop.credited(first);
    shop.credited(second);
    shop.caught_up();
    assert_eq!(shop.available(&account), DOLLAR);
    // Another coin does not count towards it.
    shop.reaches(coin, DepositState::BelowMinimum);
}

#[test]
fn a_wallet_that_is_proven_after_the_payment_gets_it() {
    let shop = Shop::open();
    let tx = shop.pay_usdc(2, 4 * USDC);
    shop.finalize();
    shop.reaches(tx, DepositState::Unattributed);
    let account = shop.app.account("0");
    shop.link(&account, shop.mint.chain.account(2), shop.app.clock.now());
    let rows = shop.deposits(tx);
    shop.app.db(|conn| {
        sluice::deposits::attribution::send_on(conn, rows[0].payer, None, shop.app.clock.now())
            .unwrap();
    });
    shop.credited(tx);
    assert_eq!(shop.available(&account), 4 * DOLLAR);
}

#[test]
fn a_token_off_its_peg_and_a_stale_price_wait_for_a_person() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, mint) = (&shop.mint.chain, &shop.mint);
    let now = U256::from(shop.app.clock.now().as_millis() / 1000);
    let price = ethers_core::types::I256::from(87_000_000);
    chain.send(chain.account(0), &mint.usdc_feed, "push", (price, now));
    let cheap = shop.pay_usdc(1, 10 * USDC);
    // Beyond the heartbeat of the coin's feed.
    let later = crate::support::chain::node::number(&chain.block("latest")["timestamp"]) + 7200;
    chain.set_next_timestamp(later);
    let stale = shop.pay_coin(1, U256::exp10(16));
    shop.finalize();
    let row = shop.reaches(cheap, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::Depegged));
    assert_eq!(
        row.value_nanousd.map(NanoUsd::as_nanos),
        Some(8_700_000_000),
        "it counts at most what it was worth"
    );
    let row = shop.reaches(stale, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::StalePrice));
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn with_fewer_providers_than_the_quorum_everything_waits_and_everybody_is_told() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.well();
    let watched = Watched::new(shop.app.admin_address);
    shop.mint.beta.die();
    let tx = shop.pay_usdc(1, 10 * USDC);
    shop.finalize();
    let detail = shop.in_trouble("1 providers make sense and 2 are needed (beta: ");
    let ready = shop.app.admin("/readyz");
    assert_eq!(ready.status, 200, "requests are served all the same");
    assert_eq!(ready.text(), format!("ready\ndeposits on base wait, degraded: {detail}\n"));
    assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 0);
    watched.fires(&["SluiceChainWaits", "SluiceChainProvider"]);
    assert_eq!(shop.available(&account), 0);
    shop.mint.beta.revive();
    shop.credited(tx);
    shop.well();
    assert_eq!(shop.available(&account), 10 * DOLLAR);
}

#[test]
fn a_claim_of_what_turns_out_to_be_anothers_says_so_and_shows_nothing() {
    let shop = Shop::open();
    let (owner, stranger) = (shop.holder_of(1), shop.app.account("0"));
    let payer = Wallet::dev(1);
    let payment = payer.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: shop.mint.chain.nonce(payer.address()),
        to: shop.mint.treasury,
        value: U256::exp10(16),
        ..Draft::default()
    });
    // Claimed before it is mined, so that the deposit is found with both claims open.
    let body = json!({ "chain": "base", "tx_hash": transaction_hash(&payment) });
    let claim = |account| {
        let response = shop.app.api_post(account, "/api/v1/deposits", &body);
        assert_eq!(response.status, 202, "{}", response.text());
        format!("/api/v1/deposits/{}", response.json()["id"].as_str().unwrap())
    };
    let (owners, strangers) = (claim(&owner), claim(&stranger));
    let tx = shop.mint.chain.send_raw(&payment);
    shop.finalize();
    assert_eq!(shop.credited(tx).account_id, Some(owner.id));
    let told = shop.app.api_get(&stranger, &strangers).json();
    assert_eq!((&told["state"], &told["reason"]), (&json!("rejected"), &json!("other_account")));
    assert_eq!(told["deposits"], json!([]));
    let told = shop.app.api_get(&owner, &owners).json();
    assert_eq!(
        (&told["state"], &told["deposits"][0]["state"]),
        (&json!("matched"), &json!("credited"))
    );
}
