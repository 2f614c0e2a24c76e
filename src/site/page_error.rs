//! Why there is no page, as a page: with the way home, and words that help.

use actix_web::http::StatusCode;
use askama::Template;

use super::layout::Frame;
use crate::accounts::identity::AuthError;
use crate::db::DbError;
use crate::deposits::DepositError;
use crate::domain::api_error::ApiError;
use crate::telemetry::Causes;

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageError {
    /// The form is none, or not complete.
    Form,
    /// Somebody has to log in first. Answered with the way there, not with a page.
    LogIn,
    /// The account is being deleted. Answered with the way to keep it.
    Closing,
    /// The account is suspended: it may look.
    Suspended,
    /// The form does not come from a page that we made for this visitor.
    Origin,
    NotFound,
    /// The path is offered with another method.
    Method,
    /// The form did not arrive in time.
    Slow,
    TooLarge,
    TooMany {
        retry_after_secs: u64,
    },
    /// Ours to mend. The cause is logged.
    Internal,
    /// Worth trying again.
    Unavailable,
}

/// Why a form was not taken, as it says on the form.
pub(super) struct FormError {
    pub(super) status: StatusCode,
    pub(super) words: String,
    pub(super) retry_after_secs: Option<u64>,
}

impl FormError {
    /// One of a page's own.
    pub(super) fn new(words: &str) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, words: words.to_owned(), retry_after_secs: None }
    }

    /// A verb's, unless it has a page of its own.
    ///
    /// # Errors
    /// That page.
    pub(super) fn of(error: AuthError) -> Result<Self, PageError> {
        match error {
            AuthError::Unavailable(_)
            | AuthError::Closing
            | AuthError::Suspended
            | AuthError::SessionEnded => Err(error.into()),
            _ => Ok(Self {
                status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
                words: error.to_string(),
                retry_after_secs: error.retry_after_secs(),
            }),
        }
    }
}

/// The page of a fault.
#[derive(Template)]
#[template(path = "fault.html")]
pub(super) struct FaultPage {
    pub(super) frame: Frame,
    pub(super) status: u16,
    pub(super) heading: &'static str,
    pub(super) advice: &'static str,
}

impl PageError {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Form => StatusCode::BAD_REQUEST,
            Self::LogIn => StatusCode::UNAUTHORIZED,
            Self::Closing | Self::Suspended | Self::Origin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Heading and advice.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Form => {
                ("That form could not be read", "Go back, reload the page and send it again.")
            }
            Self::LogIn => ("Please log in", "You need an account to see this page."),
            Self::Closing => {
                ("This account is being deleted", "You can still cancel the deletion.")
            }
            Self::Suspended => (
                "This account is suspended",
                "You can view everything but change nothing. Contact the operator if you have \
                 questions.",
            ),
            Self::Origin => (
                "This form has expired",
                "Nothing was changed. Go back, reload the page and send it again. If it happens \
                 again, check that your browser accepts cookies from this site.",
            ),
            Self::NotFound => {
                ("Page not found", "Check the address for typing errors. The page may have moved.")
            }
            Self::Method => (
                "Not allowed",
                "This page does not accept that kind of request. Go back and use its buttons.",
            ),
            Self::Slow => ("That took too long", "The form did not arrive in time. Send it again."),
            Self::TooLarge => {
                ("Too large", "The form contains too much data. Go back and shorten it.")
            }
            Self::TooMany { .. } => ("Too many requests", "Wait a minute and try again."),
            Self::Internal => (
                "Something went wrong",
                "The fault is ours, and we have logged it. Try again in a minute. If the \
                 problem stays, contact the operator.",
            ),
            Self::Unavailable => (
                "Not available right now",
                "Please try again in a minute. No payment or usage is lost.",
            ),
        }
    }
}

impl From<DbError> for PageError {
    fn from(error: DbError) -> Self {
        tracing::error!(error = %Causes(&error), "a page cannot be rendered");
        Self::Unavailable
    }
}

impl From<DepositError> for PageError {
    fn from(error: DepositError) -> Self {
        tracing::error!(error = %Causes(&error), "a deposits page cannot be rendered");
        Self::Unavailable
    }
}

/// Where a page has no form to say it on.
impl From<AuthError> for PageError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::TooManyAttempts { retry_after_secs } => Self::TooMany { retry_after_secs },
            AuthError::Suspended => Self::Suspended,
            AuthError::Closing => Self::Closing,
            AuthError::SessionEnded => Self::LogIn,
            AuthError::NoSession => Self::NotFound,
            AuthError::Unavailable(error) => error.into(),
            AuthError::Busy => Self::Unavailable,
            _ => Self::Form,
        }
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(error = %Causes(&error), "a template cannot be rendered");
        Self::Internal
    }
}

/// What reading a body and counting requests may refuse.
impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        match error.status {
            408 => Self::Slow,
            413 => Self::TooLarge,
            429 => Self::TooMany { retry_after_secs: error.retry_after_secs.unwrap_or(1) },
            400 | 415 => Self::Form,
            _ => Self::Unavailable,
        }
    }
}
