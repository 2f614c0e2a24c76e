//! The stream: upstream's bytes down unchanged, a meter on a tee, and the end held until it is
//! paid for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep, timeout};

use super::attempt::Opened;
use super::exchange::{Reply, Shared, passing_headers};
use super::outlet::{Gone as ClientLeft, Outlet, channel, end_event, is_mid_line};
use super::settle::{Extension, Reservation};
use crate::config::ClientGone;
use crate::domain::api_error::ApiError;
use crate::domain::meter::Meter;
use crate::domain::usage_record::Ending;
use crate::upstream::client::Answer;

/// After the terminal event the upstream gets this long to end its body, so that its connection
/// can be used again.
const TAIL: Duration = Duration::from_millis(500);
/// While the server stops, a client gets this long to make room for the end of its answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Relay {
    shared: Arc<Shared>,
    answer: Answer,
    meter: Meter,
    reservation: Reservation,
    outlet: Option<Outlet>,
    gone: Option<Gone>,
    /// Bytes that have not gone out, with the position of the first.
    queue: VecDeque<Bytes>,
    queue_start: u64,
    queue_bytes: usize,
    /// Whether what went out ends in the middle of a line.
    is_mid_line: bool,
    clock: RelayClock,
}

/// A client that has left or stalled, and what is done about it.
struct Gone {
    ending: Ending,
    /// Until then the upstream is read for its first usage, or to its end.
    until: Instant,
    /// Held while the stream is drained.
    drain: Option<OwnedSemaphorePermit>,
}

/// All deadlines behind one timer, which moves only when it has fired.
struct RelayClock {
    timer: Pin<Box<Sleep>>,
    last_read: Instant,
    latest: Instant,
    next_checkpoint: Instant,
}

/// How a client was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// It closed its connection.
    Left,
    /// It has stopped reading.
    Stalled,
}

/// What happened next.
enum Step {
    Piece(Bytes),
    End,
    ClientGone,
    Stopped,
    Timer,
}

impl Relay {
    /// Tells the handler that the answer has begun, with the bytes that were looked at.
    pub(super) fn begin(
        shared: Arc<Shared>,
        opened: Opened,
        mut reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
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
            gone: None,
            queue: seen.into(),
            queue_start: 0,
            queue_bytes,
            is_mid_line: false,
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
            let ending = match self.step().await {
                Step::Piece(piece) => self.take(piece),
                Step::End => Some(Ending::E6),
                Step::Stopped => Some(Ending::E11),
                Step::ClientGone => self.lose(Lost::Left),
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
        let until = self.meter.releasable();
        while self.queue_start < until {
            let Some(mut piece) = self.queue.pop_front() else { break };
            let room =
                usize::try_from(until.saturating_sub(self.queue_start)).unwrap_or(usize::MAX);
            if piece.len() > room {
                let rest = piece.split_off(room);
                self.queue.push_front(rest);
            }
            let len = piece.len();
            self.queue_start = self.queue_start.saturating_add(u64::try_from(len).unwrap_or(0));
            self.queue_bytes = self.queue_bytes.saturating_sub(len);
            if let Some(ending) = self.send(piece).await {
                return Some(ending);
            }
        }
        if self.queue_bytes > self.shared.settings.limits.held_bytes {
            self.shared.alert("the end of a stream is longer than limits.held_bytes");
            return Some(Ending::E6);
        }
        None
    }

    /// Sends a piece, waiting for a client that is slow and not for one that has stalled.
    async fn send(&mut self, piece: Bytes) -> Option<Ending> {
        let outlet = self.outlet.as_ref()?;
        let is_mid_line = is_mid_line(&piece);
        let sent = match outlet.try_send(piece) {
            Ok(None) => Ok(()),
            Err(ClientLeft) => Err(ClientLeft),
            Ok(Some(piece)) => {
                let stalled = tokio::time::sleep(self.shared.settings.server.client_stall);
                let sent = tokio::select! {
                    sent = outlet.send(piece) => sent,
                    () = stalled => return self.lose(Lost::Stalled),
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
            Err(ClientLeft) => self.lose(Lost::Left),
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
        let output =
            self.meter.delivered_output(self.reservation.quote.model.bytes_per_token_milli);
        match self.reservation.extend(output).await {
            Extension::Held => None,
            Extension::Unknown if output < self.reservation.quote.reserved_output => None,
            Extension::Unknown | Extension::Refused => Some(Ending::E18),
            Extension::Lost => Some(Ending::E14),
        }
    }

    /// The client is gone. An ending, if the upstream is not read on.
    fn lose(&mut self, lost: Lost) -> Option<Ending> {
        let outlet = self.outlet.take();
        let ending = match lost {
            Lost::Left => Ending::E8,
            Lost::Stalled => Ending::E15,
        };
        if let Some(outlet) = outlet.filter(|_| lost == Lost::Stalled) {
            outlet.cut();
        }
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
    fn note_usage(&mut self) {
        let bytes_per_token = self.reservation.quote.model.bytes_per_token_milli;
        let (usage, is_estimated) = self.meter.delivered(bytes_per_token);
        self.reservation.set_usage(&usage, is_estimated);
    }

    /// Sets the record to the bill that this ending has in the contract.
    fn bill(&mut self, ending: Ending) -> Ending {
        for anomaly in self.meter.anomalies() {
            self.shared.alert(anomaly.as_str());
        }
        let has_ended = matches!(ending, Ending::E1 | Ending::E5 | Ending::E6);
        let is_silent = ending == Ending::E7 && self.gone.is_none();
        if has_ended || is_silent {
            self.reservation.set_usage(&self.meter.reported(), false);
        } else {
            // Ended by us, or while nobody was there: what was delivered may be more than reported.
            self.note_usage();
        }
        let is_whole = self.meter.is_stopped() || self.meter.has_stop_reason();
        if is_whole && !self.meter.has_usage() {
            self.shared.alert("an answer came without usage");
            let (usage, bytes) = (self.meter.reported(), self.meter.delta_bytes());
            self.reservation.set_unreported_usage(usage, bytes);
        }
        match &self.gone {
            // What a drained stream came to is told by its bill; that its client left, by the row.
            Some(gone) => gone.ending,
            None if ending == Ending::E1 && !self.meter.has_usage() => Ending::E10,
            None => ending,
        }
    }

    /// The held bytes that may follow a post: all of them, or those before an error event, which
    /// is replaced by ours.
    fn held(&mut self) -> VecDeque<Bytes> {
        let mut held = std::mem::take(&mut self.queue);
        let Some(error_start) = self.meter.error_start() else { return held };
        let mut room = error_start.saturating_sub(self.queue_start);
        for piece in &mut held {
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
            piece.truncate(len);
            room = room.saturating_sub(u64::try_from(len).unwrap_or(0));
        }
        held.retain(|piece| !piece.is_empty());
        held
    }

    async fn finish(mut self, ending: Ending) {
        let ending = self.bill(ending);
        let held = self.held();
        let Self { shared, reservation, outlet, meter, is_mid_line, mut answer, .. } = self;
        let request_id = reservation.record.id.clone();
        let is_durable = reservation.post(ending, 200).await;
        let error = end_error(ending, is_durable, &meter);
        if let Some(outlet) = outlet {
            let is_held_sent = is_durable && (error.is_none() || meter.has_stop_reason());
            let held = if is_held_sent { held } else { VecDeque::new() };
            let last = async {
                let mut is_mid_line = is_mid_line;
                for piece in held {
                    is_mid_line = self::is_mid_line(&piece);
                    outlet.send(piece).await?;
                }
                match &error {
                    Some(error) => outlet.send(end_event(error, &request_id, is_mid_line)).await,
                    None => Ok(()),
                }
            };
            let stop = async {
                shared.tracker.cut_token().cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            let is_taken = tokio::select! {
                taken = timeout(shared.settings.server.client_stall, last) => matches!(taken, Ok(Ok(()))),
                () = stop => false,
            };
            if is_taken { outlet.finish() } else { outlet.cut() }
        }
        if meter.is_stopped() {
            // Whatever comes behind the terminal event is nobody's.
            drop(timeout(TAIL, async { while answer.body.next().await.is_some() {} }).await);
        }
    }
}

/// The event that a stream ends with, where it does not end as the upstream ended it.
fn end_error(ending: Ending, is_durable: bool, meter: &Meter) -> Option<ApiError> {
    if !is_durable {
        return Some(ApiError::new(500, "api_error", "The answer could not be accounted for."));
    }
    match ending {
        Ending::E5 => {
            let relayed = meter.error().and_then(relayed);
            Some(relayed.unwrap_or(ApiError::new(500, "api_error", "The upstream failed.")))
        }
        Ending::E6 => {
            Some(ApiError::new(500, "api_error", "The upstream ended before its answer was whole."))
        }
        Ending::E7 => Some(ApiError::new(504, "timeout_error", "The upstream has gone silent.")),
        Ending::E11 => Some(ApiError::new(500, "api_error", "The service is restarting.")),
        Ending::E14 => Some(ApiError::new(500, "api_error", "Internal server error")),
        Ending::E17 => Some(ApiError::new(
            504,
            "timeout_error",
            "The longest duration of a stream is reached.",
        )),
        Ending::E18 => Some(ApiError::billing("Your credit does not cover more of this answer.")),
        _ => None,
    }
}

/// The upstream's error event as it goes on, with our request id in place of the upstream's.
fn relayed(data: &[u8]) -> Option<ApiError> {
    let event: serde_json::Value = serde_json::from_slice(data).ok()?;
    let text = |pointer: &str| Some(event.pointer(pointer)?.as_str()?.to_owned());
    let mut error = ApiError::new(500, "api_error", text("/error/message")?);
    error.kind = text("/error/type")?.into();
    error.details = event.pointer("/error/details").filter(|details| !details.is_null()).cloned();
    Some(error)
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
