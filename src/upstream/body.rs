//! Reading a body to its end, within limits of time and size, and no longer than the server runs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::client::UpstreamResponse;
use super::fault::Failure;
use super::node::CallContext;

/// How much may be read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of the body.
    pub bytes: usize,
    /// Silence after which the upstream counts as gone.
    pub idle: Duration,
    /// Time for all of it.
    pub whole: Duration,
}

/// How much of a refusal is read, and for how long.
pub(super) const REFUSAL: BodyLimits =
    BodyLimits { bytes: 65_536, idle: Duration::from_secs(10), whole: Duration::from_secs(10) };

/// Reads a body that must come whole.
///
/// # Errors
/// `Cut` where it ended early or is longer than the limit, `Silent`, `TooLong`, `Stopped`.
pub async fn read_whole(
    node: &CallContext,
    answer: &mut UpstreamResponse,
    limits: BodyLimits,
) -> Result<Bytes, Failure> {
    let latest = Instant::now() + limits.whole;
    let mut body = BytesMut::new();
    loop {
        let until = (Instant::now() + limits.idle).min(latest);
        let piece = tokio::select! {
            piece = timeout_at(until, answer.body.next()) => piece,
            () = node.tracker.cut_token().cancelled() => return Err(Failure::stopped()),
        };
        match piece {
            Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
            Ok(Some(Err(_))) => return Err(Failure::cut()),
            Ok(None) => break,
            Err(_) if Instant::now() >= latest => return Err(Failure::too_long()),
            Err(_) => return Err(Failure::silent()),
        }
        if body.len() > limits.bytes {
            node.metrics.count_alert("an upstream's answer is longer than is held of one");
            return Err(Failure::cut());
        }
    }
    // awc reports a body that was cut as its end.
    let received = u64::try_from(body.len()).ok();
    if answer.content_length.is_some_and(|expected| received != Some(expected)) {
        return Err(Failure::cut());
    }
    Ok(body.freeze())
}

/// Reads the beginning of a refusal, which is short; what has not come in time is left out.
///
/// # Errors
/// `Stopped`.
pub async fn read_short(
    node: &CallContext,
    answer: &mut UpstreamResponse,
    limits: BodyLimits,
) -> Result<Bytes, Failure> {
    let latest = Instant::now() + limits.whole;
    let mut body = BytesMut::new();
    while body.len() < limits.bytes {
        let piece = tokio::select! {
            piece = timeout_at(latest, answer.body.next()) => piece,
            () = node.tracker.cut_token().cancelled() => return Err(Failure::stopped()),
        };
        let Ok(Some(Ok(piece))) = piece else { break };
        let room = limits.bytes.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
    }
    Ok(body.freeze())
}
