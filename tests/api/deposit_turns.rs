//! Whose turn it is, on both databases: nobody waits for somebody else's many, and a transaction's
//! deposits get their owners together.

use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::{chains, deposit_turns};
use sluice::db::{AnyConnection, transaction};
use sluice::deposits::attribution;
use sluice::domain::clock::UnixMillis;
use sluice::domain::evm::{ChainId, EvmAddress, TxHash};

use tempfile::TempDir;

use crate::support::app::{Account, open_account};
use crate::support::database::TestDatabase;
use crate::support::{deposit_rows, wallet_rows};

const CHAIN: ChainId = ChainId(1);
const NOW: UnixMillis = UnixMillis::from_millis(1_795_348_900_000);

fn opened() -> (TempDir, TestDatabase, AnyConnection) {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create(folder.path());
    let mut conn = database.connect();
    sluice::db::migrate::run_pending(&mut conn).unwrap();
    (folder, database, conn)
}

fn hash(number: u16) -> TxHash {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    TxHash(bytes)
}

/// A deposit that was seen, the `number`-th.
fn seen(account: &Account, number: u16, payer: u8, tx: u16) -> DepositRow {
    DepositRow {
        public_id: format!("dep_{number}"),
        tx_hash: hash(tx),
        ordinal: number.into(),
        payer: EvmAddress([payer; 20]),
        account_id: None,
        value_nanousd: None,
        check_at: UnixMillis::from_millis(number.into()),
        ..deposit_rows::row(account, 1, "seen", None)
    }
}

fn insert(conn: &mut AnyConnection, rows: &[DepositRow]) {
    transaction::write(conn, |conn| {
        for row in rows {
            deposits::insert(conn, row)?;
        }
        Ok::<_, sluice::db::DbError>(())
    })
    .unwrap();
}

#[test]
fn a_payer_with_many_transactions_and_one_with_many_pieces_hold_up_nobody() {
    let (_folder, _database, mut conn) = opened();
    let account = open_account(&mut conn, "0");
    // 300 transactions of one payer, then one of 300 pieces by 30 payers, then an honest one.
    let mut rows: Vec<DepositRow> =
        (0..300).map(|number| seen(&account, number, 1, number)).collect();
    let pieces = (300..600_u16).map(|number| {
        let payer = 10 + u8::try_from(number % 30).unwrap();
        seen(&account, number, payer, 1_000)
    });
    rows.extend(pieces);
    rows.push(seen(&account, 600, 2, 2_000));
    insert(&mut conn, &rows);
    let turns = deposit_turns::seen(&mut conn, CHAIN, NOW, 4).unwrap();
    assert_eq!(turns, [0, 1_000, 2_000, 1].map(hash));
    let all = deposit_turns::seen(&mut conn, CHAIN, NOW, 1_000).unwrap();
    assert_eq!(all.len(), 302, "each transaction once");
}

#[test]
fn the_deposits_of_a_transaction_get_their_owners_together() {
    let (_folder, _database, mut conn) = opened();
    let accounts = [open_account(&mut conn, "0"), open_account(&mut conn, "0")];
    for (number, account) in (1..).zip(&accounts) {
        let wallet = wallet_rows::row(account.id, number);
        let link = sluice::db::models::wallets::WalletRow {
            public_id: format!("wal_{number}"),
            address: EvmAddress([number; 20]),
            proven_at: UnixMillis::from_millis(0),
            ..wallet
        };
        sluice::db::models::wallets::link(&mut conn, &link).unwrap();
    }
    let rows: Vec<DepositRow> = (0..1_200_u16)
        .map(|number| seen(&accounts[0], number, u8::try_from(number % 3).unwrap() + 1, 7))
        .collect();
    insert(&mut conn, &rows);
    let attribute = |conn: &mut AnyConnection| {
        transaction::write(conn, |conn| attribution::attribute_all(conn, CHAIN, hash(7), NOW))
            .unwrap()
    };
    assert!(!attribute(&mut conn).is_empty());
    let rows = deposits::of_transaction(&mut conn, CHAIN, hash(7)).unwrap();
    for row in rows {
        let (state, owner) = match row.payer.0[0] {
            1 => ("confirming", Some(accounts[0].id)),
            2 => ("confirming", Some(accounts[1].id)),
            _ => ("unattributed", None),
        };
        assert_eq!((row.state.as_str(), row.account_id, row.revision), (state, owner, 1));
    }
    assert!(attribute(&mut conn).is_empty(), "none is left");
}

#[test]
fn new_candidates_and_those_that_were_looked_at_in_vain_take_turns() {
    let (_folder, _database, mut conn) = opened();
    let noted: Vec<(TxHash, i64)> = (0..40).map(|number| (hash(number), 1)).collect();
    chains::note_candidates(&mut conn, CHAIN, &noted, UnixMillis::from_millis(0)).unwrap();
    for (tx_hash, _) in &noted {
        chains::put_off_candidate(&mut conn, CHAIN, *tx_hash, UnixMillis::from_millis(1)).unwrap();
    }
    // A block that is full, and one behind it.
    let fresh: Vec<(TxHash, i64)> = (100..140).map(|number| (hash(number), 2)).collect();
    let honest = [(hash(200), 3)];
    for candidates in [&fresh[..], &honest] {
        chains::note_candidates(&mut conn, CHAIN, candidates, UnixMillis::from_millis(9)).unwrap();
    }
    let due = chains::due_candidates(&mut conn, CHAIN, NOW, 7).unwrap();
    let due: Vec<(i64, i64)> = due.iter().map(|row| (row.tries, row.block_number)).collect();
    assert_eq!(due, [(0, 2), (0, 3), (1, 1), (0, 2), (1, 1), (0, 2), (1, 1)]);
}
