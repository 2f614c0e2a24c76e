//! The `Mailer` actor: sends the mail that waits in the outbox, tries again what could not be sent,
//! and gives up at last. It works beside everything else: nobody waits for a mail, and a mail waits
//! for nobody.
//!
//! Each node has one; a row that one of them has taken is held for as long as sending it may take.
//! A mail may go out twice only where nobody knows what became of it the first time, and then both
//! have one Message-ID. What nobody waits for, and what goes to everybody, have lanes of their own
//! behind what somebody waits for.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::stream;
use tokio::sync::Notify;

use super::Letterhead;
use super::compose::ComposedMail;
use super::send_queue::{Lane, SendPermit, SendRate};
use super::transport::{MailError, Transport};
use crate::config::Settings;
use crate::db::models::outbox::{self, OutboxRow};
use crate::db::{Database, DbError};
use crate::domain::backoff::{self, Backoff};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::mail::MailLine;
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use crate::tracker::Tracker;

/// How often it looks by itself: other nodes and the ledger put mail in without a word.
const LOOK: Duration = Duration::from_secs(1);
/// How long it rests after the database has failed it.
const REST: Duration = Duration::from_secs(10);
/// A row is held for this much longer than sending it may take.
const HOLD_MARGIN: Duration = Duration::from_mins(1);
/// Time between two attempts to send one mail.
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(1));

/// How long a mail is held by the node that is sending it.
#[must_use]
pub const fn held_for(settings: &Settings) -> Duration {
    settings.mail.timeout.saturating_add(HOLD_MARGIN)
}

/// What the actor works with.
#[derive(Clone)]
pub struct MailerParts {
    /// Texts, times, pace.
    pub settings: Arc<Settings>,
    /// How mail leaves.
    pub transport: Arc<Transport>,
    /// Who says that there is some.
    pub bell: OutboxNotifier,
    /// Where it waits.
    pub database: Database,
    /// Time.
    pub clock: Clock,
    /// What a stop waits for.
    pub tracker: Tracker,
    /// What the operator sees.
    pub metrics: Arc<Metrics>,
}

/// Says that there is mail: it then goes at once, not within a second.
#[derive(Clone, Debug, Default)]
pub struct OutboxNotifier(Arc<Notify>);

impl OutboxNotifier {
    /// Rings.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Resolves when it rings.
    async fn rung(self) -> Option<(PollOutbox, Self)> {
        self.0.notified().await;
        Some((PollOutbox, self))
    }
}

/// See the module.
pub struct Mailer {
    round: Arc<SendContext>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct PollOutbox;

/// From now on mail is written by these settings. How it is sent stays as it is.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChangeSettings(pub Arc<Settings>);

impl Mailer {
    /// Starts looking for mail.
    #[must_use]
    pub fn start(parts: MailerParts) -> Addr<Self> {
        let head = Letterhead::new(&parts.settings);
        let lanes = Lane::all(&parts.settings.mail, &parts.metrics.mail.under_way);
        let pace = Arc::new(SendRate::new(parts.settings.mail.per_minute));
        Actor::start(Self { round: Arc::new(SendContext { parts, head, lanes, pace }) })
    }
}

impl Actor for Mailer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK, |_, ctx| ctx.notify(PollOutbox));
        let bell = self.round.parts.bell.clone();
        ctx.add_message_stream(stream::unfold(bell, OutboxNotifier::rung));
    }
}

impl Handler<PollOutbox> for Mailer {
    type Result = ();

    fn handle(&mut self, _: PollOutbox, _: &mut Self::Context) {
        for lane in &self.round.lanes {
            if self.round.parts.tracker.is_draining() {
                return;
            }
            let Some(turn) = lane.turn() else { continue };
            let (round, lane) = (Arc::clone(&self.round), lane.clone());
            self.round.parts.tracker.spawn(async move {
                if let Err(error) = SendContext::begin_all(&round, &lane).await {
                    tracing::warn!(error = %Causes(&error), "mail cannot be read; trying again");
                    // A database that is away is away for more than a moment.
                    let draining = round.parts.tracker.draining();
                    drop(tokio::time::timeout(REST, draining).await);
                }
                drop(turn);
            });
        }
    }
}

impl Handler<ChangeSettings> for Mailer {
    type Result = ();

    fn handle(&mut self, ChangeSettings(settings): ChangeSettings, _: &mut Self::Context) {
        let head = Letterhead::new(&settings);
        let parts = MailerParts { settings, ..self.round.parts.clone() };
        let (lanes, pace) = (self.round.lanes.clone(), Arc::clone(&self.round.pace));
        self.round = Arc::new(SendContext { parts, head, lanes, pace });
    }
}

/// Everything that sending takes.
struct SendContext {
    parts: MailerParts,
    head: Letterhead,
    lanes: [Lane; 3],
    pace: Arc<SendRate>,
}

/// What became of one attempt.
enum SendOutcome {
    /// It has gone.
    Sent,
    /// There was nothing to send after all.
    Unwanted,
    /// It never will.
    Hopeless(&'static str),
    /// It may go later.
    Failed(MailError),
}

impl SendContext {
    /// Begins to send whatever of a lane is due, as places get free and the pace allows it. A mail
    /// that is held up keeps its place and nothing else.
    async fn begin_all(round: &Arc<Self>, lane: &Lane) -> Result<(), DbError> {
        let tracker = &round.parts.tracker;
        let draining = tracker.draining();
        tokio::pin!(draining);
        loop {
            let free = async {
                round.pace.wait().await;
                lane.free().await
            };
            let places = tokio::select! {
                biased;
                () = &mut draining => return Ok(()),
                places = free => places,
            };
            round.note_waiting().await?;
            let rows = round.take(lane.line, places.len()).await?;
            if rows.is_empty() {
                return Ok(());
            }
            round.pace.spend(rows.len());
            for (row, place) in rows.into_iter().zip(places) {
                tracker.spawn(Arc::clone(round).send_from(place, row));
            }
        }
    }

    /// One mail from its place. If it is cut off, it is due again when it is no longer held.
    async fn send_from(self: Arc<Self>, place: SendPermit, row: OutboxRow) {
        let cut = self.parts.tracker.cut_token();
        if let Some(Err(error)) = cut.run_until_cancelled(self.send(row)).await {
            tracing::warn!(error = %Causes(&error), "the outcome of an email cannot be recorded");
        }
        drop(place);
    }

    async fn note_waiting(&self) -> Result<(), DbError> {
        if self.pace.is_time_to_count() {
            let waiting = self.parts.database.run(outbox::waiting).await?;
            self.parts.metrics.mail.set_waiting(waiting);
        }
        Ok(())
    }

    async fn take(&self, line: MailLine, places: usize) -> Result<Vec<OutboxRow>, DbError> {
        let now = self.parts.clock.now();
        let held_until = now.plus(held_for(&self.parts.settings));
        let limit = i64::try_from(places).unwrap_or(i64::MAX);
        let take = move |conn: &mut _| outbox::take_due(conn, now, held_until, (line, limit));
        self.parts.database.run(take).await
    }

    /// One mail, and what becomes of its row.
    async fn send(&self, row: OutboxRow) -> Result<(), DbError> {
        let attempt = self.attempt(&row).await?;
        let (kind, id) = (row.kind.as_str(), row.id);
        let count = |outcome| self.parts.metrics.mail.count(kind, outcome);
        match attempt {
            SendOutcome::Sent => count("sent"),
            SendOutcome::Unwanted => count("unwanted"),
            SendOutcome::Hopeless(reason) => {
                tracing::error!(kind, id, reason, "an email is dropped");
                count("dropped");
            }
            SendOutcome::Failed(error) => {
                let reason = Causes(&error).to_string();
                if let Some(due_at) = self.next_attempt(&row, &error) {
                    tracing::warn!(
                        kind,
                        id,
                        reason,
                        tries = row.tries,
                        "an email could not be sent"
                    );
                    count("put_off");
                    return self.parts.database.run(move |c| outbox::put_off(c, id, due_at)).await;
                }
                tracing::error!(kind, id, reason, tries = row.tries, "an email is dropped");
                count("dropped");
            }
        }
        self.parts.database.run(move |conn| outbox::remove(conn, id)).await
    }

    async fn attempt(&self, row: &OutboxRow) -> Result<SendOutcome, DbError> {
        let (settings, head) = (Arc::clone(&self.parts.settings), self.head.clone());
        let (taken, now) = (row.clone(), self.parts.clock.now());
        let draft = self
            .parts
            .database
            .run(move |conn| super::compose::draft(conn, &head, &settings, &taken, now))
            .await?;
        let message = match draft {
            ComposedMail::Message(message) => message,
            ComposedMail::Unwanted => return Ok(SendOutcome::Unwanted),
            ComposedMail::Hopeless(reason) => return Ok(SendOutcome::Hopeless(reason)),
        };
        let file = format!("{}-{}", row.created_at.as_millis(), row.message_id);
        Ok(match self.parts.transport.send(&message, &file).await {
            Ok(()) => SendOutcome::Sent,
            Err(error) => SendOutcome::Failed(error),
        })
    }

    /// When a mail is tried again, if it is.
    fn next_attempt(&self, row: &OutboxRow, error: &MailError) -> Option<UnixMillis> {
        if error.is_for_good() {
            return None;
        }
        let due_at = self.parts.clock.now().plus(pause(row.tries, backoff::jitter()));
        let end = row.created_at.plus(self.parts.settings.mail.give_up);
        (due_at <= end).then_some(due_at)
    }
}

/// Time between the attempt of this number and the next one.
fn pause(tries: i64, random: u8) -> Duration {
    BACKOFF.jittered(u32::try_from(tries).unwrap_or(u32::MAX), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_a_minute_apart_at_first_and_an_hour_at_last() {
        let minutes: Vec<u64> =
            [0, 1, 2, 3, 6, 7, 8, i64::MAX].map(|tries| pause(tries, 0).as_secs() / 60).into();
        assert_eq!(minutes, [1, 1, 2, 4, 32, 60, 60, 60]);
    }
}
