//! The `RpcActor`: one JSON-RPC provider of one chain. It keeps to the provider's pace, sends what
//! enters a credit before what users ask about, leaves a provider alone that fails, and decides
//! nothing.
//!
//! Its address is a secret: no log, error or metric shows more than the provider's name.

pub mod answer;
pub mod breaker;
mod call;
pub mod error;
pub mod handle;
pub mod health;
pub mod limit;
pub mod pace;
mod transport;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::endpoint::ProviderEndpoint;
use crate::domain::backoff::jitter;
use crate::metrics::Metrics;
use crate::telemetry::Causes;
use breaker::{Breaker, BreakerDecision};
use call::ProviderConnection;
pub use error::{CallError, CallErrorKind, ProviderError};
pub use handle::{Answers, BlockId, CallBatch, Priority, Provider, RpcCall, quantity, read};
use health::ProviderHealth;
use pace::CallRate;
use transport::RpcTransport;

/// Batches in the mailbox before senders have to wait themselves.
const MAILBOX: usize = 1024;

type BatchResult = Result<Answers, ProviderError>;

/// See the module.
pub struct RpcActor {
    endpoint: Arc<ProviderEndpoint>,
    exchange: Rc<ProviderConnection>,
    standing: Arc<ProviderHealth>,
    metrics: Arc<Metrics>,
    /// The chain's number, as metrics name it.
    chain: String,
    pace: CallRate,
    breaker: Breaker,
    /// By priority, the higher first.
    queues: [VecDeque<QueuedBatch>; 2],
    in_flight: usize,
    /// When the queue is looked at again without any news.
    wakes_at: Option<Instant>,
}

/// A batch that waits for its turn.
struct QueuedBatch {
    calls: Vec<RpcCall>,
    answer: oneshot::Sender<BatchResult>,
    gives_up_at: Instant,
}

impl RpcActor {
    /// Starts the actor for a provider on an arbiter, and answers the handle to ask it by. It ends
    /// with the last of the handles.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        endpoint: ProviderEndpoint,
        tls: Arc<rustls::ClientConfig>,
        metrics: Arc<Metrics>,
    ) -> Provider {
        let endpoint = Arc::new(endpoint);
        let standing = Arc::new(endpoint.standing());
        let own = (Arc::clone(&endpoint), Arc::clone(&standing));
        // awc's client stays on the thread where it was made.
        let address = Self::start_in_arbiter(arbiter, move |_| Self::new(own, &tls, metrics));
        Provider::new(&endpoint, standing, address.recipient())
    }

    fn new(
        (endpoint, standing): (Arc<ProviderEndpoint>, Arc<ProviderHealth>),
        tls: &Arc<rustls::ClientConfig>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let transport = RpcTransport::new(Arc::clone(&endpoint), tls);
        let batch_max = u64::try_from(endpoint.batch_max).unwrap_or(u64::MAX);
        Self {
            exchange: Rc::new(ProviderConnection::new(transport, batch_max)),
            standing,
            chain: endpoint.chain_id.to_string(),
            pace: CallRate::new(endpoint.calls_per_second, Instant::now()),
            breaker: Breaker::new(endpoint.breaker_failures, endpoint.breaker_pause),
            endpoint,
            metrics,
            queues: Default::default(),
            in_flight: 0,
            wakes_at: None,
        }
    }

    /// Why a batch need not even wait.
    fn refusal(&self, now: Instant) -> Option<ProviderError> {
        if self.breaker.is_open(now) {
            return Some(ProviderError::BreakerOpen);
        }
        if let Some(retry_after) = self.pace.pause_left(now)
            && retry_after > self.endpoint.patience
        {
            return Some(ProviderError::RateLimited { retry_after });
        }
        let waiting: usize = self.queues.iter().map(VecDeque::len).sum();
        (waiting >= self.endpoint.queue_max).then_some(ProviderError::Overloaded)
    }

    /// Sends what may be sent now.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.give_up(now);
        while self.in_flight < self.endpoint.in_flight_max.max(1) {
            let Some(next) = self.queues.iter().find_map(VecDeque::front) else { break };
            if self.breaker.is_open(now) {
                for waiting in self.queues.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>() {
                    self.refuse(waiting, ProviderError::BreakerOpen);
                }
                break;
            }
            if let Err(wait) = self.pace.take(next.calls.len(), now) {
                let gives_up_in = next.gives_up_at.saturating_duration_since(now);
                self.wake_in(wait.min(gives_up_in), now, ctx);
                break;
            }
            let Some(waiting) = self.queues.iter_mut().find_map(VecDeque::pop_front) else { break };
            // After the pace, since a trial that is let in must go.
            match self.breaker.enter(now) {
                BreakerDecision::Open => self.refuse(waiting, ProviderError::BreakerOpen),
                BreakerDecision::Closed | BreakerDecision::Trial => self.send(waiting, ctx),
            }
        }
    }

    /// Lets go of what nobody waits for, and of what has waited too long.
    fn give_up(&mut self, now: Instant) {
        for queue in 0..self.queues.len() {
            while let Some(waiting) = self.queues.get_mut(queue).and_then(|queue| {
                queue.pop_front_if(|first| first.answer.is_closed() || first.gives_up_at <= now)
            }) {
                let error = match self.pace.pause_left(now) {
                    Some(retry_after) => ProviderError::RateLimited { retry_after },
                    None => ProviderError::Overloaded,
                };
                self.refuse(waiting, error);
            }
        }
    }

    fn refuse(&self, waiting: QueuedBatch, error: ProviderError) {
        self.count(&waiting.calls, &Err(error));
        reply(waiting.answer, Err(error));
    }

    fn wake_in(&mut self, wait: Duration, now: Instant, ctx: &mut Context<Self>) {
        // A little more, so that the time has come even by a coarse timer.
        let wait = wait.saturating_add(Duration::from_millis(1));
        let at = now.checked_add(wait);
        if self.wakes_at.is_some_and(|wakes_at| wakes_at > now && Some(wakes_at) <= at) {
            return;
        }
        self.wakes_at = at;
        ctx.run_later(wait, |actor, ctx| {
            actor.wakes_at = None;
            actor.pump(ctx);
        });
    }

    fn send(&mut self, waiting: QueuedBatch, ctx: &mut Context<Self>) {
        let QueuedBatch { calls, answer, .. } = waiting;
        self.in_flight = self.in_flight.saturating_add(1);
        let (exchange, standing) = (Rc::clone(&self.exchange), Arc::clone(&self.standing));
        let started = Instant::now();
        let asked = async move {
            let answers = exchange.ask(&calls, &standing).await;
            (calls, answers)
        };
        let finish = asked.into_actor(self).map(move |(calls, answers), actor, ctx| {
            actor.finished(&calls, answers, started, answer);
            actor.pump(ctx);
        });
        ctx.spawn(finish);
    }

    fn finished(
        &mut self,
        calls: &[RpcCall],
        answered: BatchResult,
        started: Instant,
        answer: oneshot::Sender<BatchResult>,
    ) {
        let now = Instant::now();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.metrics.rpc.observe(&self.chain, &self.endpoint.name, now.duration_since(started));
        let result = match answered {
            Err(ProviderError::RateLimited { retry_after }) => {
                let asked = (!retry_after.is_zero()).then_some(retry_after);
                let retry_after = self.pace.pause(asked, jitter(), now);
                self.breaker.abstained();
                Err(ProviderError::RateLimited { retry_after })
            }
            // It may have been too much at once: who asked for the logs knows, and asks for less.
            Err(error)
                if error.is_failure() && calls.iter().all(|call| call.method == RpcCall::LOGS) =>
            {
                self.breaker.abstained();
                Err(error)
            }
            Err(error) if error.is_failure() => {
                let (provider, chain) = (&self.endpoint.name, &self.chain);
                tracing::debug!(%provider, %chain, error = %Causes(&error), "a request failed");
                if self.breaker.failed(now, jitter()) {
                    self.log("failed too often and is left alone for a while");
                }
                Err(error)
            }
            // Anything else is a word of a provider that works.
            other => {
                self.pace.answered(calls.len());
                self.breaker.succeeded();
                other
            }
        };
        self.note(calls, &result);
        self.count(calls, &result);
        reply(answer, result);
    }

    /// Notes how the provider stands. Who asks for logs notes what is refused of them, with the
    /// number of blocks.
    fn note(&self, calls: &[RpcCall], result: &BatchResult) {
        self.standing.set_limits(self.exchange.batch_calls(), self.pace.calls_per_second());
        let others = calls.iter().enumerate().filter(|(_, call)| call.method != RpcCall::LOGS);
        let refusal = |(place, call): (usize, &RpcCall)| match result {
            Err(error) => Some((call.method, *error)),
            Ok(answers) => match answers.get(place) {
                Some(Err(error)) if error.kind != CallErrorKind::Reverted => {
                    Some((call.method, ProviderError::Call(*error)))
                }
                _ => None,
            },
        };
        if let Some((method, error)) = others.filter_map(refusal).next_back() {
            self.standing.refused(method, error);
        }
    }

    fn log(&self, what: &'static str) {
        tracing::warn!(provider = %self.endpoint.name, chain = %self.chain, "the provider {what}");
    }

    fn count(&self, calls: &[RpcCall], result: &BatchResult) {
        for (place, call) in calls.iter().enumerate() {
            let outcome = match result {
                Err(error) => error.kind(),
                Ok(answers) if matches!(answers.get(place), Some(Ok(_))) => "ok",
                Ok(_) => "refused",
            };
            self.metrics.rpc.count_call(&self.chain, &self.endpoint.name, call.method, outcome);
        }
    }
}

fn reply(to: oneshot::Sender<BatchResult>, answer: BatchResult) {
    if to.send(answer).is_err() {
        tracing::trace!("an answer of a provider found nobody");
    }
}

impl Actor for RpcActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<CallBatch> for RpcActor {
    type Result = ResponseFuture<BatchResult>;

    fn handle(&mut self, batch: CallBatch, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        let now = Instant::now();
        let CallBatch { calls, priority } = batch;
        let gives_up_at = now.checked_add(self.endpoint.patience).unwrap_or(now);
        let waiting = QueuedBatch { calls, answer, gives_up_at };
        if let Some(error) = self.refusal(now) {
            self.refuse(waiting, error);
        } else if !waiting.calls.is_empty() {
            let [credit, claim] = &mut self.queues;
            match priority {
                Priority::Credit => credit.push_back(waiting),
                Priority::Claim => claim.push_back(waiting),
            }
            self.pump(ctx);
        } else {
            reply(waiting.answer, Ok(Answers::new()));
        }
        Box::pin(async move { answered.await.unwrap_or(Err(ProviderError::Stopped)) })
    }
}
