//! The stream: upstream's bytes down unchanged, a meter on a tee, and the end held until it is
//! paid for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep};

use super::attempt::Opened;
use super::exchange::{Reply, Shared, passing_headers};
use super::outlet::{Gone as ClientLeft, Outlet, Stall, channel, is_mid_line};
use super::settle::{Extension, Reservation};
use crate::config::ClientGone;
use crate::domain::meter::Meter;
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Ending;
use crate::upstream::client::Answer;

/// Pieces that are there at the same time are joined up to about this size.
const TOGETHER_BYTES: usize = 16_384;

/// See the module.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) answer: Answer,
    pub(super) meter: Meter,
    pub(super) reservation: Reservation,
    pub(super) outlet: Option<Outlet>,
    stall: Stall,
    pub(super) gone: Option<Gone>,
    /// Bytes that have not gone out, with the position of the first.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queue_start: u64,
    queue_bytes: usize,
    /// Whether what went out ends in the middle of a line.
    pub(super) is_mid_line: bool,
    /// The upstream's body is over.
    has_ended: bool,
    pub(super) clock: RelayClock,
}

/// A client that has left or stalled, and what is done about it.
pub(super) struct Gone {
    pub(super) ending: Ending,
    /// Until then the upstream is read for its first usage, or to its end.
    until: Instant,
    /// Held while the stream is drained.
    drain: Option<OwnedSemaphorePermit>,
}

/// All deadlines behind one timer, which moves only when it has fired.
pub(super) struct RelayClock {
    timer: Pin<Box<Sleep>>,
    last_read: Instant,
    pub(super) latest: Instant,
    next_checkpoint: Instant,
}

/// What happened next.
enum Step {
    Piece(Bytes),
    End,
    ClientGone,
    Stopped,
    Timer,
}

unprintable!(Relay, Step);

impl Relay {
    /// Tells the handler that the answer has begun, with the bytes that were looked at.
    pub(super) fn begin(
        shared: Arc<Shared>,
        opened: Opened,
        mut reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
        stall: Stall,
    ) -> Self {
        let Opened { answer, meter, seen } = opened;
        reservation.note_first_byte();
        let (outlet, body) =
            channel(shared.settings.stream.channel_chunks, reservation.record.id.clone());
        let headers = passing_headers(&answer.headers);
        if let Some(reply) = reply {
            // A client that has left is noticed by its channel.
            drop(reply.send(Reply::Stream { body, headers }));
        }
        let queue_bytes = seen.iter().map(Bytes::len).sum();
        let clock = RelayClock::new(&shared);
        Self {
            shared,
            answer,
            meter,
            reservation,
            outlet: Some(outlet),
            stall,
            gone: None,
            queue: seen.into(),
            queue_start: 0,
            queue_bytes,
            is_mid_line: false,
            has_ended: false,
            clock,
        }
    }

    pub(super) async fn run(mut self) {
        let mut has_usage = false;
        loop {
            if let Some(ending) = self.forward().await {
                return self.finish(ending).await;
            }
            if !has_usage && self.meter.has_usage() {
                has_usage = true;
                self.note_usage();
                self.reservation.checkpoint();
            }
            if let Some(ending) = self.look(has_usage).await {
                return self.finish(ending).await;
            }
            if self.has_ended {
                return self.finish(Ending::E6).await;
            }
            let ending = match self.step().await {
                Step::Piece(piece) => self.take_all(piece),
                Step::End => Some(Ending::E6),
                Step::Stopped => Some(Ending::E11),
                Step::ClientGone => self.lose(),
                Step::Timer => self.due(),
            };
            if let Some(ending) = ending {
                return self.finish(ending).await;
            }
        }
    }

    async fn step(&mut self) -> Step {
        let outlet = self.outlet.as_ref();
        let client_gone = async {
            match outlet {
                Some(outlet) => outlet.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            piece = self.answer.body.next() => match piece {
                Some(Ok(piece)) => Step::Piece(piece),
                Some(Err(_)) | None => Step::End,
            },
            () = client_gone => Step::ClientGone,
            () = self.clock.timer.as_mut() => Step::Timer,
            () = self.shared.tracker.cut_token().cancelled() => Step::Stopped,
        }
    }

    /// Reads a piece and, without waiting, those that are there already: what came together goes on
    /// together.
    fn take_all(&mut self, piece: Bytes) -> Option<Ending> {
        let mut next = Some(piece);
        while let Some(piece) = next {
            if let Some(ending) = self.take(piece) {
                return Some(ending);
            }
            if self.queue_bytes >= TOGETHER_BYTES || self.is_over() {
                return None;
            }
            next = match self.answer.body.next().now_or_never() {
                Some(Some(Ok(piece))) => Some(piece),
                Some(Some(Err(_)) | None) => {
                    self.has_ended = true;
                    None
                }
                None => None,
            };
        }
        None
    }

    /// Whether the meter has seen all that it waits for.
    fn is_over(&self) -> bool {
        self.meter.is_stopped() || self.meter.error().is_some()
    }

    /// Reads a piece. An upstream that always has one must not starve the deadlines, which are
    /// therefore looked at here as well.
    fn take(&mut self, piece: Bytes) -> Option<Ending> {
        let now = Instant::now();
        // Such a piece is neither sent nor charged.
        if self.shared.tracker.cut_token().is_cancelled() {
            return Some(Ending::E11);
        }
        if now >= self.clock.latest {
            return Some(Ending::E17);
        }
        if let Some(gone) = self.gone.as_ref().filter(|gone| now >= gone.until) {
            return Some(gone.ending);
        }
        self.clock.last_read = now;
        self.meter.feed(&piece);
        self.queue_bytes = self.queue_bytes.saturating_add(piece.len());
        self.queue.push_back(piece);
        None
    }

    /// Sends what may go. An ending, if that ends the exchange.
    async fn forward(&mut self) -> Option<Ending> {
        while let Some(piece) = self.releasable() {
            self.meter.note_forwarded(self.queue_start);
            if let Some(ending) = self.send(piece).await {
                return Some(ending);
            }
        }
        let is_too_long = self.queue_bytes > self.shared.settings.limits.held_bytes;
        if is_too_long && self.meter.is_end_held() {
            self.shared.alert("the end of a stream is longer than limits.held_bytes");
            return Some(Ending::E6);
        }
        None
    }

    /// The next bytes that may go: a piece as it came, or several small ones as one.
    fn releasable(&mut self) -> Option<Bytes> {
        let until = self.meter.releasable();
        let mut together = BytesMut::new();
        while let Some(mut piece) = self.queue.pop_front_if(|_| self.queue_start < until) {
            // What was held of an event goes ahead of a large piece: joining them would copy it.
            if !together.is_empty() && piece.len() >= TOGETHER_BYTES {
                self.queue.push_front(piece);
                break;
            }
            let room =
                usize::try_from(until.saturating_sub(self.queue_start)).unwrap_or(usize::MAX);
            if piece.len() > room {
                let rest = piece.split_off(room);
                self.queue.push_front(rest);
            }
            let len = piece.len();
            self.queue_start = self.queue_start.saturating_add(u64::try_from(len).unwrap_or(0));
            self.queue_bytes = self.queue_bytes.saturating_sub(len);
            let is_last = self.queue.is_empty() || self.queue_start >= until;
            if together.is_empty() && (is_last || len >= TOGETHER_BYTES) {
                return Some(piece);
            }
            together.extend_from_slice(&piece);
            if together.len() >= TOGETHER_BYTES {
                break;
            }
        }
        (!together.is_empty()).then(|| together.freeze())
    }

    /// Sends a piece, however slowly the client reads: one that has stopped loses its connection.
    async fn send(&mut self, piece: Bytes) -> Option<Ending> {
        let outlet = self.outlet.as_ref()?;
        let is_mid_line = is_mid_line(&piece);
        let sent = match outlet.try_send(piece) {
            Ok(None) => Ok(()),
            Err(ClientLeft) => Err(ClientLeft),
            Ok(Some(piece)) => {
                let sent = tokio::select! {
                    sent = outlet.send(piece) => sent,
                    () = tokio::time::sleep_until(self.clock.latest) => return Some(Ending::E17),
                    () = self.shared.tracker.cut_token().cancelled() => return Some(Ending::E11),
                };
                // The upstream's silence counts only while we are ready to read.
                self.clock.last_read = Instant::now();
                sent
            }
        };
        match sent {
            Ok(()) => {
                self.is_mid_line = is_mid_line;
                None
            }
            Err(ClientLeft) => self.lose(),
        }
    }

    /// What the meter's state asks for: the end, a decision on a client that left, more money.
    async fn look(&mut self, has_usage: bool) -> Option<Ending> {
        if self.meter.error().is_some() {
            return Some(Ending::E5);
        }
        if self.meter.is_stopped() {
            return Some(Ending::E1);
        }
        if has_usage
            && let Some(gone) = &self.gone
            && gone.drain.is_none()
            && !self.drain()
        {
            return self.gone.as_ref().map(|gone| gone.ending);
        }
        let bytes_per_token = self.reservation.quote.model.bytes_per_token_milli;
        // The exact figure reads an unfinished event again: only where it may matter.
        if !self.reservation.is_near(self.meter.output_ceiling(bytes_per_token)) {
            return None;
        }
        let output = self.meter.output_so_far(bytes_per_token);
        match self.reservation.extend(output).await {
            Extension::Held => None,
            Extension::Unknown if output < self.reservation.quote.reserved_output => None,
            Extension::Unknown | Extension::Refused => Some(Ending::E18),
            Extension::Lost => Some(Ending::E14),
        }
    }

    /// The client is gone. An ending, if the upstream is not read on.
    fn lose(&mut self) -> Option<Ending> {
        self.outlet = None;
        let ending = if self.stall.is_noted() { Ending::E15 } else { Ending::E8 };
        // Never closed before the first usage, which comes with the first event: until then what
        // the request cost is not known, and leaving early would make it free.
        let until = Instant::now() + self.shared.settings.stream.first_byte;
        self.gone = Some(Gone { ending, until, drain: None });
        self.clock.arm(&self.shared, Some(until));
        let is_read_on = !self.meter.has_usage() || self.drain();
        (!is_read_on).then_some(ending)
    }

    /// Begins to read to the end without a client, where that is wanted and allowed.
    fn drain(&mut self) -> bool {
        let stream = &self.shared.settings.stream;
        let is_wanted = match stream.client_gone {
            ClientGone::Abort => false,
            ClientGone::Drain => true,
            ClientGone::Auto => self.meter.has_hidden_work(),
        };
        let Some(gone) = self.gone.as_mut().filter(|_| is_wanted) else { return false };
        let Ok(permit) = Arc::clone(&self.shared.drains).try_acquire_owned() else { return false };
        gone.drain = Some(permit);
        gone.until = Instant::now() + stream.drain_max;
        self.clock.arm(&self.shared, Some(gone.until));
        true
    }

    /// The timer has fired: which deadline was it?
    fn due(&mut self) -> Option<Ending> {
        let now = Instant::now();
        let stream = &self.shared.settings.stream;
        if now >= self.clock.latest {
            return Some(Ending::E17);
        }
        if now >= self.clock.last_read + stream.idle {
            return Some(Ending::E7);
        }
        if let Some(gone) = self.gone.as_ref().filter(|gone| now >= gone.until) {
            return Some(gone.ending);
        }
        if now >= self.clock.next_checkpoint {
            self.clock.next_checkpoint = now + stream.checkpoint;
            if self.meter.has_usage() {
                self.note_usage();
                self.reservation.checkpoint();
            }
        }
        self.clock.arm(&self.shared, self.gone.as_ref().map(|gone| gone.until));
        None
    }

    /// Brings the record up to what has been delivered.
    pub(super) fn note_usage(&mut self) {
        let bytes_per_token = self.reservation.quote.model.bytes_per_token_milli;
        let (usage, is_estimated) = self.meter.delivered(bytes_per_token);
        self.reservation.set_usage(&usage, is_estimated);
    }
}

impl RelayClock {
    fn new(shared: &Shared) -> Self {
        let now = Instant::now();
        let stream = &shared.settings.stream;
        let mut clock = Self {
            timer: Box::pin(tokio::time::sleep_until(now)),
            last_read: now,
            latest: now + stream.max_duration,
            next_checkpoint: now + stream.checkpoint,
        };
        clock.arm(shared, None);
        clock
    }

    /// Sets the timer to the nearest deadline. A piece that comes meanwhile moves the idle limit
    /// without touching the timer, which then fires once too early.
    fn arm(&mut self, shared: &Shared, gone_until: Option<Instant>) {
        let idle = self.last_read + shared.settings.stream.idle;
        let mut next = idle.min(self.latest).min(self.next_checkpoint);
        if let Some(until) = gone_until {
            next = next.min(until);
        }
        self.timer.as_mut().reset(next);
    }
}
