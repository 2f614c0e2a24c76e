//! PostgreSQL is restarted under streams that run and requests that arrive.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sluice::db::books::UsageRow;

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::database::TestDatabase;
use crate::support::prices::haiku;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::wait::{eventually, within};

/// Every request reports its own number of input tokens, so that its row is known by it.
const FIRST_INPUT: u64 = 1000;
const OUTPUT: u64 = 2000;
const STREAMS: u64 = 20;
/// Between the moment when the server takes sessions and the one when everybody knows.
const GRACE: Duration = Duration::from_secs(2);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A client would take the answer as whole.
    Whole,
    /// It ended with an error event, or with 503 after its dispatch.
    Failed,
    /// 503 between these moments.
    Refused(Instant, Instant),
}

/// Who asks, and what became of it.
struct Clients {
    address: std::net::SocketAddr,
    account: Account,
    next_input: AtomicU64,
    is_over: AtomicBool,
    fates: Mutex<HashMap<u64, Fate>>,
}

impl Clients {
    fn send(&self, input: u64, wants_stream: bool, pace: &str) -> Connection {
        let script = format!("text;bytes=20;input={input};output={OUTPUT};{pace}");
        let body = body(sse::MODEL, wants_stream, &script);
        let request = Request::post("/v1/messages", body).key(&self.account.key);
        Connection::open(self.address).send(&request)
    }

    fn note(&self, input: u64, began: Instant, response: &Response) {
        let text = response.text();
        let fate = match response.status {
            200 if text.contains("event: error") => Fate::Failed,
            200 => {
                assert!(
                    text.contains("\"stop_reason\":\"end_turn\""),
                    "neither whole nor not: {text}"
                );
                Fate::Whole
            }
            _ => {
                response.expect_error(503, "api_error");
                Fate::Refused(began, Instant::now())
            }
        };
        self.fates.lock().unwrap().insert(input, fate);
    }

    /// One request after the other, streamed and not, until it is over.
    fn keep_asking(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let input = self.next_input.fetch_add(1, Ordering::SeqCst);
            let began = Instant::now();
            let connection = self.send(input, input.is_multiple_of(2), "events=5;pace_ms=5");
            self.note(input, began, &connection.answer(false).finish());
        }
    }

    fn count(&self, is_wanted: impl Fn(&Fate) -> bool) -> usize {
        self.fates.lock().unwrap().values().filter(|fate| is_wanted(fate)).count()
    }
}

/// Streams that are under way, each read by a thread to its end.
fn begin_streams(clients: &Arc<Clients>) -> Vec<JoinHandle<()>> {
    let open = (0..STREAMS).map(|number| {
        let input = clients.next_input.fetch_add(1, Ordering::SeqCst);
        // Some end while the database is away, some long after.
        let pace = format!("events={};pace_ms=50", 20 + 5 * number);
        let began = Instant::now();
        let mut answer = clients.send(input, true, &pace).answer(false);
        assert_eq!(answer.status, 200);
        answer.read_until("content_block_delta");
        (input, began, answer)
    });
    let open: Vec<_> = open.collect();
    let read = open.into_iter().map(|(input, began, answer)| {
        let clients = Arc::clone(clients);
        std::thread::spawn(move || clients.note(input, began, &answer.finish()))
    });
    read.collect()
}

fn restart(mode: &str) {
    let Some((database, cluster)) = TestDatabase::in_own_cluster() else { return };
    let mut builder = Builder::new()
        .upstream("sandbox", sandbox())
        .set("stream.settle_wait_secs", 1)
        .set("stream.checkpoint_secs", 1)
        .set("database.acquire_secs", 1);
    builder.database = Some(database);
    let app = builder.start();
    let clients = Arc::new(Clients {
        address: app.address,
        account: app.account("1000.00"),
        next_input: AtomicU64::new(FIRST_INPUT),
        is_over: AtomicBool::new(false),
        fates: Mutex::default(),
    });
    let mut threads = begin_streams(&clients);
    threads.extend((0..4).map(|_| {
        let clients = Arc::clone(&clients);
        std::thread::spawn(move || clients.keep_asking())
    }));
    let whole = |fate: &Fate| *fate == Fate::Whole;
    eventually("answers", || (clients.count(whole) > 8).then_some(()));

    let down_from = Instant::now();
    cluster.stop(mode);
    eventually("refusals", || {
        (clients.count(|fate| matches!(fate, Fate::Refused(..))) > 8).then_some(())
    });
    cluster.resume();
    let up_from = Instant::now();
    let before = clients.count(whole);
    let resumed = within(GRACE, || (clients.count(whole) > before + 8).then_some(()));
    assert!(resumed.is_some(), "service resumes soon after the database is back");
    clients.is_over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    for (input, fate) in clients.fates.lock().unwrap().iter() {
        if let Fate::Refused(began, ended) = fate {
            let is_during = *ended >= down_from && *began <= up_from + GRACE;
            assert!(is_during, "{input} was refused while the database was up");
        }
    }
    assert_accounted_for(&app, &clients);
    drop(app);
    drop(cluster);
}

/// Every answer has its one row at its full price, in time or late; refusals cost nothing.
fn assert_accounted_for(app: &TestApp, clients: &Clients) {
    eventually("everything to be settled", || (app.open_reservations() == 0).then_some(()));
    let fates = clients.fates.lock().unwrap();
    let mut rows: HashMap<u64, Vec<UsageRow>> = HashMap::new();
    for row in app.usage(&clients.account) {
        rows.entry(u64::try_from(row.input_tokens).unwrap()).or_default().push(row);
    }
    // A reservation of which nobody knew whether it had landed is void.
    for row in rows.remove(&0).unwrap_or_default() {
        assert_eq!(row.cost_nanousd.as_nanos(), 0, "{row:#?}");
    }
    for (input, fate) in fates.iter() {
        let row = rows.remove(input).unwrap_or_default();
        let billed: Vec<_> =
            row.iter().map(|row| (row.ending.code(), row.cost_nanousd.as_nanos())).collect();
        let price = haiku(i64::try_from(*input).unwrap(), i64::try_from(OUTPUT).unwrap());
        match fate {
            Fate::Whole => assert_eq!(billed, [("E1", price)], "{input}"),
            Fate::Failed => assert_eq!(billed, [("E16", price)], "{input}"),
            // A JSON answer that could not be paid for in time is 503 and billed.
            Fate::Refused(..) => {
                assert!(billed.is_empty() || billed == [("E16", price)], "{input} {billed:?}");
            }
        }
    }
    assert!(rows.is_empty(), "rows of nobody: {rows:#?}");
    let whole = fates.values().filter(|fate| **fate == Fate::Whole).count();
    println!("{whole} whole answers of {}", fates.len());
}

#[test]
fn a_restart_in_order_refuses_only_while_it_lasts_and_loses_nothing() {
    restart("fast");
}

#[test]
fn a_crash_and_recovery_refuses_only_while_it_lasts_and_loses_nothing() {
    restart("immediate");
}
