//! A client that has left a stream, or has stopped reading it: how long the upstream is read on,
//! and what for.
//!
//! Never closed before the first usage, or leaving early would make a request free. Then a short
//! grace, in which many answers end; to the end where every block has closed; and where work is
//! hidden in it, as a drain. A client that left gives its place back at once, and its exchange
//! holds only what is counted.

use std::time::Duration;

use tokio::time::Instant;

use super::Relay;
use crate::config::ClientGone;
use crate::domain::usage_record::Outcome;
use crate::places::shares::SharedPlace;

/// Once every block has closed, the end of an answer comes at once or not at all.
const END_WAIT: Duration = Duration::from_secs(30);

/// A departure.
pub(in crate::gateway::exchange) struct Departure {
    /// E8 or E15.
    pub(in crate::gateway::exchange) ending: Outcome,
    /// Until then the upstream is read.
    pub(in crate::gateway::exchange) until: Instant,
    stage: ReadOnStage,
    /// Work was hidden, and it was not read to its end: no place was free, or the time was over.
    pub(in crate::gateway::exchange) is_undrained: bool,
}

/// What the upstream is read on for.
enum ReadOnStage {
    /// For its first usage.
    Uncounted,
    /// In case it ends soon.
    Grace,
    /// For the end, which is all that is left.
    End,
    /// To the end, whatever comes. The place is given back with it.
    Drain { _place: SharedPlace },
}

impl Relay<'_> {
    /// The client is gone. An ending, if the upstream is not read on.
    pub(in crate::gateway::exchange) fn lose(&mut self) -> Option<Outcome> {
        self.outlet = None;
        self.client.give_place_back();
        let ending =
            if self.client.has_stalled() { Outcome::ClientStalled } else { Outcome::ClientLeft };
        let until = Instant::now() + self.clock.head;
        self.gone =
            Some(Departure { ending, until, stage: ReadOnStage::Uncounted, is_undrained: false });
        self.arm();
        self.look_at_departure()
    }

    /// What a departure has come to. An ending, if the upstream is not read on.
    pub(in crate::gateway::exchange) fn look_at_departure(&mut self) -> Option<Outcome> {
        let now = Instant::now();
        let has_prompt = self.meter.has_prompt();
        let is_hidden = self.meter.has_hidden_work();
        let is_closed = self.meter.has_closed_blocks();
        let stream = &self.context.settings.stream;
        let (policy, grace) = (stream.client_gone, stream.client_gone_grace);
        let gone = self.gone.as_ref()?;
        let wants_drain = policy == ClientGone::Drain || (policy == ClientGone::Auto && is_hidden);
        let next = match &gone.stage {
            ReadOnStage::Uncounted if !has_prompt => return None,
            ReadOnStage::Uncounted if policy == ClientGone::Abort => return Some(gone.ending),
            ReadOnStage::Uncounted | ReadOnStage::Grace if wants_drain => return self.drain(),
            ReadOnStage::Uncounted => (now + grace, ReadOnStage::Grace),
            ReadOnStage::Grace if is_closed => (now + END_WAIT, ReadOnStage::End),
            ReadOnStage::Grace | ReadOnStage::End | ReadOnStage::Drain { .. } => return None,
        };
        self.note_departure_usage();
        self.stay(next);
        // A grace may find all blocks closed already.
        if is_closed
            && self.gone.as_ref().is_some_and(|gone| matches!(gone.stage, ReadOnStage::Grace))
        {
            self.stay((now + END_WAIT, ReadOnStage::End));
        }
        None
    }

    /// The ending of a departure whose time is over. What a drain did not see the end of stays
    /// hidden.
    pub(in crate::gateway::exchange) fn is_departure_over(
        &mut self,
        now: Instant,
    ) -> Option<Outcome> {
        let is_hidden = self.meter.has_hidden_work();
        let gone = self.gone.as_mut().filter(|gone| now >= gone.until)?;
        gone.is_undrained |= is_hidden && matches!(gone.stage, ReadOnStage::Drain { .. });
        Some(gone.ending)
    }

    fn stay(&mut self, (until, stage): (Instant, ReadOnStage)) {
        if let Some(gone) = self.gone.as_mut() {
            (gone.until, gone.stage) = (until, stage);
        }
        self.arm();
    }

    /// Reads to the end, where a place is free for that.
    fn drain(&mut self) -> Option<Outcome> {
        let account_id = self.reservation.record.account_id;
        let Some(place) = self.context.drains.take(&account_id) else {
            let is_hidden = self.meter.has_hidden_work();
            let gone = self.gone.as_mut()?;
            gone.is_undrained = is_hidden;
            return Some(gone.ending);
        };
        self.note_departure_usage();
        let until = Instant::now() + self.context.settings.stream.drain_max;
        self.stay((until, ReadOnStage::Drain { _place: place }));
        None
    }

    /// From now on nothing is held but what is counted and the slice that is under way.
    fn note_departure_usage(&mut self) {
        if !self.reservation.is_counted() {
            self.note_usage();
            self.reservation.checkpoint(&self.meter.reported());
        }
    }
}
