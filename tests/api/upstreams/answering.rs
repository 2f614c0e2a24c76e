//! Upstreams that answer by themselves, as a function says, and remember what they were asked: for
//! tests in which many requests run at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::Kind;
use crate::support::upstream::{Exchange, Received, Upstream, receive};

/// The scripts of requests.
type Seen = Arc<Mutex<Vec<String>>>;

/// An upstream on threads of its own.
pub(super) struct Answering {
    pub(super) address: SocketAddr,
    seen: Seen,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Lets `answer` answer each request, given its kind and script. What it gives back is held
    /// open; any other connection serves its next request, as the gateway's pool expects.
    pub(super) fn start(
        upstream: Upstream,
        answer: impl Fn(Kind, &str, Exchange) -> Option<Exchange> + Send + Sync + 'static,
    ) -> Self {
        let (address, seen, is_over) = (upstream.address, Seen::default(), Arc::default());
        let (seen_there, is_over_there) = (Arc::clone(&seen), Arc::clone(&is_over));
        let answer = Arc::new(answer);
        let accept = move || {
            while !AtomicBool::load(&is_over_there, Ordering::SeqCst) {
                let Some(exchange) = upstream.next_within(Duration::from_millis(20)) else {
                    continue;
                };
                let (seen, answer) = (Arc::clone(&seen_there), Arc::clone(&answer));
                std::thread::spawn(move || serve(exchange, &seen, &*answer));
            }
        };
        Self { address, seen, is_over, thread: Some(std::thread::spawn(accept)) }
    }

    /// The scripts of all requests so far, in their order.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// How often it was asked for that script.
    pub(super) fn count_of(&self, script: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == script).count()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the upstream has panicked");
    }
}

/// Answers whatever comes on a connection.
fn serve(
    exchange: Exchange,
    seen: &Seen,
    answer: &impl Fn(Kind, &str, Exchange) -> Option<Exchange>,
) {
    let mut next = Some(exchange);
    while let Some(exchange) = next {
        let (kind, script) = (kind_of(&exchange.request), script_of(&exchange.request));
        seen.lock().unwrap().push(script.clone());
        let connection = exchange.connection();
        if let Some(held) = answer(kind, &script, exchange) {
            return held.wait_until_left();
        }
        next = receive(connection);
    }
}

fn kind_of(request: &Received) -> Kind {
    let wants_stream = || body_of(request)["stream"] == true;
    match request.line.contains("/count_tokens") {
        true => Kind::Count,
        false if wants_stream() => Kind::Stream,
        false => Kind::Json,
    }
}

/// What stands for it in the request's `metadata`.
fn script_of(request: &Received) -> String {
    let body = body_of(request);
    let user_id = body["metadata"]["user_id"].as_str().unwrap_or_default();
    user_id.trim_start_matches("sandbox:").to_owned()
}

fn body_of(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}
