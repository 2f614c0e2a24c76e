//! The clients' listener, made by hand: what is set on it, every accepted connection inherits.

use std::io;
use std::net::TcpListener;

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Server;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Binds the address that clients reach.
///
/// # Errors
/// The system's.
pub(crate) fn bind(settings: &Server) -> io::Result<TcpListener> {
    let socket =
        Socket::new(Domain::for_address(settings.listen), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // What a slow reader may hold in the kernel.
    socket.set_send_buffer_size(settings.send_buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&settings.listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
