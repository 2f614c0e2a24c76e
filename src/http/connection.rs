//! A client's connection, with what actix lacks: a limit on how long a write may wait.
//!
//! The kernel's own limit, `TCP_USER_TIMEOUT`, would not do: it counts against a peer whose window
//! is too small for the segment that waits, however steadily that peer reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::telemetry::Causes;

/// Whether a connection was cut because its client has stopped reading: noted there, and asked for
/// where an exchange finds its client gone.
#[derive(Clone, Debug, Default)]
pub struct Stall(Arc<AtomicBool>);

impl Stall {
    /// The client has stalled, and its connection ends now.
    pub fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// See the module.
pub(crate) struct Connection {
    io: TcpStream,
    limit: Duration,
    stall: Stall,
    /// While a write waits, and afterwards until it is used again: allocated once.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Connection {
    /// Takes over an accepted connection; a write may wait so long for the client to read.
    pub(crate) fn new(io: TcpStream, limit: Duration) -> Self {
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(error = %Causes(&error), "TCP_NODELAY could not be set");
        }
        Self { io, limit, stall: Stall::default(), timer: None, is_waiting: false }
    }

    /// Lets the handlers of this connection's requests know whether its client has stalled.
    pub(super) fn introduce(&self, data: &mut Extensions) {
        data.insert(self.stall.clone());
    }

    /// Counts the time of a write that waits; an error once it is over.
    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let over = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(over)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(over);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        self.stall.note();
        // Closing frees what the kernel still holds for this client at once, with a reset.
        SockRef::from(&self.io).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::TimedOut.into())
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            self.wait(cx)?;
        } else {
            self.is_waiting = false;
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
