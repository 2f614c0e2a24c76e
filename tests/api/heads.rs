//! S2: every head of a connection has its time, not the first one alone.

use std::time::{Duration, Instant};

use crate::support::app::{Builder, TestApp};
use crate::support::certificates::Certificates;
use crate::support::client::{Connection, Request};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::{eventually, within};

/// One second for a head, and three between two requests.
fn start(builder: Builder) -> TestApp {
    builder.set("server.head_secs", 1).set("server.keep_alive_secs", 3).start()
}

/// A connection that has had an answer, and perhaps sent something with its request.
fn used(app: &TestApp, with_it: &str) -> Connection {
    let mut bytes = Request::get("/v1/none").to_bytes();
    bytes.extend_from_slice(with_it.as_bytes());
    let mut connection = app.connect();
    connection.write(&bytes);
    let (response, connection) = connection.answer(false).finish_keeping();
    assert_eq!(response.status, 404);
    connection
}

#[test]
fn a_later_head_that_trickles_or_stops_loses_its_connection() {
    let upstream = Upstream::start();
    let app = start(Builder::new().upstream("primary", upstream.address));
    let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ";
    // A byte now and then keeps no connection open.
    let mut trickling = used(&app, "");
    let began = Instant::now();
    trickling.write(head.as_bytes());
    let closed = within(Duration::from_secs(10), || {
        trickling.try_write(b"x");
        (!trickling.is_held()).then_some(())
    });
    assert!(closed.is_some() && began.elapsed() >= Duration::from_millis(900));
    // Nor does one that stops, whether its beginning came by itself or with the request before it.
    let mut alone = used(&app, "");
    alone.write(head.as_bytes());
    for stopped in [alone, used(&app, head)] {
        eventually("the server to let go", || (!stopped.is_held()).then_some(()));
    }
}

#[test]
fn who_is_idle_within_keep_alive_or_reads_a_long_answer_keeps_his_connection() {
    let upstream = Upstream::start();
    let app = start(Builder::new().upstream("primary", upstream.address));
    let account = app.account("5.00");
    let connection = used(&app, "");
    assert!(within(Duration::from_secs(2), || (!connection.is_held()).then_some(())).is_none());
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = connection.send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    // Longer than both limits together.
    assert!(upstream.next_within(Duration::from_secs(5)).is_none());
    exchange.chunk([sse::end(3), sse::message_stop()].concat()).end_chunks();
    let (response, connection) = answer.finish_keeping();
    assert!(response.expect_ok().text().contains("message_stop"));
    let (again, _) = connection.ask(&Request::get("/v1/none")).finish_keeping();
    assert_eq!(again.status, 404);
}

#[test]
fn a_head_that_was_answered_at_once_is_none_that_takes_long() {
    let upstream = Upstream::start();
    let app = start(Builder::new().upstream("primary", upstream.address));
    let mut connection = used(&app, "");
    // Each within the limit of the one before; together far beyond it.
    for _ in 0..5 {
        let cut = within(Duration::from_millis(500), || (!connection.is_held()).then_some(()));
        assert!(cut.is_none(), "cut while idle");
        let (response, kept) = connection.ask(&Request::get("/v1/none")).finish_keeping();
        assert_eq!(response.status, 404);
        connection = kept;
    }
}

#[test]
fn the_limit_is_there_behind_tls_too() {
    let certificates = Certificates::new();
    certificates.issue("ec");
    let upstream = Upstream::start();
    let app = start(certificates.configure(Builder::new().upstream("primary", upstream.address)));
    let mut tls = crate::tls::connect(app.address, &certificates.served()).unwrap();
    std::io::Write::write_all(&mut tls, &Request::get("/v1/none").to_bytes()).unwrap();
    crate::tls::read_until(&mut tls, "request_id");
    let began = Instant::now();
    std::io::Write::write_all(&mut tls, b"GET / HTTP/1.1\r\nhost: ").unwrap();
    let mut rest = Vec::new();
    // An end without a word: TLS calls it an error, if it was not told.
    drop(std::io::Read::read_to_end(&mut tls, &mut rest));
    assert!(began.elapsed() < Duration::from_secs(3), "not by the limit between two requests");
}
