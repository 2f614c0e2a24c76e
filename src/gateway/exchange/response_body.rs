//! The way to the client: a bounded channel, and how it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::domain::api_error::ApiError;
use crate::domain::ids::RequestId;
use crate::domain::unprintable::unprintable;

/// A piece of the answer's body.
pub type BodyChunk = Bytes;

/// The exchange's end.
pub(super) struct BodySender {
    sender: mpsc::Sender<BodyChunk>,
    ends: Arc<CloseReason>,
    pub(super) request_id: RequestId,
}

/// The client's end: what the HTTP response is made of.
pub struct ResponseBody {
    receiver: mpsc::Receiver<BodyChunk>,
    ends: Arc<CloseReason>,
    request_id: RequestId,
    is_mid_line: bool,
    has_ended: bool,
}

unprintable!(BodySender, ResponseBody);

/// How the channel was closed. Neither: its exchange is gone without a word (E14).
#[derive(Default)]
struct CloseReason {
    is_finished: AtomicBool,
    is_cut: AtomicBool,
}

/// The client's connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyClosed;

/// The connection is to be cut: an orderly end would tell the client that it has everything.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub struct CutOff;

pub(super) fn channel(pieces: usize, request_id: RequestId) -> (BodySender, ResponseBody) {
    let (sender, receiver) = mpsc::channel(pieces);
    let ends = Arc::new(CloseReason::default());
    let stream = ResponseBody {
        receiver,
        ends: Arc::clone(&ends),
        request_id: request_id.clone(),
        is_mid_line: false,
        has_ended: false,
    };
    (BodySender { sender, ends, request_id }, stream)
}

impl BodySender {
    /// Sends a piece if there is room; gives it back if there is none.
    pub(super) fn try_send(&self, piece: BodyChunk) -> Result<Option<BodyChunk>, BodyClosed> {
        match self.sender.try_send(piece) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(piece)) => Ok(Some(piece)),
            Err(TrySendError::Closed(_)) => Err(BodyClosed),
        }
    }

    /// Sends a piece, however long the client takes to make room.
    pub(super) async fn send(&self, piece: BodyChunk) -> Result<(), BodyClosed> {
        self.sender.send(piece).await.map_err(|_| BodyClosed)
    }

    /// Resolves when the client has left.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Ends the body in order.
    pub(super) fn finish(self) {
        self.ends.is_finished.store(true, Ordering::Release);
    }

    /// Ends the body by breaking the connection.
    pub(super) fn cut(self) {
        self.ends.is_cut.store(true, Ordering::Release);
    }
}

impl ResponseBody {
    /// What the client sees behind the last piece.
    fn end(&mut self) -> Option<Result<BodyChunk, CutOff>> {
        let has_ended = std::mem::replace(&mut self.has_ended, true);
        if has_ended || self.ends.is_finished.load(Ordering::Acquire) {
            return None;
        }
        if self.ends.is_cut.load(Ordering::Acquire) {
            return Some(Err(CutOff));
        }
        let error = ApiError::new(500, "api_error", "Internal server error");
        Some(Ok(end_event(&error, &self.request_id, self.is_mid_line)))
    }
}

impl futures_util::Stream for ResponseBody {
    type Item = Result<BodyChunk, CutOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(piece)) => {
                self.is_mid_line = is_mid_line(&piece);
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(None) => Poll::Ready(self.end()),
        }
    }
}

/// Whether bytes end before their line does.
pub(super) fn is_mid_line(piece: &[u8]) -> bool {
    !piece.ends_with(b"\n") && !piece.ends_with(b"\r")
}

/// An error event that clients read as one wherever the bytes before it stopped. That is in the
/// middle of an event only where it was too long to be held: a line that was begun is ended first,
/// and the last `event:` of an event is the one that counts.
pub(super) fn end_event(error: &ApiError, request_id: &RequestId, is_mid_line: bool) -> BodyChunk {
    let line_end = if is_mid_line { "\n" } else { "" };
    Bytes::from(format!("{line_end}{}", error.to_event(request_id)))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn open() -> (BodySender, ResponseBody) {
        channel(4, RequestId::from_stored("req_1".to_owned()))
    }

    #[actix_web::test]
    async fn e14_a_stream_whose_exchange_is_gone_ends_with_an_error_event() {
        let (outlet, mut stream) = open();
        outlet.send(Bytes::from_static(b"data: {")).await.unwrap();
        drop(outlet);
        assert_eq!(stream.next().await.unwrap().unwrap(), &b"data: {"[..]);
        let last = stream.next().await.unwrap().unwrap();
        assert!(last.starts_with(b"\nevent: error\ndata: {"), "{last:?}");
        assert!(stream.next().await.is_none());
    }

    #[actix_web::test]
    async fn a_finished_stream_ends_and_a_cut_one_breaks() {
        let (outlet, mut stream) = open();
        outlet.finish();
        assert!(stream.next().await.is_none());
        let (outlet, mut stream) = open();
        outlet.cut();
        assert!(stream.next().await.unwrap().is_err());
    }
}
