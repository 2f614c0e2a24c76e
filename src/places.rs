//! Places that are taken, given back, and waited for, first come, first served: a place that comes
//! free goes to the one who has waited longest of those whom it fits. Who may take one is for the
//! [`Rules`] to say.

pub mod shares;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Who may take a place.
pub trait Rules {
    /// Who asks.
    type Who: Clone;

    /// Whether there is a place for him now.
    fn fits(&mut self, who: &Self::Who) -> bool;

    /// Notes that he has taken one.
    fn take(&mut self, who: &Self::Who);

    /// Notes that he has given it back.
    fn give_back(&mut self, who: &Self::Who);
}

/// See the module. Nobody waits whom a place fits: it is given to him as it comes free.
pub struct Places<R: Rules> {
    state: Mutex<QueueState<R>>,
}

struct QueueState<R: Rules> {
    rules: R,
    waiting: VecDeque<Waiter<R::Who>>,
    tickets: u64,
}

struct Waiter<Who> {
    ticket: u64,
    who: Who,
    given: oneshot::Sender<()>,
}

/// A place; given back when it is dropped.
pub struct Place<R: Rules> {
    places: Arc<Places<R>>,
    who: R::Who,
}

/// Somebody's stay in the line, from which he may be dropped at any time.
struct QueueTicket<'a, R: Rules> {
    places: &'a Arc<Places<R>>,
    ticket: u64,
    who: &'a R::Who,
    has_place: bool,
}

impl<R: Rules> fmt::Debug for Places<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

impl<R: Rules> fmt::Debug for Place<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

impl<R: Rules> Places<R> {
    /// Places by those rules.
    #[must_use]
    pub fn new(rules: R) -> Arc<Self> {
        let state = QueueState { rules, waiting: VecDeque::new(), tickets: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the rules. It must make nobody a place: that is for those who give one
    /// back.
    pub fn with<T>(&self, work: impl FnOnce(&mut R) -> T) -> T {
        work(&mut self.lock().rules)
    }

    /// Changes the rules, and gives places to those whom they fit now.
    pub fn change(&self, change: impl FnOnce(&mut R)) {
        let mut state = self.lock();
        change(&mut state.rules);
        state.admit();
    }

    /// How many wait of those.
    #[must_use]
    pub fn waiting(&self, is_one: impl Fn(&R::Who) -> bool) -> usize {
        self.lock().waiting.iter().filter(|waiter| is_one(&waiter.who)).count()
    }

    /// A place, if there is one now.
    #[must_use]
    pub fn take(self: &Arc<Self>, who: &R::Who) -> Option<Place<R>> {
        self.lock().take(who).then(|| self.place(who))
    }

    /// A place as soon as there is one, or nothing by that time.
    pub async fn wait(self: &Arc<Self>, who: &R::Who, until: Instant) -> Option<Place<R>> {
        let (given, told) = oneshot::channel();
        let mut stay = {
            let mut state = self.lock();
            if state.take(who) {
                return Some(self.place(who));
            }
            state.tickets = state.tickets.wrapping_add(1);
            let ticket = state.tickets;
            state.waiting.push_back(Waiter { ticket, who: who.clone(), given });
            QueueTicket { places: self, ticket, who, has_place: false }
        };
        timeout_at(until, told).await.ok()?.ok()?;
        stay.has_place = true;
        Some(self.place(who))
    }

    fn place(self: &Arc<Self>, who: &R::Who) -> Place<R> {
        Place { places: Arc::clone(self), who: who.clone() }
    }
}

impl<R: Rules> QueueState<R> {
    fn take(&mut self, who: &R::Who) -> bool {
        let fits = self.rules.fits(who);
        if fits {
            self.rules.take(who);
        }
        fits
    }

    fn give_back(&mut self, who: &R::Who) {
        self.rules.give_back(who);
        self.admit();
    }

    /// Gives places to those who have waited longest of those whom they fit.
    fn admit(&mut self) {
        let mut at = 0;
        while let Some(waiter) = self.waiting.get(at) {
            if !self.rules.fits(&waiter.who) {
                at = at.saturating_add(1);
                continue;
            }
            let Some(waiter) = self.waiting.remove(at) else { return };
            self.rules.take(&waiter.who);
            // Who has left the line by now has not heard of it.
            if waiter.given.send(()).is_err() {
                self.rules.give_back(&waiter.who);
            }
        }
    }
}

impl<R: Rules> Drop for Place<R> {
    fn drop(&mut self) {
        self.places.lock().give_back(&self.who);
    }
}

impl<R: Rules> Drop for QueueTicket<'_, R> {
    fn drop(&mut self) {
        if self.has_place {
            return;
        }
        let mut state = self.places.lock();
        let at = state.waiting.iter().position(|waiter| waiter.ticket == self.ticket);
        match at {
            Some(at) => drop(state.waiting.remove(at)),
            // It was given to him as he left.
            None => state.give_back(self.who),
        }
    }
}

#[cfg(test)]
mod tests;
