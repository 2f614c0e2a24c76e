//! When something is due in a stream, whoever is silent.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::context::AppContext;
use crate::domain::unprintable::unprintable;

/// How often is looked at an answer whose output does not show.
const HIDING_LOOK: Duration = Duration::from_secs(2);

/// All deadlines behind one timer, which moves only when it has fired.
pub(super) struct Deadlines {
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) last_read: Instant,
    /// The longest silence of the upstream so far.
    pub(super) longest_gap: Duration,
    /// Silence after which the upstream counts as gone.
    pub(super) idle: Duration,
    /// Time that the upstream has for a head, and for the first usage behind it once the client has
    /// left.
    pub(super) head: Duration,
    pub(super) latest: Instant,
    pub(super) next_checkpoint: Instant,
    /// Silence after which the client is sent a ping; never if that is off.
    ping: Option<Duration>,
    /// When that is over.
    pub(super) next_ping: Option<Instant>,
    /// Since when output may be made that does not show, and how much there was then.
    pub(super) hiding_since: Option<(Instant, u64)>,
}

unprintable!(Deadlines);

impl Deadlines {
    pub(super) fn new(context: &AppContext, (idle, head): (Duration, Duration)) -> Self {
        let now = Instant::now();
        let stream = &context.settings.stream;
        let mut clock = Self {
            timer: Box::pin(tokio::time::sleep_until(now)),
            last_read: now,
            longest_gap: Duration::ZERO,
            idle,
            head,
            latest: now + stream.max_duration,
            next_checkpoint: now + stream.checkpoint,
            ping: stream.ping,
            next_ping: stream.ping.map(|ping| now + ping),
            hiding_since: None,
        };
        clock.arm(None, false);
        clock
    }

    /// Notes that the upstream has sent something.
    pub(super) fn note_read(&mut self, at: Instant) {
        self.longest_gap = self.longest_gap.max(at.duration_since(self.last_read));
        self.last_read = at;
    }

    /// Notes that the client has heard something, or was not to be sent a ping.
    pub(super) fn note_heard(&mut self, at: Instant) {
        self.next_ping = self.ping.map(|ping| at + ping);
    }

    /// Sets the timer to the nearest deadline. A piece that comes meanwhile moves the idle limit
    /// without touching the timer, which then fires once too early.
    pub(super) fn arm(&mut self, gone_until: Option<Instant>, is_hiding: bool) {
        let idle = self.last_read + self.idle;
        let mut next = idle.min(self.latest).min(self.next_checkpoint);
        for other in [gone_until, self.next_ping].into_iter().flatten() {
            next = next.min(other);
        }
        if is_hiding {
            next = next.min(Instant::now() + HIDING_LOOK);
        }
        self.timer.as_mut().reset(next);
    }
}
