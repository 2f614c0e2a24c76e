//! The database goes away while the server runs, and comes back: new work is refused with 503 and
//! goes nowhere, streams end properly, nothing settled is lost, service resumes without a restart.

use serde_json::json;
use sluice::db::books::UsageRow;
use sluice::db::models::usage_logs;

use crate::support::app::{Account, Builder, open_account, verify_books};
use crate::support::client::{Answer, Connection, End, Request, Response};
use crate::support::database::TestDatabase;
use crate::support::prices::haiku;
use crate::support::process::{Process, run};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, message};
use crate::support::wait::eventually;

mod disk;
mod file;
mod limits;
mod postgres;

/// The real program on a SQLite file, in front of a scripted upstream.
struct Stage {
    process: Process,
    upstream: Upstream,
    account: Account,
}

/// A stream in flight: the upstream's side, and the client's.
struct Running {
    exchange: Exchange,
    answer: Answer,
}

const WORDS: &str = "All that there is";

impl Stage {
    fn start(place: impl FnOnce(&mut Builder), start: impl FnOnce(Builder) -> Process) -> Self {
        let upstream = Upstream::start();
        let mut builder = Builder::new()
            .upstream("primary", upstream.address)
            .set("stream.settle_wait_secs", 1)
            .set("database.acquire_secs", 1)
            .set("database.lock_timeout_ms", 300);
        builder.database = Some(TestDatabase::sqlite(builder.folder.path()));
        place(&mut builder);
        let process = start(builder);
        let account = open_account(&mut process.database.connect(), "50.00");
        Self { process, upstream, account }
    }

    fn send(&self, wants_stream: bool) -> Connection {
        let body = body(sse::MODEL, wants_stream, "text");
        let request = Request::post("/v1/messages", body).key(&self.account.key);
        Connection::open(self.process.address).send(&request)
    }

    fn begin(&self) -> Running {
        let connection = self.send(true);
        let mut exchange = self.upstream.next();
        let events = [sse::start(), sse::block_start("text"), sse::text(WORDS)];
        exchange.stream_head().chunk(events.concat());
        let mut answer = connection.answer(false);
        answer.read_until(WORDS);
        Running { exchange, answer }
    }

    /// New work is refused, and no upstream hears of it.
    fn expect_refusal(&self) {
        for wants_stream in [true, false] {
            self.send(wants_stream).answer(false).finish().expect_error(503, "api_error");
        }
        let dispatched = self.upstream.next_within(std::time::Duration::ZERO);
        assert!(dispatched.is_none(), "refused work was dispatched");
    }

    fn readyz(&self) -> Response {
        Connection::open(self.process.admin_address).ask(&Request::get("/readyz")).finish()
    }

    /// Waits until a whole answer can be had again.
    fn expect_service(&self) {
        let connection = eventually("service to resume", || {
            let connection = self.send(false);
            let soon = std::time::Duration::from_millis(300);
            let Some(exchange) = self.upstream.next_within(soon) else {
                connection.answer(false).finish().expect_error(503, "api_error");
                return None;
            };
            exchange.answer_json(&json_answer());
            Some(connection)
        });
        connection.answer(false).finish().expect_ok();
        assert_eq!(self.readyz().status, 200);
    }

    /// Waits for so many rows; a row that was cut short by the outage says E16.
    fn settled(&self, late: usize, in_time: usize) -> Vec<UsageRow> {
        let mut conn = self.process.database.connect();
        eventually("every exchange to be settled", || {
            let rows = usage_logs::latest(&mut conn, self.account.id, 1000).unwrap();
            let count =
                |ending: &str| rows.iter().filter(|row| row.ending.code() == ending).count();
            (count("E16") == late && count("E1") == in_time).then_some(rows)
        })
    }

    /// Stops in order, and proves the books with the program's own command.
    fn finish(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.wait(), Some(0), "{}", self.process.log());
        let config = self.process.config.to_str().unwrap();
        let books = run(&["--config", config, "books", "verify"], &[]);
        assert_eq!(books.code, 0, "{}{}", books.out, books.err);
        verify_books(&mut self.process.database.connect());
    }
}

impl Running {
    /// The upstream comes to its end.
    fn end(&mut self) {
        self.exchange.chunk(last_events()).end_chunks();
    }

    /// After the end, the client hears that the answer cannot be accounted for.
    fn expect_unpaid(self) {
        let response = self.answer.finish();
        assert_eq!((response.status, response.end), (200, End::Whole));
        let events = sse::read(&response.body);
        let (last, before) = events.split_last().unwrap();
        assert_eq!(last.name, "error", "{}", response.text());
        assert_eq!(last.json()["error"]["type"], "api_error");
        assert_eq!(before.last().unwrap().name, "content_block_stop", "{}", response.text());
    }

    /// The upstream comes to its end, and so does the client.
    fn end_paid(mut self) {
        self.end();
        let response = self.answer.finish();
        assert!(response.expect_ok().text().ends_with(&last_events()));
    }
}

fn last_events() -> String {
    [sse::block_stop(), sse::end(200), sse::message_stop()].concat()
}

/// All of them end while nothing can be paid for.
fn end_unpaid(mut running: Vec<Running>) {
    for stream in &mut running {
        stream.end();
    }
    for stream in running {
        stream.expect_unpaid();
    }
}

fn json_answer() -> String {
    message(&json!({ "input_tokens": 1000, "output_tokens": 200 }))
}

/// Every row costs what the upstream has reported, in time or late.
fn assert_billed_in_full(rows: &[UsageRow]) {
    for row in rows {
        assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, 200), "{row:#?}");
        assert!(!row.is_estimated, "{row:#?}");
    }
}
