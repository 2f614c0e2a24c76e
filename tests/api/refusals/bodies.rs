//! Bodies and heads that are too long, too slow or no HTTP.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{PATH, assert_unharmed, plain};
use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::sandbox;
use crate::support::upstream::{Upstream, message};
use crate::support::wait::PATIENCE;

#[test]
fn an_encoded_body_is_415() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let request = Request::post(PATH, plain()).key(&account.key);
    let response = app.ask(&request.clone().header("content-encoding", "gzip"));
    response.expect_error(415, "invalid_request_error");
    let code = &response.json()["error"]["details"]["error_code"];
    assert_eq!(code, "request_body_encoding_unsupported");
    assert_unharmed(&app, &account);
    app.ask(&request.header("content-encoding", "identity")).expect_ok();
    app.only_row(&account);
}

#[test]
fn a_body_beyond_the_limit_is_413_whether_announced_or_not() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let large = vec![b' '; 15_000];
    let response = app.ask(&Request::post(PATH, large.clone()).key(&account.key));
    response.expect_error(413, "request_too_large");

    let request = Request::post(PATH, "").key(&account.key).header("transfer-encoding", "chunked");
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    for piece in large.chunks(1000) {
        connection.write(b"3e8\r\n").write(piece).write(b"\r\n");
    }
    connection.write(b"0\r\n\r\n");
    connection.answer(false).finish().expect_error(413, "request_too_large");

    let fits = format!("{}{}", plain(), " ".repeat(10_000 - plain().len()));
    app.messages(&account, &fits).expect_ok();
    app.only_row(&account);
    let other = app.account("5.00");
    app.messages(&other, &format!("{fits} ")).expect_error(413, "request_too_large");
    assert_unharmed(&app, &other);
}

#[test]
fn a_body_of_33_mb_is_413_at_the_default_limit() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let large = vec![b' '; 33 * 1024 * 1024 + 17];
    let response = app.ask(&Request::post(PATH, large).key(&account.key));
    response.expect_error(413, "request_too_large");
    assert_unharmed(&app, &account);
}

/// Writes without end until the server closes the connection.
fn pour(app: &TestApp, request: &Request, piece: &[u8]) {
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    let deadline = Instant::now() + PATIENCE;
    while connection.try_write(piece) {
        assert!(Instant::now() < deadline, "the server reads on for ever");
    }
}

#[test]
fn a_body_far_beyond_the_limit_is_not_read_to_its_end() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let request = Request::post(PATH, "").header("content-length", "1000000000000");
    let piece = vec![b' '; 65_536];
    pour(&app, &request.clone().key(&account.key), &piece);
    // Nor without a key.
    pour(&app, &request, &piece);
    assert_unharmed(&app, &account);
}

#[test]
fn a_body_in_chunks_without_end_is_not_read_to_its_end() {
    let app =
        Builder::new().upstream("sandbox", sandbox()).set("limits.body_bytes", 10_000).start();
    let account = app.account("5.00");
    let piece = [b"10000\r\n", &*vec![b' '; 65_536], b"\r\n"].concat();
    let request = Request::post(PATH, "").header("transfer-encoding", "chunked");
    pour(&app, &request, &piece);
    pour(&app, &request.key(&account.key), &piece);
    assert_unharmed(&app, &account);
}

#[test]
fn a_body_that_pauses_or_trickles_for_ever_is_408() {
    let app = Builder::new()
        .upstream("sandbox", sandbox())
        .set("limits.body_idle_secs", 1)
        .set("limits.body_total_secs", 2)
        .start();
    let account = app.account("5.00");
    let request = Request::post(PATH, "").key(&account.key).header("content-length", "5000");
    // Nothing comes after the first bytes.
    let mut connection = app.connect();
    connection.write(&request.head_bytes()).write(b"{");
    connection.answer(false).finish().expect_error(408, "invalid_request_error");

    // Something always comes, but never all of it.
    let mut connection = app.connect();
    connection.write(&request.head_bytes());
    let mut writer = connection.writer();
    let trickle = std::thread::spawn(move || {
        use std::io::Write;
        for _ in 0..5000 {
            if writer.write_all(b" ").is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    connection.answer(false).finish().expect_error(408, "invalid_request_error");
    trickle.join().unwrap();
    assert_unharmed(&app, &account);
}

#[test]
fn a_client_that_leaves_within_its_body_has_asked_for_nothing() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let request = Request::post(PATH, "").key(&account.key).header("content-length", "5000");
    let mut connection = app.connect();
    connection.write(&request.head_bytes()).write(plain().as_bytes());
    connection.reset();
    // A later request tells that the first is over.
    let waiting = app.send(&account, &plain());
    let exchange = upstream.next();
    assert_eq!(exchange.request.body, plain().as_bytes());
    exchange.answer_json(&message(&json!({ "input_tokens": 1, "output_tokens": 1 })));
    waiting.answer(false).finish().expect_ok();
    app.only_row(&account);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_flood_of_headers_is_431_and_a_broken_head_400_without_a_body() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let mut flood = Request::post(PATH, plain()).key(&account.key);
    for number in 0..3000 {
        flood = flood.header(&format!("x-flood-{number}"), &"f".repeat(60));
    }
    let mut connection = app.connect();
    connection.try_write(&flood.to_bytes());
    let response = connection.answer(false).finish();
    assert_eq!((response.status, response.body.len()), (431, 0), "{}", response.text());

    let broken = [
        "NONSENSE\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n\
         0\r\n\r\n",
    ];
    for head in broken {
        let mut connection = app.connect();
        connection.write(head.as_bytes());
        let response = connection.answer(false).finish();
        assert_eq!(response.status, 400, "{head}: {}", response.text());
        assert_eq!(response.body.len(), 0, "{head}");
    }
    assert_unharmed(&app, &account);
}

#[test]
fn a_head_that_never_ends_is_let_go() {
    let app = Builder::new().upstream("sandbox", sandbox()).set("server.head_secs", 1).start();
    let mut connection = app.connect();
    connection.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ");
    let answer = connection.answer(false).finish();
    assert_eq!((answer.status, answer.body.len()), (408, 0));
    let account = app.account("5.00");
    assert_unharmed(&app, &account);
}
