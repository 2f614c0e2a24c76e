//! A JSON answer: read whole, posted, and only then sent. Each of its endings is a status code. A
//! client that leaves changes nothing: the upstream makes and bills the answer anyway (E9).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::exchange::{Reply, Shared, passing_headers};
use super::reservation::Reservation;
use crate::domain::api_error::ApiError;
use crate::domain::meter::{JsonAnswer, read_json_answer};
use crate::domain::unprintable::unprintable;
use crate::domain::usage_record::Ending;
use crate::upstream::client::Answer;

/// What nginx and others log for a client that left before its answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// See the module.
pub(super) struct Gather {
    shared: Arc<Shared>,
    answer: Answer,
    reservation: Reservation,
    /// `None` if the client has been told of a timeout (E3j).
    reply: Option<oneshot::Sender<Reply>>,
}

/// How the reading of a body ended.
enum Read {
    Whole(Bytes),
    /// Cut, or longer than we hold.
    Broken,
    Silent,
    TooLong,
    Stopped,
}

unprintable!(Gather, Read);

impl Gather {
    pub(super) const fn new(
        shared: Arc<Shared>,
        answer: Answer,
        reservation: Reservation,
        reply: Option<oneshot::Sender<Reply>>,
    ) -> Self {
        Self { shared, answer, reservation, reply }
    }

    pub(super) async fn run(mut self) {
        self.reservation.note_first_byte();
        let (ending, error) = match self.read().await {
            Read::Whole(body) => match read_json_answer(&body) {
                Some(counted) => return self.deliver(body, &counted).await,
                None => (Ending::E6, ApiError::bad_gateway()),
            },
            Read::Broken => (Ending::E6, ApiError::bad_gateway()),
            Read::Silent => (Ending::E7, ApiError::timeout()),
            Read::TooLong => (Ending::E17, ApiError::timeout()),
            Read::Stopped => (Ending::E11, ApiError::unavailable()),
        };
        // Nothing was reported, since a JSON answer reports at its end.
        let ending = if self.reply.is_none() { Ending::E3j } else { ending };
        let status = self.status(error.status);
        self.reservation.void(ending, status).await;
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::refused(error)));
        }
    }

    async fn read(&mut self) -> Read {
        let (limits, stream) = (&self.shared.settings.limits, &self.shared.settings.stream);
        let latest = Instant::now() + stream.max_duration;
        let mut body = BytesMut::new();
        loop {
            let idle = Instant::now() + stream.idle;
            let piece = tokio::select! {
                piece = timeout_at(idle.min(latest), self.answer.body.next()) => piece,
                () = self.shared.tracker.cut_token().cancelled() => return Read::Stopped,
            };
            match piece {
                Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
                Ok(Some(Err(_))) => return Read::Broken,
                Ok(None) => break,
                Err(_) if Instant::now() >= latest => return Read::TooLong,
                Err(_) => return Read::Silent,
            }
            if body.len() > limits.json_answer_max_bytes {
                self.shared.alert("a JSON answer is longer than json_answer_max_bytes");
                return Read::Broken;
            }
        }
        // awc reports a body that was cut as its end.
        let received = u64::try_from(body.len()).ok();
        if self.answer.content_length.is_some_and(|expected| received != Some(expected)) {
            return Read::Broken;
        }
        Read::Whole(body.freeze())
    }

    async fn deliver(mut self, body: Bytes, counted: &JsonAnswer) {
        for anomaly in &counted.anomalies {
            self.shared.alert(anomaly.as_str());
        }
        let is_client_there = self.reply.as_ref().is_some_and(|reply| !reply.is_closed());
        let mut ending = match (&self.reply, is_client_there) {
            (None, _) => Ending::E3j,
            (Some(_), false) => Ending::E9,
            (Some(_), true) => Ending::E1,
        };
        if counted.has_usage {
            self.reservation.set_usage(&counted.usage, false);
            self.reservation.learn(&counted.usage);
        } else {
            self.shared.alert("an answer came without usage");
            self.reservation.set_unreported_usage(counted.usage.clone(), &counted.content);
            if ending == Ending::E1 {
                ending = Ending::E10;
            }
        }
        let status = self.status(200);
        let headers = passing_headers(&self.answer.headers);
        let is_durable = self.reservation.post(ending, status).await;
        let Some(reply) = self.reply else { return };
        drop(reply.send(if is_durable {
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
