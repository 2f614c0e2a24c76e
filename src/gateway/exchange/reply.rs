//! What the handler is told.

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

use super::response_body::AnswerStream;
use crate::domain::api_error::ApiError;
use crate::domain::mail::BudgetPeriod;
use crate::domain::unprintable::unprintable;

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

/// Counts against limits until it is dropped.
pub type Permit = Box<dyn std::any::Any>;

unprintable!(Reply);

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
