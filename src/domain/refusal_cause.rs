//! Why this program refused a request of a known key, as its owner is told: a few fixed words that
//! are counted per key and day. What an upstream refuses is not among them; it has a row of its
//! own in the usage log.

use super::api_error::{ApiError, RefusalReason};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCause {
    /// The balance does not cover it (402).
    Balance,
    /// A budget of the key does not cover it (402).
    KeyBudget,
    /// Too many requests in a minute (429).
    RateLimit,
    /// Too many requests at once (429).
    Concurrency,
    /// The key is revoked or has expired (401).
    Key,
    /// The account is suspended, or the key may not do this (403).
    Permission,
    /// No such model here (404).
    Model,
    /// The request itself is invalid or not supported (400, 413).
    Request,
}

impl RefusalCause {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Balance,
        Self::KeyBudget,
        Self::RateLimit,
        Self::Concurrency,
        Self::Key,
        Self::Permission,
        Self::Model,
        Self::Request,
    ];

    /// Why an error was given, where its reason is for the owner to know; `None` for troubles of
    /// the operator and for what an upstream says.
    #[must_use]
    pub const fn of(error: &ApiError) -> Option<Self> {
        match error.reason {
            RefusalReason::Credit => Some(Self::Balance),
            RefusalReason::KeyBudget => Some(Self::KeyBudget),
            RefusalReason::Rate => Some(Self::RateLimit),
            RefusalReason::OpenRequests => Some(Self::Concurrency),
            RefusalReason::Key => Some(Self::Key),
            RefusalReason::Permission => Some(Self::Permission),
            RefusalReason::Request if error.status == 404 => Some(Self::Model),
            RefusalReason::Request => Some(Self::Request),
            RefusalReason::NodeFull
            | RefusalReason::UpstreamsFull
            | RefusalReason::UpstreamsRest
            | RefusalReason::Upstream
            | RefusalReason::Unavailable
            | RefusalReason::Internal => None,
        }
    }

    /// Its name in the database and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::KeyBudget => "key_budget",
            Self::RateLimit => "rate_limit",
            Self::Concurrency => "concurrency",
            Self::Key => "key",
            Self::Permission => "permission",
            Self::Model => "model",
            Self::Request => "request",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_own_refusals_have_a_cause_and_the_operators_have_none() {
        let cause = |error: ApiError| RefusalCause::of(&error).map(RefusalCause::as_str);
        assert_eq!(cause(ApiError::billing("x")), Some("balance"));
        let budget = ApiError::billing("x").because(RefusalReason::KeyBudget);
        assert_eq!(cause(budget), Some("key_budget"));
        assert_eq!(cause(ApiError::rate_limit("x", 1)), Some("rate_limit"));
        assert_eq!(cause(ApiError::authentication("x")), Some("key"));
        assert_eq!(cause(ApiError::not_found("x")), Some("model"));
        assert_eq!(cause(ApiError::invalid_request("x")), Some("request"));
        assert_eq!(cause(ApiError::unavailable()), None);
        assert_eq!(cause(ApiError::of_status(400)), None, "an upstream's word has a usage row");
        for cause in RefusalCause::ALL {
            assert_eq!(RefusalCause::parse(cause.as_str()), Some(cause));
        }
    }
}
