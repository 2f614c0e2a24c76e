//! The stream: upstream's bytes down unchanged, a meter on a tee, and the end held until it is
//! paid for.

mod departure;
mod queue;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

use departure::Departure;
use queue::{Queue, TOGETHER_BYTES};

use super::attempt::StreamStart;
use super::deadlines::Deadlines;
use super::doubt::Doubt;
use super::reply::{Client, GatewayResponse};
use super::reservation::{Extension, Reservation};
use super::response_body::{BodyClosed as ClientLeft, BodySender, channel, is_mid_line};
use crate::context::AppContext;
use crate::domain::meter::Meter;
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Outcome;
use crate::upstream::client::UpstreamResponse;
use crate::upstream::headers::passing_down;

/// What a client hears while its upstream is silent.
const PING: &[u8] = b"event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// A stream on its way to its client.
pub(super) struct Relay<'a> {
    pub(super) context: &'a AppContext,
    pub(super) answer: UpstreamResponse,
    pub(super) meter: Meter,
    pub(super) reservation: &'a mut Reservation,
    pub(super) outlet: Option<BodySender>,
    pub(super) client: Client,
    pub(super) gone: Option<Departure>,
    pub(super) queue: Queue,
    /// Whether what went out ends in the middle of a line.
    is_mid_line: bool,
    /// The upstream's body is over.
    has_ended: bool,
    /// The response is longer than the request allows.
    is_too_long: bool,
    pub(super) clock: Deadlines,
    /// Whether there is an answer is not known yet.
    doubt: Option<Box<Doubt>>,
}

/// A stream that is not relayed any further: what its bill and its end depend on.
pub(super) struct Relayed {
    pub(super) ending: Outcome,
    pub(super) answer: UpstreamResponse,
    pub(super) meter: Meter,
    /// Until the client has left.
    pub(super) outlet: Option<BodySender>,
    /// Kept for its place.
    _client: Client,
    pub(super) gone: Option<Departure>,
    /// What the client has not had.
    pub(super) queue: Queue,
    pub(super) is_mid_line: bool,
    pub(super) is_too_long: bool,
    /// When the longest duration of a stream is over.
    pub(super) latest: Instant,
}

/// What happened next.
enum RelayStep {
    Piece(Bytes),
    End,
    ClientGone,
    Stopped,
    Timer,
}

unprintable!(Relay<'static>, Relayed, RelayStep);

impl<'a> Relay<'a> {
    /// Tells the handler that the answer has begun, with the bytes that were looked at.
    pub(super) fn begin(
        context: &'a AppContext,
        start: StreamStart,
        reservation: &'a mut Reservation,
        mut client: Client,
    ) -> Self {
        let StreamStart { mut answer, meter, seen, limits, doubt } = start;
        // Nobody asks for them after this.
        let headers = std::mem::take(&mut answer.headers);
        reservation.note_first_byte();
        let (outlet, body) =
            channel(context.settings.stream.channel_chunks, reservation.record.id.clone());
        // A client that has left is noticed by its channel.
        client.tell(GatewayResponse::Stream { body, headers: passing_down(&headers) });
        let clock = Deadlines::new(context, limits);
        Self {
            context,
            answer,
            meter,
            reservation,
            outlet: Some(outlet),
            client,
            gone: None,
            queue: Queue::new(seen),
            is_mid_line: false,
            has_ended: false,
            is_too_long: false,
            clock,
            doubt,
        }
    }

    /// Relays until something ends the stream.
    pub(super) async fn run(mut self) -> Relayed {
        let open = self.context.metrics.exchanges.open_stream();
        let ending = self.until_ended().await;
        drop(open);
        let (upstream, gap) = (self.reservation.record.upstream.as_deref(), self.clock.longest_gap);
        self.context.metrics.exchanges.observe_gap(upstream, gap);
        if let Some(doubt) = self.doubt.take() {
            (*doubt).end(ending, &self.meter);
        }
        Relayed {
            ending,
            answer: self.answer,
            meter: self.meter,
            outlet: self.outlet,
            _client: self.client,
            gone: self.gone,
            queue: self.queue,
            is_mid_line: self.is_mid_line,
            is_too_long: self.is_too_long,
            latest: self.clock.latest,
        }
    }

    async fn until_ended(&mut self) -> Outcome {
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
                return ending;
            }
            if let Some(ending) = seen {
                return ending;
            }
            if self.has_ended {
                return Outcome::CutOff;
            }
            let ending = match self.step().await {
                RelayStep::Piece(piece) => self.take_all(piece),
                RelayStep::End => {
                    self.has_ended = true;
                    self.meter.end();
                    None
                }
                RelayStep::Stopped => Some(Outcome::Stopped),
                RelayStep::ClientGone => self.lose(),
                RelayStep::Timer => self.due(),
            };
            if let Some(ending) = ending {
                return ending;
            }
        }
    }

    async fn step(&mut self) -> RelayStep {
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
                Some(Ok(piece)) => RelayStep::Piece(piece),
                Some(Err(_)) | None => RelayStep::End,
            },
            () = client_gone => RelayStep::ClientGone,
            () = self.clock.timer.as_mut() => RelayStep::Timer,
            () = self.context.tracker.cut_token().cancelled() => RelayStep::Stopped,
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
            if self.queue.bytes() >= TOGETHER_BYTES || self.is_over() {
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
        self.clock.note_read(now);
        self.meter.feed(&piece);
        self.queue.push(piece);
        None
    }

    /// Sends what may go. An ending, if that ends the exchange.
    async fn forward(&mut self) -> Option<Outcome> {
        while let Some(piece) = self.queue.next(self.meter.releasable()) {
            self.meter.note_forwarded(self.queue.start());
            if let Some(ending) = self.send(piece).await {
                return Some(ending);
            }
        }
        let is_too_long = self.queue.bytes() > self.context.settings.limits.held_bytes;
        if is_too_long && self.meter.is_end_held() {
            self.context.alert("the end of a stream is longer than limits.held_bytes");
            return Some(Outcome::CutOff);
        }
        None
    }

    /// Sends a piece, however slowly the client reads: one that has stopped loses its connection.
    async fn send(&mut self, piece: Bytes) -> Option<Outcome> {
        let outlet = self.outlet.as_ref()?;
        let is_mid_line = is_mid_line(&piece);
        let sent = match outlet.try_send(piece) {
            Ok(None) => Ok(()),
            Err(ClientLeft) => Err(ClientLeft),
            Ok(Some(piece)) => {
                let (latest, cut) = (self.clock.latest, self.context.tracker.cut_token());
                let sent = tokio::select! {
                    sent = outlet.send(piece) => sent,
                    () = sleep_until(latest) => return Some(Outcome::MaxDuration),
                    () = cut.cancelled() => return Some(Outcome::Stopped),
                };
                // The upstream's silence counts only while we are ready to read.
                self.clock.last_read = Instant::now();
                sent
            }
        };
        match sent {
            Ok(()) => {
                self.is_mid_line = is_mid_line;
                self.clock.note_heard(self.clock.last_read);
                None
            }
            Err(ClientLeft) => self.lose(),
        }
    }

    /// Proxies and clients end a connection on which they hear nothing for long. A ping stands
    /// between two events only; a client that has not read all yet needs none.
    fn ping(&mut self, now: Instant) -> Option<Outcome> {
        self.clock.note_heard(now);
        let outlet = self.outlet.as_ref()?;
        if !self.meter.is_between_events(self.queue.start()) {
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
        let (usage, is_estimated) = self.reservation.delivered(&self.meter);
        self.reservation.set_usage(&usage, is_estimated);
    }
}
