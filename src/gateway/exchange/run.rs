//! The parts of an exchange, and its way from the reservation to the upstream's head.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::attempt::Attempt;
use super::opening::Opening;
use super::reply::{Permit, Reply};
use super::reservation::Reservation;
use crate::context::AppContext;
use crate::domain::quote::Quote;
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::UsageRecord;
use crate::holds::Lesson;
use crate::http::connection::Stall;
use crate::upstream::UpstreamRequest;
use crate::upstream::client::UpstreamClient;

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

unprintable!(ExchangeParts, Exchange);
