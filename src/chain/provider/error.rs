//! Why a provider gave no answer, and why it refused a call. A provider's own words may repeat the
//! operator's key, so they are sorted into kinds where they arrive and go no further.

use std::time::Duration;

/// Why there is no usable answer from a provider. None of these says anything about the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("cannot be reached")]
    Unreachable,
    /// It asks for a pause.
    #[error("asks for a pause")]
    RateLimited {
        /// As long as it said, or as we assume.
        retry_after: Duration,
    },
    /// An HTTP status that carries no answer.
    #[error("answered with status {0}")]
    Status(u16),
    /// What came back is not what was asked for.
    #[error("gave {0}")]
    BadAnswer(&'static str),
    /// An answer to a call that was not asked, or none to one that was.
    #[error("answered other calls than were asked")]
    WrongId,
    /// More bytes than an answer may have.
    #[error("answered with more than an answer may have")]
    TooLarge,
    /// It failed too often and is left alone for a while.
    #[error("failed too often and is left alone for a while")]
    BreakerOpen,
    /// More waits for it than may.
    #[error("is asked more than it may be")]
    Overloaded,
    /// Nobody asks it any more.
    #[error("is no longer used")]
    Stopped,
    /// It refused a call that the question needs.
    #[error("refused a call: {0}")]
    Call(CallError),
    /// It speaks for another chain than it is configured for.
    #[error("speaks for chain {told}")]
    WrongChain {
        /// What it says.
        told: u64,
    },
    /// Its answers contradict one another, or what is possible.
    #[error("contradicts itself: {0}")]
    Implausible(&'static str),
}

impl ProviderError {
    /// The word in metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status(_) => "status",
            Self::BadAnswer(_) | Self::WrongId | Self::TooLarge => "bad_answer",
            Self::BreakerOpen => "breaker_open",
            Self::Overloaded => "overloaded",
            Self::Stopped => "stopped",
            Self::Call(_) => "refused",
            Self::WrongChain { .. } => "wrong_chain",
            Self::Implausible(_) => "implausible",
        }
    }

    /// Whether it says that the provider is in trouble, so that the breaker counts it.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Unreachable
                | Self::Status(_)
                | Self::BadAnswer(_)
                | Self::WrongId
        )
    }
}

/// A provider's refusal of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (code {code})")]
pub struct CallError {
    /// The code of JSON-RPC; providers agree on few.
    pub code: i64,
    /// What it seems to mean.
    pub kind: CallErrorKind,
}

/// What a refusal seems to mean, by its code and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallErrorKind {
    /// The contract reverted: an answer of the chain, not of the provider.
    #[error("execution reverted")]
    Reverted,
    /// The range of blocks or the number of results is too large.
    #[error("too many results or blocks")]
    TooMany {
        /// First and last block that the provider proposes instead.
        suggested: Option<(u64, u64)>,
    },
    /// Too many calls.
    #[error("rate limited")]
    RateLimited,
    /// Over a limit, of which kind it does not say: of results or of calls.
    #[error("over a limit")]
    OverLimit,
    /// It does not have the method.
    #[error("no such method")]
    NoMethod,
    /// It does not know the block or tag, or no longer has its state.
    #[error("no such block or state")]
    NoBlock,
    /// Batches are refused.
    #[error("no batches")]
    NoBatch,
    /// The credential is refused.
    #[error("credential refused")]
    Credential,
    /// Anything else.
    #[error("refused")]
    Other,
}

impl CallError {
    /// Sorts a refusal. `data` is the error's own further word, if that is a text.
    #[must_use]
    pub fn sort(code: i64, message: &str, data: Option<&str>) -> Self {
        let words = message.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        // Code 3 is a revert with data. Providers use -32005 and -32016 both for too many results
        // and too many calls.
        let kind = if code == 3 || has(REVERTED) {
            CallErrorKind::Reverted
        } else if has(BATCH) {
            CallErrorKind::NoBatch
        } else if has(TOO_MANY) && !has(CALL_RATE) {
            let suggested = suggested_range(&words).or_else(|| data.and_then(suggested_range));
            CallErrorKind::TooMany { suggested }
        } else if code == 429 || has(CALL_RATE) {
            CallErrorKind::RateLimited
        } else if matches!(code, -32005 | -32016) {
            CallErrorKind::OverLimit
        } else if code == -32601 || has(&["method not found", "does not exist/is not available"]) {
            CallErrorKind::NoMethod
        } else if matches!(code, 401 | 403) || has(CREDENTIAL) {
            CallErrorKind::Credential
        } else if code == -32001 || has(NO_BLOCK) {
            CallErrorKind::NoBlock
        } else {
            CallErrorKind::Other
        };
        Self { code, kind }
    }
}

/// As the common providers and the nodes themselves put it.
const TOO_MANY: &[&str] = &[
    "query returned more than",
    "more than 10000 results",
    "block range",
    "range is too large",
    "range too large",
    "range limit",
    "ranges over",
    "limited to a",
    "limited to 0 -",
    "is limited to",
    "response size exceeded",
    "log response size",
    "response size is larger",
    "result set too large",
    "too many results",
    "query timeout exceeded",
    "exceed maximum block",
    "exceeds the range",
    "max results",
    "logs matched by query exceeds limit",
    "up to a",
];
const CALL_RATE: &[&str] = &[
    "rate limit",
    "rate-limit",
    "ratelimit",
    "too many request",
    "request limit",
    "request rate",
    "throughput",
    "calls per second",
    "requests per second",
    "request count exceeded",
    "compute units per second",
    "capacity limit",
    "daily limit",
    "credits limit",
];
/// Words of a contract that failed, which is the chain's answer.
const REVERTED: &[&str] = &[
    "execution reverted",
    "vm execution error",
    "evm error",
    "out of gas",
    "invalid opcode",
    "invalid jump",
    "stack underflow",
];
const BATCH: &[&str] = &["batch"];
const CREDENTIAL: &[&str] =
    &["unauthorized", "api key", "apikey", "project id", "invalid token", "must be authenticated"];
const NO_BLOCK: &[&str] = &[
    "header not found",
    "block not found",
    "unknown block",
    "missing trie node",
    "not canonical",
    "state is not available",
    "state not available",
    "historical state",
    "has been pruned",
    "pruned",
    "finalized block not found",
    "safe block not found",
    "invalid block tag",
    "unsupported block",
    "resource not found",
    "out of range",
    "outofrange",
];

/// The range in `… this block range should work: [0x1, 0x2]` or
/// `… try with this block range [0x1, 0x2].`
fn suggested_range(words: &str) -> Option<(u64, u64)> {
    let (_, rest) = words.split_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    let (from, to) = inside.split_once(',')?;
    let number = |text: &str| crate::domain::evm::parse_quantity(text.trim()).ok();
    let range = (number(from)?, number(to)?);
    (range.0 <= range.1).then_some(range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(code: i64, message: &str) -> CallErrorKind {
        CallError::sort(code, message, None).kind
    }

    #[test]
    fn ranges_that_are_too_large_are_told_from_too_many_calls() {
        let none = CallErrorKind::TooMany { suggested: None };
        let some = |from, to| CallErrorKind::TooMany { suggested: Some((from, to)) };
        let infura = "query returned more than 10000 results. Try with this block range \
            [0x1B5AE9, 0x1B5AF0].";
        assert_eq!(kind(-32005, infura), some(0x1b_5ae9, 0x1b_5af0));
        let alchemy = "Log response size exceeded. You can make eth_getLogs requests with up to a \
            2K block range and no limit on the response size, or you can request any block range \
            with a cap of 10K logs in the response. Based on your parameters and the response \
            size limit, this block range should work: [0xcd, 0x7e7]";
        assert_eq!(kind(-32602, alchemy), some(0xcd, 0x7e7));
        assert_eq!(kind(-32602, "eth_getLogs is limited to a 5 range"), none);
        assert_eq!(kind(-32614, "eth_getLogs is limited to a 10,000 range"), none);
        assert_eq!(kind(-32000, "exceed maximum block range: 5000"), none);
        assert_eq!(kind(-32000, "block range is too wide"), none);
        assert_eq!(kind(-32600, "Block range limit exceeded. See more details"), none);
        assert_eq!(kind(-32000, "query returned more than 10000 results"), none);
        assert_eq!(kind(-32005, "query exceeds max results 20000, retry with the range 1-2"), none);
        assert_eq!(
            kind(-32005, "daily request count exceeded, request rate limited"),
            CallErrorKind::RateLimited
        );
        assert_eq!(kind(-32005, "limit exceeded"), CallErrorKind::OverLimit);
        assert_eq!(kind(-32016, "canceled due to enabled timeout"), CallErrorKind::OverLimit);
        assert_eq!(kind(-32016, "over rate limit"), CallErrorKind::RateLimited);
        assert_eq!(kind(429, "Too Many Requests"), CallErrorKind::RateLimited);
        let units = "Your app has exceeded its compute units per second capacity.";
        assert_eq!(kind(-32000, units), CallErrorKind::RateLimited);
    }

    #[test]
    fn other_refusals_are_sorted_too() {
        assert_eq!(kind(3, "execution reverted: no"), CallErrorKind::Reverted);
        assert_eq!(kind(-32000, "execution reverted"), CallErrorKind::Reverted);
        assert_eq!(
            kind(-32601, "the method debug_traceTransaction does not exist/is not available"),
            CallErrorKind::NoMethod
        );
        assert_eq!(kind(-32000, "header not found"), CallErrorKind::NoBlock);
        assert_eq!(kind(-32000, "missing trie node 00ff (path )"), CallErrorKind::NoBlock);
        assert_eq!(kind(-32600, "batch requests are not allowed"), CallErrorKind::NoBatch);
        assert_eq!(kind(-32000, "Must be authenticated!"), CallErrorKind::Credential);
        assert_eq!(kind(-32603, "Internal error"), CallErrorKind::Other);
    }

    #[test]
    fn a_proposal_may_stand_in_the_data_and_may_be_nonsense() {
        let told =
            CallError::sort(-32005, "query returned more than 10000 results", Some("[0x5, 0x9]"));
        assert_eq!(told.kind, CallErrorKind::TooMany { suggested: Some((5, 9)) });
        for nonsense in ["[0x9, 0x5]", "[5, 9]", "[", "[,]", "[0x1]", "[0xffffffffffffffffff,0x1]"]
        {
            assert_eq!(suggested_range(nonsense), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn no_words_do_harm(code: i64, message: String, data: Option<String>) {
            let sorted = CallError::sort(code, &message, data.as_deref());
            prop_assert!(!sorted.to_string().is_empty());
        }
    }
}
