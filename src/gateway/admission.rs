//! Admission, from a body to a priced request: whether its key may ask for it, and what it may
//! cost at most. What has no price is refused here, before anything is dispatched.
//!
//! The longer the body, the longer this takes. A large one is read on a thread of its own, so that
//! the streams of this worker go on; a few at once, shared fairly.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::unknown_fields::UnknownFields;
use super::{Gateway, conversation};
use crate::config::Settings;
use crate::context::AppContext;
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::messages_request::{
    self, Fallbacks, LARGE_BYTES, MessagesRequest, ToolUse, fields, is_version_of,
};
use crate::domain::price_list::{Model, Rates};
use crate::domain::quote::{PromptEstimate, Quote};
use crate::domain::usage::Ceilings;
use crate::holds::Lesson;
use crate::upstream::order::Conversation;

/// Server tools that have a price: their searches and the tokens that they bring in.
const WEB_SEARCH: &str = "web_search_";
const WEB_FETCH: &str = "web_fetch_";
/// A server tool that runs a model of its own, which must be priced.
const ADVISOR: &str = "advisor_";
/// A server tool without a price beyond tokens.
const TOOL_SEARCH: &str = "tool_search_tool_";
/// A server tool without `max_uses` is taken to be used no more often than this: more is no count.
const USES_UNLIMITED: u64 = 1000;
/// Turns of a server-side loop in one answer: real ones pause long before.
const TURNS_MAX: u64 = 32;
/// Attempts of a chain that the upstream makes up itself.
const ATTEMPTS_MAX: u64 = 16;
/// Longest part of a client's own words in an error.
const ECHO_MAX: usize = 100;
/// How long a large body waits for a thread: each takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that is admitted.
pub(super) struct Admitted {
    pub(super) request: MessagesRequest,
    pub(super) quote: Quote,
    pub(super) lesson: Lesson,
    pub(super) conversation: Conversation,
    pub(super) now: UnixMillis,
}

/// What reading a body takes, on whichever thread.
struct Reading {
    context: Arc<AppContext>,
    unknown_fields: Arc<UnknownFields>,
    holder: KeyHolder,
    body: Bytes,
    names: Option<conversation::ConversationNames>,
    /// Whether it is a request for a count of tokens, which holds no money.
    is_count: bool,
}

/// Reads a body as a request and says what it costs.
///
/// # Errors
/// What the client did wrong, without a word of the body; 529 where too many large bodies wait.
pub(super) async fn admit(
    gateway: &Gateway,
    http: &HttpRequest,
    (holder, is_count): (&KeyHolder, bool),
    body: &Bytes,
) -> Result<Admitted, ApiError> {
    let reading = Reading {
        context: Arc::clone(&gateway.context),
        unknown_fields: Arc::clone(&gateway.unknown_fields),
        holder: holder.clone(),
        body: body.clone(),
        names: conversation::named(http, &gateway.upstreams),
        is_count,
    };
    if body.len() <= LARGE_BYTES {
        return reading.run();
    }
    let until = Instant::now() + PATIENCE;
    let place = gateway.intake.large.wait(&holder.account_id, until).await;
    let place = place.ok_or_else(|| {
        ApiError::new(
            529,
            "overloaded_error",
            "Too many large requests are waiting. Please try again.",
        )
    })?;
    let read = tokio::task::spawn_blocking(move || {
        let admitted = reading.run();
        // Here: a client that leaves ends the future, but not the thread.
        drop(place);
        admitted
    });
    read.await.unwrap_or_else(|_| Err(ApiError::unavailable()))
}

impl Reading {
    fn run(self) -> Result<Admitted, ApiError> {
        let settings = &self.context.settings;
        let now = self.context.clock.now();
        let request = messages_request::parse(&self.body, &settings.requests.bounds())
            .map_err(|error| ApiError::invalid_request(error.to_string()))?;
        self.unknown_fields.count(&request.fields, &self.context.metrics, now.day());
        if !self.is_count && request.max_tokens.is_none() {
            return Err(ApiError::invalid_request("max_tokens: Field required"));
        }
        let mut quote = quote(&request, settings, now)?;
        check_models(&self.holder, &quote.model_ids)?;
        let mut lesson = Lesson::default();
        if !self.is_count {
            check_fallbacks(&self.holder, &request)?;
            let whose = (self.holder.account_id, quote.model.id.as_str());
            let rules = &settings.reservation;
            let estimate = self.context.holds.estimate(whose, &request, &self.body, rules, now);
            quote.set_prompt(estimate.0);
            lesson = estimate.1;
        }
        let conversation = conversation::of(self.names, &self.body, &self.holder);
        Ok(Admitted { request, quote, lesson, conversation, now })
    }
}

/// Checks a request against the price list and the operator's rules.
///
/// # Errors
/// 400 or 404 with the field that is refused.
pub fn quote(
    request: &MessagesRequest,
    settings: &Settings,
    now: UnixMillis,
) -> Result<Quote, ApiError> {
    check_fields(request, settings)?;
    let (model, rates) = priced(&request.model, settings, now)?;
    let mut models = vec![Arc::clone(&model)];
    let mut candidates = vec![Arc::clone(&rates)];
    for name in named_models(request) {
        let (model, rates) = priced(name, settings, now)?;
        if models.iter().all(|known| known.id != model.id) {
            models.push(model);
            candidates.push(rates);
        }
    }
    check_multipliers(request, &candidates)?;
    let model_ids = models.iter().map(|model| model.id.as_str().to_owned()).collect();
    for (model, rates) in models_of_upstream(request, settings, now) {
        models.push(Arc::clone(model));
        candidates.push(Arc::clone(rates));
    }
    let context = models.iter().map(|model| model.context_tokens).max().unwrap_or(0);
    let output_ceiling = models.iter().map(|model| model.max_output_tokens).max().unwrap_or(0);
    let tools = tool_ceilings(request, settings)?;
    let asked = request
        .fallbacks
        .list()
        .iter()
        .filter_map(|fallback| fallback.max_tokens)
        .chain(request.max_tokens)
        .max()
        .unwrap_or(0);
    let max_output = asked.min(output_ceiling);
    let slice = settings.reservation.reserve_output_tokens;
    let reserved_output = if request.is_stream { max_output.min(slice) } else { max_output };
    let turns = tools.uses_allowed.min(TURNS_MAX).saturating_add(1);
    let advice = count(request.typed_tools.iter().filter(|tool| tool.kind.starts_with(ADVISOR)));
    Ok(Quote {
        model,
        rates,
        prices: Arc::clone(&settings.prices),
        at: now,
        model_ids,
        ceilings: Ceilings {
            context,
            // Every answer begins with a token, also one that is to have none.
            output: max_output.max(1),
            turns,
            attempts: attempts(request),
            // Each turn may be compacted before it, and an advisor be asked in it.
            extras: turns.saturating_add(1).saturating_add(advice.saturating_mul(TURNS_MAX)),
            web_searches: tools.searches_allowed,
        },
        prompt: PromptEstimate::exactly(context),
        tool_tokens: tools.input_tokens,
        web_searches: tools.searches,
        more_passes: tools.passes.min(TURNS_MAX),
        uses_5m_cache: request.uses_cache,
        uses_1h_cache: request.uses_1h_cache,
        geo: request.inference_geo.clone(),
        speed: dearest_speed(request, &candidates),
        candidates,
        reserved_output,
        max_output,
    })
}

/// Whether a key may ask for every one of these models, by their priced ids.
fn check_models(holder: &KeyHolder, model_ids: &[String]) -> Result<(), ApiError> {
    match model_ids.iter().find(|id| !holder.limits.allows(id)) {
        None => Ok(()),
        Some(id) => {
            let message = format!("This API key may not use the model {id}.");
            Err(ApiError::new(403, "permission_error", message))
        }
    }
}

/// A model that the upstream picks itself cannot be checked against a key's list.
fn check_fallbacks(holder: &KeyHolder, request: &MessagesRequest) -> Result<(), ApiError> {
    if request.fallbacks == Fallbacks::Default && holder.limits.models.is_some() {
        let message = "\
            fallbacks: This API key may only use certain models, but \"default\" lets the upstream \
            choose; name the models";
        return Err(ApiError::new(403, "permission_error", message));
    }
    Ok(())
}

/// Attempts before the one that answers.
fn attempts(request: &MessagesRequest) -> u64 {
    match &request.fallbacks {
        // As many as a list may name.
        Fallbacks::Default => ATTEMPTS_MAX,
        listed => count(listed.list().iter()),
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn check_fields(request: &MessagesRequest, settings: &Settings) -> Result<(), ApiError> {
    if let Some(field) = fields::refused_by_table(&request.fields) {
        let message = format!("{}: not supported here: {}", field.name, field.reason);
        let mut error = ApiError::invalid_request(message);
        error.details = field.error_code.map(|code| json!({ "error_code": code }));
        return Err(error);
    }
    let refused = &settings.requests.refused_fields;
    if let Some(name) = fields::refused_by_list(&request.fields, refused) {
        return Err(ApiError::invalid_request(format!("{}: not supported here", echo(name))));
    }
    if request.uses_stored_file {
        return Err(ApiError::invalid_request(
            "messages: files stored upstream are not supported here; send the content itself",
        ));
    }
    Ok(())
}

fn named_models(request: &MessagesRequest) -> impl Iterator<Item = &str> {
    let fallbacks = request.fallbacks.list().iter().map(|fallback| fallback.model.as_str());
    fallbacks.chain(request.typed_tools.iter().filter_map(|tool| tool.model.as_deref()))
}

/// The models that may answer where the upstream picks one: all that are sold and served.
fn models_of_upstream<'a>(
    request: &MessagesRequest,
    settings: &'a Settings,
    now: UnixMillis,
) -> Vec<(&'a Arc<Model>, &'a Arc<Rates>)> {
    if request.fallbacks != Fallbacks::Default {
        return Vec::new();
    }
    let is_served = |model: &&Arc<Model>| {
        settings.upstreams.iter().any(|upstream| upstream.serves(model.id.as_str()))
    };
    let on_sale = settings.prices.models().filter(|model| !model.is_retired_at(now));
    on_sale.filter(is_served).filter_map(|model| Some((model, model.rates_at(now)?))).collect()
}

fn priced(
    name: &str,
    settings: &Settings,
    now: UnixMillis,
) -> Result<(Arc<Model>, Arc<Rates>), ApiError> {
    let model = settings.prices.find(name);
    if let Some(model) = model.filter(|model| model.is_retired_at(now)) {
        return Err(ApiError::not_found(retired(model)));
    }
    let rates = model.and_then(|model| model.rates_at(now));
    match (model, rates) {
        (Some(model), Some(rates)) => Ok((Arc::clone(model), Arc::clone(rates))),
        _ => Err(ApiError::not_found(format!("model: {}", echo(name)))),
    }
}

/// That a model is gone, since when, and what to ask instead.
pub(super) fn retired(model: &Model) -> String {
    let id = model.id.as_str();
    let last = model.retires_at.map_or_else(String::new, |day| format!("; its last day was {day}"));
    let instead = model.successor.as_deref();
    let instead = instead.map_or_else(String::new, |id| format!(". Use {id} instead"));
    format!("model: {id} is no longer available{last}{instead}")
}

/// A multiplier that is not known would be billed as 1. There are as many candidates as models at
/// most, and each speed is looked at once.
fn check_multipliers(request: &MessagesRequest, candidates: &[Arc<Rates>]) -> Result<(), ApiError> {
    let speeds: BTreeSet<&str> = speeds(request).collect();
    for rates in candidates {
        if rates.geo_multiplier(request.inference_geo.as_deref()).is_none() {
            return Err(ApiError::invalid_request("inference_geo: not available for this model"));
        }
        if speeds.iter().any(|speed| rates.speed_multiplier(Some(speed)).is_none()) {
            return Err(ApiError::invalid_request("speed: not available for this model"));
        }
    }
    Ok(())
}

fn speeds(request: &MessagesRequest) -> impl Iterator<Item = &str> {
    let fallbacks = request.fallbacks.list().iter();
    fallbacks.filter_map(|fallback| fallback.speed.as_deref()).chain(request.speed.as_deref())
}

/// The speed to hold for: an entry of `fallbacks` may ask for a dearer one than the request.
fn dearest_speed(request: &MessagesRequest, candidates: &[Arc<Rates>]) -> Option<String> {
    let factor = |speed: &str| {
        candidates.iter().filter_map(|rates| rates.speed_multiplier(Some(speed))).max()
    };
    let distinct: BTreeSet<&str> = speeds(request).collect();
    distinct.into_iter().max_by_key(|speed| factor(speed)).map(str::to_owned)
}

/// What the request's server tools may add.
#[derive(Default)]
struct ToolCeilings {
    /// Uses of server tools that the request allows, and searches among them.
    uses_allowed: u64,
    searches_allowed: u64,
    /// Searches that are reserved.
    searches: u64,
    input_tokens: u64,
    /// Times that the prompt is likely read again, at most.
    passes: u64,
}

fn tool_ceilings(request: &MessagesRequest, settings: &Settings) -> Result<ToolCeilings, ApiError> {
    let rules = &settings.reservation;
    let mut ceilings = ToolCeilings::default();
    for tool in &request.typed_tools {
        let uses = tool.max_uses.unwrap_or(rules.server_tool_default_uses);
        let uses_allowed = tool.max_uses.unwrap_or(USES_UNLIMITED);
        let is_free = is_free(tool, settings);
        // Each use upstream reads the prompt once more, whether it has a price or not.
        let is_run_upstream = tool.kind.starts_with(ADVISOR) || tool.kind.starts_with(TOOL_SEARCH);
        let counted = match (is_free, is_run_upstream) {
            (true, true) => uses,
            (true, false) => 0,
            (false, _) => uses_allowed,
        };
        ceilings.uses_allowed = ceilings.uses_allowed.saturating_add(counted);
        let tokens = if is_version_of(&tool.kind, WEB_SEARCH) {
            ceilings.searches = ceilings.searches.saturating_add(uses);
            ceilings.searches_allowed = ceilings.searches_allowed.saturating_add(uses_allowed);
            uses.saturating_mul(rules.web_search_tokens)
        } else if is_version_of(&tool.kind, WEB_FETCH) {
            uses.saturating_mul(rules.web_fetch_tokens)
        } else if is_free {
            0
        } else {
            let message =
                format!("tools: {} is not supported here: it has no price", echo(&tool.kind));
            return Err(ApiError::invalid_request(message));
        };
        ceilings.input_tokens = ceilings.input_tokens.saturating_add(tokens);
        if tokens > 0 || is_version_of(&tool.kind, ADVISOR) {
            ceilings.passes = ceilings.passes.saturating_add(uses);
        }
    }
    Ok(ceilings)
}

fn is_free(tool: &ToolUse, settings: &Settings) -> bool {
    let is_priced_advisor = is_version_of(&tool.kind, ADVISOR) && tool.model.is_some();
    is_priced_advisor || settings.tools.is_free(&tool.kind)
}

/// A client's own word, short enough to be sent back.
fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX).collect()
}
