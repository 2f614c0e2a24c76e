//! The money that one exchange holds: a reservation that is closed by exactly one post, whatever
//! happens.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Draft;
use super::held::Held;
use super::model_names::ModelNames;
use super::opening::{Opened, charged_before};
use super::reply::budget_name;
use crate::config;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::byte_counts::TokenFigures;
use crate::domain::mail::BudgetPeriod;
use crate::domain::meter::Meter;
use crate::domain::money::NanoUsd;
use crate::domain::quote::Quote;
use crate::domain::usage::Usage;
use crate::domain::usage_record::{Outcome, UsageRecord};
use crate::holds::Lesson;
use crate::ledger::{Command, Effect, Hold};
use crate::traces::ExchangeTrace;

/// Tokens of output that are never too many: of a short answer, the estimate is rough.
const BEYOND_TOKENS: u64 = 1_024;
/// The status of a refusal for want of money.
const NOT_COVERED: u16 = 402;

/// An open reservation. It is closed by [`Reservation::post`]; dropped open, because the exchange
/// panicked or its thread ended, it is settled at its last checkpoint.
pub(super) struct Reservation {
    pub(super) record: UsageRecord,
    pub(super) quote: Quote,
    held: Held,
    /// What its answer will teach, until it has.
    lesson: Option<Lesson>,
    /// The first usage, once the hold is set to it.
    counted: Option<Usage>,
    /// Output tokens from which on more is to be held.
    extend_from: u64,
    /// What the upstream calls the models.
    names: ModelNames,
    /// What the last price had to say to the operator.
    alerts: Vec<&'static str>,
    /// The key's budget that did not let it hold more.
    budget_spent: Option<BudgetPeriod>,
    context: Arc<AppContext>,
    is_closed: bool,
    /// What the operator's collector hears.
    pub(super) trace: ExchangeTrace,
    /// Lapses of this node's lease when the reservation was last known to be open.
    lapses_known: u64,
}

/// What a reservation is closed with.
pub(super) struct Bill {
    pub(super) ending: Outcome,
    /// The status that the client gets, or the one for a client that is gone.
    pub(super) http_status: u16,
    /// Whether the client has had its status, so that no refusal can be told by one.
    pub(super) has_head: bool,
    /// What is charged, and whether that is an estimate. Nothing is where there is no answer.
    pub(super) usage: Option<(Usage, bool)>,
}

/// Whether an extension succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// There is room, or as much as the request allows is held.
    Held,
    /// Not enough money.
    Refused,
    /// The exchange is settled, and can not be opened again.
    Lost,
    /// The ledger did not answer; the exchange may go on within what it holds.
    Unknown,
}

impl Bill {
    /// That of an exchange without an answer.
    pub(super) const fn nothing(ending: Outcome, http_status: u16) -> Self {
        Self { ending, http_status, has_head: false, usage: None }
    }

    /// Whether the client would get a whole answer.
    pub(super) const fn is_of_whole_answer(&self) -> bool {
        matches!(self.ending, Outcome::Complete | Outcome::NoUsage)
    }

    /// The answer cannot be paid, so that its client does not get the end of it (E18).
    pub(super) const fn refuse(&mut self) {
        self.ending = Outcome::NotExtended;
        if !self.has_head {
            self.http_status = NOT_COVERED;
        }
    }
}

impl Reservation {
    /// The reservation that an opening has made durable.
    pub(super) fn new(opened: Opened, context: Arc<AppContext>) -> Self {
        let Opened { draft: Draft { record, quote, lesson }, held } = opened;
        let extend_from = near(quote.reserved_output);
        let lapses_known = context.standing.lapses();
        Self {
            record,
            quote,
            held: Held::new(held, Arc::clone(&context.metrics)),
            lesson: Some(lesson),
            counted: None,
            extend_from,
            names: ModelNames::default(),
            alerts: Vec::new(),
            budget_spent: None,
            context,
            is_closed: false,
            trace: ExchangeTrace::default(),
            lapses_known,
        }
    }

    /// Notes which upstream is asked, and what it calls the models.
    pub(super) fn set_upstream(&mut self, upstream: &config::UpstreamSettings) {
        self.record.upstream = Some(upstream.name.clone());
        self.names = ModelNames::of(upstream, &self.quote.model_ids);
    }

    /// Takes over what the meter has counted so far.
    pub(super) fn set_usage(&mut self, usage: &Usage, is_estimated: bool) {
        let usage = self.names.with_ours(usage);
        let priced = self.quote.price(&usage);
        let bounded = Usage { web_searches: priced.web_searches, ..usage.into_owned() };
        self.record.set_usage(&bounded, priced.passes);
        self.record.is_estimated = is_estimated || priced.is_bounded;
        self.record.cost = priced.amount;
        self.alerts = priced.alerts;
    }

    /// Bytes per token of an answer's text.
    pub(super) fn figures(&self) -> TokenFigures {
        TokenFigures::typical(self.quote.model.bytes_per_token_milli)
    }

    /// What was delivered of an answer, and whether that is an estimate. None is more than what the
    /// request allows.
    pub(super) fn delivered(&self, meter: &Meter) -> (Usage, bool) {
        let (mut usage, is_estimated) = meter.delivered(&self.figures());
        if is_estimated {
            let most = self.quote.max_output.max(meter.reported().tokens.output);
            usage.tokens.output = usage.tokens.output.min(most);
        }
        (usage, is_estimated)
    }

    /// Learns how the upstream counts such a prompt, once.
    pub(super) fn learn(&mut self, usage: &Usage) {
        let Some(lesson) = self.lesson.take() else { return };
        let (now, rules) = (self.context.clock.now(), &self.context.settings.reservation);
        self.context.holds.learn(&lesson, usage, now, rules);
    }

    /// Notes the upstream's first content.
    pub(super) fn note_first_byte(&mut self) {
        let millis = self.elapsed();
        self.record.first_byte_ms = Some(millis);
        let upstream = self.record.upstream.as_deref();
        self.context.metrics.exchanges.observe_first_byte(upstream, millis);
    }

    fn elapsed(&self) -> i64 {
        self.context.clock.now().millis_since(self.record.created_at)
    }

    /// Keeps the record as it is now for the case that this node dies; does not wait. In the same
    /// write the hold is set to what `usage` says of the prompt, if it was not before.
    pub(super) fn checkpoint(&mut self, usage: &Usage) {
        self.record.latency_ms = self.elapsed();
        let amount = self.set_counted(usage);
        let record = self.record.clone();
        self.context.ledger.submit(Command::Checkpoint { record, amount });
        if amount.is_some() {
            self.context.holds.lines.free(self.record.account_id);
        }
    }

    /// Sets the hold to the prompt's exact price and the slice of output that is held; `None` where
    /// it was before.
    fn set_counted(&mut self, usage: &Usage) -> Option<NanoUsd> {
        // A first run of several says nothing of the others.
        if self.counted.is_some() || usage.tokens.prompt() == 0 || self.quote.more_passes > 0 {
            return None;
        }
        let usage = self.names.with_ours(usage).into_owned();
        // Most answers are short: from here on the slice grows with the output.
        let slice = self.context.settings.reservation.counted_output_tokens;
        let written = self.record.output_tokens.unsigned_abs().saturating_mul(2);
        let output = slice.max(written).min(self.quote.reserved_output);
        let amount = self.quote.counted_cost(&usage, output).ok()?;
        self.held.set(amount);
        self.counted = Some(usage);
        self.quote.reserved_output = output;
        self.extend_from = near(output);
        Some(amount)
    }

    /// Whether the hold is the prompt's exact price already.
    pub(super) const fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// What has to be held for so much output.
    fn amount(&self, output_tokens: u64) -> Option<NanoUsd> {
        match &self.counted {
            Some(usage) => self.quote.counted_cost(usage, output_tokens).ok(),
            None => self.quote.likely_cost(output_tokens).ok(),
        }
    }

    /// Whether so much output comes near to what is held, and more may be; or whether nothing may
    /// be held any more.
    pub(super) fn is_near(&self, output_tokens: u64) -> bool {
        let is_near =
            output_tokens >= self.extend_from && self.quote.reserved_output < self.quote.max_output;
        is_near || self.may_be_lost()
    }

    /// Whether another node may have taken this one for dead, and settled the exchange.
    fn may_be_lost(&self) -> bool {
        self.context.standing.lapses() != self.lapses_known
    }

    /// Whether so much output is more than the request allows, by any estimate.
    pub(super) fn is_beyond(&self, output_tokens: u64) -> bool {
        let factor = self.context.settings.stream.output_factor_max;
        let most = self.quote.max_output.saturating_mul(factor);
        output_tokens > most.saturating_add(BEYOND_TOKENS)
    }

    /// Holds more, where the output comes near to what is held: twice the output, so that slices
    /// grow with the answer.
    pub(super) async fn extend(&mut self, output_tokens: u64) -> Extension {
        if self.may_be_lost() {
            return self.resume(output_tokens).await;
        }
        if !self.is_near(output_tokens) {
            return Extension::Held;
        }
        let rules = &self.context.settings.reservation;
        let (step, shortfall_max) = (rules.extend_output_tokens, rules.shortfall_max);
        let held_tokens = self.quote.reserved_output;
        let wanted = held_tokens
            .saturating_add(step)
            .max(output_tokens.saturating_mul(2))
            .min(self.quote.max_output);
        let Some(amount) = self.amount(wanted) else { return Extension::Refused };
        let before = self.held.amount();
        // Whatever is to be had, up to that.
        let hold = Hold {
            amount,
            least: before,
            risk: NanoUsd::ZERO,
            shortfall_max,
            charged_before: charged_before(&self.context),
        };
        let (id, account_id) = (self.record.id.clone(), self.record.account_id);
        match self.context.ledger.apply(Command::Extend { id, account_id, hold }).await {
            Ok(Effect::Extended { amount: granted }) => {
                let part = part_of(wanted.saturating_sub(held_tokens), before, granted, amount);
                self.held.set(granted);
                self.quote.reserved_output = held_tokens.saturating_add(part);
                self.extend_from = near(self.quote.reserved_output);
                self.budget_spent = None;
                if self.quote.reserved_output < output_tokens {
                    return Extension::Refused;
                }
                Extension::Held
            }
            Ok(Effect::Insufficient(_)) => self.not_extended(output_tokens),
            Ok(Effect::KeyBudget(exhausted)) => {
                self.budget_spent = Some(exhausted.period);
                self.not_extended(output_tokens)
            }
            Ok(_) => self.resume(output_tokens).await,
            Err(_) => Extension::Unknown,
        }
    }

    /// Has the exchange opened again, if it was settled as if this node had died: with what was
    /// held for it, or with what is to be had of that, but no less than it has cost so far.
    async fn resume(&mut self, output_tokens: u64) -> Extension {
        let lapses = self.context.standing.lapses();
        let wanted = self.quote.reserved_output.max(output_tokens);
        let (Some(amount), Some(least)) = (self.amount(wanted), self.amount(output_tokens)) else {
            return Extension::Refused;
        };
        let hold = Hold {
            amount,
            least,
            risk: NanoUsd::ZERO,
            shortfall_max: self.context.settings.reservation.shortfall_max,
            charged_before: charged_before(&self.context),
        };
        self.record.latency_ms = self.elapsed();
        let (record, node_id) = (self.record.clone(), Arc::clone(&self.context.node_id));
        match self.context.ledger.apply(Command::Resume { record, hold, node_id }).await {
            Ok(Effect::Resumed { amount: granted }) => {
                let more = wanted.saturating_sub(output_tokens);
                let part = part_of(more, least, granted, amount);
                self.held.set(granted);
                self.quote.reserved_output = output_tokens.saturating_add(part);
                self.extend_from = near(self.quote.reserved_output);
                self.lapses_known = lapses;
                Extension::Held
            }
            Ok(Effect::Insufficient(_)) => Extension::Refused,
            Ok(Effect::KeyBudget(exhausted)) => {
                self.budget_spent = Some(exhausted.period);
                Extension::Refused
            }
            Ok(_) => Extension::Lost,
            Err(_) => Extension::Unknown,
        }
    }

    /// Before a whole answer is posted: where its hold may have been let go, and spent elsewhere,
    /// it is held again. Whether the answer may be paid.
    pub(super) async fn is_covered(&mut self) -> bool {
        if !self.may_be_lost() {
            return true;
        }
        let hold = Hold::exactly(self.record.cost);
        let (record, node_id) = (self.record.clone(), Arc::clone(&self.context.node_id));
        let resumed = self.context.ledger.apply(Command::Resume { record, hold, node_id }).await;
        !matches!(resumed, Ok(Effect::Insufficient(_) | Effect::KeyBudget(_)))
    }

    /// What is held may be used up; until then it is tried again from time to time.
    const fn not_extended(&mut self, output_tokens: u64) -> Extension {
        if output_tokens >= self.quote.reserved_output {
            return Extension::Refused;
        }
        let left = self.quote.reserved_output.saturating_sub(output_tokens);
        self.extend_from = output_tokens.saturating_add(left.div_ceil(2));
        Extension::Held
    }

    /// What an answer ends with that may not be paid any more (E18).
    pub(super) fn not_covered(&self) -> ApiError {
        match self.budget_spent {
            Some(period) => ApiError::billing(format!(
                "This API key's {} does not cover more of this response.",
                budget_name(period)
            )),
            None => ApiError::billing("Your credit does not cover more of this response."),
        }
    }

    /// Sets the record to what a bill charges.
    pub(super) fn charge(&mut self, bill: &Bill) {
        match &bill.usage {
            Some((usage, is_estimated)) => self.set_usage(usage, *is_estimated),
            None => self.record.cost = NanoUsd::ZERO,
        }
    }

    /// Closes the reservation at the record's cost. Resolves to whether that was durable within
    /// `settle_wait`; if not it lands later, and the row says E16.
    pub(super) async fn post(mut self, bill: &Bill) -> bool {
        self.record.ending = bill.ending;
        self.record.http_status = i32::from(bill.http_status);
        self.record.latency_ms = self.elapsed();
        self.is_closed = true;
        self.trace.describe(&self.record);
        self.trace.begin("settle");
        let context = Arc::clone(&self.context);
        let record = self.record.clone();
        for what in self.alerts.drain(..) {
            context.alert(what);
        }
        let (done, answered) = oneshot::channel();
        // Not a future of the actor's context: those die with it.
        let ledger = context.ledger.clone();
        let posted = record.clone();
        context.tracker.spawn(async move {
            let outcome = ledger.apply(Command::Post { record: posted }).await;
            if done.send(outcome).is_err() {
                tracing::trace!("a post landed after its exchange had given up waiting");
            }
        });
        let answer = tokio::time::timeout(context.settings.stream.settle_wait, answered).await;
        context.holds.lines.free(record.account_id);
        match answer {
            Ok(Ok(Ok(Effect::Posted | Effect::AlreadyPosted | Effect::Replaced))) => {
                context.metrics.count_settled(&record);
                true
            }
            // The ledger has told the operator.
            Ok(Ok(Ok(Effect::Parked))) => {
                context.metrics.count_ending(Outcome::NotDurable, NanoUsd::ZERO);
                false
            }
            Ok(_) => {
                context.alert("a post was refused: its reservation was not open");
                false
            }
            Err(_) => {
                let record = record.unheard();
                context.metrics.count_ending(record.ending, record.cost);
                context.ledger.submit(Command::Post { record });
                false
            }
        }
    }
}

/// Output tokens from which on more is to be held: three quarters of what is held.
const fn near(reserved: u64) -> u64 {
    reserved.saturating_sub(reserved / 4)
}

/// The part of `tokens` that came with a hold of `granted` where `wanted` was asked for, `before`
/// being held.
fn part_of(tokens: u64, before: NanoUsd, granted: NanoUsd, wanted: NanoUsd) -> u64 {
    if granted >= wanted {
        return tokens;
    }
    let got = i128::from(granted.as_nanos()).saturating_sub(i128::from(before.as_nanos()));
    let asked = i128::from(wanted.as_nanos()).saturating_sub(i128::from(before.as_nanos()));
    let part = i128::from(tokens).saturating_mul(got.max(0)) / asked.max(1);
    u64::try_from(part).unwrap_or(0)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_closed {
            self.context.metrics.count_ending(Outcome::Panicked, NanoUsd::ZERO);
            self.context.alert("an exchange ended without settling; taking its last checkpoint");
            let (id, account_id) = (self.record.id.clone(), self.record.account_id);
            let command =
                Command::Recover { id, account_id, ending: Outcome::Panicked, judged_at: None };
            self.context.ledger.submit(command);
        }
    }
}
