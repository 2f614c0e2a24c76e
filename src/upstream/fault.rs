//! Whose fault it is that there is no answer, and what its client hears of it.

use std::borrow::Cow;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::headers;
use crate::domain::api_error::{ApiError, RefusalReason};
use crate::domain::unprintable::unprintable;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's request: it would be refused everywhere.
    Request,
    /// The upstream does not have the model, or not for us.
    NotThere,
    /// The same, but by its words alone, which may be the client's own ones.
    SaidNotThere,
    /// 403: the client may not do this, or our credential may not.
    Forbidden,
    /// Our credential or credit.
    Credential,
    /// A limit of ours there, for a while.
    Limited,
    /// It failed, or is overloaded.
    Broken,
    /// No connection came about, which no request can bring about.
    Unreachable,
    /// No head in time.
    Slow,
}

impl Fault {
    /// Whether another upstream may do better.
    #[must_use]
    pub const fn asks_next(self) -> bool {
        !matches!(self, Self::Request)
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::NotThere | Self::SaidNotThere => "not_there",
            Self::Forbidden => "forbidden",
            Self::Credential => "credential",
            Self::Limited => "limited",
            Self::Broken => "broken",
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
        }
    }
}

/// How it came that there is no answer: what the ending of an exchange is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The upstream said so, by a status or a document.
    Refused,
    /// By the first event of a stream.
    FirstEvent,
    /// No connection, or it broke before the head.
    Unreachable,
    /// No head in time.
    NoHead,
    /// A head that no answer can follow.
    BadAnswer,
    /// The body ended before the answer was whole, or had begun.
    Cut,
    /// The body fell silent.
    Silent,
    /// The body took longer than an answer may.
    TooLong,
    /// The server is stopping.
    Stopped,
    /// Nobody could be asked: all are left alone at the moment.
    Resting,
    /// Nobody could be asked: all have as many requests as they may.
    Full,
}

impl FailureKind {
    /// Its name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::FirstEvent => "first_event",
            Self::Unreachable => "unreachable",
            Self::NoHead => "no_head",
            Self::BadAnswer => "bad_answer",
            Self::Cut => "cut",
            Self::Silent => "silent",
            Self::TooLong => "too_long",
            Self::Stopped => "stopped",
            Self::Resting => "resting",
            Self::Full => "full",
        }
    }
}

/// No answer.
pub struct Failure {
    /// How it came.
    pub way: FailureKind,
    /// Whose fault it is; `None` where it says nothing of the upstream.
    pub fault: Option<Fault>,
    /// What the client hears if no other upstream answers.
    pub error: ApiError,
    /// Headers of the upstream's that pass with it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Seconds after which the upstream wants to be asked again.
    pub retry_after_secs: Option<u64>,
    /// The upstream's own name of the request, for the log.
    pub upstream_request_id: Option<String>,
    /// The status that it answered, or should have.
    pub upstream_status: Option<u16>,
    /// What is wrong with its answer, for the log.
    pub why: Option<Cow<'static, str>>,
    /// Whether it came in place of an answer's head, so that no part of an answer was made.
    pub is_in_place_of_head: bool,
    /// Whether no other upstream is asked, whatever the fault.
    pub is_final: bool,
}

unprintable!(Failure);

impl Failure {
    fn new(way: FailureKind, fault: Option<Fault>, error: ApiError) -> Self {
        Self {
            way,
            fault,
            error,
            headers: Vec::new(),
            retry_after_secs: None,
            upstream_request_id: None,
            upstream_status: None,
            why: None,
            is_in_place_of_head: false,
            is_final: false,
        }
    }

    /// A refusal, with the head that it came with.
    #[must_use]
    pub fn refused(
        way: FailureKind,
        fault: Fault,
        error: ApiError,
        head: Option<&HeaderMap>,
    ) -> Self {
        let mut failure = Self::new(way, Some(fault), error);
        let Some(head) = head else { return failure };
        failure.upstream_request_id = request_id(head);
        failure.retry_after_secs = head
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse().ok());
        if fault != Fault::Credential {
            failure.headers = headers::passing_with_refusal(head);
        }
        failure
    }

    /// The connection could not be made (`is_connected` is false) or broke before the head.
    #[must_use]
    pub fn unreachable(is_connected: bool, why: String) -> Self {
        let fault = if is_connected { Fault::Broken } else { Fault::Unreachable };
        let failure = Self::new(FailureKind::Unreachable, Some(fault), ApiError::bad_gateway());
        Self { why: Some(why.into()), ..failure }
    }

    /// No head in time.
    #[must_use]
    pub fn no_head() -> Self {
        Self::new(FailureKind::NoHead, Some(Fault::Slow), ApiError::timeout())
    }

    /// A head that no answer can follow, and what is wrong with it, for the log.
    #[must_use]
    pub fn bad_answer(why: &'static str) -> Self {
        let failure =
            Self::new(FailureKind::BadAnswer, Some(Fault::Broken), ApiError::bad_gateway());
        Self { why: Some(why.into()), ..failure }
    }

    /// A body that ended before the answer was whole.
    #[must_use]
    pub fn cut() -> Self {
        Self::new(FailureKind::Cut, Some(Fault::Broken), ApiError::bad_gateway())
    }

    /// A body that fell silent.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(FailureKind::Silent, Some(Fault::Slow), ApiError::timeout())
    }

    /// A body that took too long.
    #[must_use]
    pub fn too_long() -> Self {
        Self::new(FailureKind::TooLong, None, ApiError::timeout())
    }

    /// The server is stopping.
    #[must_use]
    pub fn stopped() -> Self {
        Self::new(FailureKind::Stopped, None, ApiError::unavailable()).and_final()
    }

    /// All upstreams are left alone for so many seconds.
    #[must_use]
    pub fn resting(secs: u64) -> Self {
        let error = ApiError { retry_after_secs: Some(secs.max(1)), ..ApiError::unavailable() };
        let error = error.because(RefusalReason::UpstreamsRest);
        Self::new(FailureKind::Resting, None, error)
    }

    /// Every upstream that might be asked has as many requests as it may have.
    #[must_use]
    pub fn full() -> Self {
        let message = "All upstreams are busy. Please try again.";
        let error = ApiError::new(529, "overloaded_error", message);
        Self::new(FailureKind::Full, None, error.because(RefusalReason::UpstreamsFull))
    }

    /// The same, and nobody else is asked.
    #[must_use]
    pub fn and_final(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// Whether another upstream is asked.
    #[must_use]
    pub fn asks_next(&self) -> bool {
        !self.is_final && self.fault.is_none_or(Fault::asks_next)
    }
}

/// The name that an upstream gave a request, if it looks like one: it is for the log.
fn request_id(head: &HeaderMap) -> Option<String> {
    const BYTES_MAX: usize = 80;
    let names = ["request-id", "x-request-id", "x-amzn-requestid"];
    let given = names.iter().find_map(|name| head.get(*name))?.to_str().ok()?;
    let is_name = given.len() <= BYTES_MAX
        && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_name.then(|| given.to_owned())
}
