//! The counts, and what they may be.

use std::sync::{Mutex, PoisonError};

use stats_alloc::Stats;

use super::ALLOCATOR;
use super::server::Server;

/// The counter has no threads: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Of a JSON call, the ledger's thread and SQLite included.
const OF_A_CALL: usize = 330;
/// Of a stream of 20 events.
const OF_A_STREAM: usize = 355;
/// Events that come together are joined, which is one allocation for all of them. Of events that
/// come one by one, few do.
const EVENTS_OF_A_JOIN: usize = 5;
/// In a burst, as many as make 16 KiB are joined; and the buffer that is read into is shared by
/// what was read, and made anew once it is full.
const EVENTS_OF_A_BUFFER: usize = 20;

/// Rounds of each measurement. The least counts: the mailer looks for mail every second, a node
/// renews its lease. So a round takes well under a second.
const ROUNDS: usize = 8;

/// Allocations of everything in this process while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let count = |stats: &Stats| stats.allocations + stats.reallocations;
    let before = count(&ALLOCATOR.stats());
    work();
    count(&ALLOCATOR.stats()) - before
}

/// The least of some rounds.
fn least(mut work: impl FnMut()) -> usize {
    work();
    (0..ROUNDS).map(|_| allocations(&mut work)).min().unwrap()
}

/// Allocations that so many more events of a stream cost.
fn of_more_events(few: usize, many: usize, pace_ms: u32) -> usize {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    let mut client = server.connect();
    let mut of = |events: usize| {
        let script = format!("text;events={events};bytes=16;pace_ms={pace_ms}");
        let request = server.request(true, &script);
        least(|| {
            client.ask(&request);
        })
    };
    let (short, long) = (of(few), of(many));
    println!("{few} events: {short}; {many} events: {long}");
    long.saturating_sub(short)
}

/// Allocations of a request, beginning to end, on a connection and to an upstream that are kept.
fn of_request(is_stream: bool, script: &str) -> usize {
    const REQUESTS: usize = 50;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    let mut client = server.connect();
    let request = server.request(is_stream, script);
    let all = least(|| {
        for _ in 0..REQUESTS {
            client.ask(&request);
        }
    });
    println!("{REQUESTS} requests of {script:?}: {all}");
    all.div_ceil(REQUESTS)
}

#[test]
fn a_paced_event_allocates_nothing() {
    let more = of_more_events(50, 150, 1);
    assert!(more <= 100 / EVENTS_OF_A_JOIN, "100 more events allocate {more} times");
}

#[test]
fn an_event_in_a_burst_allocates_nothing() {
    let more = of_more_events(2_000, 42_000, 0);
    assert!(more <= 40_000 / EVENTS_OF_A_BUFFER, "40,000 more events allocate {more} times");
}

#[test]
fn a_call_allocates_no_more_than_so_often() {
    let count = of_request(false, "text");
    assert!(count <= OF_A_CALL, "a call allocates {count} times");
}

#[test]
fn a_short_stream_allocates_no_more_than_so_often() {
    let count = of_request(true, "text;events=20");
    assert!(count <= OF_A_STREAM, "a stream allocates {count} times");
}
