//! The time that a client has for the head of each request. actix counts it for the first one of a
//! connection, and answers 408; whoever is too slow with a later one loses the connection.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::registry::ConnectionEntry;

/// What a connection does between two requests, and since when.
#[derive(Clone, Copy)]
enum Between {
    Idle(Instant),
    Head(Instant),
}

/// See the module.
pub(crate) struct Heads {
    head: Duration,
    keep_alive: Duration,
    /// After so many requests.
    between: Option<(u64, Between)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Heads {
    /// For a connection that may be idle for `keep_alive`, and has so long for a `head`.
    pub(crate) const fn new(head: Duration, keep_alive: Duration) -> Self {
        Self { head, keep_alive, between: None, timer: None }
    }

    /// Looks at a read from the connection, of which `entry` knows whether its requests are
    /// answered; an error once a head has taken too long.
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        entry: &ConnectionEntry,
        (is_pending, has_bytes): (bool, bool),
    ) -> io::Result<()> {
        let Some(answered) = entry.answered() else {
            self.between = None;
            return Ok(());
        };
        // A request may have come and been answered since, between two reads.
        let known = self.between.filter(|(before, _)| *before == answered);
        let between = match known.map(|(_, between)| between) {
            None | Some(Between::Idle(_)) if has_bytes => Between::Head(Instant::now()),
            None => Between::Idle(Instant::now()),
            Some(known) => known,
        };
        self.between = Some((answered, between));
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
