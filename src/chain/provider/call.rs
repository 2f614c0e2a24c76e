//! Exchanges with a provider: calls in batches as large as it takes them, one by one where it takes
//! none.

use std::cell::{Cell, RefCell};

use actix_web::http::StatusCode;
use serde_json::value::RawValue;

use super::answer::{Parsed, encode, parse};
use super::health::ProviderHealth;
use super::limit::LearnedLimit;
use super::transport::{HttpAnswer, RpcTransport};
use super::{Answers, CallError, CallErrorKind, ProviderError, RpcCall};

/// The wire to one provider, and what was learned of it.
pub(super) struct ProviderConnection {
    transport: RpcTransport,
    /// No two calls of this process to this provider have the same id.
    next_id: Cell<u64>,
    /// Calls of one request.
    batch: RefCell<LearnedLimit>,
}

impl ProviderConnection {
    pub(super) const fn new(transport: RpcTransport, batch_max: u64) -> Self {
        let batch = RefCell::new(LearnedLimit::new(batch_max));
        Self { transport, next_id: Cell::new(1), batch }
    }

    /// Calls that it takes in one request, as far as is known.
    pub(super) fn batch_calls(&self) -> u64 {
        self.batch.borrow().now()
    }

    /// Sends the calls and reads their answers. A batch that is refused as such is sent again at
    /// once in smaller ones; one that fails in another way may have been too large, so that the
    /// next one is smaller. A pause without a length is one of no time.
    pub(super) async fn ask(
        &self,
        calls: &[RpcCall],
        standing: &ProviderHealth,
    ) -> Result<Answers, ProviderError> {
        let mut all = Answers::with_capacity(calls.len());
        let mut rest = calls;
        while !rest.is_empty() {
            let size = usize::try_from(self.batch_calls()).unwrap_or(usize::MAX).min(rest.len());
            let Some((some, others)) = rest.split_at_checked(size) else { break };
            standing.count(some.len());
            let asked = u64::try_from(size).unwrap_or(u64::MAX);
            match self.request(some).await {
                Ok(Parsed::Answers(answers)) => {
                    self.batch.borrow_mut().take(asked);
                    all.extend(answers);
                    rest = others;
                }
                Ok(Parsed::BatchRefused) if size > 1 => {
                    self.batch.borrow_mut().refuse(asked, None);
                }
                Ok(Parsed::BatchRefused) => {
                    return Err(ProviderError::BadAnswer("one answer to many calls"));
                }
                Ok(Parsed::RateLimited) => {
                    return Err(ProviderError::RateLimited {
                        retry_after: std::time::Duration::ZERO,
                    });
                }
                Err(error) => {
                    self.learn(asked, error);
                    return Err(error);
                }
            }
        }
        Ok(all)
    }

    fn learn(&self, asked: u64, error: ProviderError) {
        let may_be_its_size = error == ProviderError::TooLarge
            || (error.is_failure() && error != ProviderError::WrongId);
        let mut batch = self.batch.borrow_mut();
        match asked {
            _ if !may_be_its_size => {}
            0 | 1 => batch.fail_alone(),
            _ => batch.refuse(asked, None),
        }
    }

    async fn request(&self, calls: &[RpcCall]) -> Result<Parsed, ProviderError> {
        let first_id = self.next_id.get();
        let ids = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        self.next_id.set(first_id.saturating_add(ids));
        let answer = self.transport.post(encode(calls, first_id)).await?;
        let parsed = read(&answer, first_id, calls.len());
        match parsed {
            Err(ProviderError::WrongId) => self.transport.forget_connections(),
            // A limit that is not named is one of results where logs were asked for, and one of
            // calls elsewhere.
            Ok(Parsed::Answers(answers)) if is_over_limit(calls, &answers) => {
                return Ok(Parsed::RateLimited);
            }
            _ => {}
        }
        parsed
    }
}

fn is_over_limit(calls: &[RpcCall], answers: &[Result<Box<RawValue>, CallError>]) -> bool {
    calls.iter().zip(answers).any(|(call, answer)| {
        let kind = answer.as_ref().err().map(|error| error.kind);
        kind == Some(CallErrorKind::OverLimit) && call.method != RpcCall::LOGS
    })
}

/// What an answer says, of whatever status: many providers send their refusals of calls with one of
/// 4xx.
fn read(answer: &HttpAnswer, first_id: u64, count: usize) -> Result<Parsed, ProviderError> {
    let HttpAnswer { status, retry_after, body } = answer;
    let asks_for_pause = *status == StatusCode::TOO_MANY_REQUESTS
        || (*status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some());
    if asks_for_pause {
        let retry_after = retry_after.unwrap_or_default();
        return Err(ProviderError::RateLimited { retry_after });
    }
    match parse(body, first_id, count) {
        Ok(Parsed::RateLimited) => {
            Err(ProviderError::RateLimited { retry_after: retry_after.unwrap_or_default() })
        }
        Ok(parsed) => Ok(parsed),
        Err(error) if *status == StatusCode::OK => Err(error),
        Err(_) if count > 1 && is_refusal_of_shape(*status) => Ok(Parsed::BatchRefused),
        // Said of answers too.
        Err(_) if *status == StatusCode::PAYLOAD_TOO_LARGE => Err(ProviderError::TooLarge),
        Err(_) => Err(ProviderError::Status(status.as_u16())),
    }
}

/// Whether a status without an answer may be about the batch.
fn is_refusal_of_shape(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::NOT_IMPLEMENTED
    )
}
