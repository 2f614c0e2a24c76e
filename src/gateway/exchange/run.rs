//! The parts of an exchange, and its way from the reservation to the upstream's head.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::attempt::Attempt;
use super::opening::Opening;
use super::reservation::Reservation;
use super::response_body::AnswerStream;
use crate::http::connection::Stall;

use crate::context::AppContext;

use crate::domain::api_error::ApiError;

use crate::domain::mail::BudgetPeriod;
use crate::domain::quote::Quote;
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::{Outcome, UsageRecord};
use crate::holds::Lesson;

use crate::upstream::UpstreamRequest;
use crate::upstream::client::UpstreamClient;

/// What the handler gets: a whole answer, or the beginning of one.
pub enum Reply {
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
        body: AnswerStream,
        /// Headers of the upstream's that pass.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

/// What an exchange is made of.
pub struct ExchangeParts {
    /// The request as it goes up.
    pub request: UpstreamRequest,
    /// Whether a stream is wanted.
    pub wants_stream: bool,
    /// Whether its client may learn what the account has.
    pub may_know_balance: bool,
    /// Where it may go, in order.
    pub upstreams: Vec<UpstreamClient>,
    /// The usage row, with cost 0.
    pub record: UsageRecord,
    /// The prices it was admitted under.
    pub quote: Quote,
    /// What its answer will teach.
    pub lesson: Lesson,
    /// Where the handler waits; closed when the client has left.
    pub reply: oneshot::Sender<Reply>,
    /// Whether the client has stopped reading.
    pub stall: Stall,
    /// What counts the exchange against the limits, until it ends or its client has left a stream.
    pub permit: Permit,
    /// Time that is left to wait for a place at an upstream.
    pub wait: Duration,
}

/// Counts against limits until it is dropped.
pub type Permit = Box<dyn std::any::Any>;

/// One exchange; see the actor.
pub struct Exchange {
    pub(super) context: Arc<AppContext>,
    parts: ExchangeParts,
    token: TaskTrackerToken,
}

impl Exchange {
    /// An exchange that has not begun. The token is from before the last look at whether the
    /// server is stopping, so that a stop either refuses it or waits for it.
    #[must_use]
    pub fn new(context: Arc<AppContext>, parts: ExchangeParts, token: TaskTrackerToken) -> Self {
        Self { context, parts, token }
    }

    /// Runs it to its settlement.
    pub(super) async fn run(self) {
        let Self { context, parts, token } = self;
        let ExchangeParts {
            request,
            wants_stream,
            may_know_balance,
            upstreams,
            record,
            quote,
            lesson,
            mut reply,
            stall,
            permit,
            wait,
        } = parts;
        let account_id = record.account_id;
        let opening = Opening {
            context: &context,
            record,
            quote,
            lesson,
            request: &request,
            upstreams: &upstreams,
            wants_stream,
            may_know_balance,
            is_counted: false,
        };
        match opening.open(&mut reply).await {
            Ok(opened) => {
                let reservation = Reservation::new(opened, Arc::clone(&context));
                let attempt = Attempt {
                    context,
                    request,
                    wants_stream,
                    upstreams,
                    account_id,
                    stall,
                    permit,
                    wait,
                };
                attempt.run(reservation, reply).await;
            }
            Err(error) => {
                drop(permit);
                drop(reply.send(Reply::refused(error)));
            }
        }
        drop(token);
    }
}

impl Reply {
    /// A refusal in our own words.
    #[must_use]
    pub const fn refused(error: ApiError) -> Self {
        Self::Error { error, headers: Vec::new() }
    }
}

/// How a budget is called in a refusal.
pub(super) const fn budget_name(period: BudgetPeriod) -> &'static str {
    match period {
        BudgetPeriod::Month => "monthly budget",
        BudgetPeriod::Total => "total budget",
    }
}

/// The upstream's headers that a client may see; never the operator's organisation or limits.
#[must_use]
pub fn passing_headers(from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    const PASSING: [&str; 3] = ["content-type", "retry-after", "x-should-retry"];
    PASSING
        .iter()
        .filter_map(|name| {
            from.get(*name).map(|value| (HeaderName::from_static(name), value.clone()))
        })
        .collect()
}

/// The end of an attempt that gave no answer, for every kind of call.
pub(super) struct NoAnswer {
    pub(super) ending: Outcome,
    pub(super) error: ApiError,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

unprintable!(Reply, ExchangeParts, Exchange, NoAnswer);

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
