//! Endings of clients that do not read: E15.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{long_body, pour_until_left};
use super::{Stage, json_answer, json_body, stream_body};
use crate::support::client::{Answer, Connection, End};
use crate::support::kernel::Ports;
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sse;
use crate::support::wait::eventually;

#[test]
fn e15_a_client_that_stops_reading_is_cut_off_and_pays_what_was_delivered() {
    let stage = Stage::with(|builder| {
        builder
            .set("server.client_stall_secs", 1)
            .set("server.send_buffer_bytes", 4096)
            .set("stream.output_factor_max", 1_000_000)
            .set("stream.client_gone", "\"abort\"")
    });
    let request = crate::support::client::Request::post("/v1/messages", stream_body())
        .key(&stage.account.key);
    let connection = Connection::open_narrow(stage.app.address).send(&request);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    let words = "stalled ".repeat(1000);
    let sent = pour_until_left(&mut exchange, &words);
    let row = stage.row("E15");
    assert!(row.is_estimated, "{row:#?}");
    assert_eq!(row.cost_nanousd.as_nanos(), haiku(1000, row.output_tokens));
    // The gateway took no more than it can hold for one client, and charges all that it took.
    assert!(row.output_tokens <= estimated_tokens(sent + words.len()), "{row:#?}");
    assert!(row.output_tokens > 0);
    // Nothing tells the client that this was all.
    assert_eq!(answer.finish().end, End::Cut);
}

/// A client that has asked for a stream and reads none of it, and an upstream that sends 100 MB.
struct Stalled {
    client: Answer,
    upstream: Ports,
    sent: Arc<AtomicUsize>,
    writer: std::thread::JoinHandle<()>,
}

impl Stalled {
    fn begin(stage: &Stage) -> Self {
        let (mut exchange, connection) = stage.stream();
        exchange.stream_head().chunk(sse::start());
        let mut client = connection.answer(false);
        client.read_until("message_start");
        let (upstream, sent) = (exchange.ports(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&sent);
        let writer = std::thread::spawn(move || {
            let event = sse::text(&"stalled ".repeat(1000));
            while count.load(Ordering::SeqCst) < 100_000_000 && exchange.try_chunk(&event) {
                count.fetch_add(event.len(), Ordering::SeqCst);
            }
        });
        Self { client, upstream, sent, writer }
    }

    /// Bytes on the gateway's side, once no more are taken: what was sent, without what is still at
    /// the upstream and what has come to the client.
    fn held(&self) -> usize {
        let mut before = usize::MAX;
        eventually("the upstream to be stopped", || {
            std::thread::park_timeout(Duration::from_millis(200));
            let now = self.sent.load(Ordering::SeqCst);
            (std::mem::replace(&mut before, now) == now).then_some(())
        });
        let unsent = self.upstream.row().unwrap().unsent;
        let arrived = self.client.ports().row().unwrap().unread;
        before.saturating_sub(unsent + arrived)
    }
}

#[test]
fn e15_a_client_that_does_not_read_costs_less_than_a_mebibyte_and_is_let_go() {
    let stage = Stage::with(|builder| {
        builder
            .set("server.client_stall_secs", 3)
            .set("stream.client_gone", "\"abort\"")
            .set("stream.output_factor_max", 1_000_000)
    });
    let stalled = Stalled::begin(&stage);
    let held = stalled.held();
    assert!(held > 0 && held < 1_048_576, "{held} bytes are held for a client that does not read");
    stage.row("E15");
    stalled.client.expect_closed_by_server();
    stalled.writer.join().unwrap();
    assert!(stalled.sent.load(Ordering::SeqCst) < 100_000_000, "the upstream was not stopped");
}

#[test]
fn e15_clients_that_do_not_read_do_not_stop_the_others() {
    let stage = Stage::with(|builder| {
        builder.set("server.client_stall_secs", 2).set("stream.output_factor_max", 1_000_000)
    });
    let stalled: Vec<_> = (0..20).map(|_| Stalled::begin(&stage)).collect();
    let whole = sse::whole("Hello");
    for _ in 0..5 {
        let (exchange, connection) = stage.stream();
        exchange.answer_stream(&whole);
        assert!(connection.answer(false).finish().expect_ok().text() == whole);
    }
    for one in stalled {
        one.client.expect_closed_by_server();
        one.writer.join().unwrap();
    }
    let rows = stage.app.settled(&stage.account, 25);
    let count = |ending| rows.iter().filter(|row| row.ending.code() == ending).count();
    assert_eq!((count("E15"), count("E1")), (20, 5), "{rows:#?}");
}

#[test]
fn e15_stalling_near_the_end_does_not_pay() {
    let stage = Stage::with(|builder| {
        builder
            .set("server.client_stall_secs", 1)
            .set("server.send_buffer_bytes", 4096)
            .set("stream.output_factor_max", 1_000_000)
    });
    let request =
        crate::support::client::Request::post("/v1/messages", long_body()).key(&stage.account.key);
    let connection = Connection::open_narrow(stage.app.address).send(&request);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    // More than the kernel holds for this client, and less than the gateway and the kernel do.
    let words = "almost everything ".repeat(10);
    for _ in 0..200 {
        exchange.try_chunk(sse::text(&words));
    }
    exchange.try_chunk([sse::block_stop(), sse::end(23_456), sse::message_stop()].concat());
    let row = stage.app.only_row(&stage.account);
    // The client never got the end; all that the gateway had taken for it is charged.
    let response = answer.finish();
    let events = sse::read(&response.body);
    let seen = events.iter().filter(|event| event.name == "content_block_delta").count();
    assert!(row.output_tokens >= estimated_tokens(seen * words.len()), "{seen} {row:#?}");
    assert!(row.cost_nanousd.as_nanos() >= haiku(1000, estimated_tokens(seen * words.len())));
}

#[test]
fn e15_a_client_that_reads_slowly_is_not_stalled() {
    let stage = Stage::with(|builder| {
        builder
            .set("server.client_stall_secs", 1)
            .set("server.send_buffer_bytes", 4096)
            .set("stream.output_factor_max", 1_000_000)
    });
    let request = crate::support::client::Request::post("/v1/messages", stream_body())
        .key(&stage.account.key);
    let connection = Connection::open_narrow(stage.app.address).send(&request);
    let mut exchange = stage.upstream.next();
    let words = "slowly ".repeat(100_000);
    let events = [sse::start(), sse::text(&words), sse::end(4000), sse::message_stop()].concat();
    let expected = events.clone();
    let writer = std::thread::spawn(move || {
        exchange.stream_head();
        for piece in events.as_bytes().chunks(8192) {
            exchange.chunk(piece);
        }
        exchange.end_chunks();
    });
    let mut answer = connection.answer(false);
    // A little every now and then, for longer than the limit in all.
    for _ in 0..20 {
        let wanted = (answer.body.len() + 16_384).min(expected.len());
        answer.read_to(wanted);
        std::thread::park_timeout(Duration::from_millis(400));
    }
    let response = answer.finish();
    assert!(response.expect_ok().text() == expected);
    writer.join().unwrap();
    stage.reported("E1", 1000, 4000);
}

#[test]
fn e15_a_json_answer_that_is_not_read_is_let_go() {
    let stage = Stage::with(|builder| {
        builder
            .set("server.client_stall_secs", 1)
            .set("server.send_buffer_bytes", 4096)
            .set("stream.output_factor_max", 1_000_000)
    });
    // Without keep-alive nothing but the wait for the client ends the connection.
    let request = crate::support::client::Request::post("/v1/messages", json_body())
        .header("connection", "close")
        .key(&stage.account.key);
    let connection = Connection::open_narrow(stage.app.address).send(&request);
    let padding = " ".repeat(4_000_000);
    stage.upstream.next().answer_json(&format!("{}{padding}", json_answer(1000, 200)));
    let answer = connection.answer(false);
    stage.reported("E1", 1000, 200);
    answer.expect_closed_by_server();
}
