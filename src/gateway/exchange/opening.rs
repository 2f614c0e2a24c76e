//! How an exchange comes to its hold: by the estimate; where that is not covered, by the upstream's
//! own free count of the prompt; where other requests of the account stand in the way, by waiting
//! for them in line; and only then is it refused (402).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::reply::{Client, budget_name};
use super::{Dispatch, Draft};
use crate::context::AppContext;
use crate::domain::api_error::{ApiError, RefusalReason};
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::Exhausted;
use crate::domain::messages_request::LARGE_BYTES;
use crate::domain::money::{MoneyError, NanoUsd};
use crate::domain::quote::PromptEstimate;
use crate::domain::unprintable::unprintable;
use crate::gateway::auth;
use crate::ledger::{Command, Effect, Hold, Shortage};
use crate::upstream::call::UpstreamCall;
use crate::upstream::count::{count_tokens, counting};

/// Another node's holds come free without a word.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// No prompt has fewer tokens than bytes divided by this: where even that is not covered, no count
/// can help.
const BYTES_PER_TOKEN_MAX: u64 = 12;
/// What a count may be off by, in percent and in tokens: the upstream calls it an estimate.
const COUNT_SLACK_PERCENT: u64 = 2;
const COUNT_SLACK_TOKENS: u64 = 32;

/// A hold to be made.
pub(super) struct Opening<'a> {
    context: &'a AppContext,
    draft: Draft,
    dispatch: &'a Dispatch,
    /// Whether the client may learn what the account has.
    may_know_balance: bool,
    /// The upstream was asked for its count.
    is_counted: bool,
}

/// A hold that is made, durably.
pub(super) struct Opened {
    pub(super) draft: Draft,
    pub(super) held: NanoUsd,
}

unprintable!(Opening<'static>);

/// What became of one try.
enum OpenResult {
    Held(NanoUsd),
    Short(Shortage),
    OverBudget(Exhausted),
}

impl<'a> Opening<'a> {
    pub(super) const fn new(
        context: &'a AppContext,
        draft: Draft,
        dispatch: &'a Dispatch,
        client: &Client,
    ) -> Self {
        let may_know_balance = client.may_know_balance;
        Self { context, draft, dispatch, may_know_balance, is_counted: false }
    }

    /// Holds money, durably, before anything is sent upstream.
    ///
    /// # Errors
    /// What the client hears where nothing is held.
    pub(super) async fn open(mut self, client: &mut Client) -> Result<Opened, ApiError> {
        let lines = &self.context.holds.lines;
        // Whoever waits already comes first.
        if lines.is_empty(self.draft.record.account_id) {
            let tried = self.try_once().await?;
            if let OpenResult::Held(amount) = tried {
                return Ok(self.opened(amount));
            }
            if !self.may_wait(&tried) && !self.may_a_count_help(&tried) {
                return Err(self.refusal(&tried));
            }
        }
        let amount = self.wait_in_line(client).await?;
        Ok(self.opened(amount))
    }

    fn opened(self, held: NanoUsd) -> Opened {
        let Self { mut draft, dispatch, .. } = self;
        if dispatch.wants_stream {
            let quote = &mut draft.quote;
            quote.reserved_output = quote.covered_output(held).min(quote.reserved_output);
        }
        Opened { draft, held }
    }

    /// The hold that this request asks for.
    fn hold(&self) -> Result<Hold, MoneyError> {
        let rules = &self.context.settings.reservation;
        let (quote, wanted) = (&self.draft.quote, self.draft.quote.reserved_output);
        let amount = quote.likely_cost(wanted)?;
        Ok(Hold {
            amount,
            least: quote.likely_cost(self.least_output())?,
            risk: quote.worst_cost(wanted)?.minus(amount)?,
            shortfall_max: rules.shortfall_max,
            charged_before: charged_before(self.context),
        })
    }

    /// The output with which the request may begin.
    fn least_output(&self) -> u64 {
        let wanted = self.draft.quote.reserved_output;
        let least = self.context.settings.reservation.least_output_tokens;
        if self.dispatch.wants_stream { wanted.min(least) } else { wanted }
    }

    async fn try_once(&self) -> Result<OpenResult, ApiError> {
        let hold = self.hold().map_err(|_| too_dear())?;
        let (record, node_id) = (self.draft.record.clone(), Arc::clone(&self.context.node_id));
        match self.context.ledger.apply(Command::Reserve { record, hold, node_id }).await {
            Ok(Effect::Reserved { amount }) => Ok(OpenResult::Held(amount)),
            Ok(Effect::Insufficient(shortage)) => Ok(OpenResult::Short(shortage)),
            Ok(Effect::KeyBudget(exhausted)) => Ok(OpenResult::OverBudget(exhausted)),
            Ok(Effect::KeyExpired) => Err(ApiError::authentication("This API key has expired.")),
            Ok(Effect::KeyPaused) => Err(auth::paused()),
            Ok(Effect::KeyRevoked) => {
                Err(ApiError::authentication("This API key has been revoked."))
            }
            Ok(Effect::AccountSuspended | Effect::NoAccount) => {
                Err(ApiError::new(403, "permission_error", "This account is suspended."))
            }
            _ => Err(ApiError::unavailable()),
        }
    }

    /// Whether an exact count of the prompt could make the difference.
    fn may_a_count_help(&self, tried: &OpenResult) -> bool {
        let funds = match tried {
            OpenResult::Short(shortage) => shortage.available.plus(shortage.held),
            OpenResult::OverBudget(exhausted) => Ok(exhausted.left),
            OpenResult::Held(_) => return false,
        };
        if self.is_counted || self.draft.quote.prompt.is_open {
            return false;
        }
        let bytes = u64::try_from(self.dispatch.request.body.len()).unwrap_or(u64::MAX);
        let mut quote = self.draft.quote.clone();
        quote.prompt = PromptEstimate::exactly(bytes / BYTES_PER_TOKEN_MAX);
        let least = quote.likely_cost(self.least_output());
        matches!((least, funds), (Ok(least), Ok(funds)) if least <= funds)
    }

    /// The upstream's own count of the prompt, if it gives one in time.
    async fn count(&self) -> Option<u64> {
        let limit = self.context.settings.reservation.count_tokens_wait;
        if limit.is_zero() {
            return None;
        }
        let request = self.dispatch.request.clone();
        let request = if request.body.len() <= LARGE_BYTES {
            counting(&request)?
        } else {
            tokio::task::spawn_blocking(move || counting(&request)).await.ok()??
        };
        let call = UpstreamCall {
            request_id: self.draft.record.id.clone(),
            node: self.context.node(),
            account: self.draft.record.account_id,
            model_id: request.model_id.clone(),
            is_noted: false,
            patience: limit,
            wait: Duration::ZERO,
        };
        count_tokens(&call, &self.dispatch.upstreams, &request, limit).await
    }

    /// Waits until enough has come free, first come, first served. Whoever is first has the prompt
    /// counted, so that one account has one count under way.
    async fn wait_in_line(&mut self, client: &mut Client) -> Result<NanoUsd, ApiError> {
        let context = self.context;
        let deadline = Instant::now() + context.settings.reservation.wait;
        let place = context.holds.lines.join(self.draft.record.account_id);
        let turn = tokio::select! {
            turn = timeout_at(deadline, place.turn()) => turn.ok(),
            () = client.left() => return Err(ApiError::unavailable()),
            () = context.tracker.draining() => return Err(ApiError::unavailable()),
        };
        loop {
            let tried = self.try_once().await?;
            if let OpenResult::Held(amount) = tried {
                return Ok(amount);
            }
            if turn.is_some() && self.may_a_count_help(&tried) {
                self.is_counted = true;
                if let Some(tokens) = self.count().await {
                    let slack = (tokens / 100).saturating_mul(COUNT_SLACK_PERCENT);
                    let tokens = tokens.saturating_add(slack).saturating_add(COUNT_SLACK_TOKENS);
                    self.draft.quote.prompt = self.draft.quote.prompt.counted(tokens);
                    continue;
                }
            }
            let may_wait = self.may_wait(&tried) && Instant::now() < deadline;
            let Some(turn) = turn.as_ref().filter(|_| may_wait) else {
                return Err(self.refusal(&tried));
            };
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            tokio::select! {
                _ = timeout_at(look_again, turn.freed()) => {}
                () = client.left() => return Err(ApiError::unavailable()),
                () = context.tracker.draining() => return Err(ApiError::unavailable()),
            }
        }
    }

    /// Whether the request would be covered once everything that is in use has come back.
    fn may_wait(&self, tried: &OpenResult) -> bool {
        let OpenResult::Short(shortage) = tried else { return false };
        let is_attainable = self.hold().is_ok_and(|hold| hold.least <= shortage.attainable);
        shortage.held > NanoUsd::ZERO && is_attainable
    }

    fn refusal(&self, tried: &OpenResult) -> ApiError {
        match tried {
            OpenResult::Short(shortage) => self.uncovered(shortage),
            OpenResult::OverBudget(exhausted) => self.over_budget(exhausted),
            OpenResult::Held(_) => ApiError::unavailable(),
        }
    }

    /// 402, with what is missing, the `max_tokens` that would be covered, and where to add credit.
    /// What there is and what is held hears who may.
    fn uncovered(&self, shortage: &Shortage) -> ApiError {
        let Shortage { available, spendable, held, .. } = *shortage;
        let least = self.hold().map_or(NanoUsd::ZERO, |hold| hold.least);
        let missing = least.minus(spendable).unwrap_or(NanoUsd::ZERO);
        let of_balance =
            if self.may_know_balance { format!(" of {available} USD") } else { String::new() };
        let running = if self.may_know_balance && held > NanoUsd::ZERO {
            format!(" {held} USD is on hold for requests in progress.")
        } else {
            String::new()
        };
        let advice = self.advice(spendable);
        let site = self.context.settings.site.base_url.as_str();
        let message = format!(
            "Your credit{of_balance} does not cover what this request may cost: {missing} USD \
             more is needed.{running}{advice} Add credit at {site}/deposits"
        );
        ApiError::billing(message)
    }

    /// 402, with the budget that is in the way and the `max_tokens` that it affords, if any.
    fn over_budget(&self, exhausted: &Exhausted) -> ApiError {
        let Exhausted { budget, left, period } = exhausted;
        let name = budget_name(*period);
        let advice = self.advice(*left);
        let message = format!(
            "This API key's {name} of {budget} USD has {left} USD left, less than this request may \
             cost.{advice}"
        );
        ApiError::billing(message).because(RefusalReason::KeyBudget)
    }

    /// A sentence on the largest `max_tokens` that `funds` cover, where it is less than what was
    /// asked for.
    fn advice(&self, funds: NanoUsd) -> String {
        let affordable = self.draft.quote.affordable_output(funds);
        affordable
            .filter(|tokens| *tokens < self.draft.quote.max_output)
            .map_or_else(String::new, |tokens| format!(" Lower max_tokens to {tokens} to fit."))
    }
}

/// Who was charged by then may fall short.
pub(super) fn charged_before(context: &AppContext) -> UnixMillis {
    let after = context.settings.reservation.shortfall_after.as_millis();
    context.clock.now().plus_millis(i64::try_from(after).unwrap_or(i64::MAX).saturating_neg())
}

/// The request is beyond any sum of money.
pub(super) fn too_dear() -> ApiError {
    ApiError::invalid_request("max_tokens: the request could cost more than any balance can hold")
}
