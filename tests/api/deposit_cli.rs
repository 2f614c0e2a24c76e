//! `sluice deposit …` on the real binary and a real database, with rows as the watcher leaves them.

mod arrivals;
mod cases;
mod decisions;
mod export;
mod lists;
mod refunds;

use std::path::PathBuf;

use serde_json::{Value, json};
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::{accounts, deposit_addresses};
use sluice::db::{AnyConnection, books};
use sluice::deposits::{DepositError, addresses, credit};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{DepositReason, DepositState};
use sluice::domain::evm::{BlockHash, ChainId, EvmAddress, RawAmount, TxHash};
use sluice::domain::money::NanoUsd;
use sluice::domain::tombstone::TombstoneKey;
use sluice::domain::xpub::Xpub;
use sluice::ledger;
use tempfile::TempDir;

use crate::support::app::{Account, TOMBSTONE_SECRET, TestApp, open_account};
use crate::support::database::TestDatabase;
use crate::support::process::{Ran, run};

/// 2026-11-22, noon.
const NOON: UnixMillis = UnixMillis::from_millis(1_795_348_800_000);
const BASE: i64 = 8453;
/// A chain that the settings do not have.
const GONE: i64 = 777;
const USDC: [u8; 20] = [0xcc; 20];

const CHAINS: &str = r#"
[[chains]]
name = "base"
display_name = "Base"
chain_id = 8453
treasury = "0x7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e"
[[chains.providers]]
name = "alpha"
url = "https://alpha.example.org"
[[chains.providers]]
name = "beta"
url = "https://beta.example.org"
[chains.native]
symbol = "ETH"
feed = "0xfefefefefefefefefefefefefefefefefefefefe"
feed_description = "ETH / USD"
heartbeat_secs = 3600
[[chains.tokens]]
symbol = "USDC"
address = "0xcccccccccccccccccccccccccccccccccccccccc"
decimals = 6
"#;

/// What the mnemonic `test test … junk` stretches to.
const SEED: &str = "0x9dfc3c64c2f8bede1533b6a79f8570e5943e0b8fd1cf77107adf7b72ce\
    f42185d564a3aee24cab43f80e3c4538087d70fc824eabbad596a23c97b6ee8322ccc0";

/// Settings with a chain, a database, and someone who gives commands.
struct Desk {
    file: PathBuf,
    database: TestDatabase,
    conn: AnyConnection,
    /// Deposits made so far: each has a transaction of its own.
    made: u8,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self::with("")
    }

    /// With further settings.
    fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(folder.path());
        let file = folder.path().join("sluice.toml");
        let url = &database.url;
        let secret = format!("privacy.tombstone_secret = \"{TOMBSTONE_SECRET}\"");
        let text = format!("database.url = \"{url}\"\n{secret}\n{lines}\n{CHAINS}");
        std::fs::write(&file, text).unwrap();
        let mut conn = database.connect();
        sluice::db::migrate::run_pending(&mut conn).unwrap();
        Self { file, database, conn, made: 0, _folder: folder }
    }

    /// What credits are held against.
    fn key() -> TombstoneKey {
        TombstoneKey::of(&TOMBSTONE_SECRET.into()).unwrap()
    }

    fn account(&mut self, dollars: &str) -> Account {
        open_account(&mut self.conn, dollars)
    }

    /// A deposit of one dollar, as `change` makes it.
    fn deposit(&mut self, change: impl FnOnce(&mut DepositRow)) -> DepositRow {
        self.made += 1;
        let mut row = row(self.made);
        change(&mut row);
        deposits::insert(&mut self.conn, &row).unwrap();
        self.read(&row.public_id)
    }

    /// A deposit of that many nano-dollars, credited to an account as the watcher does.
    fn credited(&mut self, account: &Account, nanos: i64) -> DepositRow {
        let row = self.deposit(|row| {
            row.state = DepositState::Confirming;
            row.account_id = Some(account.id);
            row.value_nanousd = Some(NanoUsd::from_nanos(nanos));
        });
        assert!(
            credit::credit(
                &mut self.conn,
                &Self::key(),
                &row,
                sluice::domain::money::NanoUsd::ZERO,
                NOON
            )
            .unwrap()
        );
        self.read(&row.public_id)
    }

    /// A deposit that is held for review, worth a dollar.
    fn held(&mut self, account: &Account) -> DepositRow {
        self.deposit(|row| {
            row.state = DepositState::Held;
            row.reason = Some(DepositReason::AboveReviewLimit);
            row.account_id = Some(account.id);
            row.value_nanousd = Some(NanoUsd::from_nanos(1_000_000_000));
        })
    }

    fn read(&mut self, public_id: &str) -> DepositRow {
        deposits::find(&mut self.conn, public_id).unwrap().unwrap()
    }

    fn standing(&mut self, row: &DepositRow) -> (String, Option<String>) {
        let row = self.read(&row.public_id);
        (row.state.to_string(), row.reason.map(|reason| reason.to_string()))
    }

    fn available(&mut self, account: &Account) -> i64 {
        accounts::find(&mut self.conn, &account.public_id)
            .unwrap()
            .unwrap()
            .available_nanousd
            .as_nanos()
    }

    /// Kinds and amounts of the entries of these references.
    fn entries(&mut self, references: &[&str]) -> Vec<(String, i64)> {
        let references: Vec<String> = references.iter().map(|&one| one.to_owned()).collect();
        let rows = books::entries_of(&mut self.conn, &references).unwrap();
        rows.into_iter()
            .map(|row| (row.kind.as_str().to_owned(), row.amount_nanousd.as_nanos()))
            .collect()
    }

    fn chain(&mut self, change: impl FnOnce(&mut ChainRow)) {
        let mut row = ChainRow {
            first_number: 0,
            chain_id: ChainId(BASE),
            revision: 0,
            scanned_number: 118,
            scanned_hash: BlockHash([1; 32]),
            final_number: 110,
            head_number: 120,
            status: "ok".to_owned(),
            status_detail: None,
            node_id: "node_a".to_owned(),
            lease_expires_at: UnixMillis::from_millis(i64::MAX),
            updated_at: NOON,
            block_millis: None,
        };
        change(&mut row);
        chains::create(&mut self.conn, &row).unwrap();
    }

    fn run(&self, args: &[&str]) -> Ran {
        let config = ["--config", self.file.to_str().unwrap()];
        run(&[&["deposit"], args, &config].concat(), &[])
    }

    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        ran.out
    }

    fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).json()
    }

    /// A refusal: exit 1, nothing printed, and a reason that has these words. The books still
    /// balance.
    fn refused(&mut self, args: &[&str], words: &[&str]) {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}: {}", ran.err);
        for word in words {
            assert!(ran.err.starts_with("sluice: ") && ran.err.contains(word), "{}", ran.err);
        }
        self.verify();
    }

    /// Arguments that are wrong by themselves: exit 2.
    fn wrong(&self, args: &[&str], words: &str) {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
    }

    fn verify(&mut self) {
        let report = ledger::verify(&mut self.conn).unwrap();
        assert!(report.discrepancies.is_empty(), "{:#?}", report.discrepancies);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.verify();
        }
    }
}

/// One dollar in USDC that nobody has looked at yet. `number` tells its transaction from others.
fn row(number: u8) -> DepositRow {
    DepositRow {
        id: 0,
        public_id: format!("dep_{number}"),
        chain_id: ChainId(BASE),
        tx_hash: TxHash([number; 32]),
        ordinal: 0,
        token: Some(EvmAddress(USDC)),
        payer: EvmAddress([0xaa; 20]),
        payee: EvmAddress([0x7e; 20]),
        raw_amount: RawAmount::from(1_000_000),
        block_number: 100,
        block_hash: BlockHash([0xb0; 32]),
        block_time: NOON,
        state: DepositState::Seen,
        reason: None,
        account_id: None,
        wallet_id: None,
        value_nanousd: None,
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: NOON,
        created_at: NOON,
        updated_at: NOON,
        early_credit_at: None,
        early_value_nanousd: None,
        is_provisional: false,
    }
}

#[test]
fn the_counter_of_addresses_goes_forward_only() {
    use bip32::{Prefix, XPrv};
    let seed = sluice::domain::evm::parse_bytes(SEED).unwrap();
    let private = XPrv::derive_from_path(seed, &"m/44'/60'/0'".parse().unwrap()).unwrap();
    let text = private.public_key().to_string(Prefix::XPUB);
    let xpub: Xpub = text.parse().unwrap();
    let mut desk = Desk::with(&format!("deposits.account_xpub = \"{text}\""));
    let issue = |desk: &mut Desk| -> Result<i64, DepositError> {
        let account = desk.account("0");
        addresses::of_account(&mut desk.conn, &xpub, account.id, NOON)?;
        let row = deposit_addresses::of_account(&mut desk.conn, account.id)?;
        Ok(row.unwrap().derivation_index)
    };
    assert_eq!(issue(&mut desk).unwrap(), 0);
    let moved = desk.json(&["addresses", "advance", "20"]);
    assert_eq!((&moved["from"], &moved["to"]), (&json!(1), &json!(20)));
    assert_eq!(issue(&mut desk).unwrap(), 20);
    for index in ["5", "21"] {
        desk.refused(
            &["addresses", "advance", index],
            &["next index is already 21", "never goes back"],
        );
    }
    desk.refused(&["addresses", "advance", "2000000"], &["1999979", "--far"]);
    desk.wrong(&["addresses", "advance", "2147483648"], "2147483648");
    desk.wrong(&["addresses", "advance", "-1"], "-1");
    assert!(desk.ok(&["addresses", "advance", "2000000", "--far"]).contains("it was 21"));
    assert_eq!(issue(&mut desk).unwrap(), 2_000_000);
    Desk::new().refused(&["addresses", "advance", "5"], &["deposits.account_xpub is not set"]);
}

#[test]
fn deposits_are_decided_beside_a_running_server() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let file = app.folder().join("sluice.toml");
    let deposit = |args: &[&str]| {
        let config = ["--config", file.to_str().unwrap(), "--json"];
        run(&[&["deposit"], args, &config].concat(), &[])
    };
    app.db(|conn| {
        let row = DepositRow {
            state: DepositState::Held,
            account_id: Some(account.id),
            value_nanousd: Some(NanoUsd::from_nanos(2_000_000_000)),
            ..row(1)
        };
        deposits::insert(conn, &row).unwrap();
    });
    let credited = deposit(&["review", "dep_1", "--approve", "--reason", "seen by me"]).json();
    assert_eq!((&credited["state"], &credited["chain"]), (&json!("credited"), &json!("8453")));
    assert_eq!(app.balance(&account).available, 2_000_000_000);
    assert_eq!(
        deposit(&["refund", "dep_1", "--reason", "asked for"]).json()["refunds"][0]["state"],
        "held"
    );
    assert_eq!(app.balance(&account).available, 0);
}

#[test]
fn every_command_explains_itself() {
    let commands = [
        "list",
        "find",
        "show",
        "chains",
        "claims",
        "review",
        "attribute",
        "reject",
        "refund",
        "export",
        "addresses",
    ];
    let all = run(&["deposit", "--help"], &[]);
    for command in commands {
        assert!(all.out.contains(&format!("  {command} ")), "{}", all.out);
        let ran = run(&["deposit", command, "--help"], &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let says = ran.out.lines().next().unwrap_or_default();
        assert!(says.contains(' ') && !says.starts_with("Usage"), "{}", ran.out);
    }
    let refund = run(&["deposit", "refund", "--help"], &[]).out;
    assert!(refund.contains("--tx HASH") && refund.contains("The steps:"), "{refund}");
}
