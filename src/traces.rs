//! Traces of exchanges for an OpenTelemetry collector: which step took how long, and how it ended.
//! A span holds fixed words, numbers, and names from the settings; never content, an account, a
//! key or an address.
//!
//! Nothing here waits for the collector. What it does not take in time is dropped and counted.
//! Without an endpoint nothing is recorded, and nothing allocated.

mod export;
mod wire;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

use crate::domain::clock::Clock;
use crate::domain::ids::{RequestId, random_bytes};
use crate::domain::usage_record::UsageRecord;
use crate::metrics::traces::TraceMetrics;
pub use export::start;

/// Spans of one trace at most: an exchange has a few for itself and one for each call.
const SPANS_MAX: usize = 32;
/// Nanoseconds of a millisecond.
const MILLI: u64 = 1_000_000;

/// Records exchanges, if traces are wanted.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

/// What all traces have in common.
struct Recorder {
    sample_per_thousand: u64,
    is_genai: bool,
    accepts_parent: bool,
    queue: mpsc::Sender<Queued>,
    metrics: TraceMetrics,
    clock: Clock,
}

/// What the exporter has to do.
enum Queued {
    Trace(Box<Recording>),
    /// To be answered once everything before it is sent.
    Flush(oneshot::Sender<()>),
}

/// One exchange, recorded or not. It is sent when it is dropped.
#[derive(Default)]
pub struct ExchangeTrace(Option<Box<Recording>>);

/// The spans of one exchange, the first of which is the exchange itself.
struct Recording {
    recorder: Arc<Recorder>,
    trace_id: [u8; 16],
    /// The client's span, if it counts.
    parent: Option<[u8; 8]>,
    began: Instant,
    began_nanos: u64,
    spans: Vec<SpanRecord>,
    /// Positions of those that have not ended, the innermost last.
    open: Vec<usize>,
}

struct SpanRecord {
    /// Position of the span that it is part of.
    within: Option<usize>,
    name: &'static str,
    is_call: bool,
    began: Duration,
    ended: Option<Duration>,
    has_failed: bool,
    notes: Vec<(&'static str, Note)>,
}

/// A value of an attribute.
enum Note {
    Text(String),
    Count(i64),
    Flag(bool),
}

impl Tracer {
    /// A trace of an exchange whose request came at a moment and has now been admitted. `parent` is
    /// its `traceparent`.
    #[must_use]
    pub fn begin(&self, id: &RequestId, parent: Option<&str>, came: Instant) -> ExchangeTrace {
        let Some(recorder) = &self.0 else { return ExchangeTrace(None) };
        let parent = parent.filter(|_| recorder.accepts_parent).and_then(parse_parent);
        let Ok(trace_id) = parent.map_or_else(random_bytes::<16>, |(id, ..)| Ok(id)) else {
            return ExchangeTrace(None);
        };
        let is_wanted = match parent {
            Some((.., is_sampled)) => is_sampled,
            None => is_sampled(&trace_id, recorder.sample_per_thousand),
        };
        if !is_wanted {
            return ExchangeTrace(None);
        }
        let now = u64::try_from(recorder.clock.now().as_millis()).unwrap_or(0);
        let before = u64::try_from(came.elapsed().as_nanos()).unwrap_or(0);
        let mut trace = ExchangeTrace(Some(Box::new(Recording {
            recorder: Arc::clone(recorder),
            trace_id,
            parent: parent.map(|(_, span, _)| span),
            began: came,
            began_nanos: now.saturating_mul(MILLI).saturating_sub(before),
            spans: Vec::new(),
            open: Vec::new(),
        })));
        trace.begin("exchange");
        trace.note("sluice.request_id", || Note::Text(id.as_str().to_owned()));
        trace.begin("admission");
        if let Some(recording) = &mut trace.0 {
            for span in &mut recording.spans {
                span.began = Duration::ZERO;
            }
        }
        trace.end();
        trace
    }

    /// Waits until everything is sent that was recorded before, but no longer than this.
    pub async fn flush(&self, patience: Duration) {
        let Some(recorder) = &self.0 else { return };
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if recorder.queue.send(Queued::Flush(done)).await.is_ok() && is_done.await.is_err() {
                tracing::debug!("the exporter of traces has ended");
            }
        };
        if tokio::time::timeout(patience, flushed).await.is_err() {
            tracing::warn!("the last traces were not sent: the collector is slow");
        }
    }
}

impl ExchangeTrace {
    /// A step begins, within those that have not ended.
    pub fn begin(&mut self, name: &'static str) {
        self.begin_span(name, false);
    }

    /// A call to another server begins.
    pub fn begin_call(&mut self, name: &'static str) {
        self.begin_span(name, true);
    }

    fn begin_span(&mut self, name: &'static str, is_call: bool) {
        let Some(recording) = &mut self.0 else { return };
        if recording.spans.len() >= SPANS_MAX {
            return;
        }
        let within = recording.open.last().copied();
        let began = recording.began.elapsed();
        recording.open.push(recording.spans.len());
        let (ended, has_failed, notes) = (None, false, Vec::new());
        let span = SpanRecord { within, name, is_call, began, ended, has_failed, notes };
        recording.spans.push(span);
    }

    /// The innermost step ends.
    pub fn end(&mut self) {
        let Some(recording) = &mut self.0 else { return };
        let at = recording.open.pop();
        let now = recording.began.elapsed();
        if let Some(span) = at.and_then(|at| recording.spans.get_mut(at)) {
            span.ended = Some(now);
        }
    }

    /// The innermost step ends without what it was for.
    pub fn fail(&mut self) {
        if let Some(span) = self.innermost() {
            span.has_failed = true;
        }
        self.end();
    }

    /// Names the upstream of the innermost step.
    pub fn note_upstream(&mut self, name: &str) {
        self.note("sluice.upstream", || Note::Text(name.to_owned()));
    }

    /// Says how the whole exchange ended.
    pub fn describe(&mut self, record: &UsageRecord) {
        let Some(recording) = &mut self.0 else { return };
        let is_genai = recording.recorder.is_genai;
        let Some(root) = recording.spans.first_mut() else { return };
        let mut note = |key, value| root.notes.push((key, value));
        note("sluice.ending", Note::Text(record.ending.code().to_owned()));
        note("sluice.endpoint", Note::Text(record.endpoint.as_str().to_owned()));
        note("sluice.usage.is_estimated", Note::Flag(record.is_estimated));
        note("http.response.status_code", Note::Count(record.http_status.into()));
        if let Some(upstream) = &record.upstream {
            note("sluice.upstream", Note::Text(upstream.clone()));
        }
        if is_genai {
            let written = record.cache_write_5m_tokens.saturating_add(record.cache_write_1h_tokens);
            note("gen_ai.operation.name", Note::Text("chat".to_owned()));
            note("gen_ai.request.model", Note::Text(record.requested_model.clone()));
            note("gen_ai.usage.input_tokens", Note::Count(record.input_tokens));
            note("gen_ai.usage.output_tokens", Note::Count(record.output_tokens));
            note("gen_ai.usage.cache_read.input_tokens", Note::Count(record.cache_read_tokens));
            note("gen_ai.usage.cache_creation.input_tokens", Note::Count(written));
        }
        root.has_failed = record.http_status >= 500;
    }

    /// Says that the exchange was refused before an upstream was asked.
    pub fn refuse(&mut self, status: u16) {
        self.end();
        self.note("http.response.status_code", || Note::Count(status.into()));
    }

    fn note(&mut self, key: &'static str, value: impl FnOnce() -> Note) {
        if let Some(span) = self.innermost() {
            span.notes.push((key, value()));
        }
    }

    fn innermost(&mut self) -> Option<&mut SpanRecord> {
        let recording = self.0.as_mut()?;
        let at = recording.open.last().copied()?;
        recording.spans.get_mut(at)
    }
}

impl Drop for ExchangeTrace {
    fn drop(&mut self) {
        while self.0.as_ref().is_some_and(|recording| !recording.open.is_empty()) {
            if std::thread::panicking() {
                self.fail();
            } else {
                self.end();
            }
        }
        let Some(recording) = self.0.take() else { return };
        let recorder = Arc::clone(&recording.recorder);
        let spans = recording.spans.len();
        if recorder.queue.try_send(Queued::Trace(recording)).is_err() {
            recorder.metrics.count("dropped", spans);
        }
    }
}

/// Whether a trace is one of those, by its random id.
fn is_sampled(trace_id: &[u8; 16], per_thousand: u64) -> bool {
    let number = trace_id.iter().take(7).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    number % 1000 < per_thousand
}

/// The trace, the span and whether it is sampled, of a header as W3C Trace Context has it.
fn parse_parent(header: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let mut parts = header.trim().split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let (trace, span): ([u8; 16], [u8; 8]) = (from_hex(trace)?, from_hex(span)?);
    let [flags]: [u8; 1] = from_hex(flags)?;
    let is_sound = version == "00" && parts.next().is_none() && trace != [0; 16] && span != [0; 8];
    is_sound.then_some((trace, span, flags & 1 == 1))
}

/// Bytes of lower-case hexadecimal digits.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != N.saturating_mul(2) || !text.as_bytes().iter().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let from = at.saturating_mul(2);
        *byte = u8::from_str_radix(text.get(from..from.saturating_add(2))?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it_and_nothing_else_is_one() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (trace, span, is_sampled) = parse_parent(header).unwrap();
        assert_eq!((trace[0], trace[15], span[1], is_sampled), (0x4b, 0x36, 0xf0, true));
        assert!(!parse_parent(&header.replace("-01", "-00")).unwrap().2);
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            header.to_uppercase(),
            header.replace("00-4b", "ff-4b"),
            header.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros),
            format!("{header}-more"),
            header.replace("7-01", "-01"),
        ] {
            assert!(parse_parent(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn so_many_in_a_thousand_are_sampled() {
        let ids = (0..100_000).map(|_| random_bytes::<16>().unwrap());
        let count = ids.filter(|id| is_sampled(id, 100)).count();
        assert!((9_000..11_000).contains(&count), "{count}");
        assert!(is_sampled(&[255; 16], 1000) && !is_sampled(&[0; 16], 0));
    }

    #[test]
    fn without_an_endpoint_there_is_no_trace() {
        let id = RequestId::from_stored("req_1".to_owned());
        let mut trace = Tracer::default().begin(&id, None, Instant::now());
        trace.begin("hold");
        assert!(trace.0.is_none());
    }
}
