//! S2: one address cannot have all connections, the longest idle make room where there is none, and
//! `/readyz` knows whether clients get in.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp};
use crate::support::certificates::Certificates;
use crate::support::client::{Answer, Connection, End, Request};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream};
use crate::support::wait::eventually;

/// As many as the review opened, against the settings that it was about.
const ATTACK: usize = 5_200;
const STREAMS: usize = 4_000;
const IDLE: usize = 1_024;

/// An address of this host, of which there are many.
fn address(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, 1 + high, low).into()
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap()
}

/// Whether the server has not closed it. The kernel's table, asked by ports alone, would take one
/// address for another.
fn is_open(connection: &Connection) -> bool {
    let stream = connection.writer();
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn open(app: &TestApp, from: IpAddr) -> Connection {
    Connection::open_from(from, app.address)
}

/// Somebody who is told in time.
fn expect_service(app: &TestApp, from: IpAddr) {
    let began = Instant::now();
    let answer = open(app, from).ask(&Request::get("/v1/none")).finish();
    assert_eq!(answer.status, 404);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// A stream in the middle of its answer.
fn begin_stream(app: &TestApp, upstream: &Upstream, from: IpAddr) -> (Exchange, Answer) {
    let account = app.account("5.00");
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = open(app, from).send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    (exchange, answer)
}

fn end_stream((mut exchange, answer): (Exchange, Answer)) {
    exchange.chunk([sse::end(3), sse::message_stop()].concat()).end_chunks();
    let answer = answer.finish();
    assert_eq!(answer.end, End::Whole);
    assert!(answer.expect_ok().text().contains("message_stop"));
}

fn start(upstream: &Upstream) -> TestApp {
    let builder = Builder::new().upstream("primary", upstream.address);
    builder.set("server.max_streams", STREAMS).start()
}

#[test]
fn whoever_opens_5200_connections_from_one_address_keeps_nobody_else_out() {
    let upstream = Upstream::start();
    let app = start(&upstream);
    let stream = begin_stream(&app, &upstream, address(0));
    let request = Request::get("/v1/none").to_bytes();
    let attack: Vec<Connection> = (0..ATTACK)
        .map(|number| {
            let mut connection = open(&app, address(1));
            // Some are idle afterwards, some begin another head; most find themselves closed.
            if connection.try_write(&request) && number % 2 == 0 {
                connection.try_write(b"G");
            }
            connection
        })
        .collect();
    expect_service(&app, address(2));
    let most = count(app.settings.server.connections_max_per_address);
    eventually("the address to have what it may have", || {
        let open = app.metric("sluice_connections ");
        (open <= most + 8).then_some(())
    });
    // The last of them may still wait to be accepted.
    eventually("the others to be refused", || {
        let refused = app.metric("sluice_connections_refused_total{why=\"address\"}");
        (refused >= count(ATTACK) - most).then_some(())
    });
    assert_eq!(app.metric("sluice_connections_closed_total"), 0);
    expect_service(&app, address(2));
    end_stream(stream);
    drop(attack);
}

#[test]
fn where_there_is_no_room_the_longest_idle_go_and_a_stream_never() {
    let upstream = Upstream::start();
    let app = start(&upstream);
    let stream = begin_stream(&app, &upstream, address(0));
    let mut first = open(&app, address(1));
    first.write(b"GET /v1/none HTTP/1.1\r\n");
    let attack: Vec<Connection> = (0..ATTACK)
        .map(|number| {
            let connection = open(&app, address(1 + number / 100));
            connection.ask(&Request::get("/v1/none")).finish_keeping().1
        })
        .collect();
    assert_eq!(app.metric("sluice_connections_refused_total"), 0);
    let over = ATTACK + 2 - STREAMS - IDLE;
    // Those of the probe aside, which come and go.
    let closed = app.metric("sluice_connections_closed_total{why=\"idle\"}");
    assert!(closed.abs_diff(count(over)) <= 8, "{closed} of {over}");
    eventually("the longest idle to go", || (!is_open(&attack[over - 10])).then_some(()));
    let open: Vec<bool> = attack.iter().map(is_open).collect();
    assert!(!open[0] && open[over + 10] && open[ATTACK - 1]);
    // An unfinished head is not due yet, and there are idle ones.
    assert!(is_open(&first));
    expect_service(&app, address(60));
    end_stream(stream);
    first.write(b"host: x\r\n\r\n");
    assert_eq!(first.answer(false).finish().status, 404);
}

#[test]
fn behind_a_proxy_all_connections_are_its_own_and_none_is_counted_against_it() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let builder = builder.set("server.connections_max_per_address", 2);
    let app = builder.set("server.behind_tls_proxy", true).start();
    let proxied: Vec<Connection> =
        (0..10).map(|_| app.connect().ask(&Request::get("/v1/none")).finish_keeping().1).collect();
    assert!(proxied.iter().all(is_open));
}

/// The head of a request whose body is never sent.
fn unfinished(app: &TestApp) -> Vec<u8> {
    let request = Request::post("/v1/messages", "").key(&app.account("5.00").key);
    request.header("content-length", "100").head_bytes()
}

/// Room for two, and one for each address.
fn narrow(upstream: &Upstream) -> Builder {
    Builder::new()
        .upstream("primary", upstream.address)
        .set("server.workers", 1)
        .set("server.max_streams", 1)
        .set("server.max_streams_per_account", 1)
        // The second request waits for the first one's place.
        .set("limits.wait_secs", 60)
        .set("server.idle_connections_max", 1)
        .set("server.connections_max_per_address", 1)
        .set("server.probe_secs", 1)
        .set("server.probe_timeout_secs", 1)
        .set("server.probe_failures_max", 2)
}

fn expect_ready(app: &TestApp, is_ready: bool) {
    eventually("readiness to change", || {
        let answer = app.admin("/readyz");
        let expected = if is_ready { (200, "ready\n") } else { (503, "clients do not get in\n") };
        ((answer.status, answer.text().as_str()) == expected).then_some(())
    });
    assert_eq!(app.metric("sluice_clients_get_in"), u64::from(is_ready));
}

#[test]
fn readyz_knows_whether_clients_get_in() {
    let upstream = Upstream::start();
    let app = narrow(&upstream).start();
    expect_ready(&app, true);
    let watched = Watched::new(app.admin_address);
    let mut held =
        [0, 1].map(|number| open(&app, [Ipv4Addr::LOCALHOST.into(), address(1)][number]));
    for connection in &mut held {
        connection.write(&unfinished(&app));
    }
    expect_ready(&app, false);
    watched.fires(&["SluiceClientsCannotConnect", "SluiceAtCapacity"]);
    assert!(app.metric("sluice_failed_probes_total") >= 2);
    // What is left has all that its address may have, which is the probe's too.
    let [of_loopback, other] = held;
    drop(other);
    expect_ready(&app, true);
    assert!(is_open(&of_loopback));
}

#[test]
fn the_probe_speaks_tls_where_clients_do() {
    let certificates = Certificates::new();
    certificates.issue("ec");
    let upstream = Upstream::start();
    let builder = narrow(&upstream).set("server.connections_max_per_address", 2);
    let app = certificates.configure(builder).start();
    let served = certificates.served();
    let held = [0, 1].map(|_| {
        let mut tls = crate::tls::connect(app.address, &served).unwrap();
        tls.write_all(&unfinished(&app)).unwrap();
        tls
    });
    expect_ready(&app, false);
    drop(held);
    expect_ready(&app, true);
}

/// A request of nobody in particular, whose body does not end.
fn endless() -> Vec<u8> {
    let request = Request::post("/api/v1/sessions", "").header("content-length", "200");
    [request.head_bytes(), b"{\"email\": ".to_vec()].concat()
}

#[test]
fn requests_without_an_end_keep_nobody_out_and_a_stream_and_an_upload_that_are_paid_for_stay() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let app = builder
        .set("server.max_streams", 8)
        .set("server.max_streams_per_account", 4)
        .set("server.idle_connections_max", 16)
        .set("server.probe_secs", 1)
        .set("server.probe_failures_max", 1)
        .start();
    let stream = begin_stream(&app, &upstream, address(0));
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text"));
    let upload = request.key(&app.account("5.00").key).to_bytes();
    let (most, rest) = upload.split_at(upload.len() - 10);
    let mut slow = open(&app, address(1));
    slow.write(most);
    eventually("both to have a place", || {
        (app.metric("sluice_open_exchanges ") == 2).then_some(())
    });
    let mut attack: Vec<Connection> = Vec::new();
    let began = Instant::now();
    // Whoever is closed comes again at once.
    while began.elapsed() < Duration::from_secs(3) {
        attack.retain(is_open);
        while attack.len() < 24 {
            let mut connection = open(&app, address(2));
            connection.try_write(&endless());
            attack.push(connection);
        }
        expect_service(&app, address(3));
        assert_eq!(app.admin("/readyz").text(), "ready\n");
    }
    assert!(app.metric("sluice_connections_closed_total{why=\"stranger\"}") > 0);
    let probes = ["sluice_failed_probes_total", "sluice_connections_refused_total"];
    assert_eq!(probes.map(|name| app.metric(name)), [0, 0]);
    slow.write(rest);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    end_stream((exchange, slow.answer(false)));
    end_stream(stream);
}

#[test]
fn an_answer_that_a_stranger_does_not_read_makes_room() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let builder = builder.set("server.max_streams", 1).set("server.max_streams_per_account", 1);
    let app = builder.set("server.idle_connections_max", 3).set("server.probe_secs", 0).start();
    let stream = begin_stream(&app, &upstream, address(0));
    let unread = Connection::open_narrow(app.address);
    let unread = unread.send(&Request::get("/openapi.json"));
    let mut others = Vec::new();
    eventually("the answer that is not read to be given up", || {
        let mut connection = open(&app, address(1));
        connection.try_write(&endless());
        others.push(connection);
        (!unread.is_held()).then_some(())
    });
    end_stream(stream);
}
