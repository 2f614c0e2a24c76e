//! `GET /api/v1/deposits/{id}/events` and `GET /api/v1/deposits/events`: a deposit, and the list of
//! them, as they change, as server-sent events.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data, Path};
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::watch::{Crowded, WatchedName, WatchedState, Watcher};
use super::{has_deposits, is_paid};
use crate::api::Api;
use crate::api::answer::{EventBody, EventsOrNone};
use crate::api::extractors::AccountCaller;
use crate::api::refusal::Refusal;
use crate::db::AnyConnection;
use crate::tracker::Tracker;

/// A comment is sent after so long without an event, so that nothing on the way takes the stream
/// for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after so long, and its reader comes again: who may see the deposit is then looked
/// at anew.
const LONGEST: Duration = Duration::from_mins(10);
/// What readers wait before they come again, in milliseconds, as the stream's first line.
const RETRY: &str = "retry: 3000\n\n";

/// What a reader that comes again says of what it has.
const LAST_EVENT_ID: &str = "last-event-id";
/// The id of an event behind which there are none, and that of all others.
const LAST: &str = "last";
const GOES_ON: &str = "goes-on";

/// An event, for the document.
pub(in crate::api) struct DepositEvent;

impl PartialSchema for DepositEvent {
    fn schema() -> RefOr<Schema> {
        let text =
            |words: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(words));
        let data = "What `GET /api/v1/deposits/{id}` answers, as JSON.";
        ObjectBuilder::new()
            .property("event", text("Always `deposit`.").enum_values(Some(["deposit"])))
            .property(
                "id",
                text("Whether more events may follow.").enum_values(Some([GOES_ON, LAST])),
            )
            .property("data", text(data).content_media_type("application/json"))
            .required("event")
            .required("id")
            .required("data")
            .into()
    }
}

impl ToSchema for DepositEvent {}

/// Follow a deposit or a claim.
///
/// Server-sent events: `deposit` with the whole document at the start and after each change, and
/// comments in between. The stream ends when no more changes are expected, or after ten minutes. A
/// reconnecting client gets the document again. If it already has the last one, it gets 204, so
/// that an `EventSource` stops reconnecting.
#[utoipa::path(
    get, path = "/api/v1/deposits/{id}/events", operation_id = "follow_deposit",
    params(("id" = String, Path, description = "A deposit (`dep_…`) or a claim (`claim_…`).")),
    responses(
        (status = 200, description = "The stream; the schema describes one event."),
        (status = 204, description = "No events after `last-event-id`."),
        (status = 404, description = "`not_found`: no deposit or claim of this account."),
        (status = 429, description = "`too_many_streams`: close an open one."),
        (status = 503,
            description = "`streams_full`: poll the document every `retry-after` seconds. Half of \
                the capacity is reserved for deposits that already belong to an account."),
    ),
)]
pub(in crate::api) async fn follow(
    caller: AccountCaller,
    api: Data<Api>,
    http: HttpRequest,
    id: Path<String>,
) -> Result<EventsOrNone<DepositEvent>, Refusal> {
    let known = http.headers().get(LAST_EVENT_ID);
    let has_last = known.is_some_and(|id| id.as_bytes() == LAST.as_bytes());
    let (events, is_last) = open(&api, (caller.account_id, Some(id.into_inner()))).await?;
    Ok(if is_last && has_last { EventsOrNone::None } else { EventsOrNone::Events(events) })
}

/// An event of the list, for the document.
pub(in crate::api) struct DepositsEvent;

impl PartialSchema for DepositsEvent {
    fn schema() -> RefOr<Schema> {
        let text =
            |words: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(words));
        let data = "What `GET /api/v1/deposits?limit=20` answers, as JSON.";
        ObjectBuilder::new()
            .property("event", text("Always `deposits`.").enum_values(Some(["deposits"])))
            .property("id", text("More events may always follow.").enum_values(Some([GOES_ON])))
            .property("data", text(data).content_media_type("application/json"))
            .required("event")
            .required("id")
            .required("data")
            .into()
    }
}

impl ToSchema for DepositsEvent {}

/// Follow the list of deposits.
///
/// Server-sent events: `deposits` with the twenty newest deposits and claims at the start and after
/// each change or new deposit, and comments in between. The stream ends after ten minutes. A
/// reconnecting client gets the list again.
#[utoipa::path(
    get, path = "/api/v1/deposits/events", operation_id = "follow_deposits",
    responses(
        (status = 200, description = "The stream; the schema describes one event."),
        (status = 429, description = "`too_many_streams`: close an open one."),
        (status = 503,
            description = "`streams_full`: poll the list every `retry-after` seconds. Half of the \
                capacity is reserved for accounts with deposits."),
    ),
)]
pub(in crate::api) async fn follow_all(
    caller: AccountCaller,
    api: Data<Api>,
) -> Result<EventBody<DepositsEvent>, Refusal> {
    let (events, _) = open(&api, (caller.account_id, None)).await?;
    Ok(events)
}

/// Opens a stream of what the account may see; whether its first event is the last, too.
async fn open<E>(api: &Api, name: WatchedName) -> Result<(EventBody<E>, bool), Refusal> {
    let chains = api.parts.context.settings.chains.clone();
    let (account_id, id) = name.clone();
    let event = if id.is_some() { "deposit" } else { "deposits" };
    let look = move |conn: &mut AnyConnection| match id {
        Some(id) => is_paid(conn, account_id, &id),
        None => has_deposits(conn, account_id),
    };
    let is_paid = api.run(look).await?;
    let tracker = &api.parts.context.tracker;
    // Before the first look, so that no change falls between it and the stream.
    let watcher =
        api.watchers.join(tracker, (name.clone(), is_paid)).map_err(|crowded| match crowded {
            Crowded::Account(most) => Refusal::TooManyStreams(most),
            Crowded::Node => Refusal::StreamsFull,
        })?;
    let told = api.run(move |conn| WatchedState::read(conn, &chains, &name)).await?;
    let told = told.ok_or(Refusal::NotFound)?;
    let is_last = told.is_last;
    let now = Instant::now();
    let stream = EventStream {
        event,
        watcher,
        next: Some(told),
        sent: None,
        is_begun: false,
        ends_at: now + LONGEST,
        tracker: tracker.clone(),
        _token: tracker.token(),
    };
    let events = EventBody::new(unfold(stream, |mut stream| async move {
        let piece = stream.piece().await?;
        Some((Ok(piece), stream))
    }));
    Ok((events, is_last))
}

struct EventStream {
    /// What its events are called.
    event: &'static str,
    watcher: Watcher,
    /// To be sent now.
    next: Option<WatchedState>,
    /// What was sent last.
    sent: Option<WatchedState>,
    is_begun: bool,
    ends_at: Instant,
    tracker: Tracker,
    /// A stop waits for the stream, which ends as soon as it hears of it.
    _token: TaskTrackerToken,
}

impl EventStream {
    /// The next piece; none when the stream is over.
    async fn piece(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(Bytes::from_static(RETRY.as_bytes()));
        }
        if let Some(told) = self.next.take() {
            return Some(self.event(told));
        }
        if self.sent.as_ref().is_some_and(|told| told.is_last) {
            return None;
        }
        let beat_at = (Instant::now() + HEARTBEAT).min(self.ends_at);
        loop {
            tokio::select! {
                heard = self.watcher.told.changed() => {
                    // An error says that nobody looks any more.
                    heard.ok()?;
                    let told = self.watcher.told.borrow_and_update().clone();
                    if let Some(told) = told.filter(|told| self.sent.as_ref() != Some(told)) {
                        return Some(self.event(told));
                    }
                }
                () = sleep_until(beat_at) => {
                    let is_over = Instant::now() >= self.ends_at;
                    return (!is_over).then(|| Bytes::from_static(b": still here\n\n"));
                }
                () = self.tracker.draining() => return None,
            }
        }
    }

    fn event(&mut self, told: WatchedState) -> Bytes {
        let id = if told.is_last { LAST } else { GOES_ON };
        let mut event = format!("event: {}\nid: {id}\ndata: ", self.event).into_bytes();
        event.extend_from_slice(&told.document);
        event.extend_from_slice(b"\n\n");
        self.sent = Some(told);
        event.into()
    }
}
