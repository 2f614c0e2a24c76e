//! A JSON answer that has come whole, held until it is posted. A client that leaves changes
//! nothing: the upstream makes and bills the answer anyway (E9).

use actix_web::http::header::HeaderMap;
use bytes::Bytes;

use super::reply::Client;
use super::reservation::Reservation;
use crate::context::AppContext;
use crate::domain::meter::{JsonAnswer, read_json_answer};
use crate::domain::unprintable::unprintable;

/// See the module.
pub(super) struct Buffered {
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
    /// What it has counted; `None` where it is no answer.
    pub(super) counted: Option<JsonAnswer>,
    pub(super) client: Client,
}

unprintable!(Buffered);

impl Buffered {
    /// Reads what a whole answer has counted, and has that learned.
    pub(super) fn read(
        context: &AppContext,
        (body, headers): (Bytes, HeaderMap),
        reservation: &mut Reservation,
        client: Client,
    ) -> Self {
        let counted = read_json_answer(&body);
        if let Some(counted) = &counted {
            for anomaly in &counted.anomalies {
                context.alert(anomaly.as_str());
            }
            if counted.has_usage {
                reservation.learn(&counted.usage);
            }
        }
        Self { body, headers, counted, client }
    }
}
