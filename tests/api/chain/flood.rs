//! Thousands of transfers of next to nothing in one transaction, several of them in a row: nobody
//! else's deposit waits for them, they leave few rows or none, and what adds up to something is
//! credited to the last unit.

use std::time::Instant;

use ethers_core::types::{Address, H256, U256};
use serde_json::json;
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::{chains, deposit_turns};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{ClaimReason, DepositState};
use sluice::domain::evm::{ChainId, RawAmount, TxHash};
use sluice::domain::ids::AccountId;
use sluice::domain::money::NanoUsd;

use super::payers::{XPUB, address_of};
use crate::support::app::Builder;
use crate::support::deposits::{Shop, USDC};
use crate::support::rpc::ANY;
use crate::support::wait::within;

const DOLLAR: i64 = 1_000_000_000;
/// Transactions in a row.
const FLOODS: usize = 10;
const RECEIPT: &str = "eth_getTransactionReceipt";

/// How a flood looks.
#[derive(Clone, Copy, Debug)]
enum Payers {
    /// The chain's dev account of that number.
    One(usize),
    /// Another one for each transfer.
    Many,
}

/// One transaction with a transfer of so much to each of the payees.
fn flood(shop: &Shop, by: Payers, payees: Vec<Address>, raw: u64) -> H256 {
    let (chain, usdc) = (&shop.mint.chain, &shop.mint.usdc);
    let count = u64::try_from(payees.len()).unwrap();
    let (from, input) = match by {
        Payers::One(index) => {
            let amounts = vec![U256::from(raw); payees.len()];
            (chain.account(index), usdc.input("multi", (payees, amounts)))
        }
        Payers::Many => {
            let names: Vec<Address> = (1..=count).map(Address::from_low_u64_be).collect();
            (chain.account(3), usdc.input("multiFrom", (names, payees, U256::from(raw))))
        }
    };
    let call = json!({ "from": from, "to": usdc.address, "data": input, "gas": "0x1c00000" });
    let tx = chain.transact(call);
    assert_eq!(chain.receipt(tx)["status"], "0x1", "{by:?}");
    tx
}

/// Rounds that the watcher has begun: each begins with a look at the newest block.
fn rounds(shop: &Shop) -> usize {
    shop.mint.alpha.looks().max(shop.mint.beta.looks())
}

/// Rounds from now until the one deposit of a transaction is credited.
fn rounds_until_credited(shop: &Shop, tx: H256) -> usize {
    let from = rounds(shop);
    let limit = std::time::Duration::from_mins(10);
    within(limit, || {
        let rows = shop.deposits(tx);
        (rows.len() == 1 && rows[0].state == DepositState::Credited).then_some(())
    })
    .expect("a credit");
    rounds(shop) - from
}

/// How often each provider was asked for the receipt of a transaction.
fn looks(shop: &Shop, tx: H256) -> [usize; 2] {
    [&shop.mint.alpha, &shop.mint.beta].map(|provider| {
        provider.calls(RECEIPT).iter().filter(|params| params[0] == json!(tx)).count()
    })
}

fn with_addresses(change: impl FnOnce(Builder) -> Builder, lines: &str) -> Shop {
    let xpub = format!("\"{XPUB}\"");
    Shop::open_with(|builder| change(builder.set("deposits.account_xpub", xpub)), lines)
}

/// Goes through floods of every kind, each with an honest payment in the block behind it.
fn go_through(shop: &Shop, transfers: usize) {
    let (mallory, honest) = (shop.holder_of(1), shop.holder_of(2));
    let own = address_of(shop, &mallory);
    let treasury = shop.mint.treasury;
    let alone = shop.pay_usdc(2, 5 * USDC);
    shop.finalize();
    let alone = rounds_until_credited(shop, alone);
    let both = [treasury, own];
    let kinds: [(&str, Payers, Vec<Address>); 4] = [
        ("a linked wallet", Payers::One(1), vec![treasury; transfers]),
        ("a stranger, to an own address", Payers::One(3), vec![own; transfers]),
        ("many payers", Payers::Many, vec![treasury; transfers]),
        ("many payers, to both", Payers::Many, both.into_iter().cycle().take(transfers).collect()),
    ];
    for (count, (what, by, payees)) in (2..).zip(kinds) {
        let floods: Vec<H256> = (0..FLOODS).map(|_| flood(shop, by, payees.clone(), 1)).collect();
        let tx = shop.pay_usdc(2, 5 * USDC);
        shop.finalize();
        let (began, asked) = (Instant::now(), shop.mint.alpha.count(ANY));
        let flooded = rounds_until_credited(shop, tx);
        let secs = began.elapsed().as_secs_f32();
        let (calls, rows) = (shop.mint.alpha.count(ANY) - asked, shop.all_deposits().len());
        println!(
            "{what}: credited after {flooded} rounds, {secs:.1} s; alone {alone}; \
             {calls} calls to one provider meanwhile, {rows} rows"
        );
        assert!(flooded <= alone.max(1) + 2, "{what}: {flooded} rounds, and {alone} alone");
        assert_eq!(shop.available(&honest), count * 5 * DOLLAR);
        shop.caught_up();
        for flood in floods {
            assert_eq!(shop.deposits(flood), [], "{what}");
            assert_eq!(looks(shop, flood), [1, 1], "{what}");
        }
    }
    assert_eq!(shop.all_deposits().len(), 5, "nothing but what was honest");
    assert_eq!(shop.candidates(), 0);
    assert_eq!(shop.cursor().unwrap().status, "ok");
    assert_eq!(shop.available(&mallory), 0);
}

#[test]
fn floods_of_dust_hold_up_nobody_and_leave_no_row() {
    let shop = with_addresses(|builder| builder, "");
    go_through(&shop, 400);
}

/// The size that was seen to stop all crediting for minutes, at the settings of Base.
#[test]
#[ignore = "full size: scripts/soak dust"]
fn floods_of_3800_transfers_at_the_settings_of_base() {
    let mint = crate::support::deposits::Mint::open();
    let toml = mint.toml("").replace("poll_millis = 20\n", "poll_millis = 2000\n");
    let toml = toml.replace("requests_per_second = 10000", "requests_per_second = 20");
    let xpub = format!("\"{XPUB}\"");
    let shop = Shop::on(mint, &toml, |builder| builder.set("deposits.account_xpub", xpub));
    go_through(&shop, 3_800);
}

#[test]
fn small_transfers_of_a_transaction_are_one_row_and_add_up_exactly() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let treasury = shop.mint.treasury;
    // 600 times a tenth of a cent, then 390 times, then 10 times: a dollar to the last unit.
    let first = flood(&shop, Payers::One(1), vec![treasury; 600], 1_000);
    let second = flood(&shop, Payers::One(1), vec![treasury; 390], 1_000);
    shop.finalize();
    let row = shop.reaches(first, DepositState::BelowMinimum);
    assert_eq!((row.len(), row[0].ordinal, row[0].raw_amount), (1, 0, RawAmount::from(600_000)));
    shop.reaches(second, DepositState::BelowMinimum);
    assert_eq!(shop.available(&account), 0);
    let third = flood(&shop, Payers::One(1), vec![treasury; 10], 1_000);
    shop.finalize();
    for tx in [first, second, third] {
        shop.credited(tx);
    }
    assert_eq!(shop.available(&account), DOLLAR);
    // What is read again makes no second row.
    shop.caught_up();
    assert_eq!(shop.all_deposits().len(), 3);
}

#[test]
fn what_is_dust_is_no_deposit_and_a_claim_of_it_says_so() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let treasury = shop.mint.treasury;
    let dust = flood(&shop, Payers::One(1), vec![treasury; 9], 1_000);
    let cent = flood(&shop, Payers::One(1), vec![treasury; 10], 1_000);
    shop.finalize();
    shop.reaches(cent, DepositState::BelowMinimum);
    shop.is_refused(&account, dust, ClaimReason::TooSmall);
    assert_eq!(shop.all_deposits().len(), 1);
    // Beside a payment, it goes the same way.
    let amounts = [1, 3 * USDC, 1].map(U256::from).to_vec();
    let (chain, usdc) = (&shop.mint.chain, &shop.mint.usdc);
    let mixed = chain.send(chain.account(1), usdc, "multi", (vec![treasury; 3], amounts));
    shop.finalize();
    let row = shop.credited(mixed);
    assert_eq!((row.ordinal, row.value_nanousd.map(NanoUsd::as_nanos)), (1, Some(3 * DOLLAR)));
}

#[test]
fn a_sum_whose_block_leaves_and_comes_back_is_the_same_deposit() {
    use crate::support::chain::CHAIN_ID;
    use crate::support::chain::wallet::{Draft, Wallet};
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, wallet, usdc) = (&shop.mint.chain, Wallet::dev(1), &shop.mint.usdc);
    let amounts = vec![U256::from(9_900); 100];
    let raw = wallet.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: usdc.address,
        data: usdc.input("multi", (vec![shop.mint.treasury; 100], amounts)),
        ..Draft::default()
    });
    let tx = chain.send_raw(&raw);
    shop.mine(2);
    let before = shop.reaches(tx, DepositState::Confirming).remove(0);
    chain.reorg(3, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Orphaned);
    chain.send_raw(&raw);
    let cent = shop.pay_usdc(1, USDC / 100);
    shop.finalize();
    let after = shop.credited(tx);
    shop.credited(cent);
    assert_eq!((after.public_id, after.ordinal), (before.public_id, 0));
    assert_ne!(after.block_hash, before.block_hash);
    assert_eq!(shop.available(&account), DOLLAR);
}

/// Puts a transaction among the candidates again, as reading the same blocks once more does.
fn read_again(shop: &Shop, tx: H256) {
    use sluice::db::models::chains;
    use sluice::domain::evm::{ChainId, TxHash};
    let chain_id = ChainId(crate::support::chain::CHAIN_ID.cast_signed());
    let now = shop.app.clock.now();
    shop.db(|conn| chains::note_candidates(conn, chain_id, &[(TxHash(tx.0), 1)], now).unwrap());
    crate::support::wait::eventually("the candidate", || (shop.candidates() == 0).then_some(()));
}

#[test]
fn another_limit_of_dust_makes_no_second_row_of_the_same_money() {
    for (before, after) in [("0.0001", "0.01"), ("0.01", "0.0001")] {
        let shop = Shop::open_with(|builder| builder.set("deposits.dust_usd", quoted(before)), "");
        let account = shop.holder_of(1);
        let tx = flood(&shop, Payers::One(1), vec![shop.mint.treasury; 200], 5_000);
        shop.finalize();
        let rows = shop.reaches(tx, DepositState::Credited);
        assert_eq!(rows.len(), if before == "0.01" { 1 } else { 200 });
        assert_eq!(shop.available(&account), DOLLAR);
        let (mint, (database, _folder)) = shop.stop();
        let toml = mint.toml("");
        let shop = Shop::on(mint, &toml, |mut builder| {
            builder.database = Some(database);
            builder.set("deposits.dust_usd", quoted(after))
        });
        shop.caught_up();
        read_again(&shop, tx);
        shop.rounds(3);
        assert_eq!(shop.deposits(tx), rows);
        assert_eq!(shop.available(&account), DOLLAR);
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[test]
fn many_payers_of_real_money_are_looked_at_together() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let now = shop.app.clock.now();
    // A cent each from sixty payers, all of them strangers.
    let tx = flood(&shop, Payers::Many, vec![shop.mint.treasury; 60], 10_000);
    shop.finalize();
    let rows = shop.reaches(tx, DepositState::Unattributed);
    assert_eq!(rows.len(), 60);
    assert_eq!(looks(&shop, tx), [1, 1]);
    // All of them are proven: the transaction is read once more for all, as long as they are due
    // together.
    for payer in 1..=60 {
        shop.link(&account, Address::from_low_u64_be(payer), now);
    }
    shop.db(|conn| {
        for row in &rows {
            sluice::deposits::attribution::send_on(conn, row.payer, None, now).unwrap();
        }
    });
    shop.reaches(tx, DepositState::BelowMinimum);
    let [alpha, beta] = looks(&shop, tx);
    println!("receipts for sixty deposits: {alpha}, {beta}");
    assert!(alpha <= 4 && beta <= 4, "{alpha} {beta}");
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn a_transaction_has_one_turn_before_any_has_its_second_and_what_is_put_off_keeps_nothing_busy() {
    let shop = Shop::open();
    let ids = [1, 2, 3].map(|index| shop.holder_of(index).id);
    let paid = shop.pay_usdc(1, 5 * USDC);
    let model = shop.reaches(paid, DepositState::Confirming).remove(0);
    // A chain that nobody reads.
    let (chain_id, now) = (ChainId(4_242), UnixMillis::from_millis(1_000));
    let mut ordinal = 0;
    let mut insert = |tx: u8, account_id: AccountId, check_at: i64| {
        ordinal += 1;
        let row = DepositRow {
            public_id: format!("dep_turn{ordinal}"),
            chain_id,
            tx_hash: TxHash([tx; 32]),
            ordinal,
            account_id: Some(account_id),
            wallet_id: None,
            block_number: 10,
            check_at: UnixMillis::from_millis(check_at),
            ..model.clone()
        };
        shop.db(|conn| deposits::insert(conn, &row).unwrap());
    };
    // One that pays everybody, and those who pay for themselves.
    for id in &ids {
        insert(1, *id, 100);
    }
    insert(2, ids[0], 200);
    insert(3, ids[1], 300);
    let turns = |until: i64, limit| {
        shop.db(|conn| {
            deposit_turns::confirming(conn, chain_id, (i64::MIN, until), now, limit).unwrap()
        })
    };
    let firsts: Vec<u8> = turns(10, 3).iter().map(|row| row.tx_hash.0[0]).collect();
    assert_eq!(firsts, [1, 2, 3]);
    assert_eq!((turns(10, 50).len(), turns(9, 50).len()), (5, 0));

    let waiting =
        |until: i64, now| shop.db(|conn| chains::waiting(conn, chain_id, until, now).unwrap());
    assert!(waiting(10, now).is_due);
    assert!(!waiting(9, now).is_due && waiting(9, now).for_finality);
    assert!(!waiting(10, UnixMillis::from_millis(99)).is_due);
    let hash = TxHash([9; 32]);
    shop.db(|conn| chains::note_candidates(conn, chain_id, &[(hash, 9)], now).unwrap());
    assert!(waiting(9, now).is_due);
    let later = now.plus_millis(600_000);
    shop.db(|conn| chains::put_off_candidate(conn, chain_id, hash, later).unwrap());
    assert!(!waiting(9, now).is_due);
    assert!(waiting(9, later).is_due);
}
