//! The request's body, read once, within limits on its size and its pace. actix limits neither a
//! body that trickles nor one that never ends.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::bodies::BodyShare;
use super::standing;
use crate::config::Limits;
use crate::domain::api_error::ApiError;

/// A body above the limit is read on up to so many times the limit, so that its sender gets to
/// read our answer instead of a reset.
const OVERREAD: usize = 2;
/// Memory for a body of which nothing has come. What comes is counted, what is announced is not.
const FIRST_BYTES: usize = 65_536;

/// Reads the whole body of a small request.
///
/// # Errors
/// 413, 408, 415, or 400 if the client broke off.
pub async fn read(
    http: &HttpRequest,
    payload: &mut Payload,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    Ok(gather(http, payload, limits, None).await?.freeze())
}

/// Reads the whole body, and counts it for as long as it is in memory.
///
/// # Errors
/// As [`read`], and 429 or 529 where too many bytes are in memory.
pub async fn read_counted(
    http: &HttpRequest,
    payload: &mut Payload,
    limits: &Limits,
    mut share: BodyShare,
) -> Result<Bytes, ApiError> {
    let body = gather(http, payload, limits, Some(&mut share)).await?;
    Ok(share.keep_with(body))
}

/// Whether a body is announced as longer than that.
pub fn is_announced_beyond(http: &HttpRequest, bytes: usize) -> bool {
    announced_length(http).is_some_and(|announced| announced > bytes)
}

async fn gather(
    http: &HttpRequest,
    payload: &mut Payload,
    limits: &Limits,
    mut share: Option<&mut BodyShare>,
) -> Result<BytesMut, ApiError> {
    check_encoding(http)?;
    let announced = announced_length(http);
    let latest = Instant::now() + limits.body_total;
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_BYTES));
    let mut excess = 0_usize;
    loop {
        let idle = Instant::now() + limits.body_idle;
        match timeout_at(idle.min(latest), payload.next()).await {
            Ok(Some(Ok(piece))) => {
                let is_over = body.len().saturating_add(piece.len()) > limits.body_bytes;
                if is_over || excess > 0 {
                    excess = excess.saturating_add(piece.len());
                    body.clear();
                    if excess > limits.body_bytes.saturating_mul(OVERREAD) {
                        return Err(too_large(limits));
                    }
                } else {
                    if let Some(share) = &mut share {
                        share.grow(piece.len())?;
                    }
                    body.extend_from_slice(&piece);
                }
            }
            Ok(Some(Err(_))) => {
                return Err(ApiError::invalid_request("The request body ended too early."));
            }
            Ok(None) if excess > 0 => return Err(too_large(limits)),
            Ok(None) => {
                standing::end_body(http);
                return Ok(body);
            }
            Err(_) => {
                let message = "The request body did not arrive in time.";
                return Err(ApiError::new(408, "invalid_request_error", message));
            }
        }
    }
}

fn too_large(limits: &Limits) -> ApiError {
    let message = format!("The request body is larger than {} bytes.", limits.body_bytes);
    ApiError::new(413, "request_too_large", message)
}

fn check_encoding(http: &HttpRequest) -> Result<(), ApiError> {
    let encoding = http.headers().get(CONTENT_ENCODING);
    if encoding.is_none_or(|encoding| encoding == "identity") {
        return Ok(());
    }
    let message = "Encoded request bodies are not supported: send the body uncompressed.";
    let mut error = ApiError::new(415, "invalid_request_error", message);
    error.details = Some(serde_json::json!({ "error_code": "request_body_encoding_unsupported" }));
    Err(error)
}

fn announced_length(http: &HttpRequest) -> Option<usize> {
    http.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
