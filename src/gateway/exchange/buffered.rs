//! A JSON answer that has come whole: posted, and only then sent. Each of its endings is a status
//! code. A client that leaves changes nothing: the upstream makes and bills the answer anyway (E9).

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::reply::Reply;
use super::reservation::Reservation;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::meter::{JsonAnswer, read_json_answer};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Outcome;
use crate::upstream::headers;

/// What nginx and others log for a client that left before its answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// See the module.
pub(super) struct Gather {
    context: Arc<AppContext>,
    headers: HeaderMap,
    reservation: Reservation,
    /// `None` if the client has been told of a timeout (E3j).
    reply: Option<oneshot::Sender<Reply>>,
}

unprintable!(Gather);

impl Gather {
    pub(super) const fn new(
        context: Arc<AppContext>,
        headers: HeaderMap,
        reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
    ) -> Self {
        Self { context, headers, reservation, reply }
    }

    /// Posts a whole answer and sends it.
    pub(super) async fn run(self, body: Bytes) {
        match read_json_answer(&body) {
            Some(counted) => self.deliver(body, &counted).await,
            None => self.fail(Outcome::CutOff, ApiError::bad_gateway()).await,
        }
    }

    /// The end of an answer that did not come whole.
    pub(super) async fn fail(self, ending: Outcome, error: ApiError) {
        // Nothing was reported, since a JSON answer reports at its end.
        let ending = if self.reply.is_none() { Outcome::LateJson } else { ending };
        let status = self.status(error.status);
        self.reservation.void(ending, status).await;
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::refused(error)));
        }
    }

    async fn deliver(mut self, body: Bytes, counted: &JsonAnswer) {
        for anomaly in &counted.anomalies {
            self.context.alert(anomaly.as_str());
        }
        let is_client_there = self.reply.as_ref().is_some_and(|reply| !reply.is_closed());
        let mut ending = match (&self.reply, is_client_there) {
            (None, _) => Outcome::LateJson,
            (Some(_), false) => Outcome::ClientLeftJson,
            (Some(_), true) => Outcome::Complete,
        };
        if counted.has_usage {
            if counted.has_unread_output {
                self.reservation.set_unread_output(counted.usage.clone(), &counted.content);
            } else {
                self.reservation.set_usage(&counted.usage, false);
            }
            self.reservation.learn(&counted.usage);
        } else {
            self.context.alert("an answer came without usage");
            self.reservation.set_unreported_usage(counted.usage.clone(), &counted.content);
            if ending == Outcome::Complete {
                ending = Outcome::NoUsage;
            }
        }
        let (mut status, mut refusal) = (self.status(200), None);
        if matches!(ending, Outcome::Complete | Outcome::NoUsage)
            && !self.reservation.is_covered().await
        {
            let error = self.reservation.not_covered();
            (ending, status) = (Outcome::NotExtended, error.status);
            refusal = Some(error);
        }
        let headers = headers::passing_down(&self.headers);
        let is_durable = self.reservation.post(ending, status).await;
        let Some(reply) = self.reply else { return };
        drop(reply.send(if let Some(error) = refusal {
            Reply::refused(error)
        } else if is_durable {
            Reply::Json { body, headers }
        } else {
            Reply::refused(ApiError::unavailable())
        }));
    }

    /// The status that the client gets, or the one for a client that is gone.
    fn status(&self, status: u16) -> u16 {
        match &self.reply {
            None => ApiError::timeout().status,
            Some(reply) if reply.is_closed() => CLIENT_CLOSED_REQUEST,
            Some(_) => status,
        }
    }
}
