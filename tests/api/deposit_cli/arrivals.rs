//! `sluice deposit arrivals`, and what an erasure leaves of them.

use diesel::Connection;
use serde_json::{Value, json};
use sluice::db::models::arrivals::{self as rows, AddressBalanceRow, ArrivalRow};
use sluice::deposits::{addresses, arrivals};
use sluice::domain::evm::{ChainId, EvmAddress, RawAmount, TxHash};
use sluice::domain::xpub::Xpub;

use super::{BASE, Desk, NOON};
use crate::support::app::Account;

/// `m/44'/60'/0'` of the mnemonic that every test chain knows.
const XPUB: &str = "xpub6DCoCpSuQZB2jawqnGMEPS63ePKWkwWPH4TU45Q7LPXWuNd8TMtVxRrg\
    jtEshuqpK3mdhaWHPFsBngh5GFZaM6si3yZdUsT8ddYM3PwnATt";

fn own(desk: &mut Desk, account: &Account) -> EvmAddress {
    let xpub: Xpub = XPUB.parse().unwrap();
    addresses::of_account(&mut desk.conn, &xpub, account.id, NOON).unwrap()
}

#[test]
fn what_arrived_is_listed_with_its_account_and_goes_with_it() {
    let mut desk = Desk::with(&format!("deposits.account_xpub = \"{XPUB}\""));
    let (one, two) = (desk.account("0"), desk.account("0"));
    let (mine, others) = (own(&mut desk, &one), own(&mut desk, &two));
    let coins = arrivals::of_coins(ChainId(BASE), mine, (9, 12), 1_500_000_000_000_000_000, NOON);
    rows::note(&mut desk.conn, &coins).unwrap();
    let token = ArrivalRow {
        address: others,
        token: Some(EvmAddress([0xee; 20])),
        after_number: 19,
        block_number: 20,
        raw_amount: RawAmount::from(7),
        tx_hash: Some(TxHash([0xab; 32])),
        check_at: None,
        ..coins.clone()
    };
    rows::note_token(&mut desk.conn, &token, 5).unwrap();
    let balance = AddressBalanceRow {
        chain_id: ChainId(BASE),
        address: mine,
        block_number: 12,
        balance: "1".to_owned(),
    };
    rows::set_balance(&mut desk.conn, &balance).unwrap();

    let listed = desk.json(&["arrivals"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let first = &listed[0];
    assert_eq!(first["account"], one.public_id.as_str());
    assert_eq!(
        (&first["kind"], &first["raw_amount"]),
        (&json!("coins"), &json!("1500000000000000000"))
    );
    assert_eq!((&first["from_block"], &first["to_block"]), (&json!(10), &json!(12)));
    let table = desk.ok(&["arrivals", "--account", &two.public_id]);
    for words in ["7 of the token 0x", "20", &two.public_id] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(!table.contains(&one.public_id), "{table}");
    assert!(desk.ok(&["arrivals"]).contains("1.5 coins"));

    let email = sluice::db::models::accounts::get(&mut desk.conn, one.id).unwrap().unwrap().email;
    let key = Desk::key();
    desk.conn.transaction(|conn| sluice::db::erasure::erase(conn, &key, one.id, &email)).unwrap();
    let left = desk.json(&["arrivals"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["account"]), (1, &json!(two.public_id)));
    let known = [mine];
    assert_eq!(rows::balances(&mut desk.conn, ChainId(BASE), &known).unwrap(), []);
    assert_eq!(rows::likely(&mut desk.conn, 10).unwrap(), [others]);

    // What a look had read before the erasure is not written after it.
    rows::note(&mut desk.conn, &coins).unwrap();
    let late = ArrivalRow { address: mine, ..token };
    rows::note_token(&mut desk.conn, &late, 5).unwrap();
    rows::set_balance(&mut desk.conn, &balance).unwrap();
    let more = AddressBalanceRow { block_number: 13, balance: "2".to_owned(), ..balance.clone() };
    arrivals::look(&mut desk.conn, Some(&balance), &more, (0, false), 5, NOON).unwrap();
    assert_eq!(rows::of_address(&mut desk.conn, mine, 10).unwrap(), []);
    assert_eq!(rows::balances(&mut desk.conn, ChainId(BASE), &known).unwrap(), []);
}

#[test]
fn an_address_with_many_arrivals_keeps_no_other_waiting() {
    let mut desk = Desk::with(&format!("deposits.account_xpub = \"{XPUB}\""));
    let (one, two) = (desk.account("0"), desk.account("0"));
    let (many, single) = (own(&mut desk, &one), own(&mut desk, &two));
    for number in 0..10 {
        let coins = arrivals::of_coins(ChainId(BASE), many, (number, number + 1), 1, NOON);
        rows::note(&mut desk.conn, &coins).unwrap();
    }
    let coins = arrivals::of_coins(ChainId(BASE), single, (20, 21), 1, NOON);
    rows::note(&mut desk.conn, &coins).unwrap();
    let due = rows::due(&mut desk.conn, ChainId(BASE), NOON, 4).unwrap();
    let order: Vec<(i64, bool)> =
        due.iter().map(|row| (row.block_number, row.address == single)).collect();
    assert_eq!(order, [(1, false), (21, true), (2, false), (3, false)]);
}

#[test]
fn what_arrived_at_a_treasury_is_listed_without_an_account() {
    let mut desk = Desk::new();
    let one = desk.account("0");
    let treasury = EvmAddress([0x7e; 20]);
    let coins =
        arrivals::of_coins(ChainId(BASE), treasury, (9, 10), 1_500_000_000_000_000_000, NOON);
    rows::note(&mut desk.conn, &coins).unwrap();
    let listed = desk.json(&["arrivals"]);
    let [found] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(
        (&found["account"], &found["address"], &found["raw_amount"]),
        (&Value::Null, &json!(treasury.checksummed()), &json!("1500000000000000000"))
    );
    let table = desk.ok(&["arrivals"]);
    assert!(table.contains("1.5 coins") && table.contains(&treasury.checksummed()), "{table}");
    assert_eq!(desk.json(&["arrivals", "--account", &one.public_id]), json!([]));
}
