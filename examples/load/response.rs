//! Where one HTTP/1.1 response ends in the bytes of its connection. Reads as little as it can:
//! a generator that parses chunks would be slower than what it measures.

use std::io;

use memchr::memmem;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Servers end lines of events with LF, so that only the last chunk looks like this.
const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";
const EVENT: &[u8] = b"event: ";

/// How far one response has come.
#[derive(Default)]
pub(crate) struct Progress {
    head: Vec<u8>,
    body: Option<Body>,
    /// Whether a byte of the body has arrived.
    pub(crate) has_begun: bool,
    /// Whether the last one has.
    pub(crate) is_over: bool,
}

enum Body {
    /// Bytes that are missing.
    Length(usize),
    /// The last bytes of a chunked body.
    Chunked([u8; LAST_CHUNK.len()]),
}

impl Progress {
    /// Takes what was read, and returns how many events begin in it. An event whose name is cut
    /// between two reads is not counted.
    ///
    /// # Errors
    /// Where the status is not 200 or the head makes no sense.
    pub(crate) fn feed(&mut self, data: &[u8]) -> io::Result<u64> {
        if self.body.is_some() {
            return Ok(self.feed_body(data));
        }
        self.head.extend_from_slice(data);
        let Some(end) = memmem::find(&self.head, HEAD_END) else {
            return if self.head.len() > HEAD_BYTES_MAX { Err(refused(&self.head)) } else { Ok(0) };
        };
        let (head, rest) = self.head.split_at(end + HEAD_END.len());
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(refused(&self.head));
        }
        self.body = Some(body_of(head).ok_or_else(|| refused(head))?);
        let rest = rest.to_vec();
        Ok(self.feed_body(&rest))
    }

    fn feed_body(&mut self, data: &[u8]) -> u64 {
        self.has_begun |= !data.is_empty();
        match &mut self.body {
            Some(Body::Length(left)) => {
                *left = left.saturating_sub(data.len());
                self.is_over = *left == 0;
            }
            Some(Body::Chunked(tail)) => {
                let last = data.split_at(data.len().saturating_sub(tail.len())).1;
                tail.rotate_left(last.len());
                let kept = tail.len() - last.len();
                let (_, place) = tail.split_at_mut(kept);
                place.copy_from_slice(last);
                self.is_over = tail == LAST_CHUNK;
            }
            None => {}
        }
        u64::try_from(memmem::find_iter(data, EVENT).count()).unwrap_or(u64::MAX)
    }
}

fn body_of(head: &[u8]) -> Option<Body> {
    let head = str::from_utf8(head).ok()?.to_ascii_lowercase();
    let mut lines = head.lines();
    match lines.find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => Some(Body::Length(length.trim().parse().ok()?)),
        None => Some(Body::Chunked([0; LAST_CHUNK.len()])),
    }
}

fn refused(head: &[u8]) -> io::Error {
    let shown = head.get(..1000).unwrap_or(head);
    io::Error::other(format!("refused: {}", String::from_utf8_lossy(shown)))
}
