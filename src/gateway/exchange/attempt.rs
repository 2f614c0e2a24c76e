//! From a reservation to an answer: one upstream after the other, until one gives a JSON answer
//! that is one, or the head and the first event of a stream that is no error (E4). Only the
//! attempt that answers is billed.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout_at};

use super::Dispatch;
use super::doubt::Doubt;
use super::reply::{Client, GatewayResponse};
use super::reservation::Reservation;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::meter::{FirstEvent, Meter};
use crate::domain::unprintable::unprintable;
use crate::upstream::UpstreamRequest;
use crate::upstream::body::{BodyLimits, read_whole};
use crate::upstream::call::{Answered, UpstreamCall, UpstreamTurn};
use crate::upstream::client::{UpstreamClient, UpstreamResponse, longest_head};
use crate::upstream::count::share;
use crate::upstream::fault::{Failure, FailureKind};
use crate::upstream::refusal;

/// What a piece costs that is held, beside its bytes: a flood may come in pieces of one.
const PIECE_BYTES: usize = size_of::<Bytes>();

/// A ping or a comment that comes first is for the client: the head waits no longer than this for
/// an error to follow it.
const AFTER_PING: Duration = Duration::from_secs(1);

/// What an upstream gave.
pub(super) enum Begun {
    /// A stream's beginning.
    Stream(Box<StreamStart>),
    /// A JSON answer, whole.
    Json(Bytes, HeaderMap),
}

/// A stream that has begun: what its meter has seen, and the bytes that the client has not.
pub(super) struct StreamStart {
    pub(super) answer: UpstreamResponse,
    pub(super) meter: Meter,
    pub(super) seen: Vec<Bytes>,
    /// The upstream's own limits: for silence, and for a head.
    pub(super) limits: (Duration, Duration),
    /// Whether there is an answer is not known yet.
    pub(super) doubt: Option<Box<Doubt>>,
}

/// What an exchange asks with.
struct AttemptParts<'a> {
    context: &'a AppContext,
    call: UpstreamCall,
    /// Until nobody else would have to be asked: a prompt is not kept for as long as an answer
    /// takes.
    request: Option<UpstreamRequest>,
    wants_stream: bool,
    /// Time by which the head of a stream must be there, whoever sends it.
    latest: Instant,
    reservation: &'a mut Reservation,
    client: &'a mut Client,
}

unprintable!(Begun, StreamStart, AttemptParts<'static>);

/// Asks one upstream after the other. A client that waits for a JSON answer too long is told here,
/// and the answer read on (E3j).
///
/// # Errors
/// The last failure.
pub(super) async fn ask(
    context: &AppContext,
    dispatch: Dispatch,
    reservation: &mut Reservation,
    client: &mut Client,
) -> Result<Begun, Failure> {
    let Dispatch { request, wants_stream, upstreams, wait } = dispatch;
    let patience = longest_head(&upstreams, &context.settings.stream, wants_stream);
    let call = UpstreamCall {
        request_id: reservation.record.id.clone(),
        node: context.node(),
        account: reservation.record.account_id,
        model_id: request.model_id.clone(),
        is_noted: true,
        patience,
        wait,
    };
    let mut asking = AttemptParts {
        context,
        call: call.clone(),
        request: Some(request),
        wants_stream,
        latest: Instant::now() + patience,
        reservation,
        client,
    };
    call.each(&upstreams, async |turn| asking.ask(turn).await).await
}

impl AttemptParts<'_> {
    async fn ask(&mut self, turn: UpstreamTurn<'_>) -> Result<Answered<Begun>, Failure> {
        if turn.has_waited && !self.client.is_waiting() {
            // Its client has left the line.
            return Err(Failure::full().and_final());
        }
        if turn.has_waited {
            // The time of the line is not the upstream's.
            let own = turn.client.upstream.settings.head(&self.context.settings.stream, true);
            self.latest = self.latest.max(Instant::now() + own);
        }
        self.reservation.set_upstream(&turn.client.upstream.settings);
        self.reservation.trace.begin_call("call");
        self.reservation.trace.note_upstream(&turn.client.upstream.settings.name);
        let given = if self.wants_stream {
            self.ask_for_stream(turn).await
        } else {
            self.ask_for_json(turn).await
        };
        if given.is_ok() {
            self.reservation.trace.end();
        } else {
            self.reservation.trace.fail();
        }
        let given = given.map(|answer| {
            let is_certain = !matches!(&answer, Begun::Stream(opened) if opened.doubt.is_some());
            Answered { answer, is_certain }
        });
        given.map_err(|failure| {
            // Nothing was delivered, and nobody waits for a second try.
            let is_waiting = self.client.is_waiting();
            let is_late = self.wants_stream && Instant::now() >= self.latest;
            if is_waiting && !is_late { failure } else { failure.and_final() }
        })
    }

    /// Waits for a head no longer than leaves time for those behind this upstream.
    async fn ask_for_stream(&mut self, turn: UpstreamTurn<'_>) -> Result<Begun, Failure> {
        let Some(request) = &self.request else { return Err(Failure::stopped()) };
        let client = turn.client;
        let own = client.upstream.settings.head(&self.context.settings.stream, true);
        let deadline = share(self.latest, turn.left).min(Instant::now() + own);
        let answer = self.call.head(turn, request, true, deadline, || None).await?;
        self.peek(client, answer, deadline).await
    }

    async fn ask_for_json(&mut self, turn: UpstreamTurn<'_>) -> Result<Begun, Failure> {
        let Some(request) = &self.request else { return Err(Failure::stopped()) };
        let (client, left) = (turn.client, turn.left);
        let (stream, own) = (&self.context.settings.stream, &client.upstream.settings);
        let head = own.head(stream, false);
        let deadline = Instant::now() + head;
        let extension = stream.max_duration.max(head);
        let waiting = &mut *self.client;
        // E3j: the client hears of the timeout; what the upstream goes on to make is read and
        // billed, for the upstream makes and bills it anyway.
        let late = || {
            let is_first = waiting.tell(GatewayResponse::refused(ApiError::timeout()));
            is_first.then(|| Instant::now() + extension)
        };
        let mut answer = self.call.head(turn, request, false, deadline, late).await?;
        self.reservation.note_first_byte();
        if left == 0 {
            self.request = None;
        }
        let limits = BodyLimits {
            bytes: self.context.settings.limits.json_answer_max_bytes,
            idle: own.idle(stream),
            whole: stream.max_duration,
        };
        let body = read_whole(&self.call.node, &mut answer, limits).await;
        // What was begun was made, and is not asked for a second time.
        let body = body.map_err(Failure::and_final)?;
        if let Some(status) = refusal::error_document(&body) {
            return Err(self.call.refused(client, FailureKind::Refused, status, &body, None));
        }
        if !refusal::may_be_message(&body) {
            let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok();
            return Err(if is_json {
                self.call.unacceptable(client, "a document that is no message")
            } else {
                Failure::cut().and_final()
            });
        }
        Ok(Begun::Json(body, answer.headers))
    }

    /// Reads until the first event that says whether there is an answer. The head is held no longer
    /// than the configured time, hardly behind a ping, and for no more bytes of comments, pings or
    /// an event that does not end than the configured number: then the stream begins, whatever
    /// comes.
    async fn peek(
        &self,
        client: &UpstreamClient,
        answer: UpstreamResponse,
        deadline: Instant,
    ) -> Result<Begun, Failure> {
        let settings = &self.context.settings;
        let meter = Meter::new(settings.limits.sse_event_bytes);
        let own = &client.upstream.settings;
        let limits = (own.idle(&settings.stream), own.head(&settings.stream, true));
        let mut opened = StreamStart { answer, meter, seen: Vec::new(), limits, doubt: None };
        let mut held_bytes = 0_usize;
        let mut patience = (Instant::now() + settings.stream.hold_head_max).min(deadline);
        loop {
            let piece = tokio::select! {
                piece = timeout_at(patience, opened.answer.body.next()) => piece,
                () = self.context.tracker.cut_token().cancelled() => return Err(Failure::stopped()),
            };
            match piece {
                Ok(Some(Ok(piece))) => {
                    opened.meter.feed(&piece);
                    held_bytes = held_bytes.saturating_add(piece.len()).saturating_add(PIECE_BYTES);
                    opened.seen.push(piece);
                }
                Ok(Some(Err(_)) | None) if opened.meter.first_event().is_none() => {
                    return Err(Failure::cut());
                }
                // A cut behind the first event, or silence: the stream's own endings.
                _ => return Ok(self.begun(client, opened)),
            }
            match opened.meter.first_event() {
                None if held_bytes < settings.limits.held_bytes => {
                    if opened.meter.whole_until() > 0 {
                        patience = patience.min(Instant::now() + AFTER_PING);
                    }
                }
                None | Some(FirstEvent::Content) => return Ok(self.begun(client, opened)),
                Some(FirstEvent::Error) => {
                    let data = opened.meter.error().unwrap_or_default();
                    let status = refusal::status_of(data);
                    return Err(self.call.refused(
                        client,
                        FailureKind::FirstEvent,
                        status,
                        data,
                        None,
                    ));
                }
            }
        }
    }

    /// A stream that goes on to its client, whether or not it has an answer in it yet.
    fn begun(&self, client: &UpstreamClient, opened: StreamStart) -> Begun {
        let is_answer = opened.meter.first_event() == Some(FirstEvent::Content);
        let doubt = (!is_answer).then(|| Box::new(Doubt::new(self.call.clone(), client.clone())));
        Begun::Stream(Box::new(StreamStart { doubt, ..opened }))
    }
}
