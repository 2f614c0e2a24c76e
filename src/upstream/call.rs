//! A call to an upstream, the one way for messages, counts and our own requests: whom to ask, the
//! head, a refusal read within limits, failover to the next upstream, and what is noted of it.
//!
//! It knows nothing of money, and nothing of how an answer goes on to its client.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use futures_util::future::select_ok;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyLimits, REFUSAL, read_short};
use super::client::{UpstreamClient, UpstreamError, UpstreamResponse};
use super::fault::{Failure, FailureKind, Fault};
use super::health::{Availability, Change, Met};
pub use super::node::CallContext;
use super::{Upstream, UpstreamRequest, credential, probe, refusal};
use crate::domain::ids::{AccountId, RequestId};
use crate::places::shares::SharedPlace;

/// A request that is to be answered, whoever does.
#[derive(Clone)]
pub struct UpstreamCall {
    /// Its name, for the log.
    pub request_id: RequestId,
    /// Where it runs.
    pub node: CallContext,
    /// Whose it is.
    pub account: AccountId,
    /// The priced id of its model.
    pub model_id: String,
    /// Whether what comes of it counts for an upstream's health. A count of tokens costs nothing,
    /// so that anybody could send as many as he likes.
    pub is_noted: bool,
    /// Time for the head of an answer: for so long others wait for a first request after a rest.
    pub patience: Duration,
    /// Time to wait for a place, where all upstreams have as many requests as they may.
    pub wait: Duration,
}

/// An upstream's turn to be asked.
pub struct UpstreamTurn<'a> {
    /// Which.
    pub client: &'a UpstreamClient,
    /// How many may still come after it.
    pub left: usize,
    /// Whether a place there was waited for.
    pub has_waited: bool,
    place: Option<SharedPlace>,
}

/// There is no place at an upstream.
struct NoPlace;

/// What an upstream answered.
pub struct Answered<T> {
    /// The answer, or its beginning.
    pub answer: T,
    /// Whether it is one for certain. Else whoever reads on says what has come of it.
    pub is_certain: bool,
}

impl<T> Answered<T> {
    /// An answer that is one.
    pub const fn certain(answer: T) -> Self {
        Self { answer, is_certain: true }
    }
}

impl UpstreamCall {
    /// Asks one upstream after the other, until one answers, the request itself is refused, or none
    /// is left. One that has as many requests as it may is passed over; where no other answers, a
    /// place there is waited for.
    ///
    /// # Errors
    /// The last failure.
    pub async fn each<T>(
        &self,
        upstreams: &[UpstreamClient],
        mut ask: impl AsyncFnMut(UpstreamTurn<'_>) -> Result<Answered<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut last = None;
        let mut full = Vec::new();
        for (at, client) in upstreams.iter().enumerate() {
            let behind = upstreams.len().saturating_sub(at).saturating_sub(1);
            let is_last_resort = behind == 0 && last.is_none() && full.is_empty();
            let Ok(place) = self.place(client) else {
                if !self.rests(client) {
                    self.node.metrics.upstreams.count(&client.upstream.settings.name, "full");
                    full.push(client);
                }
                continue;
            };
            let is_tried = is_last_resort && client.upstream.health.is_worth_a_try();
            if !self.admits(client) && !is_tried {
                continue;
            }
            let left = behind.saturating_add(full.len());
            let turn = UpstreamTurn { client, left, has_waited: false, place };
            // On the heap, for as long as it takes: a stream that has begun is smaller.
            match Box::pin(self.ask_one(&mut ask, turn)).await {
                Err(failure) if failure.asks_next() => last = Some(failure),
                ended => return ended,
            }
        }
        let until = Instant::now() + self.wait;
        while !full.is_empty() {
            let Some((at, place)) = self.wait_for_place(&full, until).await else {
                last = last.or_else(|| Some(self.refuse_full()));
                break;
            };
            let client = full.remove(at);
            // What was learned of it meanwhile counts.
            if !self.admits(client) {
                continue;
            }
            let turn =
                UpstreamTurn { client, left: full.len(), has_waited: true, place: Some(place) };
            match Box::pin(self.ask_one(&mut ask, turn)).await {
                Err(failure) if failure.asks_next() => last = Some(failure),
                ended => return ended,
            }
        }
        Err(last.unwrap_or_else(|| Failure::resting(1)))
    }

    /// Whether an upstream is asked now. After a rest that may be the one request that tries it.
    fn admits(&self, client: &UpstreamClient) -> bool {
        let (health, now) = (&client.upstream.health, self.node.clock.now());
        if self.is_noted {
            health.admit(self.account, now, self.patience)
        } else {
            !self.rests(client)
        }
    }

    fn rests(&self, client: &UpstreamClient) -> bool {
        let now = self.node.clock.now();
        let standing = client.upstream.health.standing(self.account, &self.model_id, now);
        matches!(standing, Availability::Rests(_))
    }

    /// A place for this call, if there is one. Counts of tokens need none: they are free and short,
    /// and must keep nobody from an answer.
    fn place(&self, client: &UpstreamClient) -> Result<Option<SharedPlace>, NoPlace> {
        if !self.is_noted {
            return Ok(None);
        }
        client.upstream.places.take(&self.account).map(Some).ok_or(NoPlace)
    }

    /// The first place that comes free at one of these upstreams, and at which.
    async fn wait_for_place(
        &self,
        full: &[&UpstreamClient],
        until: Instant,
    ) -> Option<(usize, SharedPlace)> {
        let waiting = full.iter().enumerate().map(|(at, client)| {
            Box::pin(async move {
                let place = client.upstream.places.wait(&self.account, until).await;
                place.map(|place| (at, place)).ok_or(())
            })
        });
        tokio::select! {
            found = select_ok(waiting) => found.ok().map(|(found, _)| found),
            () = self.node.tracker.draining() => None,
        }
    }

    /// Nobody could be asked since all are full: it is said, as nobody was asked.
    fn refuse_full(&self) -> Failure {
        tracing::info!(request_id = self.request_id.as_str(), "all upstreams are full");
        Failure::full()
    }

    async fn ask_one<T>(
        &self,
        ask: &mut impl AsyncFnMut(UpstreamTurn<'_>) -> Result<Answered<T>, Failure>,
        turn: UpstreamTurn<'_>,
    ) -> Result<T, Failure> {
        let (client, left) = (turn.client, turn.left);
        let began = Instant::now();
        let number = client.upstream.credential.number();
        let mut asked = ask(turn).await;
        if let Err(failure) = &asked
            && failure.is_in_place_of_head
            && failure.fault == Some(Fault::Credential)
            && failure.asks_next()
            && credential::is_renewed(&self.node, &client.upstream, number)
            && let Ok(place) = self.place(client)
        {
            self.log(client, failure, began.elapsed());
            asked = ask(UpstreamTurn { client, left, has_waited: false, place }).await;
        }
        match asked {
            Ok(Answered { answer, is_certain }) => {
                if is_certain {
                    self.note_answer(client);
                }
                Ok(answer)
            }
            Err(failure) => {
                self.note_failure(client, &failure, began.elapsed());
                Err(failure)
            }
        }
    }

    /// Sends the request and waits until `deadline` for a head that an answer can follow. `late`
    /// is told when it has passed, and may name another.
    ///
    /// # Errors
    /// Every [`FailureKind`] but those of a body.
    pub async fn head(
        &self,
        turn: UpstreamTurn<'_>,
        request: &UpstreamRequest,
        wants_stream: bool,
        deadline: Instant,
        mut late: impl FnMut() -> Option<Instant>,
    ) -> Result<UpstreamResponse, Failure> {
        let UpstreamTurn { client, place, .. } = turn;
        let mut deadline = deadline;
        let began = Instant::now();
        let mut sending = std::pin::pin!(client.send(request));
        let sent = loop {
            let sent = tokio::select! {
                sent = timeout_at(deadline, &mut sending) => sent,
                () = self.node.tracker.cut_token().cancelled() => return Err(Failure::stopped()),
            };
            match sent {
                Ok(sent) => break sent,
                Err(_) => deadline = late().ok_or_else(Failure::no_head)?,
            }
        };
        let answer = match sent {
            Ok(answer) => UpstreamResponse { place, ..answer },
            Err(UpstreamError::Unreachable(why)) => return Err(Failure::unreachable(false, why)),
            Err(UpstreamError::Broken(why)) => return Err(Failure::unreachable(true, why)),
            Err(UpstreamError::BadAnswer(why)) => return Err(self.unacceptable(client, why)),
        };
        let name = &client.upstream.settings.name;
        self.node.metrics.upstreams.observe_head(name, began.elapsed());
        self.look_at(client, answer, wants_stream, deadline).await
    }

    async fn look_at(
        &self,
        client: &UpstreamClient,
        mut answer: UpstreamResponse,
        wants_stream: bool,
        deadline: Instant,
    ) -> Result<UpstreamResponse, Failure> {
        let status = answer.status;
        let is_refusal = status.is_client_error() || status.is_server_error();
        let checked = answer.check(wants_stream);
        // Some say with status 200 and a document that there is no stream.
        let may_be_refusal = checked.is_err() && status == StatusCode::OK && is_json(&answer);
        if is_refusal || may_be_refusal {
            // A refusal that hangs takes no time from the upstreams behind this one.
            let left = deadline.saturating_duration_since(Instant::now());
            let limits = BodyLimits { whole: REFUSAL.whole.min(left), ..REFUSAL };
            let body = read_short(&self.node, &mut answer, limits).await?;
            let told = if is_refusal { Some(status) } else { refusal::error_document(&body) };
            if let Some(status) = told {
                let head = Some(&answer.headers);
                let refused = self.refused(client, FailureKind::Refused, status, &body, head);
                return Err(Failure { is_in_place_of_head: true, ..refused });
            }
        }
        match checked {
            Ok(()) => Ok(answer),
            Err(UpstreamError::BadAnswer(why)) => Err(self.unacceptable(client, why)),
            Err(_) => Err(self.unacceptable(client, "unreachable")),
        }
    }

    /// What a refusal means. A 403 is the operator's where several accounts have met one of late,
    /// and else like any other refusal.
    #[must_use]
    pub fn refused(
        &self,
        client: &UpstreamClient,
        way: FailureKind,
        status: StatusCode,
        body: &[u8],
        head: Option<&HeaderMap>,
    ) -> Failure {
        let upstream = &client.upstream;
        let mut refused = refusal::sort(status, body, &upstream.settings.credential_phrases);
        let now = self.node.clock.now();
        let is_many = self.is_noted
            && refused.fault == Fault::Forbidden
            && upstream.health.note_forbidden(self.account, now, &upstream.limits());
        if is_many {
            refused.fault = Fault::Credential;
            refused.error = refusal::operators_trouble();
        }
        let mut failure = Failure::refused(way, refused.fault, refused.error, head);
        failure.upstream_status = Some(status.as_u16());
        if failure.fault == Some(Fault::Limited) && failure.retry_after_secs.is_none() {
            failure.error.retry_after_secs = Some(1);
        }
        failure
    }

    /// A head or a document that no answer can follow or be, with the reason.
    #[must_use]
    pub fn unacceptable(&self, client: &UpstreamClient, why: &'static str) -> Failure {
        self.node.alert_daily("upstream answer not acceptable", &client.upstream.settings.name);
        Failure::bad_answer(why)
    }

    /// Notes that an upstream has answered.
    pub fn note_answer(&self, client: &UpstreamClient) {
        let upstream = &client.upstream;
        self.node.metrics.upstreams.count(&upstream.settings.name, "answered");
        if self.is_noted {
            let now = self.node.clock.now();
            let change = upstream.health.note_answer(self.account, &self.model_id, now);
            self.node.tell(upstream, change);
        }
    }

    /// One line for the operator, with both names of the request and nothing of its content.
    fn log(&self, client: &UpstreamClient, failure: &Failure, took: Duration) {
        let (upstream, request_id) = (&client.upstream.settings.name, self.request_id.as_str());
        let (upstream_request_id, status) = (&failure.upstream_request_id, failure.upstream_status);
        let (way, fault) = (failure.way.as_str(), failure.fault.map(Fault::as_str));
        let why = failure.why.as_deref();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            request_id,
            upstream,
            upstream_request_id,
            status,
            way,
            why,
            fault,
            ms,
            "an upstream did not answer"
        );
    }

    /// Notes that an upstream has not answered, and why.
    pub fn note_failure(&self, client: &UpstreamClient, failure: &Failure, took: Duration) {
        self.log(client, failure, took);
        let upstream = &client.upstream;
        let Some(fault) = failure.fault else { return };
        self.node.metrics.upstreams.count(&upstream.settings.name, fault.as_str());
        if fault == Fault::Credential {
            self.node.alert_daily("upstream refuses our credential", &upstream.settings.name);
        }
        if !self.is_noted {
            return;
        }
        let met = Met {
            account: self.account,
            model_id: &self.model_id,
            fault,
            retry_after_secs: failure.retry_after_secs,
            at: self.node.clock.now(),
        };
        let (change, is_suspect) = upstream.health.note_fault(met, &upstream.limits());
        self.node.tell(upstream, change);
        if is_suspect {
            probe::spawn(&self.node, client);
        }
    }
}

impl CallContext {
    /// One line for each change, and a gauge.
    pub(super) fn tell(&self, upstream: &Upstream, change: Option<Change>) {
        let upstream = &upstream.settings.name;
        match change {
            None => {}
            Some(Change::Rests(why, span)) => {
                let (why, secs) = (why.as_str(), span.as_secs());
                tracing::warn!(upstream, why, secs, "an upstream is left alone");
                self.metrics.upstreams.set_resting(upstream, true);
            }
            Some(Change::Serves) => {
                tracing::info!(upstream, "an upstream is used again");
                self.metrics.upstreams.set_resting(upstream, false);
            }
        }
    }

    /// An alert that is counted and logged once a day for each upstream.
    pub fn alert_daily(&self, what: &'static str, upstream: &str) {
        if self.metrics.alert_daily(what, upstream, self.clock.now()) {
            tracing::error!(upstream, what, "alert; it is not repeated today");
        }
    }
}

fn is_json(answer: &UpstreamResponse) -> bool {
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|given| given.to_ascii_lowercase().starts_with("application/json"))
}
