//! P8: what was credited to an account that was erased is not credited again, however it is found.

use std::time::Duration;

use diesel::prelude::*;
use sluice::db::models::{accounts, deposit_addresses};
use sluice::db::schema::{chain_candidates, deposit_tombstones};
use sluice::domain::deposit::{ClaimReason, ClaimState};

use super::payers::{XPUB, address_of};
use crate::support::app::Account;
use crate::support::chain::CHAIN_ID;
use crate::support::deposits::{Shop, USDC};
use crate::support::leaving;
use crate::support::wait::eventually;

const DOLLAR: i64 = 1_000_000_000;

/// Erases an account at once, as the node does once its grace is over.
fn erase(shop: &Shop, account: &Account) {
    leaving::close(&shop.app, account, true);
    assert_eq!(leaving::erase(&shop.app, Duration::ZERO), 1);
    assert!(shop.app.db(|conn| accounts::get(conn, account.id).unwrap()).is_none());
}

#[test]
fn p8_an_erased_accounts_deposit_is_credited_to_nobody_by_a_claim_or_by_reading_again() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let paid = shop.pay_usdc(1, 5 * USDC);
    shop.finalize();
    shop.credited(paid);
    assert_eq!(shop.available(&account), 5 * DOLLAR);
    erase(&shop, &account);
    assert!(shop.deposits(paid).is_empty());

    // The wallet is proven again, for another account, and the hash is claimed.
    let again = shop.holder_of(1);
    shop.claim(&again, paid);
    let other = Some(ClaimReason::OtherAccount);
    shop.claim_reaches(&again, paid, ClaimState::Rejected, other);
    assert!(shop.deposits(paid).is_empty());

    // The scan finds it once more, as it does in blocks that overlap or are read again.
    shop.db(|conn| {
        diesel::insert_into(chain_candidates::table)
            .values((
                chain_candidates::chain_id.eq(i64::try_from(CHAIN_ID).unwrap()),
                chain_candidates::tx_hash.eq(paid.as_bytes()),
                chain_candidates::block_number.eq(1),
                chain_candidates::tries.eq(0),
                chain_candidates::check_at.eq(0),
            ))
            .execute(conn)
            .unwrap();
    });
    eventually("the candidate to be looked into", || (shop.candidates() == 0).then_some(()));
    assert!(shop.deposits(paid).is_empty());
    // What it pays now is its new account's.
    let next = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(next);
    assert_eq!(shop.available(&again), 2 * DOLLAR);
    let stones: i64 = shop.db(|conn| deposit_tombstones::table.count().get_result(conn).unwrap());
    assert_eq!(stones, 1);
}

#[test]
fn p8_an_erased_accounts_own_address_is_never_issued_again() {
    let xpub = format!("\"{XPUB}\"");
    let shop = Shop::open_with(|builder| builder.set("deposits.account_xpub", xpub), "");
    let account = shop.app.account("0");
    let own = address_of(&shop, &account);
    erase(&shop, &account);
    let next = shop.app.account("0");
    assert_ne!(address_of(&shop, &next), own);
    let rows = shop.app.db(|conn| deposit_addresses::all(conn).unwrap().len());
    assert_eq!(rows, 2, "it stays, so that transfers to it are found");
}
