//! What one connection does, as its handlers and its own reads and writes tell; and the word that
//! it has to go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

use super::{ConnectionRegistry, Lull};
use crate::domain::unprintable::unprintable;
use crate::http::standing::{ClientStanding, Listen};

/// See the module.
#[derive(Clone)]
pub(crate) struct ConnectionEntry(Arc<Inner>);

struct Inner {
    id: u64,
    registry: Arc<ConnectionRegistry>,
    conduct: Mutex<Conduct>,
    is_asked: AtomicBool,
    waker: AtomicWaker,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
struct Conduct {
    /// Requests whose heads were whole, and those of them that have been answered.
    begun: u64,
    ended: u64,
    /// Something of an answer waits for the client to read.
    is_writing: bool,
    /// Something of the last answer had to wait.
    has_waited: bool,
    /// There is more of the last request's body than its handler has read.
    lacks_body: bool,
    /// Who has sent the last request.
    standing: ClientStanding,
    /// Something of a head has come since the last answer.
    has_head: bool,
    /// What the registry knows.
    told: Option<Lull>,
}

/// A request that is being answered, until this is dropped.
pub(crate) struct Running(ConnectionEntry);

unprintable!(ConnectionEntry, Running);

impl ConnectionEntry {
    pub(super) fn new(id: u64, registry: Arc<ConnectionRegistry>) -> Self {
        let conduct = Conduct {
            begun: 0,
            ended: 0,
            is_writing: false,
            has_waited: false,
            lacks_body: false,
            standing: ClientStanding::Stranger,
            has_head: false,
            told: Some(Lull::Head),
        };
        Self(Arc::new(Inner {
            id,
            registry,
            conduct: Mutex::new(conduct),
            is_asked: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }))
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.0.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something, and tells the registry where that makes a difference.
    fn note(&self, note: impl FnOnce(&mut Conduct)) {
        let mut conduct = self.conduct();
        note(&mut conduct);
        let lull = conduct.lull();
        if lull != conduct.told {
            conduct.told = lull;
            self.0.registry.put(self.0.id, lull);
        }
    }

    /// Notes that the head of a request was whole, and whether a body is to come.
    pub(crate) fn begin(&self, has_body: bool) -> Running {
        self.note(|conduct| {
            conduct.begun = conduct.begun.saturating_add(1);
            conduct.has_head = false;
            conduct.has_waited = conduct.is_writing;
            conduct.lacks_body = has_body;
            conduct.standing = ClientStanding::Stranger;
        });
        Running(self.clone())
    }

    /// Notes that bytes have come.
    pub(in crate::http) fn note_bytes(&self) {
        self.note(|conduct| conduct.has_head |= !conduct.is_answering());
    }

    /// Notes whether something waits for the client to read.
    pub(in crate::http) fn note_writing(&self, is_writing: bool) {
        self.note(|conduct| {
            conduct.is_writing = is_writing;
            conduct.has_waited |= is_writing;
        });
    }

    /// How many requests there were, where there was one and all have been answered.
    pub(in crate::http) fn answered(&self) -> Option<u64> {
        let conduct = self.conduct();
        (conduct.ended > 0 && !conduct.is_answering()).then_some(conduct.ended)
    }

    /// Whether the connection has to go; if it has not, its task is woken when it has.
    pub(in crate::http) fn is_asked(&self, cx: &Context<'_>) -> bool {
        self.0.waker.register(cx.waker());
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// Stays where a request came before the word, or its payer or the rest of its body; whether it
    /// does.
    pub(in crate::http) fn stays(&self) -> bool {
        let is_busy = self.conduct().lull().is_none();
        if is_busy && self.0.is_asked.swap(false, Ordering::AcqRel) {
            self.0.registry.stay(self.0.id);
        }
        is_busy
    }

    pub(super) fn ask(&self) {
        self.0.is_asked.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    pub(super) fn leave(&self) {
        self.0.registry.leave(self.0.id);
    }
}

impl Conduct {
    const fn is_answering(&self) -> bool {
        self.begun > self.ended
    }

    const fn lull(&self) -> Option<Lull> {
        if self.is_answering() || self.is_writing {
            // What waits for nobody but us is answered soon.
            match self.standing {
                _ if !self.has_waited && !self.lacks_body => None,
                ClientStanding::Stranger => Some(Lull::Stranger),
                ClientStanding::Account => Some(Lull::Account),
                ClientStanding::Payer => None,
            }
        } else if self.ended == 0 || self.has_head {
            Some(Lull::Head)
        } else {
            Some(Lull::Idle)
        }
    }
}

impl Listen for ConnectionEntry {
    fn recognise(&self, standing: ClientStanding) {
        self.note(|conduct| conduct.standing = conduct.standing.max(standing));
    }

    fn end_body(&self) {
        self.note(|conduct| conduct.lacks_body = false);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.note(|conduct| conduct.ended = conduct.ended.saturating_add(1));
    }
}
