//! Ten thousand open claims, most of them bogus: what providers are asked for a block stays the
//! same, and nobody's deposit waits for anybody else's claims.

use diesel::prelude::*;
use ethers_core::types::{H256, U256};
use serde_json::json;
use sluice::db::models::deposit_claims::ClaimRow;
use sluice::db::schema::deposit_claims;
use sluice::db::{AnyConnection, transaction};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositState};
use sluice::domain::evm::{ChainId, TxHash};
use sluice::domain::ids::{AccountId, public_id};

use crate::support::app::Account;
use crate::support::chain::CHAIN_ID;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::ANY;

/// Accounts that claim hashes of nothing.
const ACCOUNTS: u64 = 500;
/// Blocks over which is averaged.
const BLOCKS: usize = 5;
/// As the default is.
const LOOK_UPS: usize = 8;
/// Calls for a look-up that finds nothing: the transaction and its receipt.
const CALLS_OF_A_LOOK_UP: usize = 2;

/// A claim of a hash that is nobody's, the `number`-th.
fn bogus(account_id: AccountId, number: u64, now: i64) -> ClaimRow {
    let now = UnixMillis::from_millis(now);
    ClaimRow {
        id: 0,
        public_id: public_id("claim_").unwrap(),
        account_id,
        chain_id: ChainId(CHAIN_ID.cast_signed()),
        tx_hash: TxHash(H256::from_low_u64_be(0x00b0_0000_0000 + number).0),
        state: ClaimState::Submitted,
        reason: None,
        tries: 0,
        check_at: Some(now),
        created_at: now,
        updated_at: now,
    }
}

/// Opens that many claims, evenly by all accounts.
fn open_claims(shop: &Shop, accounts: &[i64], numbers: std::ops::Range<u64>) {
    let now = shop.app.clock.now().as_millis();
    shop.app.db(|conn| {
        let insert = |conn: &mut AnyConnection| {
            for (number, account_id) in numbers.zip(accounts.iter().cycle()) {
                let row = bogus(AccountId(*account_id), number, now);
                diesel::insert_into(deposit_claims::table).values(row).execute(conn)?;
            }
            Ok::<_, diesel::result::Error>(())
        };
        transaction::write(conn, insert).unwrap();
    });
}

fn open_accounts(shop: &Shop) -> Vec<i64> {
    let now = shop.app.clock.now();
    shop.app.db(|conn| {
        let open = |number| {
            let email = format!("crowd-{number}@example.org");
            sluice::accounts::open(conn, &email, now).unwrap().id.0
        };
        (0..ACCOUNTS).map(open).collect()
    })
}

/// What each provider is asked for a block beyond what it is asked in a round without news.
fn calls_per_block(shop: &Shop) -> usize {
    shop.caught_up();
    let provider = &shop.mint.alpha;
    // Of a round without news there is one.
    let asked = || provider.count(ANY) - provider.looks();
    let from = asked();
    for _ in 0..BLOCKS {
        shop.mine(1);
        shop.caught_up();
    }
    // A round that is under way may be counted in part.
    (asked() - from + BLOCKS / 2) / BLOCKS
}

fn due(shop: &Shop) -> i64 {
    shop.app.db(|conn| {
        let open = deposit_claims::table.filter(deposit_claims::check_at.is_not_null());
        open.count().get_result(conn).unwrap()
    })
}

#[test]
fn ten_thousand_claims_cost_what_a_hundred_cost_and_slow_nobody() {
    let shop = Shop::open();
    let honest = shop.holder_of(1);
    let accounts = open_accounts(&shop);
    let mut figures = Vec::new();
    let mut known = 0;
    for count in [0, 100, 10_000] {
        open_claims(&shop, &accounts, known..count);
        known = count;
        assert_eq!(due(&shop), i64::try_from(count).unwrap());
        figures.push((count, calls_per_block(&shop)));
    }
    println!("open claims and calls for a block, to each provider: {figures:?}");
    let [(_, none), (_, hundred), (_, many)] = figures[..] else { panic!("{figures:?}") };
    assert!(none >= 1, "its logs; it came whole with the look itself: {none}");
    // Where claims wait, the final block is asked for as well.
    let most = 1 + LOOK_UPS * CALLS_OF_A_LOOK_UP;
    assert!(hundred <= none + most && many <= none + most, "{figures:?}");
    assert!(many > none, "some are looked up: {figures:?}");

    // A deposit goes its way by itself, and so does its claim.
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.claim(&honest, tx);
    shop.caught_up();
    assert_eq!(shop.claim_of(&honest, tx).state, ClaimState::Matched);
    let blocks = shop.mint.chain.head();
    shop.finalize();
    shop.credited(tx);
    assert!(shop.mint.chain.head() <= blocks + 8);

    // A claim that only a look-up can answer is answered after one look-up of each other account at
    // most.
    let refused = shop.mint.chain.pay(shop.mint.chain.account(2), shop.mint.chain.account(3), 1);
    shop.finalize();
    shop.claim(&honest, refused);
    let mut blocks = 0;
    while shop.claim_of(&honest, refused).state == ClaimState::Submitted {
        shop.mine(1);
        shop.caught_up();
        blocks += 1;
        assert!(blocks <= 500 / LOOK_UPS + 2, "{:#?}", shop.claim_of(&honest, refused));
    }
    println!("answered after {blocks} blocks");
    let claim = shop.claim_of(&honest, refused);
    assert_eq!(claim.reason, Some(ClaimReason::NotOurAddress));
    assert_eq!(shop.cursor().unwrap().status, "ok");
}

#[test]
fn one_account_with_many_small_deposits_holds_up_nobodys_credit() {
    let mint = Mint::open();
    let token = "symbol = \"USDC\"\n";
    let toml = mint.toml("").replace(token, &format!("{token}minimum = \"100\"\n"));
    let shop = Shop::on(mint, &toml, |builder| builder);
    let (crowding, honest) = (shop.holder_of(1), shop.holder_of(2));
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    // A cent each, in six transactions; then a payment that is found after all of them.
    let many: Vec<_> = (0..6)
        .map(|_| {
            let (payees, cents) = (vec![treasury; 99], vec![U256::from(USDC / 100); 99]);
            let input = shop.mint.usdc.input("multi", (payees, cents));
            let usdc = shop.mint.usdc.address;
            let from = chain.account(1);
            chain.transact(json!({ "from": from, "to": usdc, "data": input, "gas": "0x1000000" }))
        })
        .collect();
    let tx = shop.pay_usdc(2, 200 * USDC);
    for tx in many.iter().chain([&tx]) {
        shop.reaches(*tx, DepositState::Confirming);
    }
    let looked_at = || {
        let rows = shop.all_deposits();
        rows.iter().filter(|row| row.state == DepositState::BelowMinimum).count()
    };
    shop.finalize();
    shop.credited(tx);
    // It goes with the first of the six; the others go on while this test looks.
    let looked_at_before = looked_at();
    println!("credited after {looked_at_before} of 594 small deposits were looked at");
    assert!(looked_at_before <= 350, "{looked_at_before}");
    for tx in many {
        shop.reaches(tx, DepositState::BelowMinimum);
    }
    assert_eq!((shop.available(&crowding), shop.available(&honest)), (0, 200_000_000_000));
}

#[test]
fn one_account_with_many_claims_has_one_turn_like_every_other() {
    let shop = Shop::open();
    let greedy: Account = shop.app.account("0");
    open_claims(&shop, &[greedy.id.0], 0..2_000);
    let honest = shop.holder_of(1);
    let tx = shop.mint.chain.pay(shop.mint.chain.account(2), shop.mint.chain.account(3), 1);
    shop.finalize();
    shop.caught_up();
    shop.claim(&honest, tx);
    for _ in 0..2 {
        shop.mine(1);
        shop.caught_up();
    }
    let claim = shop.claim_of(&honest, tx);
    assert_eq!(claim.reason, Some(ClaimReason::NotOurAddress));
    assert!(due(&shop) >= 1_900);
    // And a deposit that is seen needs no claim at all.
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.reaches(tx, DepositState::Confirming);
}
