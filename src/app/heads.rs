//! The time that a client has for the head of each request. actix counts it for the first one of a
//! connection, and answers 408; whoever is too slow with a later one loses the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The requests of one connection that are being answered, as their handlers tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Running(Requests);

/// What a connection does between two requests, and since when.
#[derive(Clone, Copy)]
enum Between {
    Idle(Instant),
    Head(Instant),
}

/// See the module.
pub(super) struct Heads {
    requests: Requests,
    head: Duration,
    keep_alive: Duration,
    between: Option<Between>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Requests {
    /// Notes that the head of a request was whole.
    pub(super) fn begin(&self) -> Running {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    /// Whether there was a request, and all have been answered.
    fn are_answered(&self) -> bool {
        let ended = self.0.ended.load(Ordering::Relaxed);
        ended > 0 && ended == self.0.begun.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Heads {
    /// For a connection that may be idle for `keep_alive`, and has so long for a `head`.
    pub(super) fn new(head: Duration, keep_alive: Duration) -> Self {
        let requests = Requests::default();
        Self { requests, head, keep_alive, between: None, timer: None }
    }

    /// What handlers tell of their requests.
    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Looks at a read from the connection; an error once a head has taken too long.
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        is_pending: bool,
        has_bytes: bool,
    ) -> io::Result<()> {
        if !self.requests.are_answered() {
            self.between = None;
            return Ok(());
        }
        let between = match self.between {
            None | Some(Between::Idle(_)) if has_bytes => Between::Head(Instant::now()),
            None => Between::Idle(Instant::now()),
            Some(known) => known,
        };
        self.between = Some(between);
        if !is_pending {
            return Ok(());
        }
        let over = match between {
            // actix ends it earlier, unless something of a head came with the request before.
            Between::Idle(since) => since + self.keep_alive + self.head,
            Between::Head(since) => since + self.head,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(over)));
        if timer.deadline() != over {
            timer.as_mut().reset(over);
        }
        if timer.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}
