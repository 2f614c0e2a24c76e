//! S4: bodies are bounded in memory, over the node and for an account; who has no credit is refused
//! before his is read; and a large one is read beside the event loop.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const MIB: usize = 1_048_576;

/// A request whose prompt has so many bytes.
fn long_body(bytes: usize) -> String {
    let messages = json!([{ "role": "user", "content": "word ".repeat(bytes / 5) }]);
    json!({ "model": sse::MODEL, "max_tokens": 10, "messages": messages }).to_string()
}

/// A request of which only so many bytes of the body are sent.
fn begin(app: &TestApp, path: &str, account: &Account, bytes: usize) -> Connection {
    let request = Request::post(path, long_body(8 * MIB)).key(&account.key);
    let mut connection = app.connect();
    connection.write(&request.to_bytes()[..request.head_bytes().len() + bytes]);
    connection
}

fn body_bytes(app: &TestApp) -> u64 {
    app.metric("sluice_body_bytes ")
}

#[test]
fn who_has_no_credit_is_refused_before_his_body_and_may_have_a_small_one_counted() {
    let app = Builder::new().upstream("sandbox", sandbox()).start();
    let broke = app.account("0");
    // As many as an account may have open at once; on the code before, each was read and held.
    let sixty_four: Vec<_> =
        (0..64).map(|_| begin(&app, "/v1/messages", &broke, 100_000)).collect();
    for connection in sixty_four {
        let message = connection.answer(false).finish().expect_error(402, "billing_error");
        assert!(message.contains("/deposits"), "{message}");
    }
    let large = begin(&app, "/v1/messages/count_tokens", &broke, 100_000).answer(false).finish();
    assert!(large.expect_error(402, "billing_error").contains("262144 bytes"));
    assert_eq!(body_bytes(&app), 0);
    let count = |bytes: usize, is_chunked: bool| -> Response {
        let path = "/v1/messages/count_tokens";
        if !is_chunked {
            return app.ask(&Request::post(path, long_body(bytes)).key(&broke.key));
        }
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\nanthropic-version: 2023-06-01\r\n\
             transfer-encoding: chunked\r\n\r\n",
            broke.key
        );
        let body = long_body(bytes);
        let mut connection = app.connect();
        connection.write(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
        connection.answer(false).finish()
    };
    for is_chunked in [false, true] {
        let small = count(200_000, is_chunked);
        assert_eq!(small.status, 200, "{is_chunked} {}", small.text());
        count(300_000, is_chunked).expect_error(402, "billing_error");
    }
    // It counts at once that somebody has credit.
    app.db(|conn| crate::support::app::credit(conn, broke.id, 1_000_000_000));
    assert_eq!(app.messages(&broke, &body(sse::MODEL, false, "text")).status, 200);
}

#[test]
fn bodies_in_memory_are_bounded_for_an_account_and_for_the_node_and_are_let_go() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("limits.body_bytes", 9 * MIB)
        .set("limits.bodies_bytes_per_account", 9 * MIB)
        .set("limits.bodies_total_bytes", 14 * MIB)
        .start();
    let (one, other) = (app.account("5.00"), app.account("5.00"));
    let held = begin(&app, "/v1/messages", &one, 7 * MIB);
    let arrived = |bytes: usize| {
        let least = u64::try_from(bytes).unwrap();
        eventually("the bytes to be counted", || (body_bytes(&app) >= least).then_some(()));
    };
    arrived(7 * MIB);
    let second = begin(&app, "/v1/messages", &one, 3 * MIB).answer(false).finish();
    second.expect_error(429, "rate_limit_error");
    let beside = begin(&app, "/v1/messages", &other, 6 * MIB);
    arrived(13 * MIB);
    let third = app.account("5.00");
    let beyond = begin(&app, "/v1/messages", &third, 3 * MIB).answer(false).finish();
    beyond.expect_error(529, "overloaded_error");
    // Small ones still find room, and a departure makes some.
    assert_eq!(app.messages(&third, &body(sse::MODEL, false, "text")).status, 200);
    drop((held, beside));
    eventually("the bytes to be let go", || (body_bytes(&app) == 0).then_some(()));
    let whole = app.ask(&Request::post("/v1/messages", long_body(8 * MIB)).key(&one.key));
    assert!(whole.status == 200 || whole.status == 402, "{}", whole.text());
    eventually("the body to be let go", || (body_bytes(&app) == 0).then_some(()));
}

#[test]
fn a_prompt_is_let_go_when_its_response_begins_however_long_that_goes_on() {
    let upstream = Upstream::start();
    let app = Builder::new().upstream("a", upstream.address).start();
    let account = app.account("5.00");
    let mut request: Value = serde_json::from_str(&long_body(MIB)).unwrap();
    request["stream"] = json!(true);
    let connection = app.send(&account, &request.to_string());
    let mut exchange = upstream.next();
    assert!(body_bytes(&app) > 0, "it may have to be sent once more");
    exchange.stream_head().chunk(sse::start()).chunk(sse::block_start("text"));
    exchange.chunk(sse::text("words"));
    let mut answer = connection.answer(false);
    answer.read_until("words");
    eventually("the prompt to be let go", || (body_bytes(&app) == 0).then_some(()));
    exchange.chunk([sse::block_stop(), sse::end(5), sse::message_stop()].concat()).end_chunks();
    assert!(answer.finish().text().contains("message_stop"));
}

#[test]
fn accounts_without_credit_take_no_place_from_those_with() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.max_streams", 16)
        .set("server.max_streams_per_account", 4)
        .start();
    let payer = app.account("5.00");
    let free: Vec<Account> = (0..4).map(|_| app.account("0")).collect();
    let path = "/v1/messages/count_tokens";
    let trickling: Vec<_> = free
        .iter()
        .flat_map(|account| (0..4).map(move |_| account))
        .map(|account| {
            let request = Request::post(path, long_body(200_000)).key(&account.key);
            let mut connection = app.connect();
            connection.write(&request.to_bytes()[..request.head_bytes().len() + 1_000]);
            connection
        })
        .collect();
    // One of sixteen places for all of them.
    eventually("what has begun to be counted", || (body_bytes(&app) >= 1_000).then_some(()));
    assert_eq!(app.messages(&payer, &body(sse::MODEL, false, "text")).status, 200);
    assert_eq!(body_bytes(&app), 1_000);
    drop(trickling);
}

#[test]
fn who_reads_for_long_keeps_nobody_else_from_the_database() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("database.pool_size", 4)
        .set("database.acquire_secs", 1)
        .start();
    if !app.database().is_postgres() {
        // On SQLite nothing makes a read wait; the limit is the same.
        return;
    }
    let (reader, other) = (app.account("5.00"), app.account("5.00"));
    let mut conn = app.database().connect();
    conn.batch_execute("BEGIN; LOCK TABLE usage_logs IN ACCESS EXCLUSIVE MODE").unwrap();
    let reading: Vec<_> = (0..20)
        .map(|_| app.connect().send(&Request::get("/api/v1/usage/series").key(&reader.key)))
        .collect();
    // The others are refused, or wait for their turn, which is before a connection to the database.
    for _ in 0..10 {
        assert_eq!(app.models(&other).status, 200);
        assert_eq!(app.admin("/readyz").status, 200);
    }
    conn.batch_execute("ROLLBACK").unwrap();
    let statuses: Vec<u16> =
        reading.into_iter().map(|connection| connection.answer(false).finish().status).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_large_body_is_read_beside_the_event_loop() {
    let app = Builder::new().upstream("sandbox", sandbox()).set("server.workers", 1).start();
    let account = app.account("5.00");
    let request = Request::post("/v1/messages/count_tokens", long_body(31 * MIB)).key(&account.key);
    let bytes = request.to_bytes();
    let mut large = app.connect();
    large.write(&bytes[..bytes.len() - 1]);
    let all = u64::try_from(30 * MIB).unwrap();
    eventually("its body to be read", || (body_bytes(&app) > all).then_some(()));
    large.write(&bytes[bytes.len() - 1..]);
    let counted = std::thread::spawn(move || {
        let status = large.answer(false).finish().status;
        (status, Instant::now())
    });
    // The one worker answers others while it is read.
    let mut answered = 0;
    while !counted.is_finished() {
        assert_eq!(app.models(&account).status, 200);
        answered += 1;
    }
    let (status, at) = counted.join().unwrap();
    assert_eq!(status, 200);
    assert!(answered >= 3 && at.elapsed() < Duration::from_secs(5), "{answered} answers");
}
