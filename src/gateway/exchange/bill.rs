//! What an exchange is charged for, by how it ended: the bills of the table of endings. Nothing is
//! priced here, and nothing is written but alerts.

use super::buffered::Buffered;
use super::reply::Client;
use super::reservation::{Bill, Reservation};
use super::stream::Relayed;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::byte_counts::ByteCounts;
use crate::domain::usage::Usage;
use crate::domain::usage_record::Outcome;
use crate::upstream::fault::{Failure, FailureKind, Fault};
use crate::upstream::refusal;

/// What nginx and others log for a client that left before its answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;
const WITHOUT_USAGE: &str = "an answer came without usage";

/// The bill of a stream. Its client had its status, 200, with the head.
pub(super) fn of_stream(
    context: &AppContext,
    relayed: &Relayed,
    reservation: &Reservation,
) -> Bill {
    let meter = &relayed.meter;
    for anomaly in meter.anomalies() {
        context.alert(anomaly.as_str());
    }
    if meter.error().is_some_and(refusal::is_operators) {
        let upstream = reservation.record.upstream.as_deref().unwrap_or_default();
        context.node().alert_daily("upstream refuses our credential", upstream);
    }
    let is_whole = meter.is_stopped() || meter.has_stop_reason();
    let (usage, is_estimated) = if is_whole && !meter.has_usage() {
        context.alert(WITHOUT_USAGE);
        (unreported(meter.reported(), &meter.delivered_deltas(), reservation), true)
    } else {
        usage_of_stream(relayed, is_whole, reservation)
    };
    let ending = match &relayed.gone {
        // What a drained stream came to is told by its bill; that its client left, by the row.
        Some(gone) => gone.ending,
        None if relayed.ending == Outcome::Complete && !meter.has_usage() => Outcome::NoUsage,
        None => relayed.ending,
    };
    Bill { ending, http_status: 200, has_head: true, usage: Some((usage, is_estimated)) }
}

/// What a stream that ended so is charged for, and whether that is an estimate.
fn usage_of_stream(relayed: &Relayed, is_whole: bool, reservation: &Reservation) -> (Usage, bool) {
    let Relayed { ending, meter, gone, .. } = relayed;
    let has_ended = matches!(ending, Outcome::Complete | Outcome::ErrorEvent | Outcome::CutOff);
    let is_silent = *ending == Outcome::Silent && gone.is_none();
    let reported = meter.reported();
    let (delivered, is_behind) = reservation.delivered(meter);
    // The last count is there, whoever has heard of it.
    let is_final = meter.is_stopped() || (is_whole && !is_behind);
    let held = reported.tokens.output.max(reservation.quote.reserved_output);
    let (mut usage, mut is_estimated) = if meter.has_unread_output() {
        // What is no count says nothing: what was delivered is charged instead.
        (delivered, true)
    } else if has_ended || is_silent || is_final {
        (reported, false)
    } else {
        // Ended by us, or while nobody was there: what was delivered may be more than reported.
        (delivered, is_behind)
    };
    if !is_final && has_uncounted_work(relayed) {
        usage.tokens.output = held;
        is_estimated = true;
    }
    // A prompt that was read, and not counted before its client left: what it likely is.
    if gone.is_some() && !is_whole && !meter.has_prompt() && meter.has_usage() {
        usage.tokens.input = reservation.quote.prompt.likely_total();
        is_estimated = true;
    }
    (usage, is_estimated)
}

/// Work that nobody has seen and nobody will count is charged by what was held for it, never by the
/// visible bytes.
fn has_uncounted_work(relayed: &Relayed) -> bool {
    let Relayed { ending, meter, gone, is_too_long, .. } = relayed;
    let is_undrained = gone.as_ref().is_some_and(|gone| gone.is_undrained);
    is_undrained || (*ending == Outcome::NotExtended && meter.is_hiding() && !is_too_long)
}

/// The bill of a JSON answer. A client that has left changes nothing but its ending (E9).
pub(super) fn of_json(context: &AppContext, answer: &Buffered, reservation: &Reservation) -> Bill {
    let client = &answer.client;
    let Some(counted) = &answer.counted else {
        return of_unread(Outcome::CutOff, ApiError::bad_gateway().status, client);
    };
    let mut ending = if client.is_told() {
        Outcome::LateJson
    } else if client.is_waiting() {
        Outcome::Complete
    } else {
        Outcome::ClientLeftJson
    };
    let usage = counted.usage.clone();
    let (usage, is_estimated) = if !counted.has_usage {
        context.alert(WITHOUT_USAGE);
        if ending == Outcome::Complete {
            ending = Outcome::NoUsage;
        }
        (unreported(usage, &counted.content, reservation), true)
    } else if counted.has_unread_output {
        (with_output_of(usage, &counted.content, reservation), true)
    } else {
        (usage, false)
    };
    let http_status = status_of_json(client, 200);
    Bill { ending, http_status, has_head: false, usage: Some((usage, is_estimated)) }
}

/// The bill of an exchange that nobody has answered: nothing.
pub(super) fn of_failure(failure: &Failure, wants_stream: bool, client: &Client) -> Bill {
    let (ending, status) = (ending_of(failure), failure.error.status);
    // The JSON answer that had begun.
    let is_body =
        matches!(failure.way, FailureKind::Cut | FailureKind::Silent | FailureKind::TooLong)
            && !wants_stream;
    if is_body || client.is_told() {
        of_unread(ending, status, client)
    } else {
        Bill::nothing(ending, status)
    }
}

/// A JSON answer that did not come whole has reported nothing, since it reports at its end.
fn of_unread(ending: Outcome, status: u16, client: &Client) -> Bill {
    let ending = if client.is_told() { Outcome::LateJson } else { ending };
    Bill::nothing(ending, status_of_json(client, status))
}

/// The status that the client gets, or the one for a client that is gone.
fn status_of_json(client: &Client, status: u16) -> u16 {
    if client.is_told() {
        ApiError::timeout().status
    } else if client.is_waiting() {
        status
    } else {
        CLIENT_CLOSED_REQUEST
    }
}

/// The ending of an exchange that nobody has answered.
fn ending_of(failure: &Failure) -> Outcome {
    match failure.way {
        _ if failure.fault == Some(Fault::Credential) => Outcome::CredentialRefused,
        FailureKind::Refused => Outcome::Refused,
        FailureKind::FirstEvent => Outcome::ErrorAtOnce,
        FailureKind::Unreachable
        | FailureKind::NoHead
        | FailureKind::Resting
        | FailureKind::Full => Outcome::Unreachable,
        FailureKind::BadAnswer => Outcome::UnacceptableHead,
        FailureKind::Cut => Outcome::CutOff,
        FailureKind::Silent => Outcome::Silent,
        FailureKind::TooLong => Outcome::MaxDuration,
        FailureKind::Stopped => Outcome::Stopped,
    }
}

/// Estimates what an answer used that came without usage (E10): its content by bytes, and the input
/// that is likely.
fn unreported(mut usage: Usage, content: &ByteCounts, reservation: &Reservation) -> Usage {
    usage.tokens.input = reservation.quote.prompt.likely_total();
    with_output_of(usage, content, reservation)
}

/// Estimates the output of an answer by its content, where the upstream reported it by something
/// that is no count.
fn with_output_of(mut usage: Usage, content: &ByteCounts, reservation: &Reservation) -> Usage {
    let made = content.whole_tokens(&reservation.figures()).min(reservation.quote.max_output);
    usage.tokens.output = usage.tokens.output.max(made);
    usage
}
