//! The `StreamActor`: one for each exchange, from the reservation to its settlement.
//!
//! A handler's future is dropped when its client leaves, so nothing that matters lives there: the
//! handler starts this actor, waits for the head, and passes the body on. The actor reserves
//! before the upstream is called, relays through a small bounded channel (a client that stalls
//! stops the upstream, not our memory), and posts before the end of an answer is let go. Should it
//! panic, its reservation's `Drop` settles at the last checkpoint (E14).
//!
//! The files in the order of an exchange: [`run`] the parts, [`opening`] the way to a hold,
//! [`attempt`] the way to a head, [`stream`] the stream and what follows a client that
//! leaves it, [`finish`] its end, [`buffered`] the JSON answer, [`reservation`] the money and its
//! post.

mod attempt;
mod buffered;
mod deadlines;
mod doubt;
mod finish;
mod opening;
mod reply;
mod reservation;
mod response_body;
mod run;
mod stream;

use actix::prelude::*;

pub use reply::{Permit, Reply};
pub use response_body::{AnswerStream, Piece};
pub use run::{Exchange, ExchangeParts};

/// See the module.
pub struct StreamActor {
    exchange: Option<Exchange>,
}

impl StreamActor {
    /// Starts the exchange on this worker's arbiter.
    pub fn start(exchange: Exchange) {
        // The address is not kept: an exchange is steered by its channels and tokens.
        drop(Actor::start(Self { exchange: Some(exchange) }));
    }
}

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(exchange) = self.exchange.take() else { return ctx.stop() };
        let run = exchange.run().into_actor(self).map(|(), _, ctx| ctx.stop());
        ctx.spawn(run);
    }
}
