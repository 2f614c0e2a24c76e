//! The stream: upstream's bytes down unchanged, a meter on a tee, and the end held until it is
//! paid for.

mod departure;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use departure::Departure;

use super::deadlines::RelayClock;
use super::doubt::Doubt;
use super::reply::{Permit, Reply};
use super::reservation::{Extension, Reservation};
use super::response_body::{Gone as ClientLeft, Outlet, channel, is_mid_line};
use crate::context::AppContext;
use crate::domain::meter::Meter;
use crate::domain::unprintable::unprintable;
use crate::domain::usage::Usage;
use crate::domain::usage_record::Outcome;
use crate::http::connection::Stall;
use crate::upstream::client::Answer;
use crate::upstream::headers;

/// Pieces that are there at the same time are joined up to about this size.
const TOGETHER_BYTES: usize = 16_384;

/// What a client hears while its upstream is silent.
const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// A stream that has begun: what its meter has seen, and the bytes that the client has not.
pub(super) struct Begun {
    pub(super) answer: Answer,
    pub(super) meter: Meter,
    pub(super) seen: Vec<Bytes>,
    /// The upstream's own limits: for silence, and for a head.
    pub(super) limits: (Duration, Duration),
    /// Whether there is an answer is not known yet.
    pub(super) doubt: Option<Box<Doubt>>,
}

/// See the module.
pub(super) struct Relay {
    pub(super) context: Arc<AppContext>,
    pub(super) answer: Answer,
    pub(super) meter: Meter,
    pub(super) reservation: Reservation,
    pub(super) outlet: Option<Outlet>,
    pub(super) stall: Stall,
    /// The client's place, until it leaves.
    pub(super) permit: Option<Permit>,
    pub(super) gone: Option<Departure>,
    /// Bytes that have not gone out, with the position of the first.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queue_start: u64,
    queue_bytes: usize,
    /// Whether what went out ends in the middle of a line.
    pub(super) is_mid_line: bool,
    /// The upstream's body is over.
    has_ended: bool,
    /// The answer is longer than the request allows.
    pub(super) is_too_long: bool,
    pub(super) clock: RelayClock,
    /// Whether there is an answer is not known yet.
    pub(super) doubt: Option<Box<Doubt>>,
}

/// What happened next.
enum Step {
    Piece(Bytes),
    End,
    ClientGone,
    Stopped,
    Timer,
}

unprintable!(Begun, Relay, Step);

impl Relay {
    /// Tells the handler that the answer has begun, with the bytes that were looked at.
    pub(super) fn begin(
        context: Arc<AppContext>,
        opened: Begun,
        mut reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
        (stall, permit): (Stall, Permit),
    ) -> Self {
        let Begun { answer, meter, seen, limits, doubt } = opened;
        reservation.note_first_byte();
        let (outlet, body) =
            channel(context.settings.stream.channel_chunks, reservation.record.id.clone());
        let headers = headers::passing_down(&answer.headers);
        if let Some(reply) = reply {
            // A client that has left is noticed by its channel.
            drop(reply.send(Reply::Stream { body, headers }));
        }
        let queue_bytes = seen.iter().map(Bytes::len).sum();
        let clock = RelayClock::new(&context, limits);
        Self {
            context,
            answer,
            meter,
            reservation,
            outlet: Some(outlet),
            stall,
            permit: Some(permit),
            gone: None,
            queue: seen.into(),
            queue_start: 0,
            queue_bytes,
            is_mid_line: false,
            has_ended: false,
            is_too_long: false,
            clock,
            doubt,
        }
    }

    pub(super) async fn run(mut self) {
        let mut has_prompt = false;
        loop {
            self.doubt.take_if(|doubt| doubt.is_answered(&self.meter));
            if !has_prompt && self.meter.has_prompt() {
                has_prompt = true;
                self.note_first_usage();
            }
            let seen = self.look().await;
            // What is not covered does not go out.
            if seen != Some(Outcome::NotExtended)
                && let Some(ending) = self.forward().await
            {
                return self.finish(ending).await;
            }
            if let Some(ending) = seen {
                return self.finish(ending).await;
            }
            if self.has_ended {
                return self.finish(Outcome::CutOff).await;
            }
            let ending = match self.step().await {
                Step::Piece(piece) => self.take_all(piece),
                Step::End => {
                    self.has_ended = true;
                    self.meter.end();
                    None
                }
                Step::Stopped => Some(Outcome::Stopped),
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
            () = self.context.tracker.cut_token().cancelled() => Step::Stopped,
        }
    }

    /// Reads a piece and, without waiting, those that are there already: what came together goes on
    /// together.
    fn take_all(&mut self, piece: Bytes) -> Option<Outcome> {
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
                    self.meter.end();
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
    fn take(&mut self, piece: Bytes) -> Option<Outcome> {
        let now = Instant::now();
        // Such a piece is neither sent nor charged.
        if self.context.tracker.cut_token().is_cancelled() {
            return Some(Outcome::Stopped);
        }
        if now >= self.clock.latest {
            return Some(Outcome::MaxDuration);
        }
        if let Some(ending) = self.is_departure_over(now) {
            return Some(ending);
        }
        self.clock.last_read = now;
        self.meter.feed(&piece);
        self.queue_bytes = self.queue_bytes.saturating_add(piece.len());
        self.queue.push_back(piece);
        None
    }

    /// Sends what may go. An ending, if that ends the exchange.
    async fn forward(&mut self) -> Option<Outcome> {
        while let Some(piece) = self.releasable() {
            self.meter.note_forwarded(self.queue_start);
            if let Some(ending) = self.send(piece).await {
                return Some(ending);
            }
        }
        let is_too_long = self.queue_bytes > self.context.settings.limits.held_bytes;
        if is_too_long && self.meter.is_end_held() {
            self.context.alert("the end of a stream is longer than limits.held_bytes");
            return Some(Outcome::CutOff);
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
    async fn send(&mut self, piece: Bytes) -> Option<Outcome> {
        let outlet = self.outlet.as_ref()?;
        let is_mid_line = is_mid_line(&piece);
        let sent = match outlet.try_send(piece) {
            Ok(None) => Ok(()),
            Err(ClientLeft) => Err(ClientLeft),
            Ok(Some(piece)) => {
                let sent = tokio::select! {
                    sent = outlet.send(piece) => sent,
                    () = tokio::time::sleep_until(self.clock.latest) => return Some(Outcome::MaxDuration),
                    () = self.context.tracker.cut_token().cancelled() => return Some(Outcome::Stopped),
                };
                // The upstream's silence counts only while we are ready to read.
                self.clock.last_read = Instant::now();
                sent
            }
        };
        match sent {
            Ok(()) => {
                self.is_mid_line = is_mid_line;
                self.clock.next_ping = self.context.next_ping(self.clock.last_read);
                None
            }
            Err(ClientLeft) => self.lose(),
        }
    }

    /// Proxies and clients end a connection on which they hear nothing for long. A ping stands
    /// between two events only; a client that has not read all yet needs none.
    fn ping(&mut self, now: Instant) -> Option<Outcome> {
        self.clock.next_ping = self.context.next_ping(now);
        let outlet = self.outlet.as_ref()?;
        if !self.meter.is_between_events(self.queue_start) {
            return None;
        }
        match outlet.try_send(Bytes::from_static(PING)) {
            Ok(_) => None,
            Err(ClientLeft) => self.lose(),
        }
    }

    /// The prompt is counted. The hold is set to that when the exchange lasts: one that ends at
    /// once needs no write.
    fn note_first_usage(&mut self) {
        self.reservation.learn(&self.meter.reported());
        let first = Instant::now() + self.context.settings.stream.checkpoint_first;
        self.clock.next_checkpoint = self.clock.next_checkpoint.min(first);
        self.arm();
    }

    /// What the meter's state asks for: the end, a decision on a client that left, more money.
    async fn look(&mut self) -> Option<Outcome> {
        if self.meter.error().is_some() {
            return Some(Outcome::ErrorEvent);
        }
        if self.meter.is_stopped() {
            return Some(Outcome::Complete);
        }
        if self.gone.is_some()
            && let Some(ending) = self.look_at_departure()
        {
            return Some(ending);
        }
        let figures = self.reservation.figures();
        // The exact figure reads an unfinished event again: only where it may matter.
        let ceiling = self.meter.output_ceiling(&figures).max(self.hidden_output());
        let is_near = self.reservation.is_near(ceiling);
        if !is_near && !self.reservation.is_beyond(ceiling) {
            return None;
        }
        let output = self.meter.output_so_far(&figures);
        if self.reservation.is_beyond(output) {
            self.is_too_long = true;
            return Some(Outcome::NotExtended);
        }
        let output = output.max(self.hidden_output());
        if is_near && !self.reservation.is_counted() && self.meter.has_prompt() {
            // What is added is added to the true price of the prompt.
            self.note_usage();
            self.reservation.checkpoint(&self.meter.reported());
        }
        match self.reservation.extend(output).await {
            Extension::Held => None,
            Extension::Unknown if output < self.reservation.quote.reserved_output => None,
            Extension::Unknown | Extension::Refused => Some(Outcome::NotExtended),
            Extension::Lost => Some(Outcome::Panicked),
        }
    }

    /// Output that may have been made in a block that does not show it, by the time that it takes;
    /// 0 outside of one.
    pub(super) fn hidden_output(&mut self) -> u64 {
        if !self.meter.is_hiding() {
            self.clock.hiding_since = None;
            return 0;
        }
        let figures = self.reservation.figures();
        let (since, before) = *self
            .clock
            .hiding_since
            .get_or_insert_with(|| (Instant::now(), self.meter.output_so_far(&figures)));
        let rate = self.context.settings.reservation.hidden_tokens_per_sec;
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        before.saturating_add(millis.saturating_mul(rate) / 1_000)
    }

    /// The timer has fired: which deadline was it?
    fn due(&mut self) -> Option<Outcome> {
        let now = Instant::now();
        let checkpoint = self.context.settings.stream.checkpoint;
        if now >= self.clock.latest {
            return Some(Outcome::MaxDuration);
        }
        if now >= self.clock.last_read + self.clock.idle {
            return Some(Outcome::Silent);
        }
        if let Some(ending) = self.is_departure_over(now) {
            return Some(ending);
        }
        if self.clock.next_ping.is_some_and(|next| now >= next)
            && let Some(ending) = self.ping(now)
        {
            return Some(ending);
        }
        if now >= self.clock.next_checkpoint {
            self.clock.next_checkpoint = now + checkpoint;
            if self.meter.has_usage() {
                self.note_usage();
                self.reservation.checkpoint(&self.meter.reported());
            }
        }
        self.arm();
        None
    }

    /// Sets the timer to what is due next.
    pub(super) fn arm(&mut self) {
        let until = self.gone.as_ref().map(|gone| gone.until);
        let is_hiding = self.meter.is_hiding();
        self.clock.arm(until, is_hiding);
    }

    /// Brings the record up to what has been delivered.
    pub(super) fn note_usage(&mut self) {
        let (usage, is_estimated) = self.delivered();
        self.reservation.set_usage(&usage, is_estimated);
    }

    /// What was delivered so far, and whether that is an estimate.
    pub(super) fn delivered(&self) -> (Usage, bool) {
        let (mut usage, is_estimated) = self.meter.delivered(&self.reservation.figures());
        if is_estimated {
            // No estimate is more than what the request allows.
            let reported = self.meter.reported().tokens.output;
            let most = self.reservation.quote.max_output.max(reported);
            usage.tokens.output = usage.tokens.output.min(most);
        }
        (usage, is_estimated)
    }
}
