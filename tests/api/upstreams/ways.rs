//! How an upstream is reached, and what it is called there: names by pattern, a proxy, authorities
//! of its own, another gateway, plaintext by an explicit word, its own time limits.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{KINDS, Kind, answer, expect_answer, send};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::certificates::Certificates;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::upstream::Upstream;

/// A proxy that opens tunnels and tells with which head it was asked for each; with a refusal it
/// opens none.
fn proxy(refusal: Option<&'static str>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let place = head.split(' ').nth(1).unwrap().to_owned();
            if tell.send(head).is_err() {
                return;
            }
            if let Some(refusal) = refusal {
                client.write_all(refusal.as_bytes()).unwrap();
                continue;
            }
            let server = TcpStream::connect(place).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n").unwrap();
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || carry(client, server));
            std::thread::spawn(move || carry(back.0, back.1));
        }
    });
    (address, told)
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}

#[test]
fn a_proxy_opens_the_way_to_an_upstream_and_to_no_other() {
    let (address, told) = proxy(None);
    let (first, second) = (Upstream::start(), Upstream::start());
    let lines = format!("egress_proxy = \"http://ada:p%40ss@{address}\"");
    let app = Builder::new()
        .upstream_with("first", &format!("http://{}", first.address), &lines)
        .upstream("second", second.address)
        .start();
    let account = app.account("5.00");
    for kind in KINDS {
        let connection = send(&app, &account, kind);
        let exchange = first.next();
        // The proxy has its own words, the upstream the credential, and neither the other's.
        assert_eq!(exchange.request.header("proxy-authorization"), None);
        assert!(exchange.request.header("x-api-key").is_some());
        answer(kind, exchange);
        connection.answer(false).finish().expect_ok();
    }
    let head = told.recv().unwrap();
    let place = first.address;
    assert!(head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n")), "{head}");
    assert!(head.contains("proxy-authorization: Basic YWRhOnBAc3M=\r\n"), "{head}");
    assert!(!head.contains("x-api-key"), "{head}");
    let connection = send(&app, &account, Kind::Stream);
    first.next().refuse(529, "no");
    expect_answer(Kind::Stream, second.next(), connection);
    assert!(told.try_iter().all(|head| head.contains(&place.to_string())));
}

#[test]
fn a_proxy_that_opens_no_way_is_an_upstream_that_cannot_be_reached() {
    for refusal in [
        "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
    ] {
        let (address, told) = proxy(Some(refusal));
        let (first, second) = (Upstream::start(), Upstream::start());
        let lines = format!("egress_proxy = \"http://{address}\"");
        let app = Builder::new()
            .upstream_with("first", &format!("http://{}", first.address), &lines)
            .upstream("second", second.address)
            .start();
        let account = app.account("5.00");
        let connection = send(&app, &account, Kind::Json);
        expect_answer(Kind::Json, second.next(), connection);
        assert!(told.recv().unwrap().starts_with("CONNECT "));
        assert_eq!(first.count(), 0, "{refusal}");
    }
}

#[test]
fn another_gateway_is_an_upstream_and_only_its_own_authorities_are_believed() {
    let certificates = Certificates::new();
    certificates.issue("ec");
    let inner = certificates.configure(Builder::new().upstream("sandbox", sandbox())).start();
    let (of_inner, plain) = (inner.account("5.00"), body(sse::MODEL, true, "text"));
    let outer = |lines: &str| {
        let Account { key, .. } = &of_inner;
        let section = format!(
            "[[upstreams]]\nname = \"gateway\"\nbase_url = \"https://{}\"\nauth = \"bearer\"\n\
             credential = \"{key}\"\n{lines}\n",
            inner.address
        );
        Builder::new().section(&section).start()
    };
    let file = certificates.path("certificate.pem");
    let (proxy, asked) = proxy(None);
    for (count, more) in [(1, String::new()), (2, format!("\negress_proxy = \"http://{proxy}\""))] {
        let app = outer(&format!("ca_file = {:?}{more}", file.to_str().unwrap()));
        let account = app.account("5.00");
        let response = app.messages(&account, &plain);
        // Two bills for one answer, each to the nano-dollar.
        assert!(response.expect_ok().text().contains("message_stop"));
        let row = app.only_row(&account);
        let of_gateway = inner.settled(&of_inner, count).pop().unwrap();
        assert_eq!(
            (row.ending.code(), row.cost_nanousd.as_nanos()),
            ("E1", of_gateway.cost_nanousd.as_nanos())
        );
    }
    assert!(asked.recv().unwrap().starts_with(&format!("CONNECT {} ", inner.address)));
    // Without it the web's authorities count, and those have not signed it.
    let app = outer("");
    let account = app.account("5.00");
    app.messages(&account, &plain).expect_error(502, "api_error");
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), 0);
}

#[test]
fn plaintext_to_another_host_takes_an_explicit_word() {
    let upstream = Upstream::start();
    // The unspecified address is this host, and no loopback.
    let base_url = format!("http://0.0.0.0:{}", upstream.address.port());
    let app = Builder::new().upstream_with("primary", &base_url, "allow_plaintext = true").start();
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Json);
    expect_answer(Kind::Json, upstream.next(), connection);
}

#[test]
fn models_are_served_and_renamed_by_pattern() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let at = |upstream: &Upstream| format!("http://{}", upstream.address);
    let names = "models = { \"claude-*\" = \"anthropic.claude-*\", \"claude-opus-5\" = \"opus\" }";
    let app = Builder::new()
        .upstream_with("first", &at(&first), &format!("serves = [\"claude-opus-*\"]\n{names}"))
        .upstream_with("second", &at(&second), "serves = [\"*-4-5\", \"claude-sonnet-5\"]")
        .start();
    let account = app.account("50.00");
    let table = [
        (&first, "claude-opus-5", "opus"),
        (&first, "claude-opus-5-5", "anthropic.claude-opus-5-5"),
        // Both serve it; the first one is asked.
        (&first, "claude-opus-4-5", "anthropic.claude-opus-4-5"),
        (&second, "claude-haiku-4-5", "claude-haiku-4-5"),
        (&second, "claude-sonnet-5", "claude-sonnet-5"),
    ];
    for (upstream, model, name) in table {
        let connection = app.send(&account, &body(model, false, "text"));
        let exchange = upstream.next();
        let sent: serde_json::Value = serde_json::from_slice(&exchange.request.body).unwrap();
        assert_eq!(sent["model"], name);
        // What the upstream says of its name is priced as the one asked for, and no alert.
        let said = super::json_answer().replace(sse::MODEL, name);
        exchange.answer_json(&said);
        connection.answer(false).finish().expect_ok();
    }
    assert_eq!(app.settled(&account, 5).len(), 5);
    app.messages(&account, &body("claude-fable-5-2", false, "text")).expect_error(503, "api_error");
}

#[test]
fn an_upstream_has_time_limits_of_its_own() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let at = |upstream: &Upstream| format!("http://{}", upstream.address);
    let app = Builder::new()
        .upstream_with("first", &at(&first), "first_byte_secs = 1\nidle_secs = 1")
        .upstream("second", second.address)
        .start();
    let account = app.account("5.00");
    let began = Instant::now();
    let connection = send(&app, &account, Kind::Stream);
    let hanging = first.next();
    expect_answer(Kind::Stream, second.next(), connection);
    assert!(began.elapsed() < Duration::from_secs(20), "not half of stream.first_byte_secs");
    drop(hanging);
    let connection = send(&app, &account, Kind::Stream);
    let mut exchange = first.next();
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let response = connection.answer(false).finish();
    assert!(response.text().contains("timeout_error"), "{}", response.text());
    assert!(app.settled(&account, 2).iter().any(|row| row.ending.code() == "E7"));
}

#[test]
fn an_upstream_may_have_more_time_than_the_others() {
    let upstream = Upstream::start();
    let lines = "first_byte_secs = 30\njson_head_secs = 30\nidle_secs = 30";
    let app: TestApp = Builder::new()
        .upstream_with("primary", &format!("http://{}", upstream.address), lines)
        .set("stream.first_byte_secs", 1)
        .set("stream.hold_head_max_secs", 1)
        .set("stream.json_head_secs", 1)
        .set("stream.idle_secs", 1)
        .start();
    let account = app.account("5.00");
    for kind in [Kind::Stream, Kind::Json] {
        let connection = send(&app, &account, kind);
        let exchange = upstream.next();
        assert!(upstream.next_within(Duration::from_millis(1_500)).is_none());
        expect_answer(kind, exchange, connection);
    }
}
