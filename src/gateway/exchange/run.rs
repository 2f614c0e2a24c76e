//! The life of an exchange, in one function.

use std::sync::Arc;

use super::Exchange;
use super::attempt::{self, Begun};
use super::bill;
use super::buffered::Buffered;
use super::finish::{self, Posted};
use super::opening::Opening;
use super::reply::Client;
use super::reservation::Reservation;
use super::stream::{Relay, Relayed};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Outcome;
use crate::upstream::fault::Failure;

/// What came of asking, with the client that has to hear of its end.
enum Delivery {
    Stream(Box<Relayed>),
    Json(Box<Buffered>),
    Nothing(Box<Failure>, Client),
}

unprintable!(Delivery);

/// Runs an exchange to its settlement. Dropped on the way, its reservation settles itself.
pub(super) async fn run(exchange: Exchange) {
    let Exchange { context, dispatch, draft, mut trace, mut client, token } = exchange;
    let wants_stream = dispatch.wants_stream;

    // Reserve: money is held, durably, before anything is sent upstream.
    // What waits here and below is boxed, so that a stream does not keep the room of all of it.
    trace.begin("hold");
    let opening = Opening::new(&context, draft, &dispatch, &client);
    let opened = match Box::pin(opening.open(&mut client)).await {
        Ok(opened) => opened,
        Err(error) => {
            trace.refuse(error.status);
            return client.refuse(error);
        }
    };
    trace.end();
    let mut reservation = Box::new(Reservation::new(opened, Arc::clone(&context)));
    reservation.trace = trace;

    // Call the upstreams, until one gives the beginning of a stream or a JSON answer.
    reservation.trace.begin("upstream");
    let begun = Box::pin(attempt::ask(&context, dispatch, &mut reservation, &mut client)).await;
    reservation.trace.end();

    // Relay the stream; or read the JSON answer, which has come whole.
    reservation.trace.begin("relay");
    let delivery = match begun {
        Ok(Begun::Stream(start)) => {
            let relay = Relay::begin(&context, *start, &mut reservation, client);
            Delivery::Stream(Box::new(Box::pin(relay.run()).await))
        }
        Ok(Begun::Json(body, headers)) => {
            let answer = Buffered::read(&context, (body, headers), &mut reservation, client);
            Delivery::Json(Box::new(answer))
        }
        Err(failure) => Delivery::Nothing(Box::new(failure), client),
    };

    reservation.trace.end();

    // Bill.
    let mut bill = match &delivery {
        Delivery::Stream(relayed) => bill::of_stream(&context, relayed, &reservation),
        Delivery::Json(answer) => bill::of_json(&context, answer, &reservation),
        Delivery::Nothing(failure, client) => bill::of_failure(failure, wants_stream, client),
    };
    reservation.charge(&bill);
    if bill.is_of_whole_answer() && !Box::pin(reservation.is_covered()).await {
        bill.refuse();
    }

    // Post.
    let ending = bill.ending;
    let not_covered = (ending == Outcome::NotExtended).then(|| reservation.not_covered());
    let is_durable = Box::pin(reservation.post(&bill)).await;

    // Close: only now does the client get the end of its answer.
    let posted = Posted { ending, is_durable, not_covered };
    match delivery {
        Delivery::Stream(relayed) => Box::pin(finish::stream(&context, *relayed, posted)).await,
        Delivery::Json(answer) => finish::json(*answer, posted),
        Delivery::Nothing(failure, client) => finish::nothing(*failure, client),
    }
    drop(token);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream keeps its future's bytes for as long as it runs.
    const BYTES_MAX: usize = 2_560;

    fn bytes_of<F>(_: fn(Exchange) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_streams_future_stays_small() {
        let bytes = bytes_of(run);
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    }
}
