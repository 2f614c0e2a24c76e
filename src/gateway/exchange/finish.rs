//! The end of a stream: its bill, its post, and what the client sees last.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::response_body::{end_event, is_mid_line};
use super::stream::Relay;
use crate::domain::api_error::ApiError;
use crate::domain::meter::Meter;
use crate::domain::usage::Usage;
use crate::domain::usage_record::Outcome;
use crate::upstream::refusal;

/// After the terminal event the upstream gets this long to end its body, so that its connection
/// can be used again.
const TAIL: Duration = Duration::from_millis(500);
/// While the server stops, a client gets this long to make room for the end of its answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Relay {
    /// Sets the record to the bill that this ending has in the contract.
    fn bill(&mut self, ending: Outcome) -> Outcome {
        for anomaly in self.meter.anomalies() {
            self.context.alert(anomaly.as_str());
        }
        if self.meter.error().is_some_and(refusal::is_operators) {
            let upstream = self.reservation.record.upstream.as_deref().unwrap_or_default();
            self.context.node().alert_daily("upstream refuses our credential", upstream);
        }
        let is_whole = self.meter.is_stopped() || self.meter.has_stop_reason();
        if is_whole && !self.meter.has_usage() {
            self.context.alert("an answer came without usage");
            let (usage, content) = (self.meter.reported(), self.meter.delivered_deltas());
            self.reservation.set_unreported_usage(usage, &content);
        } else {
            let (usage, is_estimated) = self.usage_at(ending, is_whole);
            self.reservation.set_usage(&usage, is_estimated);
        }
        match &self.gone {
            // What a drained stream came to is told by its bill; that its client left, by the row.
            Some(gone) => gone.ending,
            None if ending == Outcome::Complete && !self.meter.has_usage() => Outcome::NoUsage,
            None => ending,
        }
    }

    /// What an answer that ended so is charged for, and whether that is an estimate.
    fn usage_at(&self, ending: Outcome, is_whole: bool) -> (Usage, bool) {
        let has_ended = matches!(ending, Outcome::Complete | Outcome::ErrorEvent | Outcome::CutOff);
        let is_silent = ending == Outcome::Silent && self.gone.is_none();
        let reported = self.meter.reported();
        let (delivered, is_behind) = self.delivered();
        // The last count is there, whoever has heard of it.
        let is_final = self.meter.is_stopped() || (is_whole && !is_behind);
        let held = reported.tokens.output.max(self.reservation.quote.reserved_output);
        let (mut usage, mut is_estimated) = if self.meter.has_unread_output() {
            // What is no count says nothing: what was delivered is charged instead.
            (delivered, true)
        } else if has_ended || is_silent || is_final {
            (reported, false)
        } else {
            // Ended by us, or while nobody was there: what was delivered may be more than reported.
            (delivered, is_behind)
        };
        if !is_final && self.has_uncounted_work(ending) {
            usage.tokens.output = held;
            is_estimated = true;
        }
        // A prompt that was read, and not counted before its client left: what it likely is.
        if self.gone.is_some() && !is_whole && !self.meter.has_prompt() && self.meter.has_usage() {
            usage.tokens.input = self.reservation.quote.prompt.likely_total();
            is_estimated = true;
        }
        (usage, is_estimated)
    }

    /// Work that nobody has seen and nobody will count is charged by what was held for it, never by
    /// the visible bytes.
    fn has_uncounted_work(&self, ending: Outcome) -> bool {
        let is_undrained = self.gone.as_ref().is_some_and(|gone| gone.is_undrained);
        is_undrained
            || (ending == Outcome::NotExtended && self.meter.is_hiding() && !self.is_too_long)
    }

    /// The held bytes that may follow a post: all of a whole answer, or those before an error
    /// event, which is replaced by ours, or before an event that was cut, which ours must not
    /// continue.
    fn held(&mut self) -> VecDeque<Bytes> {
        let mut held = std::mem::take(&mut self.queue);
        if self.meter.is_stopped() {
            return held;
        }
        let mut room = self.meter.whole_until().saturating_sub(self.queue_start);
        for piece in &mut held {
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
            piece.truncate(len);
            room = room.saturating_sub(u64::try_from(len).unwrap_or(0));
        }
        held.retain(|piece| !piece.is_empty());
        held
    }

    pub(super) async fn finish(mut self, ending: Outcome) {
        if let Some(doubt) = self.doubt.take() {
            (*doubt).end(ending, &self.meter);
        }
        let mut ending = self.bill(ending);
        if matches!(ending, Outcome::Complete | Outcome::NoUsage)
            && !self.reservation.is_covered().await
        {
            ending = Outcome::NotExtended;
        }
        let held = self.held();
        let Self {
            context,
            reservation,
            outlet,
            meter,
            is_mid_line: ends_mid_line,
            is_too_long,
            mut answer,
            clock,
            ..
        } = self;
        let request_id = reservation.record.id.clone();
        let not_covered = if is_too_long {
            ApiError::new(500, "api_error", "The response is longer than the request allows.")
        } else {
            reservation.not_covered()
        };
        let is_durable = reservation.post(ending, 200).await;
        let error = end_error(ending, is_durable, &meter, not_covered);
        if let Some(outlet) = outlet {
            let is_paid = ending != Outcome::NotExtended || !meter.is_stopped();
            let is_held_sent =
                is_durable && is_paid && (error.is_none() || meter.has_stop_reason());
            let held = if is_held_sent { held } else { VecDeque::new() };
            let last = async {
                let mut ends_mid_line = ends_mid_line;
                for piece in held {
                    ends_mid_line = is_mid_line(&piece);
                    outlet.send(piece).await?;
                }
                match &error {
                    Some(error) => outlet.send(end_event(error, &request_id, ends_mid_line)).await,
                    None => Ok(()),
                }
            };
            let stop = async {
                context.tracker.cut_token().cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            // A slow client may take its end for as long as it may take the rest.
            let until = clock.latest.max(Instant::now() + context.settings.server.client_stall);
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
}

/// The event that a stream ends with, where it does not end as the upstream ended it.
fn end_error(
    ending: Outcome,
    is_durable: bool,
    meter: &Meter,
    not_covered: ApiError,
) -> Option<ApiError> {
    if !is_durable {
        return Some(ApiError::new(500, "api_error", "The response could not be billed."));
    }
    match ending {
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
        Outcome::NotExtended => Some(not_covered),
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
