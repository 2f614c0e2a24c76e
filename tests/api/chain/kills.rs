//! The server is killed at random moments while deposits are found, confirmed and credited: each of them is credited
//! once in the end, and the books balance.

use std::time::Duration;

use diesel::prelude::*;
use ethers_core::types::{H256, I256, U256};
use sluice::db::deposits::{self, DepositRow};
use sluice::db::schema::{ledger_entries, nodes};
use sluice::db::wallets::{self, WalletRow};
use sluice::domain::clock::Clock;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{ChainId, TxHash};

use crate::support::app::{Account, Builder, open_account, verify_books};
use crate::support::chain::{CHAIN_ID, node};
use crate::support::deposits::{Mint, USDC};
use crate::support::process::{Process, run};
use crate::support::wait::within;
use crate::support::wallet_rows;

/// Longest time that a killed server has lived, in milliseconds beyond its start.
const LIFE_MAX: u64 = 150;
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
    /// What was paid, and what each payment is worth.
    paid: Vec<(H256, i64)>,
    dice: Dice,
}

impl Stage {
    fn open(seed: u64) -> Self {
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
        let builder = Builder::new()
            .upstream("sandbox", crate::support::sandbox::sandbox())
            .section(&mint.toml(""));
        let process = Process::start(builder, &[]);
        let account = open_account(&mut process.database.connect(), "0");
        let address = chain.account(1).as_bytes().to_vec();
        let proof = WalletRow { address, ..wallet_rows::row(account.id, 1) };
        wallets::link(&mut process.database.connect(), &proof).unwrap();
        Self { mint, process, account, paid: Vec::new(), dice: Dice(seed) }
    }

    fn pay(&mut self) {
        let Mint { chain, usdc, peg, treasury, .. } = &self.mint;
        let (from, cents) = (chain.account(1), 100 + self.dice.below(900));
        let tx = match self.dice.below(4) {
            0 => chain.pay(from, *treasury, U256::exp10(12) * 5 * cents),
            1 => chain.send(from, peg, "transfer", (*treasury, U256::exp10(16) * cents)),
            _ => chain.send(from, usdc, "transfer", (*treasury, U256::from(USDC / 100 * cents))),
        };
        self.paid.push((tx, i64::try_from(cents).unwrap() * 10_000_000));
    }

    /// Pays, mines, and ends the server some moment later.
    fn kill_once(&mut self) {
        for _ in 0..=self.dice.below(PAYMENTS_MAX) {
            self.pay();
        }
        self.mint.chain.mine(self.dice.below(10) + 1);
        let life = Duration::from_millis(self.dice.below(LIFE_MAX));
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
        self.mint.chain.finalize();
        let is_done = |row: &DepositRow| row.state() == Some(DepositState::Credited);
        let all = within(Duration::from_mins(2), || {
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
            assert_eq!((row.value_nanousd, row.credit_number), (Some(*value), 1), "{row:#?}");
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
        verify_books(&mut conn);
        let config = self.process.config.to_str().unwrap();
        let verified = run(&["books", "verify", "--config", config], &[]);
        assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    }
}

fn kill(times: usize, seed: u64) {
    let mut stage = Stage::open(seed);
    for _ in 0..times {
        stage.kill_once();
    }
    stage.prove();
    let log = stage.process.log();
    let credited = log.matches("credited").count();
    println!(
        "seed {seed}: {times} kills, {} deposits, {credited} credits logged",
        stage.paid.len()
    );
}

#[test]
fn killed_at_any_moment_each_deposit_is_credited_once() {
    kill(10, 1);
}

/// `cargo test --test api -- --ignored chain::kills`, on the database that the environment names.
#[test]
#[ignore = "takes a minute"]
fn killed_fifty_times_each_deposit_is_credited_once() {
    for seed in 11..14 {
        kill(50, seed);
    }
}
