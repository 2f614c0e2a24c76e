//! What bytes of a client come and go through: its connection, with or without TLS around it.

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

/// See the module.
pub(super) struct ClientIo {
    way: Way,
    heads: Heads,
}

enum Way {
    Plain(Connection),
    Tls(Box<TlsStream<Connection>>),
}

impl ClientIo {
    /// Shakes hands where TLS is spoken; whoever takes longer than `limit` is let go.
    pub(super) async fn open(
        connection: Connection,
        acceptor: Option<TlsAcceptor>,
        (limit, heads): (Duration, Heads),
    ) -> Result<Self, DispatchError> {
        let Some(acceptor) = acceptor else {
            return Ok(Self { way: Way::Plain(connection), heads });
        };
        match tokio::time::timeout(limit, acceptor.accept(connection)).await {
            Ok(Ok(stream)) => Ok(Self { way: Way::Tls(Box::new(stream)), heads }),
            Ok(Err(error)) => Err(DispatchError::Io(error)),
            Err(_) => Err(DispatchError::Io(io::ErrorKind::TimedOut.into())),
        }
    }

    /// See [`Connection::introduce`]; and handlers tell which requests are being answered.
    pub(super) fn introduce(&self, data: &mut Extensions) {
        data.insert(self.heads.requests().clone());
        match &self.way {
            Way::Plain(connection) => connection.introduce(data),
            Way::Tls(stream) => stream.get_ref().0.introduce(data),
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { way, heads } = self.get_mut();
        let before = buffer.filled().len();
        let read = match way {
            Way::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Way::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        };
        heads.watch(cx, read.is_pending(), buffer.filled().len() > before)?;
        read
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().way {
            Way::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Way::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().way {
            Way::Plain(io) => Pin::new(io).poll_write_vectored(cx, parts),
            Way::Tls(io) => Pin::new(io).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.way {
            Way::Plain(io) => io.is_write_vectored(),
            Way::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().way {
            Way::Plain(io) => Pin::new(io).poll_flush(cx),
            Way::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().way {
            Way::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Way::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
