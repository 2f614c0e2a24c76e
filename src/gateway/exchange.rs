//! The `StreamActor`: one for each exchange, from the reservation to its settlement.
//!
//! A handler's future is dropped when its client leaves, so nothing that matters lives there: the
//! handler starts this actor, waits for the head, and passes the body on. The actor reserves
//! before the upstream is called, relays through a small bounded channel (a client that stalls
//! stops the upstream, not our memory), and posts before the end of an answer is let go. Should it
//! panic, its reservation's `Drop` settles at the last checkpoint (E14).
//!
//! [`run`] is the life of an exchange. It calls the other files in this order, and each returns to
//! it: [`opening`] holds money, [`attempt`] asks the upstreams, [`stream`] relays or [`buffered`]
//! reads a JSON answer, [`bill`] says what is charged, [`reservation`] posts it, and [`finish`]
//! lets go of the client's end.

mod attempt;
mod bill;
mod buffered;
mod deadlines;
mod doubt;
mod finish;
mod held;
mod model_names;
mod opening;
mod reply;
mod reservation;
mod response_body;
mod run;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use crate::context::AppContext;
use crate::domain::quote::Quote;
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::UsageRecord;
use crate::holds::Lesson;
use crate::telemetry::within;
use crate::traces::ExchangeTrace;
use crate::upstream::UpstreamRequest;
use crate::upstream::client::UpstreamClient;

pub use reply::{Client, GatewayResponse, HeldPermit};
pub use response_body::{BodyChunk, ResponseBody};

/// An exchange that has not begun.
pub struct Exchange {
    /// What all exchanges share.
    pub context: Arc<AppContext>,
    /// What is asked, and of whom.
    pub dispatch: Dispatch,
    /// What its reservation is made of.
    pub draft: Draft,
    /// What the operator's collector hears of it.
    pub trace: ExchangeTrace,
    /// Who waits for its answer.
    pub client: Client,
    /// A stop waits for it. It is from before the last look at whether the server is stopping, so
    /// that a stop either refuses an exchange or waits for it.
    pub token: TaskTrackerToken,
}

/// A request on its way to the upstreams.
pub struct Dispatch {
    /// As it goes up.
    pub request: UpstreamRequest,
    /// Whether a stream is wanted.
    pub wants_stream: bool,
    /// Where it may go, in order.
    pub upstreams: Vec<UpstreamClient>,
    /// Time that is left to wait for a place at an upstream.
    pub wait: Duration,
}

/// What a reservation is made of.
pub struct Draft {
    /// The usage row, with cost 0.
    pub record: UsageRecord,
    /// The prices it was admitted under.
    pub quote: Quote,
    /// What its answer will teach.
    pub lesson: Lesson,
}

/// See the module.
pub struct StreamActor {
    exchange: Option<Exchange>,
    span: Span,
}

unprintable!(Exchange, Dispatch, Draft);

impl StreamActor {
    /// Starts the exchange on this worker's arbiter.
    pub fn start(exchange: Exchange) {
        // The address is not kept: an exchange is steered by its channels and tokens.
        drop(Actor::start(Self { exchange: Some(exchange), span: Span::current() }));
    }
}

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(exchange) = self.exchange.take() else { return ctx.stop() };
        let span = std::mem::replace(&mut self.span, Span::none());
        // What it logs belongs to its request.
        let run = within(span, run::run(exchange)).into_actor(self).map(|(), _, ctx| ctx.stop());
        ctx.spawn(run);
    }
}
