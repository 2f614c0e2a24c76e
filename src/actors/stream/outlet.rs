//! The way to the client: a bounded channel, and what stands before its first piece.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

/// A piece of the answer's body.
pub type Piece = Bytes;

/// The actor's end.
pub(super) struct Outlet {
    sender: mpsc::Sender<Piece>,
    is_cut: Arc<AtomicBool>,
}

/// The client's end: what the HTTP response is made of.
pub struct AnswerStream {
    receiver: mpsc::Receiver<Piece>,
    is_cut: Arc<AtomicBool>,
}

/// Why a piece did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client has left.
    Gone,
    /// The client did not read within the limit.
    Stalled,
}

/// The connection is to be cut: an orderly end would tell the client that it has everything.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub struct CutOff;

pub(super) fn channel(pieces: usize) -> (Outlet, AnswerStream) {
    let (sender, receiver) = mpsc::channel(pieces);
    let is_cut = Arc::new(AtomicBool::new(false));
    let stream = AnswerStream { receiver, is_cut: Arc::clone(&is_cut) };
    (Outlet { sender, is_cut }, stream)
}

impl Outlet {
    /// Sends a piece, waiting for room at most `limit`.
    pub(super) async fn send(&self, piece: Piece, limit: Duration) -> Result<(), Lost> {
        let piece = match self.sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Lost::Gone),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        match tokio::time::timeout(limit, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Lost::Gone),
            Err(_) => Err(Lost::Stalled),
        }
    }

    /// Resolves when the client has left.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Ends the body by breaking the connection.
    pub(super) fn cut(self) {
        self.is_cut.store(true, Ordering::Release);
    }
}

impl futures_util::Stream for AnswerStream {
    type Item = Result<Piece, CutOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(piece)) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(None) if self.is_cut.swap(false, Ordering::Acquire) => {
                Poll::Ready(Some(Err(CutOff)))
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }
}
