//! One exchange with a provider: a batch, or call by call where it takes no batches.

use actix_web::http::StatusCode;

use super::transport::{HttpAnswer, Transport};
use crate::chain::rpc::answer::{Parsed, encode, parse};
use crate::chain::rpc::{Answers, Call, ProviderError};

/// What came of it.
pub(super) struct Exchanged {
    pub(super) result: Result<Answers, ProviderError>,
    /// The provider refused the batch and took its calls one by one.
    pub(super) has_refused_batch: bool,
}

/// Sends the calls and reads their answers. A pause without a length is one of no time.
pub(super) async fn exchange(
    transport: &Transport,
    calls: &[Call],
    first_id: u64,
    in_batch: bool,
) -> Exchanged {
    if in_batch || calls.len() <= 1 {
        match request(transport, calls, first_id).await {
            Ok(Parsed::BatchRefused) => {}
            other => return Exchanged { result: answers(other), has_refused_batch: false },
        }
    }
    let next_id = first_id.saturating_add(u64::try_from(calls.len()).unwrap_or(u64::MAX));
    let result = one_by_one(transport, calls, next_id).await;
    Exchanged { has_refused_batch: in_batch && result.is_ok(), result }
}

async fn one_by_one(
    transport: &Transport,
    calls: &[Call],
    first_id: u64,
) -> Result<Answers, ProviderError> {
    let mut all = Answers::with_capacity(calls.len());
    for (id, call) in (first_id..).zip(calls) {
        let answer = request(transport, std::slice::from_ref(call), id).await;
        all.extend(answers(answer)?);
    }
    Ok(all)
}

fn answers(parsed: Result<Parsed, ProviderError>) -> Result<Answers, ProviderError> {
    match parsed? {
        Parsed::Answers(answers) => Ok(answers),
        Parsed::RateLimited => {
            Err(ProviderError::RateLimited { retry_after: std::time::Duration::ZERO })
        }
        Parsed::BatchRefused => Err(ProviderError::BadAnswer("one answer to many calls")),
    }
}

async fn request(
    transport: &Transport,
    calls: &[Call],
    first_id: u64,
) -> Result<Parsed, ProviderError> {
    let answer = transport.post(encode(calls, first_id)).await?;
    let parsed = read(&answer, first_id, calls.len());
    if matches!(parsed, Err(ProviderError::WrongId)) {
        transport.forget_connections();
    }
    parsed
}

/// What an answer says, of whatever status: many providers send their refusals of calls with one of 4xx.
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
