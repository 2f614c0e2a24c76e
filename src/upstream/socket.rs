//! A connection to an upstream that says what a request has done with it: whether it was opened for
//! this request, and whether a byte of the request has been written.
//!
//! awc tells neither, and only where nothing was written may a request be sent a second time.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

tokio::task_local! {
    static TRACE: Rc<Trace>;
}

/// What a request has done so far.
#[derive(Debug, Default)]
pub(super) struct Trace {
    is_fresh: Cell<bool>,
    has_written: Cell<bool>,
}

impl Trace {
    /// Runs the sending of a request; returns its outcome, and what it has done.
    pub(super) async fn of<F: Future>(sending: F) -> (F::Output, Rc<Self>) {
        let trace = Rc::new(Self::default());
        (TRACE.scope(Rc::clone(&trace), sending).await, trace)
    }

    /// Whether it went to a connection of the pool and not a byte has left on it.
    pub(super) const fn is_unread(&self) -> bool {
        !self.is_fresh.get() && !self.has_written.get()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    /// A connection that was opened for the request that runs.
    pub(super) fn opened(io: TcpStream) -> Self {
        note(|trace| trace.is_fresh.set(true));
        Self(io)
    }

    /// Notes what was written.
    fn count(written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(bytes)) if bytes > 0) {
            note(|trace| trace.has_written.set(true));
        }
        written
    }
}

/// Outside of a request, as while a connection is closed, there is nothing to note.
fn note(what: impl FnOnce(&Trace)) {
    TRACE.try_with(|trace| what(trace)).unwrap_or(());
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::count(Pin::new(&mut self.0).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::count(Pin::new(&mut self.0).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl ActixStream for Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.0, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.0, cx)
    }
}
