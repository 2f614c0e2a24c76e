//! What a client gets last, once its exchange is posted: the end of a stream, or the whole of a
//! JSON answer.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::buffered::Buffered;
use super::reply::{Client, GatewayResponse};
use super::response_body::{BodyClosed, BodySender, end_event, is_mid_line};
use super::stream::Relayed;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::meter::Meter;
use crate::domain::usage_record::Outcome;
use crate::upstream::fault::Failure;
use crate::upstream::{headers, refusal};

/// After the terminal event the upstream gets this long to end its body, so that its connection
/// can be used again.
const TAIL: Duration = Duration::from_millis(500);
/// While the server stops, a client gets this long to make room for the end of its answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What became of a bill.
pub(super) struct Posted {
    pub(super) ending: Outcome,
    /// Whether it was durable in time.
    pub(super) is_durable: bool,
    /// What is said of money that has run out (E18).
    pub(super) not_covered: Option<ApiError>,
}

/// Ends a stream: with what was held of it, with an event of ours, or with both. Its client's place
/// is given back behind that.
pub(super) async fn stream(context: &AppContext, relayed: Relayed, posted: Posted) {
    let Relayed { meter, mut answer, queue, outlet, is_mid_line, is_too_long, latest, .. } =
        relayed;
    let is_paid =
        posted.is_durable && (posted.ending != Outcome::NotExtended || !meter.is_stopped());
    let error = end_error(&meter, is_too_long, posted);
    if let Some(outlet) = outlet {
        let is_held_sent = is_paid && (error.is_none() || meter.has_stop_reason());
        // All of a whole answer; or what comes before an error event, which ours replaces, or
        // before an event that was cut, which ours must not continue.
        let held_until = match (is_held_sent, meter.is_stopped()) {
            (false, _) => 0,
            (true, true) => u64::MAX,
            (true, false) => meter.whole_until(),
        };
        let until = latest.max(Instant::now() + context.settings.server.client_stall);
        let last = send_end(&outlet, queue.held(held_until), error.as_ref(), is_mid_line);
        let stop = async {
            context.tracker.cut_token().cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        // A slow client may take its end for as long as it may take the rest.
        let is_taken = tokio::select! {
            taken = timeout_at(until, last) => matches!(taken, Ok(Ok(()))),
            () = stop => false,
        };
        if is_taken { outlet.finish() } else { outlet.cut() }
    }
    if meter.is_stopped() {
        // Whatever comes behind the terminal event is nobody's.
        drop(timeout(TAIL, async { while answer.body.next().await.is_some() {} }).await);
    }
}

/// Sends what was held, and the event that ends a stream in our words.
async fn send_end(
    outlet: &BodySender,
    held: VecDeque<Bytes>,
    error: Option<&ApiError>,
    mut ends_mid_line: bool,
) -> Result<(), BodyClosed> {
    for piece in held {
        ends_mid_line = is_mid_line(&piece);
        outlet.send(piece).await?;
    }
    match error {
        Some(error) => outlet.send(end_event(error, &outlet.request_id, ends_mid_line)).await,
        None => Ok(()),
    }
}

/// Sends a JSON answer, unless it cannot be paid or was not accounted for. Who was told of a
/// timeout hears no more (E3j).
pub(super) fn json(answer: Buffered, posted: Posted) {
    let Buffered { body, headers, counted, mut client } = answer;
    client.tell(match posted.not_covered {
        _ if counted.is_none() => GatewayResponse::refused(ApiError::bad_gateway()),
        Some(error) => GatewayResponse::refused(error),
        None if posted.is_durable => {
            GatewayResponse::Json { body, headers: headers::passing_down(&headers) }
        }
        None => GatewayResponse::refused(ApiError::unavailable()),
    });
}

/// Tells why there is no answer, unless the client has been told already.
pub(super) fn nothing(failure: Failure, mut client: Client) {
    let Failure { error, headers, .. } = failure;
    client.tell(GatewayResponse::Error { error, headers });
}

/// The event that a stream ends with, where it does not end as the upstream ended it.
fn end_error(meter: &Meter, is_too_long: bool, posted: Posted) -> Option<ApiError> {
    if !posted.is_durable {
        return Some(ApiError::new(500, "api_error", "The response could not be billed."));
    }
    match posted.ending {
        Outcome::ErrorEvent => {
            let relayed = meter.error().and_then(relayed);
            Some(relayed.unwrap_or(ApiError::new(500, "api_error", "The upstream failed.")))
        }
        Outcome::CutOff => Some(ApiError::new(
            500,
            "api_error",
            "The upstream ended before the response was complete.",
        )),
        Outcome::Silent => {
            Some(ApiError::new(504, "timeout_error", "The upstream stopped sending."))
        }
        Outcome::Stopped => Some(ApiError::new(500, "api_error", "The service is restarting.")),
        Outcome::Panicked => Some(ApiError::new(500, "api_error", "Internal server error")),
        Outcome::MaxDuration => {
            Some(ApiError::new(504, "timeout_error", "The maximum stream duration was reached."))
        }
        Outcome::NotExtended if is_too_long => {
            Some(ApiError::new(500, "api_error", "The response is longer than the request allows."))
        }
        Outcome::NotExtended => posted.not_covered,
        _ => None,
    }
}

/// The upstream's error event as it goes on, with our request id in place of the upstream's; in our
/// own words if it is about the operator's account there (E13).
fn relayed(data: &[u8]) -> Option<ApiError> {
    if refusal::is_operators(data) {
        return Some(ApiError::unavailable());
    }
    let event: serde_json::Value = serde_json::from_slice(data).ok()?;
    let text = |pointer: &str| Some(event.pointer(pointer)?.as_str()?.to_owned());
    let mut error = ApiError::new(500, "api_error", text("/error/message")?);
    error.kind = text("/error/type")?.into();
    error.details = event.pointer("/error/details").filter(|details| !details.is_null()).cloned();
    Some(error)
}
