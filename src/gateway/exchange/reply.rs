//! The client's side of an exchange: what its handler is told, and its place among those that are
//! open.

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::response_body::ResponseBody;
use crate::domain::api_error::ApiError;
use crate::domain::mail::BudgetPeriod;
use crate::domain::unprintable::unprintable;
use crate::http::connection::Stall;

/// What the handler gets: a whole answer, or the beginning of one.
pub enum GatewayResponse {
    /// A refusal of ours or, in the wire's shape, the upstream's.
    Error {
        /// What went wrong.
        error: ApiError,
        /// Headers of the upstream's that pass.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// A JSON answer, posted.
    Json {
        /// The upstream's bytes.
        body: Bytes,
        /// Headers of the upstream's that pass.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// A stream that has begun.
    Stream {
        /// The body to come.
        body: ResponseBody,
        /// Headers of the upstream's that pass.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

/// Counts against limits until it is dropped.
pub type HeldPermit = Box<dyn std::any::Any>;

/// The client of an exchange.
pub struct Client {
    /// Where its handler waits, until it has been told; closed when the client has left.
    reply: Option<oneshot::Sender<GatewayResponse>>,
    /// Whether it has stopped reading.
    stall: Stall,
    /// What counts the exchange against the limits, until it ends or its client has left a stream.
    permit: Option<HeldPermit>,
    /// Whether it may learn what the account has.
    pub(super) may_know_balance: bool,
}

unprintable!(GatewayResponse, Client);

impl GatewayResponse {
    /// A refusal in our own words.
    #[must_use]
    pub const fn refused(error: ApiError) -> Self {
        Self::Error { error, headers: Vec::new() }
    }
}

impl Client {
    /// A client that waits, and where its handler does so.
    #[must_use]
    pub fn new(
        stall: Stall,
        permit: HeldPermit,
        may_know_balance: bool,
    ) -> (Self, oneshot::Receiver<GatewayResponse>) {
        let (reply, answered) = oneshot::channel();
        let (reply, permit) = (Some(reply), Some(permit));
        (Self { reply, stall, permit, may_know_balance }, answered)
    }

    /// Whether it is there, and has not been told yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Whether it has been told: for a JSON answer that comes late, of a timeout (E3j).
    pub(super) const fn is_told(&self) -> bool {
        self.reply.is_none()
    }

    /// Resolves when it has left without having been told.
    pub(super) async fn left(&mut self) {
        match &mut self.reply {
            Some(reply) => reply.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Tells it, unless it has been told already. Whether it had not.
    pub(super) fn tell(&mut self, reply: GatewayResponse) -> bool {
        let Some(sender) = self.reply.take() else { return false };
        // One that has left hears nothing.
        drop(sender.send(reply));
        true
    }

    /// Refuses it, with its place given back before.
    pub(super) fn refuse(mut self, error: ApiError) {
        self.give_place_back();
        self.tell(GatewayResponse::refused(error));
    }

    /// Counts against no limit any more.
    pub(super) fn give_place_back(&mut self) {
        self.permit = None;
    }

    /// Whether its connection was cut because it stopped reading.
    pub(super) fn has_stalled(&self) -> bool {
        self.stall.is_noted()
    }
}

/// How a budget is called in a refusal.
pub(super) const fn budget_name(period: BudgetPeriod) -> &'static str {
    match period {
        BudgetPeriod::Month => "monthly budget",
        BudgetPeriod::Total => "total budget",
    }
}
