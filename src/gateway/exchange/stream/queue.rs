//! Bytes of a stream that have come and have not gone out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::domain::unprintable::unprintable;

/// Pieces that are there at the same time are joined up to about this size.
pub(super) const TOGETHER_BYTES: usize = 16_384;

/// See the module.
pub(in crate::gateway::exchange) struct Queue {
    pieces: VecDeque<Bytes>,
    /// Position of the first byte in the stream.
    start: u64,
    bytes: usize,
}

unprintable!(Queue);

impl Queue {
    /// What has come first.
    pub(super) fn new(seen: Vec<Bytes>) -> Self {
        let bytes = seen.iter().map(Bytes::len).sum();
        Self { pieces: seen.into(), start: 0, bytes }
    }

    /// Puts a piece behind the others.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes = self.bytes.saturating_add(piece.len());
        self.pieces.push_back(piece);
    }

    /// Position in the stream of the first byte that has not gone out.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes there are.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next bytes before `until`: a piece as it came, or several small ones as one.
    pub(super) fn next(&mut self, until: u64) -> Option<Bytes> {
        let mut together = BytesMut::new();
        while let Some(mut piece) = self.pieces.pop_front_if(|_| self.start < until) {
            // What was held of an event goes ahead of a large piece: joining them would copy it.
            if !together.is_empty() && piece.len() >= TOGETHER_BYTES {
                self.pieces.push_front(piece);
                break;
            }
            let room = usize::try_from(until.saturating_sub(self.start)).unwrap_or(usize::MAX);
            if piece.len() > room {
                let rest = piece.split_off(room);
                self.pieces.push_front(rest);
            }
            let len = piece.len();
            self.start = self.start.saturating_add(u64::try_from(len).unwrap_or(0));
            self.bytes = self.bytes.saturating_sub(len);
            let is_last = self.pieces.is_empty() || self.start >= until;
            if together.is_empty() && (is_last || len >= TOGETHER_BYTES) {
                return Some(piece);
            }
            together.extend_from_slice(&piece);
            if together.len() >= TOGETHER_BYTES {
                break;
            }
        }
        (!together.is_empty()).then(|| together.freeze())
    }

    /// What is left before `until`, piece by piece.
    pub(in crate::gateway::exchange) fn held(self, until: u64) -> VecDeque<Bytes> {
        let mut held = self.pieces;
        let mut room = until.saturating_sub(self.start);
        for piece in &mut held {
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
            piece.truncate(len);
            room = room.saturating_sub(u64::try_from(len).unwrap_or(0));
        }
        held.retain(|piece| !piece.is_empty());
        held
    }
}
