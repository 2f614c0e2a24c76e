//! From a reservation to an answer: one upstream after the other, until one gives a JSON answer
//! that is one, or the head and the first event of a stream that is no error (E4). Only the
//! attempt that answers is billed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::buffered::Gather;
use super::doubt::Doubt;
use super::reply::{Permit, Reply};
use super::reservation::Reservation;
use super::stream::{Begun, Relay};
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::ids::AccountId;
use crate::domain::meter::{FirstEvent, Meter};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Outcome;
use crate::http::connection::Stall;
use crate::upstream::UpstreamRequest;
use crate::upstream::body::{BodyLimits, read_whole};
use crate::upstream::call::{Answered, Call, Turn};
use crate::upstream::client::{Answer, UpstreamClient, longest_head};
use crate::upstream::count::share;
use crate::upstream::fault::{Failure, Fault, Way};
use crate::upstream::refusal;

/// What a piece costs that is held, beside its bytes: a flood may come in pieces of one.
const PIECE_BYTES: usize = size_of::<Bytes>();

/// A ping or a comment that comes first is for the client: the head waits no longer than this for
/// an error to follow it.
const AFTER_PING: Duration = Duration::from_secs(1);

/// An exchange that holds money and has no answer yet.
pub(super) struct Attempt {
    pub(super) context: Arc<AppContext>,
    pub(super) request: UpstreamRequest,
    pub(super) wants_stream: bool,
    pub(super) upstreams: Vec<UpstreamClient>,
    pub(super) account_id: AccountId,
    pub(super) stall: Stall,
    pub(super) permit: Permit,
    /// Time that is left to wait for a place.
    pub(super) wait: Duration,
}

/// What an upstream gave.
enum Given {
    /// A stream's beginning.
    Stream(Box<Begun>),
    /// A JSON answer.
    Json(Bytes, HeaderMap),
}

/// What an exchange asks with; its client's end of it goes as soon as the client has been told.
struct Asking {
    context: Arc<AppContext>,
    call: Call,
    /// Until nobody else would have to be asked: a prompt is not kept for as long as an answer
    /// takes.
    request: Option<UpstreamRequest>,
    wants_stream: bool,
    /// Time by which the head of a stream must be there, whoever sends it.
    latest: Instant,
    reservation: Reservation,
    reply: Option<oneshot::Sender<Reply>>,
}

/// The end of an attempt that gave no answer, for every kind of call.
pub(super) struct NoAnswer {
    pub(super) ending: Outcome,
    pub(super) error: ApiError,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

unprintable!(Attempt, Given, Asking, NoAnswer);

impl NoAnswer {
    /// Voids the reservation and tells the client, unless it has been told already (E3j).
    pub(super) async fn finish(
        self,
        reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
    ) {
        let Some(reply) = reply else {
            reservation.void(Outcome::LateJson, ApiError::timeout().status).await;
            return;
        };
        reservation.void(self.ending, self.error.status).await;
        drop(reply.send(Reply::Error { error: self.error, headers: self.headers }));
    }
}

impl Attempt {
    pub(super) async fn run(self, reservation: Reservation, reply: oneshot::Sender<Reply>) {
        let Self { context, request, wants_stream, upstreams, account_id, stall, permit, wait } =
            self;
        let stream = &context.settings.stream;
        let patience = longest_head(&upstreams, stream, wants_stream);
        let call = Call {
            request_id: reservation.record.id.clone(),
            node: context.node(),
            account: account_id,
            model_id: request.model_id.clone(),
            is_noted: true,
            patience,
            wait,
        };
        let mut asking = Asking {
            context: Arc::clone(&context),
            call: call.clone(),
            request: Some(request),
            wants_stream,
            latest: Instant::now() + patience,
            reservation,
            reply: Some(reply),
        };
        let given = call.each(&upstreams, async |turn| asking.ask(turn).await);
        let given = given.await;
        drop(upstreams);
        let Asking { reservation, reply, .. } = asking;
        match given {
            Ok(Given::Stream(opened)) => {
                let client = (stall, permit);
                Relay::begin(context, *opened, reservation, reply, client).run().await;
            }
            Ok(Given::Json(body, headers)) => {
                Gather::new(context, headers, reservation, reply).run(body).await;
                drop(permit);
            }
            Err(failure) => {
                let ending = ending_of(&failure);
                let Failure { way, error, headers, .. } = failure;
                if matches!(way, Way::Cut | Way::Silent | Way::TooLong) && !wants_stream {
                    let gather = Gather::new(context, HeaderMap::new(), reservation, reply);
                    gather.fail(ending, error).await;
                } else {
                    NoAnswer { ending, error, headers }.finish(reservation, reply).await;
                }
                drop(permit);
            }
        }
    }
}

impl Asking {
    async fn ask(&mut self, turn: Turn<'_>) -> Result<Answered<Given>, Failure> {
        if turn.has_waited && self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
            // Its client has left the line.
            return Err(Failure::full().and_final());
        }
        if turn.has_waited {
            // The time of the line is not the upstream's.
            let own = turn.client.upstream.settings.head(&self.context.settings.stream, true);
            self.latest = self.latest.max(Instant::now() + own);
        }
        self.reservation.set_upstream(&turn.client.upstream.settings);
        let given = if self.wants_stream {
            self.ask_for_stream(turn).await
        } else {
            self.ask_for_json(turn).await
        };
        let given = given.map(|answer| {
            let is_certain = !matches!(&answer, Given::Stream(opened) if opened.doubt.is_some());
            Answered { answer, is_certain }
        });
        given.map_err(|failure| {
            // Nothing was delivered, and nobody waits for a second try.
            let is_waiting = self.reply.as_ref().is_some_and(|reply| !reply.is_closed());
            let is_late = self.wants_stream && Instant::now() >= self.latest;
            if is_waiting && !is_late { failure } else { failure.and_final() }
        })
    }

    /// Waits for a head no longer than leaves time for those behind this upstream.
    async fn ask_for_stream(&mut self, turn: Turn<'_>) -> Result<Given, Failure> {
        let Some(request) = &self.request else { return Err(Failure::stopped()) };
        let client = turn.client;
        let own = client.upstream.settings.head(&self.context.settings.stream, true);
        let deadline = share(self.latest, turn.left).min(Instant::now() + own);
        let answer = self.call.head(turn, request, true, deadline, || None).await?;
        self.peek(client, answer, deadline).await
    }

    async fn ask_for_json(&mut self, turn: Turn<'_>) -> Result<Given, Failure> {
        let Some(request) = &self.request else { return Err(Failure::stopped()) };
        let (client, left) = (turn.client, turn.left);
        let (stream, own) = (&self.context.settings.stream, &client.upstream.settings);
        let head = own.head(stream, false);
        let deadline = Instant::now() + head;
        let extension = stream.max_duration.max(head);
        let reply = &mut self.reply;
        // E3j: the client hears of the timeout; what the upstream goes on to make is read and
        // billed, for the upstream makes and bills it anyway.
        let late = || {
            drop(reply.take()?.send(Reply::refused(ApiError::timeout())));
            Some(Instant::now() + extension)
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
            return Err(self.call.refused(client, Way::Refused, status, &body, None));
        }
        if !refusal::may_be_message(&body) {
            let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok();
            return Err(if is_json {
                self.call.unacceptable(client, "a document that is no message")
            } else {
                Failure::cut().and_final()
            });
        }
        Ok(Given::Json(body, answer.headers))
    }

    /// Reads until the first event that says whether there is an answer. The head is held no longer
    /// than the configured time, hardly behind a ping, and for no more bytes of comments, pings or
    /// an event that does not end than the configured number: then the stream begins, whatever
    /// comes.
    async fn peek(
        &self,
        client: &UpstreamClient,
        answer: Answer,
        deadline: Instant,
    ) -> Result<Given, Failure> {
        let settings = &self.context.settings;
        let meter = Meter::new(settings.limits.sse_event_bytes);
        let own = &client.upstream.settings;
        let limits = (own.idle(&settings.stream), own.head(&settings.stream, true));
        let mut opened = Begun { answer, meter, seen: Vec::new(), limits, doubt: None };
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
                    return Err(self.call.refused(client, Way::FirstEvent, status, data, None));
                }
            }
        }
    }

    /// A stream that goes on to its client, whether or not it has an answer in it yet.
    fn begun(&self, client: &UpstreamClient, opened: Begun) -> Given {
        let is_answer = opened.meter.first_event() == Some(FirstEvent::Content);
        let doubt = (!is_answer).then(|| Box::new(Doubt::new(self.call.clone(), client.clone())));
        Given::Stream(Box::new(Begun { doubt, ..opened }))
    }
}

/// The ending of an exchange that nobody has answered.
fn ending_of(failure: &Failure) -> Outcome {
    match failure.way {
        _ if failure.fault == Some(Fault::Credential) => Outcome::CredentialRefused,
        Way::Refused => Outcome::Refused,
        Way::FirstEvent => Outcome::ErrorAtOnce,
        Way::Unreachable | Way::NoHead | Way::Resting | Way::Full => Outcome::Unreachable,
        Way::BadAnswer => Outcome::UnacceptableHead,
        Way::Cut => Outcome::CutOff,
        Way::Silent => Outcome::Silent,
        Way::TooLong => Outcome::MaxDuration,
        Way::Stopped => Outcome::Stopped,
    }
}
