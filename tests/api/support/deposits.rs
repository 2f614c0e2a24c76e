//! A server that takes deposits on a chain of the test's own, through two providers that the test
//! may trouble.

use std::sync::{Mutex, PoisonError};

use diesel::prelude::*;
use ethers_core::types::{Address, H256, U256};
use sluice::db::AnyConnection;
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposits::{self, DepositRow, Filter};
use sluice::db::models::wallets::{self, WalletRow};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{ChainId, EvmAddress, TxHash};

use tempfile::TempDir;

use super::app::{Account, Builder, TestApp};
use super::chain::contract::Contract;
use super::chain::{CHAIN_ID, GENESIS_SECS, TestChain, node};
use super::database::TestDatabase;
use super::rpc::Provider;
use super::wait::eventually;
use super::wallet_rows;

/// One dollar in the smallest unit of USDC.
pub(crate) const USDC: u64 = 1_000_000;

/// What the feed of the native coin says: 2,000 dollars, with eight decimals.
const COIN_PRICE: i64 = 2_000 * 100_000_000;

/// A chain with a token, feeds and a treasury, and what the gateway is told of them.
pub(crate) struct Mint {
    pub(crate) chain: TestChain,
    pub(crate) alpha: Provider,
    pub(crate) beta: Provider,
    /// Six decimals.
    pub(crate) usdc: Contract,
    /// Eighteen decimals, as on BNB Smart Chain.
    pub(crate) peg: Contract,
    pub(crate) coin_feed: Contract,
    pub(crate) usdc_feed: Contract,
    pub(crate) treasury: Address,
}

/// A gateway in front of it.
pub(crate) struct Shop {
    pub(crate) app: TestApp,
    pub(crate) mint: Mint,
    /// For what is looked at again and again.
    side: Mutex<Option<AnyConnection>>,
}

impl Mint {
    pub(crate) fn open() -> Self {
        let chain = TestChain::start();
        let (alpha, beta) = (Provider::before(chain.node), Provider::before(chain.node));
        let usdc = chain.deploy("Token", ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
        let peg = chain.deploy("Token", ("Peg".to_owned(), "PEG".to_owned(), 18_u8, 0_u16));
        let coin_feed = chain.deploy("Feed", ("ETH / USD".to_owned(), 8_u8));
        let usdc_feed = chain.deploy("Feed", ("USDC / USD".to_owned(), 8_u8));
        let payer = chain.account(0);
        let now = U256::from(GENESIS_SECS);
        chain.send(payer, &coin_feed, "push", (ethers_core::types::I256::from(COIN_PRICE), now));
        let dollar = ethers_core::types::I256::from(100_000_000);
        chain.send(payer, &usdc_feed, "push", (dollar, now));
        for index in 1..4 {
            let holder = chain.account(index);
            chain.send(payer, &usdc, "mint", (holder, U256::from(1_000_000 * USDC)));
            chain.send(payer, &peg, "mint", (holder, U256::exp10(24)));
        }
        let treasury = Address::repeat_byte(0x7e);
        Self { chain, alpha, beta, usdc, peg, coin_feed, usdc_feed, treasury }
    }

    /// `[[chains]]` of it, with further lines of the chain itself.
    pub(crate) fn toml(&self, lines: &str) -> String {
        let sum = |address: Address| ethers_core::utils::to_checksum(&address, None);
        let (treasury, usdc, peg) =
            (sum(self.treasury), sum(self.usdc.address), sum(self.peg.address));
        let (coin_feed, usdc_feed) = (sum(self.coin_feed.address), sum(self.usdc_feed.address));
        let (alpha, beta) = (self.alpha.url(), self.beta.url());
        format!(
            "[[chains]]\nname = \"base\"\ndisplay_name = \"Base\"\nchain_id = {CHAIN_ID}\n\
             treasury = \"{treasury}\"\npoll_millis = 20\nstart_block = 1\n\
             head_age_max_secs = 86400\n{lines}\n\
             [[chains.providers]]\nname = \"alpha\"\nurl = \"{alpha}\"\ntraces = true\n\
             requests_per_second = 10000\n\
             [[chains.providers]]\nname = \"beta\"\nurl = \"{beta}\"\ntraces = true\n\
             requests_per_second = 10000\n\
             [chains.native]\nsymbol = \"ETH\"\nfeed = \"{coin_feed}\"\n\
             feed_description = \"ETH / USD\"\nheartbeat_secs = 3600\n\
             [[chains.tokens]]\nsymbol = \"USDC\"\naddress = \"{usdc}\"\ndecimals = 6\n\
             feed = \"{usdc_feed}\"\nfeed_description = \"USDC / USD\"\nheartbeat_secs = 86400\n\
             [[chains.tokens]]\nsymbol = \"PEG\"\naddress = \"{peg}\"\ndecimals = 18\n"
        )
    }
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(|builder| builder, "")
    }

    /// With further settings, and lines of the chain's own table.
    pub(crate) fn open_with(change: impl FnOnce(Builder) -> Builder, lines: &str) -> Self {
        let mint = Mint::open();
        let toml = mint.toml(lines);
        Self::on(mint, &toml, change)
    }

    /// On a chain that stands, with `[[chains]]` as it is given.
    pub(crate) fn on(mint: Mint, toml: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = Builder::new()
            .upstream("sandbox", super::sandbox::sandbox())
            .set("deposits.claims_per_hour_per_account", 100_000)
            .section(toml);
        let app = change(builder).start();
        Self::of(app, mint)
    }

    /// A server that runs already.
    pub(crate) fn of(app: TestApp, mint: Mint) -> Self {
        let shop = Self { app, mint, side: Mutex::default() };
        shop.keep_time();
        shop
    }

    /// Does something with the database, over a connection that is kept.
    pub(crate) fn db<T>(&self, work: impl FnOnce(&mut AnyConnection) -> T) -> T {
        let kept = self.side.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut conn = kept.unwrap_or_else(|| self.app.database().connect());
        let done = work(&mut conn);
        *self.side.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
        done
    }

    /// Stops the server in order; what it stood on.
    pub(crate) fn stop(self) -> (Mint, (TestDatabase, TempDir)) {
        let Self { app, mint, side } = self;
        drop(side);
        (mint, app.finish())
    }

    /// An account that has proven the chain's dev account of that number.
    pub(crate) fn holder_of(&self, index: usize) -> Account {
        let account = self.app.account("0");
        self.link(&account, self.mint.chain.account(index), self.app.clock.now());
        account
    }

    /// Links a key pair, as a proof does.
    pub(crate) fn link(&self, account: &Account, address: Address, at: UnixMillis) -> WalletRow {
        let row = WalletRow {
            public_id: sluice::domain::ids::public_id("wal_").unwrap(),
            address: EvmAddress(address.0),
            proven_at: at,
            ..wallet_rows::row(account.id, 1)
        };
        self.app.db(|conn| wallets::link(conn, &row).unwrap());
        row
    }

    /// Pays tokens to the treasury; in a block of its own.
    pub(crate) fn pay_usdc(&self, from: usize, amount: u64) -> H256 {
        let Mint { chain, usdc, treasury, .. } = &self.mint;
        chain.send(chain.account(from), usdc, "transfer", (*treasury, U256::from(amount)))
    }

    /// Pays native coin to the treasury; in a block of its own.
    pub(crate) fn pay_coin(&self, from: usize, wei: impl Into<U256>) -> H256 {
        let chain = &self.mint.chain;
        chain.pay(chain.account(from), self.mint.treasury, wei)
    }

    /// Mines blocks, and lets the clock follow.
    pub(crate) fn mine(&self, blocks: u64) {
        self.mint.chain.mine(blocks);
        self.keep_time();
    }

    /// Lets so much time pass, on the chain and for the gateway.
    pub(crate) fn pass(&self, secs: u64) {
        let newest = node::number(&self.mint.chain.block("latest")["timestamp"]);
        let now = u64::try_from(self.app.clock.now().as_millis()).unwrap() / 1000;
        self.mint.chain.set_next_timestamp(newest.max(now) + secs);
        self.mine(1);
    }

    /// Mines until everything so far is final.
    pub(crate) fn finalize(&self) {
        self.mint.chain.finalize();
        self.keep_time();
    }

    /// Moves the gateway's clock to the newest block's time, if it is behind, so that what waits a
    /// while is due.
    pub(crate) fn keep_time(&self) {
        let newest = node::number(&self.mint.chain.block("latest")["timestamp"]);
        let newest = i64::try_from(newest).unwrap() * 1000;
        self.app.clock.advance((newest - self.app.clock.now().as_millis()).max(0));
    }

    /// How far the chain was read.
    pub(crate) fn cursor(&self) -> Option<ChainRow> {
        self.db(|conn| chains::find(conn, ChainId(CHAIN_ID.cast_signed())).unwrap())
    }

    /// Waits until everything up to the chain's head was read, and what followed from it was done
    /// as well.
    pub(crate) fn caught_up(&self) -> ChainRow {
        self.keep_time();
        eventually("the watcher to catch up", || {
            let head = i64::try_from(self.mint.chain.head()).unwrap();
            (self.cursor()?.scanned_number == head).then_some(())
        });
        self.rounds(3);
        self.cursor().unwrap()
    }

    /// Lets the watcher go round so many times from now on.
    pub(crate) fn rounds(&self, count: usize) {
        // Each begins with this question, so that of those that are begun one may not have ended.
        let begun = || self.mint.alpha.looks().max(self.mint.beta.looks());
        let from = begun();
        eventually("rounds of the watcher", || (begun() > from + count).then_some(()));
    }

    /// Waits for the chain to be in trouble for a reason that has these words.
    pub(crate) fn in_trouble(&self, words: &str) -> String {
        let mut last = None;
        let found = super::wait::within(super::wait::PATIENCE, || {
            // What was put off comes round again.
            self.app.clock.advance(200);
            last = self.cursor();
            let row = last.as_ref()?;
            let detail = row.status_detail.clone()?;
            (row.status != "ok" && detail.contains(words)).then_some(detail)
        });
        found.unwrap_or_else(|| panic!("in vain: waited for trouble with {words:?}: {last:#?}"))
    }

    /// Waits for the chain to be well.
    pub(crate) fn well(&self) {
        eventually("the chain to be well", || {
            self.app.clock.advance(50);
            (self.cursor()?.status == "ok").then_some(())
        });
    }

    /// All deposits of a transaction.
    pub(crate) fn deposits(&self, tx: H256) -> Vec<DepositRow> {
        let (chain_id, tx_hash) = (ChainId(CHAIN_ID.cast_signed()), TxHash(tx.0));
        self.db(|conn| deposits::of_transaction(conn, chain_id, tx_hash).unwrap())
    }

    /// Every deposit there is.
    pub(crate) fn all_deposits(&self) -> Vec<DepositRow> {
        self.db(|conn| deposits::page(conn, &Filter::default(), 0, 10_000).unwrap())
    }

    /// Waits until every deposit of a transaction, and at least one, is in a state. They are put
    /// back into line on the way, as time does.
    pub(crate) fn reaches(&self, tx: H256, state: DepositState) -> Vec<DepositRow> {
        let mut last = Vec::new();
        let found = super::wait::within(super::wait::PATIENCE, || {
            // What was put off comes round again.
            self.app.clock.advance(500);
            last = self.deposits(tx);
            let is_there = !last.is_empty() && last.iter().all(|row| row.state == state);
            is_there.then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            panic!("in vain: waited for {state:?}: {last:#?}\n{:#?}", self.cursor())
        })
    }

    /// Waits for the one deposit of a transaction to be credited.
    pub(crate) fn credited(&self, tx: H256) -> DepositRow {
        let mut rows = self.reaches(tx, DepositState::Credited);
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }

    /// What an account may spend, in nano-dollars.
    pub(crate) fn available(&self, account: &Account) -> i64 {
        self.app.balance(account).available
    }

    /// Candidates that wait to be looked into.
    pub(crate) fn candidates(&self) -> i64 {
        use sluice::db::schema::chain_candidates;
        self.db(|conn| chain_candidates::table.count().get_result(conn).unwrap())
    }
}
