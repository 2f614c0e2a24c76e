//! Closed loop: so many connections, each with one request at a time. It tells what an exchange
//! costs; its latencies are those of a server that is as busy as it can be.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};
use crate::tally::{Times, summary};

/// Makes so many requests, and returns counts and times.
///
/// # Errors
/// Where one of the exchanges fails.
pub(crate) async fn run(target: &Target, connections: usize, requests: usize) -> io::Result<Value> {
    let started = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..connections.min(requests) {
        workers.spawn(work(target.clone(), Arc::clone(&started), requests));
    }
    let mut times = Vec::new();
    while let Some(done) = workers.join_next().await {
        times.extend(done??);
    }
    Ok(summary(&target.tally, &times, began.elapsed()))
}

/// One connection: takes a request from those that are left until there is none.
async fn work(
    target: Target,
    started: Arc<AtomicUsize>,
    requests: usize,
) -> io::Result<Vec<Times>> {
    let mut connection = Connection::open(&target).await?;
    let mut times = Vec::new();
    while started.fetch_add(1, Ordering::Relaxed) < requests {
        times.push(connection.exchange(Instant::now()).await?);
    }
    Ok(times)
}
