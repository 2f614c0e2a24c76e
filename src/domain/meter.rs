//! The meter: watches a stream's bytes go by and knows what the upstream has counted so far, what
//! has been delivered, and which bytes may be let go before the exchange is posted.
//!
//! Each usage object is a snapshot: a later one replaces the prompt as a whole, a missing part
//! keeps its count, no total falls, and cumulative counts are never added. Only the answer's own
//! `usage` counts: a model can write the word into its text.

use super::unprintable::unprintable;

mod delta;
mod json;
mod kind;
mod merge;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unfinished_tests;
#[cfg(test)]
mod usage_tests;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use json::{JsonAnswer, read_json_answer};

use super::byte_counts::{ByteCounts, TokenFigures};
use super::sse::{Partial, SseEvent, SseReader};
use super::usage::Usage;
use kind::type_of;
use merge::UsageMerge;

/// Names of the events that are held until the exchange is posted.
const HELD: [&[u8]; 3] = [b"message_delta", b"message_stop", b"error"];
/// An unfinished event is held up to here. No client acts on one, so that it comes no later; and if
/// the stream breaks off in it, what follows is not taken for its rest. A longer one goes out in
/// pieces, so that memory stays bounded.
const UNFINISHED_HOLD_BYTES: u64 = 65_536;

/// The kind of the first event that is neither a ping nor a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstEvent {
    /// The answer has begun.
    Content,
    /// The upstream failed before it began.
    Error,
}

/// Something that the operator should hear of; each is counted and logged by its name only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A count was negative, fractional, not a number or beyond 2⁵³.
    BadCount,
    /// A cumulative count went down; the larger one stands.
    FallingCount,
    /// Cache writes beyond the 5m/1h split; priced as 5m.
    UnsplitCacheWrite,
    /// A cache split with more tokens than its total; the total counts.
    SplitBeyondTotal,
    /// An iteration of a type that we do not know; not billed.
    UnknownIteration,
    /// An event that should carry JSON does not.
    UnreadableEvent,
    /// A second `message_start`.
    RepeatedStart,
}

impl Anomaly {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadCount => "usage: not a count",
            Self::FallingCount => "usage: a count fell",
            Self::UnsplitCacheWrite => "usage: cache writes beyond their split",
            Self::SplitBeyondTotal => "usage: a cache split beyond its total",
            Self::UnknownIteration => "usage: unknown kind of iteration",
            Self::UnreadableEvent => "an event cannot be read",
            Self::RepeatedStart => "a second message_start",
        }
    }
}

/// One stream's meter.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Meter {
    sse: SseReader,
    usage: UsageMerge,
    first_event: Option<FirstEvent>,
    held_from: Option<u64>,
    is_stopped: bool,
    has_stop_reason: bool,
    error: Option<Vec<u8>>,
    error_start: Option<u64>,
    has_started: bool,
    deltas: ByteCounts,
    /// As far as they went out.
    sent_deltas: ByteCounts,
    has_hidden_work: bool,
    /// A block that is no text, or text that came with its block.
    has_block: bool,
    open_blocks: u64,
    has_closed_blocks: bool,
    /// The block that was begun last may hide what is written in it, and has not ended.
    is_hiding: bool,
    forwarded: u64,
}

unprintable!(Meter);

impl Meter {
    /// A meter that keeps at most `event_bytes` of one event in memory.
    #[must_use]
    pub fn new(event_bytes: usize) -> Self {
        Self {
            sse: SseReader::new(event_bytes),
            usage: UsageMerge::default(),
            first_event: None,
            held_from: None,
            is_stopped: false,
            has_stop_reason: false,
            error: None,
            error_start: None,
            has_started: false,
            deltas: ByteCounts::default(),
            sent_deltas: ByteCounts::default(),
            has_hidden_work: false,
            has_block: false,
            open_blocks: 0,
            has_closed_blocks: false,
            is_hiding: false,
            forwarded: 0,
        }
    }

    /// Reads the next bytes of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut sse = std::mem::replace(&mut self.sse, SseReader::new(0));
        sse.feed(chunk, |event| self.take(event));
        self.sse = sse;
    }

    /// Takes the stream as ended: a terminal event that is complete but for its blank line counts.
    pub fn end(&mut self) {
        let is_terminal = self.sse.partial().is_some_and(|partial| {
            let (data, _) = self.sse.partial_data();
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok();
            is_json && (partial.name == b"message_stop" || type_of(&data) == b"message_stop")
        });
        if is_terminal {
            let mut sse = std::mem::replace(&mut self.sse, SseReader::new(0));
            sse.end(|event| self.take(event));
            self.sse = sse;
        }
    }

    /// Position up to which the bytes may go now; the rest waits for the post or for its event.
    #[must_use]
    pub fn releasable(&self) -> u64 {
        if let Some(held_from) = self.held_from {
            return held_from;
        }
        let position = self.sse.position();
        match self.sse.partial() {
            Some(partial) if HELD.contains(&partial.name) => partial.start,
            Some(partial) if self.is_short(partial) => partial.start,
            _ => position,
        }
    }

    /// Whether so little of an event has come that it may wait for its rest.
    fn is_short(&self, partial: Partial<'_>) -> bool {
        self.sse.position().saturating_sub(partial.start) < UNFINISHED_HOLD_BYTES
    }

    /// Notes that the bytes before `position` went to the client.
    pub fn note_forwarded(&mut self, position: u64) {
        self.forwarded = position;
        // Whole events go out together; what is held is no content.
        if position >= self.releasable() {
            self.sent_deltas = self.deltas;
        }
    }

    /// Whether what is held waits for the post, rather than for the rest of its event.
    #[must_use]
    pub fn is_end_held(&self) -> bool {
        let is_held = |partial: Partial<'_>| HELD.contains(&partial.name);
        self.held_from.is_some() || self.sse.partial().is_some_and(is_held)
    }

    /// Position up to which the stream can be followed by an event of ours in place of what is
    /// left: before the upstream's error event or an unfinished one.
    #[must_use]
    pub fn whole_until(&self) -> u64 {
        let unfinished = self.sse.partial().map_or(self.sse.position(), |partial| partial.start);
        self.error_start.map_or(unfinished, |start| start.min(unfinished))
    }

    /// Whether an event of ours may stand at `position`, where what has gone out ends.
    #[must_use]
    pub fn is_between_events(&self, position: u64) -> bool {
        position == self.whole_until() || self.held_from == Some(position)
    }

    /// What came first, once something has.
    #[must_use]
    pub const fn first_event(&self) -> Option<FirstEvent> {
        self.first_event
    }

    /// Whether the answer has ended: everything is held and the exchange can be posted.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether the final `message_delta` has been seen.
    #[must_use]
    pub const fn has_stop_reason(&self) -> bool {
        self.has_stop_reason
    }

    /// The data of the upstream's `error` event.
    #[must_use]
    pub fn error(&self) -> Option<&[u8]> {
        self.error.as_deref()
    }

    /// Whether the upstream has counted anything.
    #[must_use]
    pub const fn has_usage(&self) -> bool {
        self.usage.has_counts()
    }

    /// Whether the upstream has counted the prompt: some relays say 0 until the end.
    #[must_use]
    pub fn has_prompt(&self) -> bool {
        self.usage.has_counts() && self.usage.has_prompt()
    }

    /// Whether output may have been made that the deltas do not show: thinking, server tools.
    #[must_use]
    pub const fn has_hidden_work(&self) -> bool {
        self.has_hidden_work
    }

    /// Whether output may be made right now that no delta shows.
    #[must_use]
    pub const fn is_hiding(&self) -> bool {
        self.is_hiding
    }

    /// What the upstream has counted so far.
    #[must_use]
    pub fn reported(&self) -> Usage {
        self.usage.usage()
    }

    /// Whether every block that was begun has ended: what is left is the end of the answer.
    #[must_use]
    pub const fn has_closed_blocks(&self) -> bool {
        self.has_closed_blocks && self.open_blocks == 0
    }

    /// What has been delivered: the reported usage, or if that is less, the output that all deltas
    /// that went out so far make by these figures. The flag says whether the estimate was used.
    #[must_use]
    pub fn delivered(&self, figures: &TokenFigures) -> (Usage, bool) {
        let mut usage = self.reported();
        let estimate = self.delivered_deltas().whole_tokens(figures);
        let is_estimated = estimate > usage.tokens.output;
        if is_estimated {
            usage.tokens.output = estimate;
        }
        (usage, is_estimated)
    }

    /// Output tokens that have come, whether or not they went out already: what has to be covered.
    #[must_use]
    pub fn output_so_far(&self, figures: &TokenFigures) -> u64 {
        self.deltas.plus(&self.unfinished_deltas()).whole_tokens(figures).max(self.usage.output())
    }

    /// More than [`Meter::output_so_far`] can be at this moment, at no cost.
    #[must_use]
    pub fn output_ceiling(&self, figures: &TokenFigures) -> u64 {
        let unfinished = self
            .sse
            .partial()
            .map_or(0, |partial| self.sse.position().saturating_sub(partial.start));
        // No class has more tokens in a byte.
        let unfinished = ByteCounts { dense: unfinished, ..ByteCounts::default() };
        self.deltas.plus(&unfinished).tokens(figures).max(self.usage.output())
    }

    /// Content of all deltas that went out, the one that is under way included: its event may be as
    /// long as the whole answer.
    #[must_use]
    pub fn delivered_deltas(&self) -> ByteCounts {
        let went_out = |partial: Partial<'_>| partial.start < self.forwarded;
        let is_out = self.sse.partial().is_some_and(went_out);
        if is_out { self.sent_deltas.plus(&self.unfinished_deltas()) } else { self.sent_deltas }
    }

    /// Content of the delta that has begun and not ended.
    fn unfinished_deltas(&self) -> ByteCounts {
        let Some(partial) = self.sse.partial() else { return ByteCounts::default() };
        let (data, len) = self.sse.partial_data();
        let is_delta = match partial.name {
            b"content_block_delta" => true,
            b"" => !self.is_short(partial) && delta::is_delta(&data),
            _ => false,
        };
        let is_cut = usize::try_from(len).is_ok_and(|len| len > data.len());
        match (is_delta, is_cut) {
            (false, _) => ByteCounts::default(),
            (true, true) => ByteCounts::of(&data).scaled_to(len),
            (true, false) => delta::delivered_so_far(&data),
        }
    }

    /// What the operator should hear of, each once.
    #[must_use]
    pub fn anomalies(&self) -> &[Anomaly] {
        self.usage.anomalies()
    }

    fn take(&mut self, event: SseEvent<'_>) {
        // `message` is what an event without a name is called.
        let is_named = !matches!(event.name, b"" | b"message");
        let name = if is_named { event.name } else { type_of(event.data) };
        match name {
            b"content_block_delta" => self.take_delta(event),
            b"content_block_start" => self.take_block(event.data),
            b"content_block_stop" => {
                self.open_blocks = self.open_blocks.saturating_sub(1);
                self.has_closed_blocks = true;
                self.is_hiding = false;
            }
            b"message_start" => self.take_start(event.data),
            b"message_delta" => self.take_message_delta(event),
            b"message_stop" => {
                self.hold(event.start);
                self.is_stopped = true;
            }
            b"error" => {
                self.hold(event.start);
                self.error = Some(event.data.to_vec());
                self.error_start = Some(event.start);
            }
            _ => {}
        }
        if name == b"error" {
            self.first_event.get_or_insert(FirstEvent::Error);
        } else if name != b"ping" {
            self.first_event.get_or_insert(FirstEvent::Content);
        }
    }

    fn hold(&mut self, from: u64) {
        self.held_from.get_or_insert(from);
    }

    fn take_delta(&mut self, event: SseEvent<'_>) {
        let counts = if event.is_cut() {
            ByteCounts::of(event.data).scaled_to(event.data_len)
        } else {
            delta::delivered_bytes(event.data)
        };
        self.deltas = self.deltas.plus(&counts);
    }

    fn take_block(&mut self, data: &[u8]) {
        #[derive(Deserialize)]
        struct Start<'a> {
            #[serde(borrow)]
            content_block: Block<'a>,
        }
        #[derive(Deserialize)]
        struct Block<'a> {
            #[serde(borrow, rename = "type")]
            kind: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            text: Option<std::borrow::Cow<'a, str>>,
        }
        self.open_blocks = self.open_blocks.saturating_add(1);
        match serde_json::from_slice::<Start<'_>>(data) {
            Ok(Start { content_block: Block { kind, text } }) => {
                self.is_hiding = !matches!(&*kind, "text" | "tool_use");
                self.has_hidden_work |= self.is_hiding;
                self.has_block |= kind != "text" || text.is_some_and(|text| !text.is_empty());
            }
            Err(_) => self.usage.note(Anomaly::UnreadableEvent),
        }
    }

    fn take_start(&mut self, data: &[u8]) {
        #[derive(Deserialize)]
        struct MessageStart<'a> {
            #[serde(borrow)]
            message: Message<'a>,
        }
        #[derive(Deserialize)]
        struct Message<'a> {
            model: Option<String>,
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
        }
        if std::mem::replace(&mut self.has_started, true) {
            self.usage.note(Anomaly::RepeatedStart);
        }
        match serde_json::from_slice::<MessageStart<'_>>(data) {
            Ok(start) => self.usage.merge_answer(start.message.model, start.message.usage),
            Err(_) => self.usage.note(Anomaly::UnreadableEvent),
        }
    }

    fn take_message_delta(&mut self, event: SseEvent<'_>) {
        #[derive(Deserialize)]
        struct MessageDelta<'a> {
            #[serde(borrow)]
            delta: Option<Delta<'a>>,
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Delta<'a> {
            #[serde(borrow)]
            stop_reason: Option<&'a RawValue>,
        }
        let Ok(parsed) = serde_json::from_slice::<MessageDelta<'_>>(event.data) else {
            // It may have been the final one: what cannot be read is not let go unposted.
            self.usage.note(Anomaly::UnreadableEvent);
            self.hold(event.start);
            return;
        };
        self.usage.merge_answer(None, parsed.usage);
        if let Some(stop_reason) = parsed.delta.and_then(|delta| delta.stop_reason) {
            self.hold(event.start);
            self.has_stop_reason = true;
            if stop_reason.get() == REFUSAL {
                let has_content = self.has_block || self.deltas.total() > 0;
                self.usage.note_refusal(has_content);
            }
        }
    }
}

/// `stop_reason` of an answer that the model would not give, as JSON.
const REFUSAL: &str = r#""refusal""#;
