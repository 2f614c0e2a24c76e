//! An incremental reader of server-sent events (SSE): any split of the bytes gives the same
//! events.
//!
//! It looks at a stream that is relayed elsewhere, so it owns no bytes of it beyond the event it
//! is in the middle of, and of that at most a fixed number. Lines end in LF, CR or CRLF; comments
//! and unknown fields are skipped; `data:` may come without its space (WHATWG HTML §9.2.6).

use super::unprintable::unprintable;
use std::borrow::Cow;

/// One event, complete.
#[derive(Clone, Copy)]
pub struct SseEvent<'a> {
    /// The `event:` field; empty if there was none.
    pub name: &'a [u8],
    /// The `data:` lines, joined by LF; cut where the reader's limit was reached.
    pub data: &'a [u8],
    /// Length of the data, including what was cut.
    pub data_len: u64,
    /// Position in the stream of the event's first byte.
    pub start: u64,
}

impl SseEvent<'_> {
    /// Whether the data was longer than the reader's limit.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        usize::try_from(self.data_len).is_ok_and(|len| len > self.data.len())
    }
}

/// What is known of the event that the stream is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Partial<'a> {
    /// Position of its first byte.
    pub start: u64,
    /// Its name, as far as its line is complete; empty otherwise.
    pub name: &'a [u8],
}

/// The reader's state between two chunks.
pub struct SseReader {
    limit: usize,
    /// Position behind the last byte fed.
    position: u64,
    /// The last line ended in CR: an LF that follows belongs to it.
    skips_lf: bool,
    /// Where the current event began, once it has a byte.
    event_start: Option<u64>,
    /// The unfinished line.
    line: Vec<u8>,
    /// Length of the unfinished line, including what the limit cut.
    line_len: u64,
    name: Vec<u8>,
    data: Vec<u8>,
    data_len: u64,
    has_data: bool,
}

unprintable!(SseEvent<'static>, Partial<'static>, SseReader);

impl SseReader {
    /// A reader that keeps at most `limit` bytes of a line, and as many of an event's data.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            position: 0,
            skips_lf: false,
            event_start: None,
            line: Vec::new(),
            line_len: 0,
            name: Vec::new(),
            data: Vec::new(),
            data_len: 0,
            has_data: false,
        }
    }

    /// Bytes fed so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The event that the bytes fed so far have begun and not ended.
    #[must_use]
    pub fn partial(&self) -> Option<Partial<'_>> {
        self.event_start.map(|start| Partial { start, name: &self.name })
    }

    /// The data of that event so far, the unfinished line included: what is kept of it, and how
    /// long it is. Borrowed unless its lines have to be joined first.
    #[must_use]
    pub fn partial_data(&self) -> (Cow<'_, [u8]>, u64) {
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(value) = self.line.strip_prefix(b"data:") else {
            return (Cow::Borrowed(&self.data), self.data_len);
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let cut = self.line_len.saturating_sub(length(&self.line));
        let value_len = length(value).saturating_add(cut);
        if !self.has_data {
            return (Cow::Borrowed(value), value_len);
        }
        let joined = [&self.data, value].join(&b'\n');
        (Cow::Owned(joined), self.data_len.saturating_add(1).saturating_add(value_len))
    }

    /// Reads on and hands each event that becomes complete to `sink`.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(SseEvent<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.skips_lf {
                self.skips_lf = false;
                if let Some(behind) = rest.strip_prefix(b"\n") {
                    self.position = self.position.saturating_add(1);
                    rest = behind;
                    continue;
                }
            }
            let start = *self.event_start.get_or_insert(self.position);
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.keep_line(rest);
                self.advance(rest.len());
                return;
            };
            let (line, behind) = rest.split_at(end);
            self.skips_lf = behind.first() == Some(&b'\r');
            self.advance(end.saturating_add(1));
            rest = behind.get(1..).unwrap_or_default();
            self.end_line(line, start, &mut sink);
        }
    }

    /// Takes the stream as ended: hands an event to `sink` that has data and lacks only its end.
    pub fn end(&mut self, mut sink: impl FnMut(SseEvent<'_>)) {
        let Some(start) = self.event_start else { return };
        self.end_line(b"", start, &mut sink);
        if self.event_start.is_some() {
            self.dispatch(start, &mut sink);
        }
    }

    fn advance(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.position = self.position.saturating_add(bytes);
    }

    fn keep_line(&mut self, part: &[u8]) {
        let room = self.limit.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
        let len = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.line_len = self.line_len.saturating_add(len);
    }

    fn end_line(&mut self, last_part: &[u8], start: u64, sink: &mut impl FnMut(SseEvent<'_>)) {
        if self.line_len == 0 {
            let len = u64::try_from(last_part.len()).unwrap_or(u64::MAX);
            // Cut like a line that came in pieces, so that the split makes no difference.
            let line = last_part.get(..self.limit).unwrap_or(last_part);
            self.take_line(line, len, start, sink);
            return;
        }
        self.keep_line(last_part);
        let mut line = std::mem::take(&mut self.line);
        let len = std::mem::take(&mut self.line_len);
        self.take_line(&line, len, start, sink);
        line.clear();
        // A huge line was rare; its memory need not stay for the rest of the stream.
        if line.capacity() <= 4096 {
            self.line = line;
        }
    }

    /// `line` may be cut; `len` is its true length.
    fn take_line(
        &mut self,
        line: &[u8],
        len: u64,
        start: u64,
        sink: &mut impl FnMut(SseEvent<'_>),
    ) {
        if len == 0 {
            self.dispatch(start, sink);
            return;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            b"data" => {
                let cut = len.saturating_sub(u64::try_from(line.len()).unwrap_or(u64::MAX));
                self.take_data(value, cut);
            }
            _ => {}
        }
    }

    fn take_data(&mut self, value: &[u8], cut: u64) {
        if self.has_data {
            self.append_data(b"\n");
        }
        self.has_data = true;
        self.append_data(value);
        self.data_len = self.data_len.saturating_add(cut);
    }

    fn append_data(&mut self, part: &[u8]) {
        let room = self.limit.saturating_sub(self.data.len());
        self.data.extend_from_slice(part.get(..room).unwrap_or(part));
        let len = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.data_len = self.data_len.saturating_add(len);
    }

    fn dispatch(&mut self, start: u64, sink: &mut impl FnMut(SseEvent<'_>)) {
        // An event without data is not dispatched by any client (WHATWG HTML §9.2.6).
        if self.has_data {
            let (name, data) = (&self.name, &self.data);
            sink(SseEvent { name, data, data_len: self.data_len, start });
        }
        self.name.clear();
        self.data.clear();
        self.data.shrink_to(4096);
        self.data_len = 0;
        self.has_data = false;
        self.event_start = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Seen = (String, Vec<u8>, u64, u64);

    fn read(chunks: &[&[u8]], limit: usize) -> (Vec<Seen>, Option<u64>) {
        let mut reader = SseReader::new(limit);
        let mut seen = Vec::new();
        for chunk in chunks {
            reader.feed(chunk, |event| {
                let name = String::from_utf8_lossy(event.name).into_owned();
                seen.push((name, event.data.to_vec(), event.data_len, event.start));
            });
        }
        (seen, reader.partial().map(|partial| partial.start))
    }

    const STREAM: &str = "event: a\ndata: {\"x\":\"é漢\"}\n\n: note\n\nevent:b\r\ndata:1\r\n\
        data: 2\r\n\r\nid: 7\rdata\rretry: 1\r\rdata: tail";

    #[test]
    fn fields_comments_and_all_three_line_ends_are_read() {
        let (seen, partial) = read(&[STREAM.as_bytes()], 1024);
        let data: Vec<_> = seen.iter().map(|(name, data, ..)| (name.as_str(), &data[..])).collect();
        let expected: Vec<(&str, &[u8])> =
            vec![("a", "{\"x\":\"é漢\"}".as_bytes()), ("b", b"1\n2"), ("", b"")];
        assert_eq!(data, expected);
        assert_eq!(partial, STREAM.find("data: tail").map(|at| u64::try_from(at).unwrap()));
        assert_eq!(seen[1].3, u64::try_from(STREAM.find("event:b").unwrap()).unwrap());
    }

    #[test]
    fn a_line_of_ten_megabytes_costs_no_more_than_the_limit() {
        let body = format!("event: content_block_delta\ndata: {}\n\n", "x".repeat(10_000_000));
        let mut reader = SseReader::new(1000);
        let mut seen = None;
        for chunk in body.as_bytes().chunks(4000) {
            reader.feed(chunk, |event| seen = Some((event.data.len(), event.data_len)));
            assert!(reader.line.capacity() <= 8000 && reader.data.capacity() <= 8000);
        }
        let (kept, whole) = seen.unwrap();
        assert!(kept <= 1000);
        assert_eq!(whole, 10_000_000);
    }

    #[test]
    fn an_event_is_cut_only_beyond_the_limit() {
        let mut reader = SseReader::new(10);
        let mut seen = Vec::new();
        reader.feed(b"data:12345\n\ndata:123456\n\ndata\n\n", |event| {
            seen.push((event.is_cut(), event.data_len));
        });
        assert_eq!(seen, [(false, 5), (true, 6), (false, 0)]);
    }

    #[test]
    fn the_position_is_behind_the_last_byte_and_the_partial_event_has_its_name() {
        let mut reader = SseReader::new(100);
        assert_eq!(reader.position(), 0);
        assert!(reader.partial().is_none());
        reader.feed(b"data: 1\r\n\r", |_| {});
        assert_eq!(reader.position(), 10);
        reader.feed(b"\nevent: er", |_| {});
        assert_eq!(reader.position(), 20);
        let partial = reader.partial().map(|partial| (partial.start, partial.name.to_vec()));
        assert_eq!(partial, Some((11, vec![])));
        reader.feed(b"ror\nda", |_| {});
        let partial = reader.partial().map(|partial| (partial.start, partial.name.to_vec()));
        assert_eq!(partial, Some((11, b"error".to_vec())));
        reader.feed(b"ta\n\n", |_| {});
        assert!(reader.partial().is_none());
    }

    #[test]
    fn the_memory_of_a_huge_line_is_given_back_and_that_of_a_short_one_is_used_again() {
        let mut reader = SseReader::new(1_000_000);
        let huge = "x".repeat(100_000);
        for piece in ["data: ", &huge, "\n\n"] {
            reader.feed(piece.as_bytes(), |_| {});
        }
        assert!(reader.line.capacity() <= 4096 && reader.data.capacity() <= 4096);
        for piece in ["data: ", "short", "\n\n"] {
            reader.feed(piece.as_bytes(), |_| {});
        }
        assert!(reader.line.capacity() >= 5);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            cuts in proptest::collection::vec(0..STREAM.len(), 0..12),
            limit in 4_usize..64,
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            chunks.push(&STREAM.as_bytes()[from..]);
            prop_assert_eq!(read(&chunks, limit), read(&[STREAM.as_bytes()], limit));
        }
    }
}
