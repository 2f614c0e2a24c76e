//! One connection to the server, and one exchange after another over it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::response::Progress;
use crate::tally::{Tally, Times};

const READ_BYTES: usize = 64 * 1024;

/// Whom to ask, and what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The bytes of one request.
    pub(crate) request: Arc<[u8]>,
    pub(crate) tally: Arc<Tally>,
}

/// An open connection.
pub(crate) struct Connection {
    target: Target,
    wire: TcpStream,
    buffer: Box<[u8]>,
    /// Whether it was idle, and the server may have closed it meanwhile.
    may_be_closed: bool,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let wire = TcpStream::connect(target.address).await?;
        wire.set_nodelay(true)?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { target: target.clone(), wire, buffer, may_be_closed: false })
    }

    /// One exchange; its times count from `due`. A server may close a connection that is idle, so
    /// that the request is sent again over a new one.
    ///
    /// # Errors
    /// Where the server refuses, or closes before the end.
    pub(crate) async fn exchange(&mut self, due: Instant) -> io::Result<Times> {
        match self.exchange_once(due).await {
            Err(error) if self.may_be_closed && was_closed(&error) => {
                *self = Self::open(&self.target).await?;
                self.exchange_once(due).await
            }
            result => result,
        }
    }

    async fn exchange_once(&mut self, due: Instant) -> io::Result<Times> {
        self.wire.write_all(&self.target.request).await?;
        let mut progress = Progress::default();
        let mut first_byte = None;
        while !progress.is_over {
            self.read(&mut progress).await?;
            if progress.has_begun && first_byte.is_none() {
                first_byte = Some(due.elapsed());
            }
        }
        self.may_be_closed = true;
        let whole = due.elapsed();
        Ok(Times { first_byte: first_byte.unwrap_or(whole), whole })
    }

    async fn read(&mut self, progress: &mut Progress) -> io::Result<()> {
        let count = self.wire.read(&mut self.buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.may_be_closed = false;
        let (data, _) = self.buffer.split_at(count);
        let had_begun = progress.has_begun;
        let events = progress.feed(data)?;
        let tally = &self.target.tally;
        tally.events.fetch_add(events, Ordering::Relaxed);
        tally.bytes.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        tally.begun.fetch_add(u64::from(!had_begun && progress.has_begun), Ordering::Relaxed);
        tally.ended.fetch_add(u64::from(progress.is_over), Ordering::Relaxed);
        Ok(())
    }
}

fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
