//! Money of one exchange: the quote it was admitted under, and the reservation that is closed by
//! exactly one post, whatever happens.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::exchange::{Shared, budget_name};
use crate::actors::ledger::Unavailable;
use crate::config;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::cost::{Bounds, cost};
use crate::domain::mail::BudgetPeriod;
use crate::domain::money::{MoneyError, NanoUsd};
use crate::domain::price_list::{Model, PriceList, Rates};
use crate::domain::usage::{TokenCounts, Usage};
use crate::domain::usage_record::{Ending, Endpoint, UsageRecord};
use crate::ledger::{Command, Outcome};

/// What a request was admitted under: the prices in force, and the worst case of each model that
/// it names. The dearest counts.
#[derive(Clone)]
pub struct Quote {
    /// The model that was asked for.
    pub model: Arc<Model>,
    /// Its rates at admission.
    pub rates: Arc<Rates>,
    /// All prices, for an answer that names other models.
    pub prices: Arc<PriceList>,
    /// When it was admitted.
    pub at: UnixMillis,
    /// The rates of every model named, the requested one among them.
    pub candidates: Vec<Arc<Rates>>,
    /// The priced ids of every model named.
    pub model_ids: Vec<String>,
    /// The largest context among them, in tokens.
    pub context_ceiling: u64,
    /// The longest answer among them, in tokens.
    pub output_ceiling: u64,
    /// Uses of server tools that the request allows.
    pub server_tool_uses: u64,
    /// Searches among them.
    pub web_searches_allowed: u64,
    /// What the request may read.
    pub input_tokens: u64,
    /// Searches that are reserved.
    pub web_searches: u64,
    /// It may write the 5-minute cache.
    pub uses_5m_cache: bool,
    /// It may write the 1-hour cache.
    pub uses_1h_cache: bool,
    /// `inference_geo` as asked for.
    pub geo: Option<String>,
    /// `speed` as asked for.
    pub speed: Option<String>,
    /// Output tokens that are reserved now.
    pub reserved_output: u64,
    /// Output tokens that the request allows.
    pub max_output: u64,
}

impl Quote {
    /// The limits of the request, with so much output.
    #[must_use]
    pub fn bounds(&self, output_tokens: u64) -> Bounds<'_> {
        Bounds {
            input_tokens: self.input_tokens,
            output_tokens,
            web_searches: self.web_searches,
            uses_5m_cache: self.uses_5m_cache,
            uses_1h_cache: self.uses_1h_cache,
            geo: self.geo.as_deref(),
            speed: self.speed.as_deref(),
        }
    }

    /// What has to be reserved for so much output.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the bounds are beyond any sum of money.
    pub fn amount(&self, output_tokens: u64) -> Result<NanoUsd, MoneyError> {
        let bounds = self.bounds(output_tokens);
        let mut dearest = NanoUsd::ZERO;
        for rates in &self.candidates {
            dearest = dearest.max(rates.worst_cost(&bounds)?);
        }
        Ok(dearest)
    }

    /// The largest `max_tokens` that `funds` afford, if any.
    #[must_use]
    pub fn affordable_output(&self, funds: NanoUsd) -> Option<u64> {
        let bounds = self.bounds(0);
        let affordable =
            self.candidates.iter().map(|rates| rates.affordable_output(&bounds, funds));
        let least = affordable.min().flatten()?;
        (least > 0).then_some(least)
    }

    /// The price of `usage` by the model that served it. Usage beyond what model and request allow
    /// is charged as what is held, and marked.
    fn price(&self, usage: &Usage, held: NanoUsd) -> Priced {
        let mut alerts = Vec::new();
        let served = usage.served_model.as_deref();
        let serving = served.and_then(|name| self.prices.rates(name, self.at));
        if served.is_some() && serving.is_none() {
            alerts.push("an answer names a model without a price; billed as the requested one");
        }
        if !self.is_plausible(usage) {
            alerts.push("an answer reports more than model and request allow");
            return Priced { amount: held, is_capped: true, alerts };
        }
        let rates = serving.unwrap_or(&self.rates);
        let lookup = |name: &str| self.prices.rates(name, self.at).map(Arc::clone);
        match cost(rates, usage, &lookup) {
            Ok(priced) => {
                alerts.extend(priced.unpriced);
                Priced { amount: priced.amount, is_capped: false, alerts }
            }
            Err(_) => Priced { amount: held, is_capped: true, alerts },
        }
    }

    /// Whether an upstream can have counted this. Each use of a server tool reads the prompt again
    /// and may write as much again; an extra pass does so once.
    fn is_plausible(&self, usage: &Usage) -> bool {
        let passes = self.server_tool_uses.saturating_add(1).saturating_mul(2);
        let fits = |tokens: &TokenCounts, passes: u64| {
            tokens.output <= self.output_ceiling.saturating_mul(passes)
                && tokens.prompt() <= self.context_ceiling.saturating_mul(passes)
        };
        fits(&usage.tokens, passes)
            && usage.iterations.iter().all(|pass| fits(&pass.tokens, 2))
            && usage.web_searches <= self.web_searches_allowed
    }
}

/// What usage comes to.
struct Priced {
    amount: NanoUsd,
    /// The usage cannot be: the amount is what was held.
    is_capped: bool,
    /// For the operator.
    alerts: Vec<&'static str>,
}

/// An open reservation. It is closed by [`Reservation::post`]; dropped open, because the exchange
/// panicked or its thread ended, it is settled at its last checkpoint.
pub(super) struct Reservation {
    pub(super) record: UsageRecord,
    pub(super) quote: Quote,
    held: NanoUsd,
    /// The upstream's own name of the requested model, where it has one.
    renamed: Option<String>,
    /// What the last price had to say to the operator.
    alerts: Vec<&'static str>,
    /// The key's budget that did not let it hold more.
    budget_spent: Option<BudgetPeriod>,
    shared: Arc<Shared>,
    is_closed: bool,
}

/// Whether an extension succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// There is room, or as much as the request allows is held.
    Held,
    /// Not enough money.
    Refused,
    /// The reservation is not open any more: another node took this one for dead.
    Lost,
    /// The ledger did not answer; the exchange may go on within what it holds.
    Unknown,
}

impl Reservation {
    /// Holds `amount`, durably, before anything is sent upstream.
    pub(super) async fn open(
        record: UsageRecord,
        quote: Quote,
        amount: NanoUsd,
        shared: Arc<Shared>,
    ) -> Result<Self, (Result<Outcome, Unavailable>, Quote)> {
        let node_id = Arc::clone(&shared.node_id);
        let command = Command::Reserve { record: record.clone(), amount, node_id };
        match shared.ledger.apply(command).await {
            Ok(Outcome::Reserved) => Ok(Self {
                record,
                quote,
                held: amount,
                renamed: None,
                alerts: Vec::new(),
                budget_spent: None,
                shared,
                is_closed: false,
            }),
            other => Err((other, quote)),
        }
    }

    /// Notes which upstream is asked, and what it calls the model.
    pub(super) fn set_upstream(&mut self, upstream: &config::Upstream) {
        self.record.upstream = Some(upstream.name.clone());
        self.renamed = upstream.models.get(self.quote.model.id.as_str()).cloned();
    }

    /// Takes over what the meter counted.
    pub(super) fn set_usage(&mut self, usage: &Usage, is_estimated: bool) {
        let mut usage = Cow::Borrowed(usage);
        if self.renamed.is_some() && usage.served_model == self.renamed {
            // The upstream's private name is neither priced nor the client's business.
            usage.to_mut().served_model = Some(self.quote.model.id.as_str().to_owned());
        }
        let priced = self.quote.price(&usage, self.held);
        self.record.set_usage(&usage);
        self.record.is_estimated = is_estimated || priced.is_capped;
        self.record.cost = priced.amount;
        self.alerts = priced.alerts;
    }

    /// Estimates what an answer used that came without usage (E10): its content by bytes, and of
    /// the worst case of the input the half that it typically is.
    pub(super) fn set_unreported_usage(&mut self, mut usage: Usage, content_bytes: u64) {
        usage.tokens.output = self.quote.model.output_tokens_of_bytes(content_bytes);
        usage.tokens.input = self.quote.input_tokens / 2;
        self.set_usage(&usage, true);
    }

    /// Notes the upstream's first content.
    pub(super) fn note_first_byte(&mut self) {
        self.record.first_byte_ms = Some(self.elapsed());
    }

    fn elapsed(&self) -> i64 {
        self.shared.clock.now().millis_since(self.record.created_at)
    }

    /// Keeps the record as it is now for the case that this node dies; does not wait.
    pub(super) fn checkpoint(&mut self) {
        self.record.latency_ms = self.elapsed();
        self.shared.ledger.submit(Command::Checkpoint { record: self.record.clone() });
    }

    /// Whether so much output comes near to what is held, and more may be.
    pub(super) const fn is_near(&self, output_tokens: u64) -> bool {
        let near = self.quote.reserved_output.saturating_sub(self.quote.reserved_output / 4);
        output_tokens >= near && self.quote.reserved_output < self.quote.max_output
    }

    /// Holds more, where the output comes near to what is held.
    pub(super) async fn extend(&mut self, output_tokens: u64) -> Extension {
        if !self.is_near(output_tokens) {
            return Extension::Held;
        }
        let more = self
            .quote
            .reserved_output
            .saturating_add(self.shared.settings.reservation.extend_output_tokens);
        let more = more.max(output_tokens).min(self.quote.max_output);
        let Ok(amount) = self.quote.amount(more) else { return Extension::Refused };
        let (id, account_id) = (self.record.id.clone(), self.record.account_id);
        match self.shared.ledger.apply(Command::Extend { id, account_id, amount }).await {
            Ok(Outcome::Extended) => {
                self.quote.reserved_output = more;
                self.held = amount;
                Extension::Held
            }
            Ok(Outcome::Insufficient { .. }) => Extension::Refused,
            Ok(Outcome::KeyBudget(exhausted)) => {
                self.budget_spent = Some(exhausted.period);
                Extension::Refused
            }
            Ok(_) => Extension::Lost,
            Err(_) => Extension::Unknown,
        }
    }

    /// What an answer ends with that may not be paid any more (E18).
    pub(super) fn not_covered(&self) -> ApiError {
        match self.budget_spent {
            Some(period) => ApiError::billing(format!(
                "This API key's {} does not cover more of this answer.",
                budget_name(period)
            )),
            None => ApiError::billing("Your credit does not cover more of this answer."),
        }
    }

    /// Closes the reservation at the record's cost. Resolves to whether that was durable within
    /// `settle_wait`; if not it lands later, and the row says E16.
    pub(super) async fn post(mut self, ending: Ending, http_status: u16) -> bool {
        self.record.ending = ending;
        self.record.http_status = i32::from(http_status);
        self.record.latency_ms = self.elapsed();
        self.is_closed = true;
        let shared = Arc::clone(&self.shared);
        let record = self.record.clone();
        for what in self.alerts.drain(..) {
            shared.alert(what);
        }
        let (done, is_durable) = oneshot::channel();
        // Not a future of the actor's context: those die with it.
        let ledger = shared.ledger.clone();
        let posted = record.clone();
        shared.tracker.spawn(async move {
            let outcome = ledger.apply(Command::Post { record: posted }).await;
            let is_posted =
                matches!(outcome, Ok(Outcome::Posted | Outcome::AlreadyPosted | Outcome::Raised));
            if done.send(is_posted).is_err() {
                tracing::trace!("a post landed after its exchange had given up waiting");
            }
        });
        match tokio::time::timeout(shared.settings.stream.settle_wait, is_durable).await {
            Ok(Ok(true)) => {
                shared.metrics.count_ending(record.ending, record.cost);
                true
            }
            Ok(Ok(false) | Err(_)) => {
                shared.alert("a post was refused: its reservation was not open");
                false
            }
            Err(_) => {
                // A JSON call's status is still ours to choose.
                let http_status = match record.endpoint {
                    Endpoint::Messages => 503,
                    Endpoint::MessagesStream => record.http_status,
                };
                let record = UsageRecord { ending: Ending::E16, http_status, ..record };
                shared.metrics.count_ending(record.ending, record.cost);
                shared.ledger.submit(Command::Post { record });
                false
            }
        }
    }

    /// Closes the reservation without a charge.
    pub(super) async fn void(mut self, ending: Ending, http_status: u16) -> bool {
        self.record.cost = NanoUsd::ZERO;
        self.post(ending, http_status).await
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_closed {
            self.shared.metrics.count_ending(Ending::E14, NanoUsd::ZERO);
            self.shared.alert("an exchange ended without settling; taking its last checkpoint");
            let (id, account_id) = (self.record.id.clone(), self.record.account_id);
            let command = Command::Recover { id, account_id, ending: Ending::E14 };
            self.shared.ledger.submit(command);
        }
    }
}
