//! Claims that meet the moment in which their deposit gets its owner: whichever is first, the claim
//! of somebody else is refused in the end.

use std::thread::JoinHandle;

use diesel::RunQueryDsl;
use diesel::sql_types::BigInt;
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposit_claims;
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::wallets::{self, WalletRow};
use sluice::db::{AnyConnection, transaction};
use sluice::deposits::{DepositError, attribution, claims, review};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{BlockHash, ChainId, EvmAddress, TxHash};

use crate::support::app::{Account, Builder, open_account, tombstones};
use crate::support::sandbox::sandbox;
use crate::support::wait::eventually;
use crate::support::{deposit_rows, wallet_rows};

const CHAIN: ChainId = ChainId(1);
const OTHER_CHAIN: ChainId = ChainId(2);
const TX: TxHash = TxHash([1; 32]);
const NOW: UnixMillis = UnixMillis::from_millis(1_795_348_900_000);

/// A deposit that nobody has yet, the wallet's owner, and somebody who has seen the hash.
struct Race {
    builder: Builder,
    conn: AnyConnection,
    owner: Account,
    thief: Account,
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Race {
    fn open() -> Self {
        let builder = Builder::new().upstream("sandbox", sandbox());
        let mut conn = builder.migrated();
        let [owner, thief] = [(); 2].map(|()| open_account(&mut conn, "0"));
        let link = WalletRow {
            address: EvmAddress([2; 20]),
            proven_at: UnixMillis::from_millis(0),
            ..wallet_rows::row(owner.id, 1)
        };
        wallets::link(&mut conn, &link).unwrap();
        for chain_id in [CHAIN, OTHER_CHAIN] {
            let row = ChainRow {
                chain_id,
                revision: 0,
                first_number: 1,
                scanned_number: 9,
                scanned_hash: BlockHash([9; 32]),
                final_number: 1,
                head_number: 9,
                status: "ok".to_owned(),
                status_detail: None,
                node_id: "node".to_owned(),
                lease_expires_at: UnixMillis::from_millis(0),
                updated_at: UnixMillis::from_millis(0),
                block_millis: None,
            };
            chains::create(&mut conn, &row).unwrap();
        }
        let seen = DepositRow {
            account_id: None,
            value_nanousd: None,
            ..deposit_rows::row(&owner, 1, "seen", None)
        };
        deposits::insert(&mut conn, &seen).unwrap();
        Self { builder, conn, owner, thief }
    }

    fn connect(&self) -> AnyConnection {
        self.builder.database.as_ref().unwrap().connect()
    }

    /// Submits the hash, on a connection and a thread of its own.
    fn claim(&self, account: &Account, chain_id: ChainId) -> JoinHandle<()> {
        let limits = self.builder.settings().deposits;
        let (mut conn, id) = (self.connect(), account.id);
        std::thread::spawn(move || {
            claims::submit(&mut conn, id, chain_id, TX, &limits, NOW).unwrap();
        })
    }

    /// How the account's claim on a chain stands.
    fn standing(
        &mut self,
        account: &Account,
        chain_id: ChainId,
    ) -> Option<(String, Option<String>)> {
        let claim =
            deposit_claims::of_transaction(&mut self.conn, account.id, chain_id, TX).unwrap();
        claim.map(|claim| (claim.state.to_string(), claim.reason.map(|reason| reason.to_string())))
    }
}

/// Waits until a thread waits for a row's lock, or has ended without.
fn waits_or_ends(conn: &mut AnyConnection, thread: &JoinHandle<()>) {
    // SQLite's writers take turns as a whole.
    if !matches!(conn, AnyConnection::Postgres(_)) {
        return;
    }
    let waits = "SELECT COUNT(*) AS count FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("the claim to wait", || {
        let waiting: Count = diesel::sql_query(waits).get_result(conn).unwrap();
        (waiting.count > 0 || thread.is_finished()).then_some(())
    });
}

/// What the watcher does to find the owner, with something in between.
fn attribute(conn: &mut AnyConnection, between: impl FnOnce()) {
    transaction::write(conn, |conn| {
        attribution::attribute_all(conn, CHAIN, TX, NOW)?;
        between();
        claims::refuse_others(conn, CHAIN, TX, NOW)?;
        Ok::<_, DepositError>(())
    })
    .unwrap();
}

fn matched() -> (String, Option<String>) {
    ("matched".to_owned(), None)
}

fn refused() -> (String, Option<String>) {
    ("rejected".to_owned(), Some("other_account".to_owned()))
}

#[test]
fn a_claim_before_the_owner_is_known_is_refused_with_the_owner() {
    for chain_id in [CHAIN, OTHER_CHAIN] {
        let mut race = Race::open();
        let thief = race.thief.clone();
        race.claim(&thief, chain_id).join().unwrap();
        assert_eq!(race.standing(&thief, CHAIN), Some(matched()));
        attribute(&mut race.connect(), || ());
        assert_eq!(race.standing(&thief, CHAIN), Some(refused()));
    }
}

#[test]
fn a_claim_that_comes_while_the_owner_is_found_is_refused_as_well() {
    for chain_id in [CHAIN, OTHER_CHAIN] {
        let mut race = Race::open();
        let (owner, thief) = (race.owner.clone(), race.thief.clone());
        let (mut watcher, mut beside) = (race.connect(), race.connect());
        let mut claiming = None;
        attribute(&mut watcher, || {
            let thread = race.claim(&thief, chain_id);
            waits_or_ends(&mut beside, &thread);
            claiming = Some(thread);
        });
        claiming.unwrap().join().unwrap();
        // From another chain than the deposit's there is nothing to see, and so no claim on its
        // own.
        let refused = (chain_id == CHAIN).then(refused);
        assert_eq!(race.standing(&thief, CHAIN), refused, "on chain {}", chain_id.0);
        race.claim(&owner, CHAIN).join().unwrap();
        assert_eq!(race.standing(&owner, CHAIN), Some(matched()));
    }
}

#[test]
fn a_claim_is_refused_when_a_person_says_whose_the_deposit_is() {
    let mut race = Race::open();
    let (owner, thief) = (race.owner.clone(), race.thief.clone());
    race.claim(&thief, CHAIN).join().unwrap();
    let row = deposits::of_transaction(&mut race.conn, CHAIN, TX).unwrap().remove(0);
    let nobodys = DepositRow { state: DepositState::Unattributed, ..row };
    assert!(deposits::change(&mut race.conn, &nobodys, NOW).unwrap());
    let row = deposits::of_transaction(&mut race.conn, CHAIN, TX).unwrap().remove(0);
    let key = tombstones(&mut race.conn, &race.builder.settings());
    review::attribute(&mut race.conn, &key, &row, owner.id, "a test", NOW).unwrap();
    assert_eq!(race.standing(&thief, CHAIN), Some(refused()));
}
