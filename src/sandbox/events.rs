//! The answer as server-sent events: one buffer of bytes, and where each event ends in it.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;

use super::answer::{SandboxResponse, StopDetails, WireMessage};
use super::content::{BlockDelta, Citation, Content, ContentBlock};
use super::refusal::SandboxError;
use super::script::{Flag, Newline, NumberOption, Script};
use super::usage::DeltaUsage;

/// A rendered stream.
#[derive(Debug)]
pub(super) struct RenderedEvents {
    /// All events, one after the other.
    pub(super) bytes: Bytes,
    /// The offset after each event.
    pub(super) ends: Vec<usize>,
}

/// The events that the sandbox sends, in the wire's own words.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireEvent<'a> {
    MessageStart {
        message: WireMessage<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: &'a Content,
    },
    Ping,
    ContentBlockDelta {
        index: usize,
        delta: WireDelta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: Stop,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<DeltaUsage>,
    },
    MessageStop,
    SandboxUnknown {
        note: &'static str,
    },
}

impl WireEvent<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::SandboxUnknown { .. } => "sandbox_unknown",
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum WireDelta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citation { citation: &'a Citation },
}

#[derive(Serialize)]
struct Stop {
    #[serde(rename = "stop_reason")]
    reason: &'static str,
    #[serde(rename = "stop_sequence")]
    sequence: Option<&'static str>,
    #[serde(rename = "stop_details", skip_serializing_if = "Option::is_none")]
    details: Option<StopDetails>,
}

impl<'a> From<&'a BlockDelta> for WireDelta<'a> {
    fn from(delta: &'a BlockDelta) -> Self {
        match delta {
            BlockDelta::Text(text) => Self::Text { text },
            BlockDelta::Thinking(thinking) => Self::Thinking { thinking },
            BlockDelta::Signature(signature) => Self::Signature { signature },
            BlockDelta::InputJson(partial_json) => Self::InputJson { partial_json },
            BlockDelta::Citation(citation) => Self::Citation { citation },
        }
    }
}

impl RenderedEvents {
    /// A stream whose only event is an error without a name, as some relays send it.
    ///
    /// # Errors
    /// As [`RenderedEvents::render`].
    pub(super) fn nameless_error(script: &Script) -> serde_json::Result<Self> {
        let mut writer = Writer::new(script);
        let error = SandboxError::overloaded().bare_json()?;
        writer.data(|out| {
            out.extend_from_slice(error.as_bytes());
            Ok(())
        })?;
        Ok(Self { bytes: Bytes::from(writer.bytes), ends: writer.ends })
    }

    /// Renders an answer, and stops where the script says that the stream breaks.
    ///
    /// # Errors
    /// Where JSON written here is not JSON: a defect of the sandbox.
    pub(super) fn render(
        answer: &SandboxResponse,
        script: &Script,
        id: &str,
    ) -> serde_json::Result<Self> {
        let mut writer = Writer::new(script);
        writer.answer(answer)?;
        let breaks = [
            NumberOption::ErrorAt,
            NumberOption::CutAt,
            NumberOption::EndAt,
            NumberOption::SilentAt,
        ];
        let limit = breaks.into_iter().filter_map(|key| script.size(key)).min();
        if let Some(limit) = limit {
            writer.truncate(limit);
        }
        if script.size(NumberOption::ErrorAt).is_some_and(|at| Some(at) == limit) {
            let id = script.has(Flag::ErrorRequestId).then_some(id);
            let error = SandboxError::overloaded().json(id)?;
            writer.frame("error", |out| {
                out.extend_from_slice(error.as_bytes());
                Ok(())
            })?;
        }
        Ok(Self { bytes: Bytes::from(writer.bytes), ends: writer.ends })
    }
}

/// Writes one event after the other.
struct Writer<'a> {
    script: &'a Script,
    newline: &'static [u8],
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Writer<'a> {
    fn new(script: &'a Script) -> Self {
        let newline: &[u8] = match script.newline {
            Newline::Lf => b"\n",
            Newline::CrLf => b"\r\n",
            Newline::Cr => b"\r",
        };
        Self { script, newline, bytes: Vec::with_capacity(4096), ends: Vec::new() }
    }

    fn answer(&mut self, answer: &SandboxResponse) -> serde_json::Result<()> {
        self.event(&WireEvent::MessageStart { message: answer.announced() })?;
        self.unknown()?;
        for (index, block) in answer.blocks.iter().enumerate() {
            self.event(&WireEvent::ContentBlockStart { index, content_block: &block.start })?;
            if index == 0 {
                self.event(&WireEvent::Ping)?;
            }
            self.deltas(index, block)?;
            self.event(&WireEvent::ContentBlockStop { index })?;
            self.unknown()?;
        }
        let delta =
            Stop { reason: answer.stop_reason, sequence: None, details: answer.stop_details() };
        self.event(&WireEvent::MessageDelta { delta, usage: answer.delta_usage() })?;
        if !self.script.has(Flag::NoStop) {
            self.event(&WireEvent::MessageStop)?;
        }
        Ok(())
    }

    fn deltas(&mut self, index: usize, block: &ContentBlock) -> serde_json::Result<()> {
        let every = self.script.size(NumberOption::Ping).filter(|every| *every > 0);
        let mut previous: Option<(&BlockDelta, Range<usize>)> = None;
        for (count, delta) in (1_usize..).zip(&block.deltas) {
            let from = self.bytes.len();
            match previous {
                // Long streams repeat one text: its event is written once and copied from then on.
                Some((before, ref range)) if same_text(before, delta) => {
                    self.bytes.extend_from_within(range.clone());
                    self.ends.push(self.bytes.len());
                }
                _ => self.event(&WireEvent::ContentBlockDelta { index, delta: delta.into() })?,
            }
            previous = Some((delta, from..self.bytes.len()));
            if every.is_some_and(|every| count.is_multiple_of(every)) {
                self.event(&WireEvent::Ping)?;
            }
        }
        Ok(())
    }

    fn unknown(&mut self) -> serde_json::Result<()> {
        if self.script.has(Flag::Unknown) {
            self.event(&WireEvent::SandboxUnknown { note: "of a type that came later" })?;
        }
        Ok(())
    }

    fn event(&mut self, event: &WireEvent<'_>) -> serde_json::Result<()> {
        self.frame(event.name(), |out| serde_json::to_writer(out, event))
    }

    fn frame(
        &mut self,
        name: &str,
        data: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        if self.script.has(Flag::Comments) {
            self.bytes.extend_from_slice(b": sandbox");
            self.bytes.extend_from_slice(self.newline);
        }
        self.bytes.extend_from_slice(b"event: ");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(self.newline);
        self.data(data)
    }

    fn data(
        &mut self,
        data: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        let field: &[u8] = if self.script.has(Flag::NoSpace) { b"data:" } else { b"data: " };
        self.bytes.extend_from_slice(field);
        data(&mut self.bytes)?;
        self.bytes.extend_from_slice(self.newline);
        self.bytes.extend_from_slice(self.newline);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn truncate(&mut self, events: usize) {
        self.ends.truncate(events);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

fn same_text(one: &BlockDelta, other: &BlockDelta) -> bool {
    match (one, other) {
        (BlockDelta::Text(one), BlockDelta::Text(other))
        | (BlockDelta::Thinking(one), BlockDelta::Thinking(other))
        | (BlockDelta::InputJson(one), BlockDelta::InputJson(other)) => Rc::ptr_eq(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
