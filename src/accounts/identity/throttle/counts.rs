//! What was counted of each key: in windows of its own while there is room for them, and beyond
//! that in a sketch. Nothing that is open is ever dropped to make room, so that nobody's count is
//! washed away by those of others.

use std::collections::HashMap;
use std::time::Duration;

use super::CountKey;
use super::sketch::Sketch;
use crate::domain::clock::UnixMillis;

/// Windows kept at most.
pub(super) const CAPACITY: usize = 65_536;
/// Part of a span that passes before windows that are over are looked for again.
const SWEEPS: u32 = 64;
/// Windows at most in which an attempt counts together with those of others.
pub(super) const SHARED: usize = 3;

/// See the module.
pub(super) struct AttemptCounts {
    span: Duration,
    windows: HashMap<CountKey, CountWindow>,
    /// Until when it is not worth while to look for windows that are over.
    full_until: UnixMillis,
    sketch: Sketch,
}

#[derive(Clone, Copy)]
struct CountWindow {
    began: UnixMillis,
    count: u32,
    /// Of the count, what windows that are shared with others have too.
    shares: [WindowShare; SHARED],
}

/// What a shared window has of a count. Which one, is known by its beginning.
#[derive(Clone, Copy)]
struct WindowShare {
    began: UnixMillis,
    count: u32,
}

impl WindowShare {
    const NONE: Self = Self { began: UnixMillis::from_millis(0), count: 0 };
}

impl AttemptCounts {
    /// Nothing counted so far.
    pub(super) fn new(span: Duration) -> Self {
        let (windows, full_until) = (HashMap::new(), UnixMillis::from_millis(0));
        Self { span, windows, full_until, sketch: Sketch::new() }
    }

    /// When a key may be counted again, if it has come to its limit.
    pub(super) fn full_until(
        &mut self,
        key: &CountKey,
        most: u32,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        self.sketch.turn(now, self.span);
        if let Some(window) = self.windows.get(key).filter(|window| self.is_open(window, now)) {
            return (window.count >= most).then(|| window.began.plus(self.span));
        }
        let is_full = self.sketch.count(key) >= most;
        is_full.then(|| self.sketch.ends(key, most, self.span))
    }

    /// Counts once: for the key itself, and for those that it shares with others.
    pub(super) fn add(&mut self, own: &CountKey, shared: &[CountKey], now: UnixMillis) {
        self.sketch.turn(now, self.span);
        let began: Vec<Option<UnixMillis>> =
            shared.iter().map(|key| self.add_one(key, now)).collect();
        if self.add_one(own, now).is_none() {
            return;
        }
        let Some(window) = self.windows.get_mut(own) else { return };
        for (share, began) in window.shares.iter_mut().zip(began) {
            let Some(began) = began else { continue };
            // What an earlier window has counted went with it.
            let before = if share.began == began { share.count } else { 0 };
            *share = WindowShare { began, count: before.saturating_add(1) };
        }
    }

    /// Counts once; gives the beginning of the key's window, if it has one.
    fn add_one(&mut self, key: &CountKey, now: UnixMillis) -> Option<UnixMillis> {
        let open = self.windows.get(key).copied().filter(|window| self.is_open(window, now));
        if open.is_none() && !self.windows.contains_key(key) && !self.has_room(now) {
            self.sketch.add(key);
            return None;
        }
        // What was counted while there was no room goes on counting.
        let new = || CountWindow {
            began: now,
            count: self.sketch.count(key),
            shares: [WindowShare::NONE; SHARED],
        };
        let mut window = open.unwrap_or_else(new);
        window.count = window.count.saturating_add(1);
        self.windows.insert(*key, window);
        Some(window.began)
    }

    /// Takes back what was counted at a time, where windows have it.
    pub(super) fn take_back(
        &mut self,
        own: &CountKey,
        shared: &[CountKey],
        counted_at: UnixMillis,
    ) {
        let is_it = |window: &&mut CountWindow| window.began <= counted_at && window.count > 0;
        let Some(window) = self.windows.get_mut(own).filter(is_it) else { return };
        window.count -= 1;
        let mut taken = [WindowShare::NONE; SHARED];
        for (share, taken) in window.shares.iter_mut().zip(&mut taken) {
            *taken = WindowShare { began: share.began, count: share.count.min(1) };
            share.count = share.count.saturating_sub(1);
        }
        if window.count == 0 {
            self.windows.remove(own);
        }
        self.take_from(shared, taken);
    }

    /// Forgets a key's own window, and what shared ones have of it. Gives what it had counted.
    pub(super) fn forget(&mut self, own: &CountKey, shared: &[CountKey]) -> u32 {
        let Some(window) = self.windows.remove(own) else { return 0 };
        self.take_from(shared, window.shares);
        window.count
    }

    /// Forgets a window whoever has counted in it.
    pub(super) fn forget_all(&mut self, key: &CountKey) {
        self.windows.remove(key);
    }

    /// Takes counts out of the windows that are shared, if they are still those that have them.
    fn take_from(&mut self, shared: &[CountKey], taken: [WindowShare; SHARED]) {
        for (key, share) in shared.iter().zip(taken) {
            let Some(window) = self.windows.get_mut(key) else { continue };
            if window.began == share.began {
                window.count = window.count.saturating_sub(share.count);
            }
            if window.count == 0 {
                self.windows.remove(key);
            }
        }
    }

    fn has_room(&mut self, now: UnixMillis) -> bool {
        if self.windows.len() < CAPACITY {
            return true;
        }
        if now < self.full_until {
            return false;
        }
        let span = self.span;
        self.windows.retain(|_, window| window.began.plus(span) > now);
        self.full_until = now.plus(span / SWEEPS);
        self.windows.len() < CAPACITY
    }

    fn is_open(&self, window: &CountWindow, now: UnixMillis) -> bool {
        window.began.plus(self.span) > now
    }

    #[cfg(test)]
    pub(super) fn windows(&self) -> usize {
        self.windows.len()
    }
}
