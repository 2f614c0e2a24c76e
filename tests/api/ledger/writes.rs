//! How much an exchange asks of its database, counted: statements of a group, commits of a call and
//! of a stream, and pages of the write-ahead log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::{Connection as _, InstrumentationEvent};
use sluice::domain::usage_record::UsageRecord;
use sluice::ledger::{self, BalanceCache, Busy, Command};

use super::{Desk, NOW, post, record, reserve};
use crate::support::app::Builder;
use crate::support::client::Request;
use crate::support::database::TestDatabase;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;

/// Statements on SQLite of a group that holds money, by a server that remembers the account: BEGIN,
/// whether others have written, whether the exchange has begun, the reservation, the balance,
/// COMMIT.
const STATEMENTS_OF_A_HOLD: usize = 6;
/// Of one that charges: the reservation goes, the usage row, its entry, the key and the balance.
const STATEMENTS_OF_A_CHARGE: usize = 8;
/// Of a group of 32: two, and three, for each exchange.
const STATEMENTS_OF_32_HOLDS: usize = 68;
const STATEMENTS_OF_32_CHARGES: usize = 101;

/// One to hold and one to charge, for a call and for a stream that is over before its first
/// checkpoint.
const COMMITS: usize = 2;
/// Pages of 4 KiB that these two write to the log together: 15, and now and then one that splits.
const PAGES: usize = 16;

#[test]
fn a_group_on_sqlite_takes_so_many_statements() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(TestDatabase::sqlite(folder.path()), folder);
    let account = desk.account("1.00");
    let key = desk.key_of(&account);
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    desk.conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut memory = BalanceCache::default();
    let mut statements = |commands: &[Command]| {
        let before = count.load(Ordering::Relaxed);
        let session = (&mut desk.conn, &mut memory);
        ledger::apply_unless(session, commands.iter().collect(), Busy::Skip, NOW, &|| false)
            .unwrap();
        count.load(Ordering::Relaxed) - before
    };
    let records = |count: usize, name: &str| -> Vec<UsageRecord> {
        let name = |number| format!("req_{name}_{number}");
        (0..count).map(|number| record(&name(number), &account, key)).collect()
    };
    let mut of = |count: usize, name: &str| {
        let records = records(count, name);
        let holds: Vec<Command> = records.iter().map(|record| reserve(record, 1_000)).collect();
        let posts: Vec<Command> = records.iter().map(|record| post(record, 500)).collect();
        (statements(&holds), statements(&posts))
    };
    // The first finds the day and the month new.
    of(1, "first");
    let (hold, charge) = of(1, "one");
    println!("a hold: {hold}; a charge: {charge}");
    let (holds, charges) = of(32, "more");
    println!("32 holds: {holds}; 32 charges: {charges}");
    assert_eq!((hold, charge), (STATEMENTS_OF_A_HOLD, STATEMENTS_OF_A_CHARGE));
    assert_eq!((holds, charges), (STATEMENTS_OF_32_HOLDS, STATEMENTS_OF_32_CHARGES));
}

#[test]
fn a_call_and_a_short_stream_on_sqlite_commit_twice() {
    const REQUESTS: usize = 10;
    // The lease of the node is written now and then: the least of some rounds is the requests'.
    const ROUNDS: usize = 4;
    let mut builder =
        Builder::new().upstream("sandbox", sandbox()).set("stream.checkpoint_first_ms", 20_000);
    let folder = tempfile::tempdir().unwrap();
    builder.database = Some(TestDatabase::sqlite(folder.path()));
    let app = builder.start();
    let account = app.account("5.00");
    let log = folder.path().join("sluice.db-wal");
    let round = |is_stream: bool| {
        let request = Request::post("/v1/messages", body(sse::MODEL, is_stream, "text;events=20"));
        let request = request.key(&account.key);
        let before = WriteAheadLog::read(&log);
        for _ in 0..REQUESTS {
            app.ask(&request).expect_ok();
        }
        WriteAheadLog::read(&log).since(&before)
    };
    for is_stream in [false, true] {
        let rounds: Vec<(usize, usize)> = (0..ROUNDS).filter_map(|_| round(is_stream)).collect();
        let commits = rounds.iter().map(|(commits, _)| *commits).min().unwrap();
        let pages = rounds.iter().map(|(_, pages)| *pages).min().unwrap();
        println!("stream: {is_stream}: {REQUESTS} requests: {commits} commits, {pages} pages");
        assert_eq!(commits, COMMITS * REQUESTS, "stream: {is_stream}");
        assert!(pages <= PAGES * REQUESTS, "stream: {is_stream}: {pages}");
    }
}

/// What a write-ahead log holds (<https://www.sqlite.org/fileformat2.html#walformat>).
struct WriteAheadLog {
    /// Differs once the log has begun again.
    salts: Vec<u8>,
    commits: usize,
    pages: usize,
}

impl WriteAheadLog {
    fn read(path: &Path) -> Self {
        const HEADER: usize = 32;
        const FRAME_HEADER: usize = 24;
        let bytes = std::fs::read(path).unwrap();
        let page_bytes = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        let salts = bytes[16..24].to_vec();
        let frame_bytes = FRAME_HEADER + usize::try_from(page_bytes).unwrap();
        let frames = bytes[HEADER..].chunks_exact(frame_bytes);
        // What is behind them is left from before the log began again.
        let frames: Vec<&[u8]> = frames.take_while(|frame| frame[8..16] == salts).collect();
        // Only the last frame of a commit says how large the database is.
        let commits = frames.iter().filter(|frame| frame[4..8] != [0; 4]).count();
        Self { salts, commits, pages: frames.len() }
    }

    /// Commits and pages since then; `None` where the log has begun again.
    fn since(&self, earlier: &Self) -> Option<(usize, usize)> {
        (self.salts == earlier.salts)
            .then(|| (self.commits - earlier.commits, self.pages - earlier.pages))
    }
}
