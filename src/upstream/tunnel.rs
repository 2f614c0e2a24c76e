//! A way through a proxy, asked for with HTTP `CONNECT`. What goes through it is the proxy's to
//! carry and, with TLS, not to read.

use std::io;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::EgressProxy;

/// Longest head of an answer.
const HEAD_BYTES: usize = 8_192;

/// Makes a connection to a proxy one to `host` and `port`.
///
/// # Errors
/// The connection's, or what is wrong with the proxy's answer.
pub(super) async fn open(
    mut io: TcpStream,
    proxy: &EgressProxy,
    (host, port): (&str, u16),
) -> io::Result<TcpStream> {
    let authorization = proxy.authorization().and_then(|value| value.to_str().ok());
    let authorization =
        authorization.map_or_else(String::new, |value| format!("proxy-authorization: {value}\r\n"));
    let place = format!("{host}:{port}");
    let asking = format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{authorization}\r\n");
    io.write_all(asking.as_bytes()).await?;
    let mut head = Vec::new();
    // One by one: what stands behind the head is the upstream's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES {
            return Err(io::Error::other("the proxy's answer is not HTTP"));
        }
        head.push(io.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) if status.starts_with('2') => Ok(io),
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) => {
            let status: String = status.chars().take(3).collect();
            Err(io::Error::other(format!("the proxy answers {status}")))
        }
        _ => Err(io::Error::other("the proxy's answer is not HTTP")),
    }
}
