//! Bytes of a stream that have come and have not gone out.

use std::collections::VecDeque;

use bytes::Bytes;

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
        let mut together = Vec::new();
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
            if together.is_empty() {
                // Growing would allocate and copy several times over.
                together.reserve_exact(len.saturating_add(self.joined_bytes(len, until)));
            }
            together.extend_from_slice(&piece);
            if together.len() >= TOGETHER_BYTES {
                break;
            }
        }
        (!together.is_empty()).then(|| Bytes::from(together))
    }

    /// How many bytes before `until` are joined to a first piece of so many.
    fn joined_bytes(&self, first: usize, until: u64) -> usize {
        let mut room = usize::try_from(until.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let mut joined = 0_usize;
        for piece in self.pieces.iter().take_while(|piece| piece.len() < TOGETHER_BYTES) {
            let len = piece.len().min(room);
            joined = joined.saturating_add(len);
            room = room.saturating_sub(len);
            if room == 0 || joined.saturating_add(first) >= TOGETHER_BYTES {
                break;
            }
        }
        joined
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_pieces_are_joined_in_one_allocation_of_their_size() {
        let mut queue = Queue::new(Vec::new());
        for _ in 0..100 {
            queue.push(Bytes::from_static(&[7; 150]));
        }
        assert_eq!(queue.joined_bytes(0, 15_000), 15_000);
        assert_eq!(queue.joined_bytes(0, 14_990), 14_990);
        let joined: Vec<u8> = queue.next(14_990).unwrap().into();
        assert_eq!((joined.len(), joined.capacity()), (14_990, 14_990));
        assert_eq!(queue.next(15_000).unwrap().len(), 10);
        assert!(queue.next(15_000).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_joined_nothing_is_lost_or_moved(
            pieces in proptest::collection::vec(0..20_000_usize, 1..12),
            until in 0..100_000_u64,
        ) {
            let piece = |len| (0_u8..=250).cycle().take(len).collect::<Bytes>();
            let came: Vec<Bytes> = pieces.into_iter().map(piece).collect();
            let whole = came.concat();
            let mut queue = Queue::new(came);
            let mut gone = Vec::new();
            while let Some(piece) = queue.next(until) {
                gone.extend_from_slice(&piece);
                prop_assert_eq!(u64::try_from(gone.len()).unwrap(), queue.start());
            }
            prop_assert_eq!(gone.len(), whole.len().min(usize::try_from(until).unwrap()));
            prop_assert!(whole.starts_with(&gone));
            prop_assert_eq!(queue.bytes(), whole.len() - gone.len());
        }
    }
}
