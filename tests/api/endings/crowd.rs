//! E11 in a crowd: SIGTERM while five hundred streams are open.

use std::time::Instant;

use sluice::app::Application;
use sluice::config::{Sources, load};
use sluice::db::models::usage_logs;

use crate::support::app::{Builder, open_account, verify_books};
use crate::support::client::{Connection, Request};
use crate::support::process::Process;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse::MODEL;
use crate::support::wait::eventually;

const STREAMS: usize = 500;

/// A number that the process shows.
fn metric(process: &Process, name: &str) -> Option<usize> {
    let request = Request::get("/metrics").header("connection", "close");
    let text = Connection::open(process.admin_address).ask(&request).finish().text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn e11_five_hundred_streams_end_properly_and_are_settled_when_the_program_is_told_to_stop() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let builder = Builder::new().upstream("sandbox", sandbox()).set("server.drain_secs", 8);
    let mut process = Process::start(builder, &[]);
    let account = open_account(&mut process.database.connect(), "500.00");
    let send = |number: usize| {
        // Half of them end by themselves within the time that they get.
        let events = if number.is_multiple_of(2) { 2 } else { 2000 };
        let script = format!("text;events={events};first_ms=1000;pace_ms=300");
        let request = Request::post("/v1/messages", body(MODEL, true, &script)).key(&account.key);
        Connection::open(process.address).send(&request)
    };
    let streams: Vec<Connection> = (0..STREAMS).map(send).collect();
    eventually("open streams", || {
        // Some may have ended before the last has begun.
        let open = metric(&process, "sluice_open_exchanges ")?;
        let ended = usage_logs::latest(&mut process.database.connect(), account.id, 1_000);
        (open >= STREAMS / 2 && open + ended.unwrap().len() == STREAMS).then_some(())
    });
    let begun = Instant::now();
    process.signal("TERM");
    let (mut whole, mut cut) = (0, 0);
    for stream in streams {
        let text = stream.answer(false).finish().text();
        if text.contains("event: message_stop") {
            whole += 1;
        } else {
            assert!(text.contains("event: error"), "{text}");
            cut += 1;
        }
    }
    assert_eq!((whole, cut), (STREAMS / 2, STREAMS / 2));
    assert_eq!(process.wait(), Some(0), "{}", process.log());
    let settings = load(&Sources { file: Some(process.config.clone()), env: Vec::new() }).unwrap();
    assert!(begun.elapsed() < Application::stop_max(&settings), "{:?}", begun.elapsed());
    let mut conn = process.database.connect();
    assert_eq!(usage_logs::latest(&mut conn, account.id, 1_000).unwrap().len(), STREAMS);
    verify_books(&mut conn);
}
