//! From a body to a request that is admitted: everything that takes longer the longer the body is.
//! What is large is read on a thread that may take its time, so that the streams of this worker go
//! on; a few at once, shared fairly.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::HttpRequest;
use bytes::Bytes;
use tokio::time::Instant;

use super::unknown_fields::UnknownFields;
use super::{Gateway, admission, auth, conversation};
use crate::config::{self, Settings};
use crate::context::AppContext;
use crate::db::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::clock::UnixMillis;
use crate::domain::messages_request::{self, Fallbacks, LARGE_BYTES, MessagesRequest};
use crate::domain::money::NanoUsd;
use crate::domain::quote::Quote;
use crate::holds::Lesson;
use crate::http::bodies::Bodies;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::places::shares::{SharedPlaces, Shares};
use crate::upstream::order::Conversation;

/// How long a large body waits for a thread: each takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all workers share for it.
pub struct Intake {
    /// Bytes of bodies in memory.
    pub bodies: Arc<Bodies>,
    /// Large bodies that are read at once: one for each processor, half of them for one account.
    large: Arc<SharedPlaces>,
}

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
    names: Option<conversation::Names>,
    /// Whether it is a request for a count of tokens, which holds no money.
    is_count: bool,
}

impl Intake {
    /// Nothing in memory so far.
    #[must_use]
    pub fn new(settings: &Settings, metrics: &Metrics) -> Arc<Self> {
        let threads = available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            bodies: Bodies::new(&settings.limits, metrics.body_bytes.clone()),
            large: Places::new(Shares::half_each(Some(threads))),
        })
    }
}

/// Refuses who certainly has no credit, before his body is read: he would be refused behind it.
///
/// # Errors
/// 402.
pub(super) fn refuse_without_credit(gateway: &Gateway, holder: &KeyHolder) -> Result<(), ApiError> {
    if has_credit(gateway, holder) { Ok(()) } else { Err(no_credit(gateway, holder, "")) }
}

/// The limits of a request for a count of tokens by somebody without credit, and what he hears
/// beyond them.
pub(super) fn limit_without_credit(
    gateway: &Gateway,
    holder: &KeyHolder,
) -> Option<(config::Limits, ApiError)> {
    if has_credit(gateway, holder) {
        return None;
    }
    let mut limits = gateway.settings().limits.clone();
    limits.body_bytes = limits.body_bytes_without_credit.min(limits.body_bytes);
    let beyond = format!(" except token counts of up to {} bytes", limits.body_bytes);
    Some((limits, no_credit(gateway, holder, &beyond)))
}

/// Whether something may be left of an account's funds. Where something is sold for nothing,
/// nothing may do.
fn has_credit(gateway: &Gateway, holder: &KeyHolder) -> bool {
    let is_zero = holder.funds == NanoUsd::ZERO;
    holder.funds > NanoUsd::ZERO || (is_zero && gateway.settings().prices.has_free())
}

fn no_credit(gateway: &Gateway, holder: &KeyHolder, beyond: &str) -> ApiError {
    let (funds, site) = (holder.funds, gateway.settings().site.base_url.as_str());
    let may_know = holder.limits.scopes.tell_the_balance();
    let of_funds = if may_know { format!(" of {funds} USD") } else { String::new() };
    ApiError::billing(format!(
        "Your credit{of_funds} does not cover any request{beyond}. Add credit at {site}/deposits"
    ))
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
        let mut quote = admission::quote(&request, settings, now)?;
        auth::check_models(&self.holder, &quote.model_ids)?;
        let mut lesson = Lesson::default();
        if !self.is_count {
            check_fallbacks(&self.holder, &request)?;
            let whose = (self.holder.account_id, quote.model.id.as_str());
            let rules = &settings.reservation;
            let estimate = self.context.holds.estimate(whose, &request, &self.body, rules, now);
            admission::set_prompt(&mut quote, estimate.0);
            lesson = estimate.1;
        }
        let conversation = conversation::of(self.names, &self.body, &self.holder);
        Ok(Admitted { request, quote, lesson, conversation, now })
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
