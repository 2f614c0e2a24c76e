//! What a gateway asks of its providers while nobody pays. The chain is a made one, so that blocks
//! come when they should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::models::chains;
use sluice::db::models::deposit_addresses::AddressRow;
use sluice::db::schema::{accounts, deposit_addresses, derivation_counters};
use sluice::db::{AnyConnection, DbError, transaction};
use sluice::domain::clock::UnixMillis;
use sluice::domain::evm::{ChainId, EvmAddress};
use sluice::domain::ids::AccountId;

use crate::support::app::{Builder, TestApp};
use crate::support::chain::node::number;
use crate::support::chain::{GENESIS_SECS, hex};
use crate::support::rpc::fault::Fault;
use crate::support::rpc::{ANY, Provider};
use crate::support::sandbox::sandbox;
use crate::support::wait::eventually;

const TOKEN: &str = "0x00000000000000000000000000000000000000aa";
const FEED: &str = "0x00000000000000000000000000000000000000bb";
const TREASURY: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// How the chain's own coin is found.
#[derive(Clone, Copy)]
enum Coin {
    /// It is not taken.
    None,
    InBlocks,
    ByBalance,
}

/// A chain that is nothing but its blocks.
struct Made {
    id: u64,
    block_millis: u64,
    /// Milliseconds since it began.
    age: Arc<AtomicU64>,
    providers: [Provider; 2],
}

/// A block of a chain whose blocks come at that pace.
fn block(number: u64, block_millis: u64) -> Value {
    let hash = |number: u64| format!("0x{:064x}", number + 0xabc_0000);
    json!({
        "number": hex(number), "hash": hash(number), "parentHash": hash(number.saturating_sub(1)),
        "timestamp": hex(GENESIS_SECS + number * block_millis / 1000), "transactions": [],
    })
}

fn text(words: &str) -> Value {
    let digits = sluice::domain::evm::to_hex(words.as_bytes());
    let digits = digits.trim_start_matches("0x");
    json!(format!("0x{:064x}{:064x}{digits:0<64}", 32, words.len()))
}

impl Made {
    fn new(id: u64, block_millis: u64) -> Self {
        let age = Arc::new(AtomicU64::new(200 * block_millis));
        let providers = [(); 2].map(|()| {
            let provider = Provider::alone();
            provider.on("eth_chainId", Fault::Result(json!(hex(id))));
            provider.on("eth_getLogs", Fault::Result(json!([])));
            for method in ["eth_getBalance", "eth_getTransactionCount"] {
                provider.on(method, Fault::Result(json!("0x0")));
            }
            provider.when("eth_call", |params| {
                if params[0].get("to").is_none() {
                    // The balances of the addresses behind 42 bytes of code, 16 bytes each.
                    let digits = params[0]["data"].as_str().unwrap().len() - 2 - 84;
                    return Some(Fault::Result(json!(format!(
                        "0x{}",
                        "0".repeat(digits / 40 * 32)
                    ))));
                }
                let is_feed = params[0]["to"] == FEED;
                Some(Fault::Result(match params[0]["data"].as_str().unwrap() {
                    "0x313ce567" => json!(format!("0x{:064x}", if is_feed { 8 } else { 6 })),
                    "0x95d89b41" => text("USDC"),
                    _ => text("ETH / USD"),
                }))
            });
            let age = Arc::clone(&age);
            provider.when("eth_getBlockByNumber", move |params| {
                let head = age.load(Ordering::SeqCst) / block_millis;
                let wanted = match params[0].as_str().unwrap() {
                    "latest" => head,
                    "finalized" => head.saturating_sub(100),
                    _ => number(&params[0]),
                };
                let there = (wanted <= head).then(|| block(wanted, block_millis));
                Some(Fault::Result(there.unwrap_or_default()))
            });
            provider
        });
        Self { id, block_millis, age, providers }
    }

    /// Whether its coin is taken, and whether each block is read for it.
    fn toml(&self, lines: &str, coin: Coin) -> String {
        let id = self.id;
        let [one, two] = self.providers.each_ref().map(Provider::url);
        let native = format!(
            "[chains.native]\nsymbol = \"ETH\"\nfeed = \"{FEED}\"\n\
             feed_description = \"ETH / USD\"\nheartbeat_secs = 3600\n"
        );
        let native = match coin {
            Coin::None => String::new(),
            Coin::InBlocks => native,
            Coin::ByBalance => native + "scan_blocks = false\n",
        };
        format!(
            "[[chains]]\nname = \"c{id}\"\ndisplay_name = \"C\"\nchain_id = {id}\ntreasury = \
             \"{TREASURY}\"\nhead_age_max_secs = 86400\nhead_gap_max_blocks = 240\n{lines}\n\
             [[chains.providers]]\nname = \"one\"\nurl = \"{one}\"\n[[chains.providers]]\nname = \
             \"two\"\nurl = \"{two}\"\n{native}[[chains.tokens]]\nsymbol = \"USDC\"\naddress = \
             \"{TOKEN}\"\ndecimals = 6\n"
        )
    }

    fn head(&self) -> u64 {
        self.age.load(Ordering::SeqCst) / self.block_millis
    }

    /// Waits until everything was read, and for some looks after that.
    fn at_rest(&self, app: &TestApp) {
        let now = i64::try_from(GENESIS_SECS * 1000 + self.age.load(Ordering::SeqCst)).unwrap();
        app.clock.advance((now - app.clock.now().as_millis()).max(0));
        let head = i64::try_from(self.head()).unwrap();
        eventually("the chain to be read", || {
            let chain_id = ChainId(self.id.cast_signed());
            let row = app.db(|conn| chains::find(conn, chain_id).unwrap())?;
            (row.scanned_number == head && row.status == "ok").then_some(())
        });
        let looks = self.providers[0].looks();
        eventually("further looks", || (self.providers[0].looks() > looks + 3).then_some(()));
    }

    /// Calls beyond the looks, each time that so many blocks have come.
    fn calls_per_move(&self, app: &TestApp, blocks: u64) -> usize {
        const MOVES: usize = 5;
        let asked = || self.providers[0].count(ANY) - self.providers[0].looks();
        let before = asked();
        for _ in 0..MOVES {
            self.age.fetch_add(blocks * self.block_millis, Ordering::SeqCst);
            self.at_rest(app);
        }
        // Where all transfers are asked for, blocks are read once more now and then, and not with
        // every move.
        (asked() - before + MOVES / 2) / MOVES
    }
}

/// Addresses as if they had been issued, each to an account of its own.
pub(super) fn issue(app: &TestApp, count: u64) {
    app.account("0");
    app.db(|conn| {
        diesel::sql_query(format!(
            "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers
                WHERE number < {count})
             INSERT INTO accounts (public_id, email, status, available_nanousd, reserved_nanousd,
             created_at,
                 wants_notices, closing_waives_balance, at_risk_nanousd, wrong_codes,
                 credentials_epoch)
             SELECT 'filler-' || number, 'filler-' || number, status, 0, 0, created_at,
             wants_notices,
                 closing_waives_balance, 0, 0, 0
             FROM numbers CROSS JOIN (SELECT * FROM accounts LIMIT 1) AS model"
        ))
        .execute(conn)
        .unwrap();
        let owners: Vec<AccountId> = accounts::table
            .filter(accounts::public_id.like("filler-%"))
            .order(accounts::id)
            .select(accounts::id)
            .load(conn)
            .unwrap();
        let rows: Vec<AddressRow> = (1..=count)
            .zip(owners)
            .map(|(index, owner)| AddressRow {
                address: EvmAddress::from_slice(&[&[0xde; 12][..], &index.to_be_bytes()].concat())
                    .unwrap(),
                xpub_fingerprint: "00000000".to_owned(),
                derivation_index: i64::try_from(index).unwrap(),
                account_id: Some(owner),
                created_at: UnixMillis::from_millis(0),
            })
            .collect();
        let insert = |conn: &mut AnyConnection| -> Result<(), DbError> {
            for row in &rows {
                diesel::insert_into(deposit_addresses::table).values(row).execute(conn)?;
            }
            Ok(())
        };
        transaction::write(conn, insert).unwrap();
        let next = i64::try_from(count + 1).unwrap();
        let counter = (
            derivation_counters::xpub_fingerprint.eq("00000000"),
            derivation_counters::next_index.eq(next),
        );
        diesel::insert_into(derivation_counters::table).values(counter).execute(conn).unwrap();
    });
}

#[test]
fn a_gateway_that_nobody_pays_asks_little_and_as_much_for_many_addresses_as_for_one() {
    const ISSUED: [u64; 3] = [1, 5_000, 20_000];
    let coins = Made::new(7_001, 2_000);
    let tokens = Made::new(7_002, 250);
    let toml = coins.toml("poll_millis = 20", Coin::InBlocks)
        + &tokens.toml("poll_millis = 20\nrescan_blocks = 240", Coin::None);
    let mut figures = Vec::new();
    for count in ISSUED {
        let builder = Builder::new().upstream("sandbox", sandbox()).section(&toml);
        let app = builder.start();
        issue(&app, count);
        for made in [&coins, &tokens] {
            made.at_rest(&app);
            // While its newest block is the same, nothing else is asked.
            made.providers.iter().for_each(Provider::forget);
            made.at_rest(&app);
            let provider = &made.providers[0];
            assert_eq!(provider.count(ANY), provider.looks());
            assert!(provider.looks() >= 4);
        }
        figures.push([
            coins.calls_per_move(&app, 1),
            coins.calls_per_move(&app, 3),
            tokens.calls_per_move(&app, 24),
        ]);
    }
    println!(
        "calls beyond the look itself, with one and three blocks, and with tokens only: {figures:?}"
    );
    for [one, three, tokens] in figures {
        // One of the providers may be ahead for a look.
        assert!((1..=2).contains(&one) && (3..=4).contains(&three), "{one}, {three}");
        // Its blocks are read once more now and then.
        assert!((2..=4).contains(&tokens), "{tokens}");
    }
}

#[test]
#[ignore = "six minutes by a real clock: the figures in docs/deposits.md"]
fn what_each_chain_asks_a_day_while_nobody_pays() {
    // As long as it takes from one look at balances to the next.
    const SECS: u64 = 300;
    let day = |(name, block_millis, coin, lines): (&str, u64, Coin, &str), issued: u64| {
        let made = Made::new(7_000, block_millis);
        let toml = made.toml(lines, coin);
        let app = Builder::new().upstream("sandbox", sandbox()).section(&toml).start();
        issue(&app, issued);
        let (began, mut told) = (Instant::now(), 0);
        let mut pass = |secs: u64| {
            let end = began.elapsed() + Duration::from_secs(secs);
            while began.elapsed() < end {
                let now = u64::try_from(began.elapsed().as_millis()).unwrap();
                made.age.fetch_add(now - told, Ordering::SeqCst);
                app.clock.advance(i64::try_from(now - told).unwrap());
                told = now;
                std::thread::park_timeout(Duration::from_millis(20));
            }
        };
        // The clock stands at the chain's first moment.
        app.clock.advance(i64::try_from(200 * block_millis).unwrap());
        // Until it has the pace of the chain.
        pass(block_millis * 8 / 1000 + 5);
        made.providers.iter().for_each(Provider::forget);
        pass(SECS);
        let calls = made.providers[0].count(ANY);
        println!(
            "{name}, {issued} addresses: {} calls a day, {} of them looks",
            u64::try_from(calls).unwrap() * 86_400 / SECS,
            u64::try_from(made.providers[0].looks()).unwrap() * 86_400 / SECS,
        );
        u64::try_from(calls).unwrap() * 86_400 / SECS
    };
    let arbitrum = "rescan_blocks = 240";
    let chains = [
        (("ethereum", 12_000, Coin::InBlocks, ""), 20_000),
        (("base, optimism, polygon", 2_000, Coin::InBlocks, ""), 60_000),
        (("base, optimism, polygon by balance", 2_000, Coin::ByBalance, ""), 60_000),
        (("bnb by balance", 450, Coin::ByBalance, ""), 60_000),
        (("bnb, every block", 450, Coin::InBlocks, ""), u64::MAX),
        (("arbitrum by balance", 250, Coin::ByBalance, arbitrum), 100_000),
        (("arbitrum, tokens only", 250, Coin::None, arbitrum), 100_000),
        (("arbitrum, every block", 250, Coin::InBlocks, arbitrum), u64::MAX),
    ];
    std::thread::scope(|scope| {
        for (chain, most) in chains {
            for issued in [1, 5_000, 20_000] {
                let day = &day;
                scope.spawn(move || {
                    let asked = day(chain, issued);
                    assert!(asked <= most, "{}: {asked}", chain.0);
                });
            }
        }
    });
}
