//! The server is killed at random moments while deposits are found, confirmed and credited: each of
//! them is credited once in the end, and the books balance. In one of two forms they come in every
//! way there is: by contracts, to an own address and to the treasury, in many small transfers,
//! beside dust, and with providers that do not agree for a while.

use std::time::Duration;

use diesel::prelude::*;
use ethers_core::types::{Address, Bytes, H256, I256, U256};
use serde_json::json;
use sluice::db::AnyConnection;
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::wallets::{self, WalletRow};
use sluice::db::models::{arrivals, chains, deposit_cases as cases_of};
use sluice::db::schema::{
    chain_candidates, deposit_arrivals, deposit_cases, deposits as deposits_table, ledger_entries,
    nodes,
};
use sluice::deposits::{addresses, cases};
use sluice::domain::clock::Clock;
use sluice::domain::deposit::DepositState;
use sluice::domain::deposit_case::CaseState;
use sluice::domain::evm::{ChainId, EvmAddress, TxHash};
use sluice::domain::money::NanoUsd;
use sluice::domain::xpub::Xpub;

use super::payers::XPUB;
use super::treasury::delegate;
use crate::support::app::{Account, Builder, open_account, verify_books};
use crate::support::chain::contract::Contract;
use crate::support::chain::{CHAIN_ID, node};
use crate::support::deposits::{Mint, USDC};
use crate::support::process::{Process, run};
use crate::support::wait::{eventually, within};
use crate::support::wallet_rows;

/// Ways to pay, and how long a killed server has lived at most, in milliseconds beyond its start.
#[derive(Clone, Copy)]
struct Course {
    ways: u64,
    life_max: u64,
}

/// What a wallet sends by itself.
const PLAIN: Course = Course { ways: 4, life_max: 150 };
/// Everything. What arrives by contracts is found at the end of a round, so that the server lives
/// somewhat longer.
const WILD: Course = Course { ways: 10, life_max: 900 };

/// Transfers of half a cent each, which are one deposit of a dollar.
const SMALL: usize = 200;
/// Payments come in groups of at most so many.
const PAYMENTS_MAX: u64 = 4;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A server of its own process on a chain of today.
struct Stage {
    mint: Mint,
    process: Process,
    account: Account,
    course: Course,
    /// The account's own address, a contract that pays, and the delegated code of a proven key.
    mine: Address,
    payer: Contract,
    code: Contract,
    /// What was paid, and what each payment is worth.
    paid: Vec<(H256, i64)>,
    dice: Dice,
}

impl Stage {
    fn open(seed: u64, course: Course) -> Self {
        let mint = Mint::open();
        let chain = &mint.chain;
        // The server's clock is the system's. An hour behind it, so that blocks may come fast.
        let newest = node::number(&chain.block("latest")["timestamp"]);
        let now = u64::try_from(Clock::System.now().as_millis()).unwrap() / 1000;
        chain.set_next_timestamp((now - 3600).max(newest + 1));
        let push = |feed, price: i64| {
            let at = node::number(&chain.block("latest")["timestamp"]);
            chain.send(chain.account(0), feed, "push", (I256::from(price), U256::from(at)));
        };
        chain.mine(1);
        push(&mint.usdc_feed, 100_000_000);
        push(&mint.coin_feed, 2_000 * 100_000_000);
        let payer = chain.deploy("Payer", ());
        let code = delegate(chain, 2);
        let builder = Builder::new()
            .upstream("sandbox", crate::support::sandbox::sandbox())
            .set("deposits.account_xpub", format!("\"{XPUB}\""))
            .set("deposits.balance_check_secs", 10)
            .set("deposits.case_after_secs", 600)
            .section(&mint.toml(""));
        let process = Process::start(builder, &[]);
        let mut conn = process.database.connect();
        let account = open_account(&mut conn, "0");
        for index in [1_u8, 2] {
            let address = EvmAddress(chain.account(index.into()).0);
            let proof = WalletRow { address, ..wallet_rows::row(account.id, index) };
            wallets::link(&mut conn, &proof).unwrap();
        }
        // An address that is issued before its chain was begun is taken as it is at the first look.
        let chain_id = ChainId(CHAIN_ID.cast_signed());
        eventually("the chain to be begun", || {
            let row = chains::find(&mut conn, chain_id).unwrap()?;
            (row.scanned_number >= 0).then_some(())
        });
        let xpub: Xpub = XPUB.parse().unwrap();
        let now = Clock::System.now();
        let own = addresses::of_account(&mut conn, &xpub, account.id, now).unwrap();
        let own = Address::from_slice(own.as_bytes());
        drop(conn);
        let (paid, dice) = (Vec::new(), Dice(seed));
        Self { mint, process, account, course, mine: own, payer, code, paid, dice }
    }

    fn pay(&mut self) {
        let Mint { chain, usdc, peg, treasury, .. } = &self.mint;
        let (from, mut cents) = (chain.account(1), 100 + self.dice.below(900));
        let coins = U256::exp10(12) * 5 * cents;
        let tx = match self.dice.below(self.course.ways) {
            0 => chain.pay(from, *treasury, coins),
            1 => chain.send(from, peg, "transfer", (*treasury, U256::exp10(16) * cents)),
            4 => chain.pay(chain.account(3), self.mine, coins),
            5 => chain.send_paying(chain.account(3), &self.payer, "pay", self.mine, coins),
            6 => {
                let batch = (*treasury, coins, Bytes::default());
                chain.send(self.code.address, &self.code, "execute", batch)
            }
            7 => {
                cents = 100;
                let amounts = vec![U256::from(USDC / 200); SMALL];
                chain.send(from, usdc, "multi", (vec![*treasury; SMALL], amounts))
            }
            8 => {
                // Dust beside it is nothing.
                let dust = (vec![*treasury; 50], vec![U256::one(); 50]);
                chain.send(from, usdc, "multi", dust);
                return;
            }
            _ => chain.send(from, usdc, "transfer", (*treasury, U256::from(USDC / 100 * cents))),
        };
        self.paid.push((tx, i64::try_from(cents).unwrap() * 10_000_000));
    }

    /// One provider says for a while of every second transaction that it failed.
    fn trouble(&mut self) {
        self.mint.beta.heal();
        if self.dice.below(2) == 0 {
            let digits = if self.dice.below(2) == 0 { "02468ace" } else { "13579bdf" };
            self.mint.beta.mutate("eth_getTransactionReceipt", move |params, receipt| {
                let is_meant =
                    params[0].as_str().is_some_and(|tx| tx.ends_with(|last| digits.contains(last)));
                if is_meant && receipt.is_object() {
                    receipt["status"] = json!("0x0");
                    receipt["logs"] = json!([]);
                }
            });
        }
        // What was in doubt a while ago has been so for long.
        self.retouch(|conn| {
            let earlier = deposit_cases::doubted_at.eq(deposit_cases::doubted_at - 700_000);
            diesel::update(deposit_cases::table).set(earlier).execute(conn).unwrap();
        });
    }

    /// Lets what was put off be due, as time does.
    fn hurry(&self) {
        self.retouch(|conn| {
            let due = chain_candidates::check_at.eq(0);
            diesel::update(chain_candidates::table).set(due).execute(conn).unwrap();
            let due = deposits_table::check_at.eq(0);
            let waiting = deposits_table::state.eq(DepositState::Confirming.as_str());
            diesel::update(deposits_table::table.filter(waiting)).set(due).execute(conn).unwrap();
            let due = deposit_arrivals::check_at.eq(Some(0_i64));
            diesel::update(deposit_arrivals::table).set(due).execute(conn).unwrap();
        });
    }

    fn retouch(&self, work: impl FnOnce(&mut AnyConnection)) {
        work(&mut self.process.database.connect());
    }

    /// Has everything that became a case looked at again, as a person does.
    fn retry_cases(&self) -> usize {
        let (chain_id, now) = (ChainId(CHAIN_ID.cast_signed()), Clock::System.now());
        let mut conn = self.process.database.connect();
        let found = cases_of::of_chain(&mut conn, chain_id).unwrap();
        let open = found.iter().filter(|row| row.state != CaseState::Doubted);
        for row in open.clone() {
            cases::retry(&mut conn, row, "the node is mended", now).unwrap();
        }
        open.count()
    }

    /// Pays, mines, and ends the server some moment later.
    fn kill_once(&mut self) {
        if self.course.ways > PLAIN.ways {
            self.trouble();
            self.hurry();
        }
        for _ in 0..=self.dice.below(PAYMENTS_MAX) {
            self.pay();
        }
        self.mint.chain.mine(self.dice.below(10) + 1);
        let life = Duration::from_millis(self.dice.below(self.course.life_max));
        assert!(within(life, || None::<()>).is_none());
        if self.process.database.is_postgres() {
            // What half a minute does: a dead node's lease runs out.
            let mut conn = self.process.database.connect();
            diesel::delete(nodes::table).execute(&mut conn).unwrap();
        }
        self.process.kill_and_restart(&[]);
    }

    fn rows(&self) -> Vec<DepositRow> {
        let mut conn = self.process.database.connect();
        deposits::page(&mut conn, &deposits::Filter::default(), 0, 100_000).unwrap()
    }

    /// Every payment has its one credit, and there is nothing else.
    fn prove(&self) {
        self.mint.beta.heal();
        self.mint.chain.finalize();
        println!("{} cases were retried", self.retry_cases());
        let is_done = |row: &DepositRow| row.state == DepositState::Credited;
        let all = within(Duration::from_mins(5), || {
            self.hurry();
            let rows = self.rows();
            (rows.len() >= self.paid.len() && rows.iter().all(is_done)).then_some(rows)
        });
        let rows = all.unwrap_or_else(|| panic!("{:#?}\n{}", self.rows(), self.process.log()));
        assert_eq!(rows.len(), self.paid.len());
        let mut conn = self.process.database.connect();
        for (tx, value) in &self.paid {
            let chain_id = ChainId(CHAIN_ID.cast_signed());
            let found = deposits::of_transaction(&mut conn, chain_id, TxHash(tx.0)).unwrap();
            let [row] = found.as_slice() else { panic!("{tx:?}: {found:#?}") };
            assert_eq!(
                (row.value_nanousd.map(NanoUsd::as_nanos), row.credit_number),
                (Some(*value), 1),
                "{row:#?}"
            );
        }
        let credits: Vec<i64> = ledger_entries::table
            .filter(ledger_entries::kind.eq("deposit"))
            .filter(ledger_entries::account_id.eq(self.account.id.0))
            .select(ledger_entries::amount_nanousd)
            .load(&mut conn)
            .unwrap();
        assert_eq!(credits.len(), self.paid.len());
        let expected: i64 = self.paid.iter().map(|(_, value)| value).sum();
        assert_eq!(credits.iter().sum::<i64>(), expected);
        let is_explained = within(Duration::from_mins(1), || {
            self.hurry();
            arrivals::page(&mut conn, None, 0, 10).unwrap().is_empty().then_some(())
        });
        assert!(is_explained.is_some(), "{:#?}", arrivals::page(&mut conn, None, 0, 10));
        verify_books(&mut conn);
        let config = self.process.config.to_str().unwrap();
        let verified = run(&["books", "verify", "--config", config], &[]);
        assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    }
}

fn kill(times: usize, seed: u64, course: Course) {
    let mut stage = Stage::open(seed, course);
    for _ in 0..times {
        stage.kill_once();
    }
    stage.prove();
    let log = stage.process.log();
    let credited = log.matches("credited").count();
    let cases = log.matches("a case for a person").count();
    println!(
        "seed {seed}: {times} kills, {} deposits, {credited} credits logged, {cases} cases",
        stage.paid.len()
    );
}

#[test]
fn killed_at_any_moment_each_deposit_is_credited_once() {
    kill(10, 1, PLAIN);
}

#[test]
fn killed_while_deposits_come_in_every_way_each_is_credited_once() {
    kill(10, 2, WILD);
}

/// `scripts/soak deposits`, on the database that the environment names.
#[test]
#[ignore = "takes a minute"]
fn killed_fifty_times_each_deposit_is_credited_once() {
    for seed in 11..14 {
        kill(50, seed, PLAIN);
    }
}

/// `scripts/soak deposits`, on the database that the environment names.
#[test]
#[ignore = "takes some minutes"]
fn killed_fifty_times_while_deposits_come_in_every_way_each_is_credited_once() {
    for seed in 21..24 {
        kill(50, seed, WILD);
    }
}
