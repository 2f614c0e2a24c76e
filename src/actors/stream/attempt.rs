//! From a reservation to an answer that has begun: one upstream after the other, until one gives
//! a head that an answer can follow and, for a stream, a first event that is not an error (E4).
//! Only the attempt that answers is billed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::exchange::{NoAnswer, Permit, Reply, Shared, passing_headers};
use super::gather::Gather;
use super::outlet::Stall;
use super::relay::Relay;
use super::reservation::Reservation;
use crate::domain::api_error::ApiError;
use crate::domain::ids::AccountId;
use crate::domain::meter::{FirstEvent, Meter};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Ending;
use crate::upstream::UpstreamRequest;
use crate::upstream::client::{Answer, SendError, UpstreamClient};
use crate::upstream::refusal::Refusal;

/// A refusal's body is read up to here.
const REFUSAL_BYTES: usize = 65_536;
/// And for so long.
const REFUSAL_READ: Duration = Duration::from_secs(10);

/// What a piece costs that is held, beside its bytes: a flood may come in pieces of one.
const PIECE_BYTES: usize = size_of::<Bytes>();

/// An exchange that holds money and has no answer yet.
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) request: UpstreamRequest,
    pub(super) wants_stream: bool,
    pub(super) upstreams: Vec<UpstreamClient>,
    pub(super) account_id: AccountId,
    pub(super) stall: Stall,
    pub(super) permit: Permit,
}

/// A stream that has begun: what its meter has seen, and the bytes that the client has not.
pub(super) struct Opened {
    pub(super) answer: Answer,
    pub(super) meter: Meter,
    pub(super) seen: Vec<Bytes>,
}

/// What one upstream gave.
enum Tried {
    /// A stream's beginning.
    Stream(Box<Opened>),
    /// A JSON answer's head.
    Json(Answer),
    /// Nothing; another upstream may do better.
    Next(NoAnswer),
    /// Nothing, and no other is asked.
    Final(NoAnswer),
}

unprintable!(Attempt, Opened, Tried);

impl Attempt {
    pub(super) async fn run(self, mut reservation: Reservation, reply: oneshot::Sender<Reply>) {
        let mut reply = Some(reply);
        let mut last = NoAnswer::new(Ending::E3, ApiError::bad_gateway());
        for client in &self.upstreams {
            reservation.set_upstream(&client.upstream.settings);
            match self.ask(client, &mut reply).await {
                Tried::Stream(opened) => {
                    let Self { shared, stall, permit, .. } = self;
                    let client = (stall, permit);
                    return Relay::begin(shared, *opened, reservation, reply, client).run().await;
                }
                Tried::Json(answer) => {
                    // The request's body is of no use any more.
                    let Self { shared, permit, .. } = self;
                    Gather::new(shared, answer, reservation, reply).run().await;
                    drop(permit);
                    return;
                }
                Tried::Next(no_answer) => last = no_answer,
                Tried::Final(no_answer) => return no_answer.finish(reservation, reply).await,
            }
            // Nothing was delivered, and nobody waits for a second try.
            if reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
                break;
            }
        }
        last.finish(reservation, reply).await;
    }

    async fn ask(
        &self,
        client: &UpstreamClient,
        reply: &mut Option<oneshot::Sender<Reply>>,
    ) -> Tried {
        let stream = &self.shared.settings.stream;
        let started = Instant::now();
        let limit = if self.wants_stream { stream.first_byte } else { stream.json_head };
        let mut deadline = started + limit;
        let mut sending = std::pin::pin!(client.send(&self.request));
        let sent = loop {
            let sent = tokio::select! {
                sent = timeout_at(deadline, &mut sending) => sent,
                () = self.shared.tracker.cut_token().cancelled() => {
                    return Tried::Final(NoAnswer::new(Ending::E11, ApiError::unavailable()));
                }
            };
            let Err(_) = sent else { break sent };
            // E3j: the client of a JSON call hears of the timeout; what the upstream goes on to
            // make is read and billed.
            match reply.take_if(|_| !self.wants_stream) {
                Some(reply) => drop(reply.send(Reply::refused(ApiError::timeout()))),
                None => break sent,
            }
            deadline = started + stream.max_duration.max(limit);
        };
        match sent {
            Ok(Ok(answer)) => self.look_at(client, answer, deadline).await,
            Ok(Err(SendError::Unreachable)) => {
                Tried::Next(NoAnswer::new(Ending::E3, ApiError::bad_gateway()))
            }
            Ok(Err(SendError::BadAnswer(why))) => self.unacceptable(client, why),
            Err(_) => Tried::Final(NoAnswer::new(Ending::E3, ApiError::timeout())),
        }
    }

    async fn look_at(&self, client: &UpstreamClient, answer: Answer, deadline: Instant) -> Tried {
        let status = answer.status;
        if status.is_client_error() || status.is_server_error() {
            return self.refused(client, answer).await;
        }
        if let Err(error) = answer.check(self.wants_stream) {
            let why = match error {
                SendError::BadAnswer(why) => why,
                SendError::Unreachable => "unreachable",
            };
            return self.unacceptable(client, why);
        }
        if self.wants_stream {
            self.peek(client, answer, deadline).await
        } else {
            client.upstream.health.note_answer();
            Tried::Json(answer)
        }
    }

    fn unacceptable(&self, client: &UpstreamClient, why: &'static str) -> Tried {
        let upstream = &client.upstream.settings.name;
        tracing::warn!(upstream, why, "an upstream's answer is not acceptable");
        self.shared.metrics.count_alert("upstream answer not acceptable");
        Tried::Next(NoAnswer::new(Ending::E3x, ApiError::bad_gateway()))
    }

    async fn refused(&self, client: &UpstreamClient, answer: Answer) -> Tried {
        let (status, headers) = (answer.status, passing_headers(&answer.headers));
        let read = tokio::time::timeout(REFUSAL_READ, answer.read_short(REFUSAL_BYTES)).await;
        let body = read.unwrap_or_default();
        let mut no_answer = self.sorted(client, status, &body, Ending::E2);
        if no_answer.ending == Ending::E2 {
            // Our document replaces the upstream's, so its content type does not pass.
            no_answer.headers =
                headers.into_iter().filter(|(name, _)| name != "content-type").collect();
        }
        let may_pass = matches!(status.as_u16(), 429 | 500..=504 | 529);
        if may_pass || no_answer.ending == Ending::E13 {
            Tried::Next(no_answer)
        } else {
            Tried::Final(no_answer)
        }
    }

    /// What a refusal means for the client; a refused credential opens the breaker.
    fn sorted(
        &self,
        client: &UpstreamClient,
        status: StatusCode,
        body: &[u8],
        ending: Ending,
    ) -> NoAnswer {
        let now = self.shared.clock.now();
        match client.upstream.sort(status, body, self.account_id, now) {
            Refusal::Credential => {
                let upstream = &client.upstream.settings.name;
                tracing::error!(
                    upstream,
                    status = status.as_u16(),
                    "upstream refuses our credential"
                );
                self.shared.metrics.count_alert("upstream refuses our credential");
                client.upstream.health.rest(now.as_millis());
                NoAnswer::new(Ending::E13, ApiError::unavailable())
            }
            Refusal::Request { kind, message, details } => {
                let mut error = ApiError::of_status(status.as_u16());
                (error.kind, error.message, error.details) = (kind.into(), message.into(), details);
                NoAnswer::new(ending, error)
            }
            Refusal::Forbidden | Refusal::Other => {
                NoAnswer::new(ending, ApiError::of_status(status.as_u16()))
            }
        }
    }

    /// Reads until the first event that says whether there is an answer. The head is held no
    /// longer than the configured time, and for no more bytes of comments, pings or an event that
    /// does not end than the configured number: then the stream begins, whatever comes.
    async fn peek(&self, client: &UpstreamClient, answer: Answer, deadline: Instant) -> Tried {
        let settings = &self.shared.settings;
        let meter = Meter::new(settings.limits.sse_event_bytes);
        let mut opened = Opened { answer, meter, seen: Vec::new() };
        let mut held_bytes = 0_usize;
        let patience = (Instant::now() + settings.stream.hold_head_max).min(deadline);
        loop {
            let piece = tokio::select! {
                piece = timeout_at(patience, opened.answer.body.next()) => piece,
                () = self.shared.tracker.cut_token().cancelled() => {
                    return Tried::Final(NoAnswer::new(Ending::E11, ApiError::unavailable()));
                }
            };
            match piece {
                Ok(Some(Ok(piece))) => {
                    opened.meter.feed(&piece);
                    held_bytes = held_bytes.saturating_add(piece.len()).saturating_add(PIECE_BYTES);
                    opened.seen.push(piece);
                }
                Ok(Some(Err(_)) | None) if opened.meter.first_event().is_none() => {
                    return Tried::Next(NoAnswer::new(Ending::E6, ApiError::bad_gateway()));
                }
                // A cut behind the first event, or silence: the stream's own endings.
                _ => return Tried::Stream(Box::new(opened)),
            }
            match opened.meter.first_event() {
                None if held_bytes < settings.limits.held_bytes => {}
                None => return Tried::Stream(Box::new(opened)),
                Some(FirstEvent::Content) => {
                    client.upstream.health.note_answer();
                    return Tried::Stream(Box::new(opened));
                }
                Some(FirstEvent::Error) => {
                    let data = opened.meter.error().unwrap_or_default();
                    let status = status_of_event(data);
                    return Tried::Next(self.sorted(client, status, data, Ending::E4));
                }
            }
        }
    }
}

/// The HTTP status that an error event would have had.
fn status_of_event(data: &[u8]) -> StatusCode {
    let kind = serde_json::from_slice::<serde_json::Value>(data)
        .ok()
        .and_then(|event| event.pointer("/error/type")?.as_str().map(str::to_owned))
        .unwrap_or_default();
    let status = match kind.as_str() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
