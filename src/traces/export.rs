//! The exporter: sends what was recorded to the collector, some traces at a time, by HTTP and
//! protobuf. One that does not answer, or refuses, loses what was sent to it.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use awc::{Client, Connector};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Duration;

use super::wire::{
    AnyValue, AttributeValue, ExportRequest, KeyValue, ResourceSpans, ScopeSpans, SpanStatus,
    TraceResource, TraceScope, WireSpan,
};
use super::{Note, Queued, Recorder, Recording, SpanRecord, Tracer};
use crate::config::Otlp;
use crate::domain::clock::Clock;
use crate::domain::ids::random_bytes;
use crate::metrics::traces::TraceMetrics;

/// How long a trace waits for others to go with it.
const GATHER: Duration = Duration::from_millis(200);
/// Traces in one request at most.
const BATCH_MAX: usize = 256;
/// Bytes of the collector's answer that are read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("sluice/", env!("CARGO_PKG_VERSION")));

/// See the module.
struct TraceExporter {
    queue: Option<mpsc::Receiver<Queued>>,
    collector: Rc<Collector>,
}

struct Collector {
    client: Client,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    node_id: Arc<str>,
    metrics: TraceMetrics,
}

impl Actor for TraceExporter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(queue) = self.queue.take() else { return };
        ctx.spawn(Rc::clone(&self.collector).run(queue).into_actor(self));
    }
}

/// Starts the exporter, if there is an endpoint.
///
/// # Errors
/// Why the headers cannot be read; the settings were checked before.
pub fn start(
    settings: &Otlp,
    (clock, node_id): (&Clock, &Arc<str>),
    metrics: &TraceMetrics,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Tracer, String> {
    let Some(endpoint) = &settings.endpoint else { return Ok(Tracer::default()) };
    let (sender, queue) = mpsc::channel(settings.queue_max);
    let connector = Connector::new().rustls_0_23(Arc::clone(tls)).limit(1);
    let client = Client::builder().connector(connector).no_default_headers().disable_redirects();
    let collector = Rc::new(Collector {
        client: client.disable_timeout().finish(),
        url: format!("{endpoint}/v1/traces"),
        headers: settings.headers()?,
        timeout: settings.timeout,
        node_id: Arc::clone(node_id),
        metrics: metrics.clone(),
    });
    drop(Actor::start(TraceExporter { queue: Some(queue), collector }));
    Ok(Tracer(Some(Arc::new(Recorder {
        sample_per_thousand: settings.sample_per_thousand,
        is_genai: settings.genai,
        accepts_parent: settings.accept_traceparent,
        queue: sender,
        metrics: metrics.clone(),
        clock: clock.clone(),
    }))))
}

impl Collector {
    async fn run(self: Rc<Self>, mut queue: mpsc::Receiver<Queued>) {
        while let Some(first) = queue.recv().await {
            let mut traces = Vec::new();
            let mut flushed: Option<oneshot::Sender<()>> = None;
            let mut next = Some(first);
            if matches!(next, Some(Queued::Trace(_))) && queue.len() < BATCH_MAX {
                tokio::time::sleep(GATHER).await;
            }
            while let Some(queued) = next {
                match queued {
                    Queued::Trace(trace) => traces.push(*trace),
                    Queued::Flush(done) => flushed = Some(done),
                }
                let goes_on = flushed.is_none() && traces.len() < BATCH_MAX;
                next = if goes_on { queue.try_recv().ok() } else { None };
            }
            if !traces.is_empty() {
                self.send(traces).await;
            }
            if flushed.is_some_and(|done| done.send(()).is_err()) {
                tracing::trace!("nobody waits for the last traces");
            }
        }
    }

    async fn send(&self, traces: Vec<Recording>) {
        let spans: Vec<WireSpan> = traces.into_iter().flat_map(wire_spans).collect();
        let count = spans.len();
        let body = self.request(spans).encode_to_vec();
        let mut request = self.client.post(&self.url).insert_header((CONTENT_TYPE, PROTOBUF));
        request = request.insert_header((USER_AGENT, AGENT));
        for header in &self.headers {
            request = request.insert_header(header.clone());
        }
        let sent = tokio::time::timeout(self.timeout, async {
            let mut answer = request.send_body(body).await.map_err(|_| "it cannot be reached")?;
            // The connection is used again once the answer is read.
            if answer.body().limit(ANSWER_MAX_BYTES).await.is_err() {
                return Err("it broke off");
            }
            if answer.status().is_success() { Ok(()) } else { Err("it refuses them") }
        });
        match sent.await.unwrap_or(Err("it does not answer in time")) {
            Ok(()) => self.metrics.count("sent", count),
            Err(why) => {
                self.metrics.count("failed", count);
                tracing::debug!(why, "the collector has not taken traces");
            }
        }
    }

    fn request(&self, spans: Vec<WireSpan>) -> ExportRequest {
        let attributes = vec![
            text("service.name", "sluice"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &self.node_id),
        ];
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = Some(TraceScope { name: "sluice".to_owned(), version });
        let scope_spans = vec![ScopeSpans { scope, spans }];
        let resource = Some(TraceResource { attributes });
        ExportRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AttributeValue::Text(value.to_owned()));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }) }
}

/// The spans of a trace, all of which have ended.
fn wire_spans(trace: Recording) -> Vec<WireSpan> {
    let Recording { trace_id, parent, began_nanos, spans, .. } = trace;
    let Ok(seed) = random_bytes::<8>() else { return Vec::new() };
    let seed = u64::from_be_bytes(seed);
    // Ids within a trace only have to differ.
    let id = |at: usize| {
        let id = seed.wrapping_add(u64::try_from(at).unwrap_or(0)).max(1);
        id.to_be_bytes().to_vec()
    };
    let nanos = |moment: Duration| {
        began_nanos.saturating_add(u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX))
    };
    let wire = spans.into_iter().enumerate().map(|(at, span)| {
        let SpanRecord { within, name, is_call, began, ended, has_failed, notes } = span;
        let client = parent.map_or_else(Vec::new, |span| span.to_vec());
        WireSpan {
            trace_id: trace_id.to_vec(),
            span_id: id(at),
            parent_span_id: within.map_or(client, id),
            name: name.to_owned(),
            kind: if is_call { 3 } else { 1 + i32::from(at == 0) },
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(ended.unwrap_or(began)),
            attributes: notes.into_iter().map(attribute).collect(),
            status: has_failed.then_some(SpanStatus { code: 2 }),
        }
    });
    wire.collect()
}

fn attribute((key, note): (&'static str, Note)) -> KeyValue {
    let value = Some(match note {
        Note::Text(text) => AttributeValue::Text(text),
        Note::Count(count) => AttributeValue::Count(count),
        Note::Flag(flag) => AttributeValue::Flag(flag),
    });
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }) }
}
