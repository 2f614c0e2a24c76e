//! What bytes of a client come and go through: its connection, with or without TLS around it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_web::dev::Extensions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;
use super::heads::Heads;
use super::registry::{ConnectionEntry, Member};
use super::standing::Listener;

/// See the module.
pub(crate) struct ClientIo {
    way: ClientStream,
    heads: Heads,
    is_writing: bool,
    /// Bytes have come of which the handlers have not been told.
    is_fresh: bool,
    /// The last read has filled its buffer: what was read goes to its handler before more comes.
    is_buffer_full: bool,
    /// Last, so that it has gone when its descriptor has.
    member: Member,
}

enum ClientStream {
    Plain(Connection),
    Tls(Box<TlsStream<Connection>>),
}

impl ClientIo {
    /// Shakes hands where TLS is spoken; whoever takes longer than `limit` is let go, and who is
    /// asked to go as well.
    pub(crate) async fn open(
        (connection, member): (Connection, Member),
        acceptor: Option<TlsAcceptor>,
        (limit, heads): (Duration, Heads),
    ) -> Result<Self, DispatchError> {
        let way = match acceptor {
            None => ClientStream::Plain(connection),
            Some(acceptor) => {
                let entry = member.entry();
                let shaken = tokio::select! {
                    shaken = acceptor.accept(connection) => shaken,
                    () = tokio::time::sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
                    () = asked(entry) => Err(io::ErrorKind::ConnectionAborted.into()),
                };
                ClientStream::Tls(Box::new(shaken.map_err(DispatchError::Io)?))
            }
        };
        Ok(Self { way, heads, is_writing: false, is_fresh: false, is_buffer_full: false, member })
    }

    /// See [`Connection::introduce`]; and handlers tell which requests are being answered.
    pub(crate) fn introduce(&self, data: &mut Extensions) {
        let entry = self.member.entry();
        data.insert(entry.clone());
        data.insert(Listener::new(entry.clone()));
        match &self.way {
            ClientStream::Plain(connection) => connection.introduce(data),
            ClientStream::Tls(stream) => stream.get_ref().0.introduce(data),
        }
    }

    /// Looks at a read: an error if the connection has to go, for it has no request that it may
    /// keep, and none has come meanwhile.
    fn watch(&mut self, cx: &mut Context<'_>, is_pending: bool, has_bytes: bool) -> io::Result<()> {
        let entry = self.member.entry();
        if has_bytes {
            entry.note_bytes();
            self.is_fresh = true;
        }
        let is_fresh = is_pending && std::mem::take(&mut self.is_fresh);
        if is_pending && entry.is_asked(cx) && !entry.stays() {
            if !is_fresh {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            // What has come may be a whole request, which begins before this is polled again.
            cx.waker().wake_by_ref();
        }
        self.heads.watch(cx, entry, (is_pending, has_bytes))
    }

    /// Looks at a write: while it waits, the client has not got its answer yet. An error if the
    /// connection has to go, for actix does not read while much of a body or of other requests
    /// waits.
    fn note<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let entry = self.member.entry();
        if self.is_writing != written.is_pending() {
            self.is_writing = written.is_pending();
            entry.note_writing(self.is_writing);
        }
        if entry.is_asked(cx) && !entry.stays() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        written
    }
}

/// Resolves when the connection has to go.
async fn asked(entry: &ConnectionEntry) {
    poll_fn(|cx| if entry.is_asked(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // actix reads until nothing is left, up to 128 KiB, and keeps a buffer of that size for as
        // long as the connection lives. So it hears after each full buffer that nothing is left.
        if std::mem::take(&mut this.is_buffer_full) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = match &mut this.way {
            ClientStream::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            ClientStream::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        };
        this.is_buffer_full = buffer.remaining() == 0;
        this.watch(cx, read.is_pending(), buffer.filled().len() > before)?;
        read
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.way {
            ClientStream::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            ClientStream::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        };
        this.note(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.way {
            ClientStream::Plain(io) => Pin::new(io).poll_write_vectored(cx, parts),
            ClientStream::Tls(io) => Pin::new(io).poll_write_vectored(cx, parts),
        };
        this.note(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.way {
            ClientStream::Plain(io) => io.is_write_vectored(),
            ClientStream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.way {
            ClientStream::Plain(io) => Pin::new(io).poll_flush(cx),
            // What TLS holds of an answer waits as well.
            ClientStream::Tls(io) => Pin::new(io).poll_flush(cx),
        };
        this.note(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().way {
            ClientStream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            ClientStream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
