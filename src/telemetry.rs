//! Logs: text for people or JSON for machines, to standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use tracing::Span;
use tracing::instrument::{Instrument as _, Instrumented};
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{Log, LogFormat};
use crate::domain::ids::RequestId;

/// Starts logging, panics included. A second call changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            keep(move |filter| handle.reload(filter), builder.try_init().is_ok());
        }
        LogFormat::Json => {
            // A request's span has its name; no span lies within another.
            let builder = builder.json().with_span_list(false).with_filter_reloading();
            let handle = builder.reload_handle();
            keep(move |filter| handle.reload(filter), builder.try_init().is_ok());
        }
    }
    log_panics();
}

type ChangeFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// How the filter of the logs in force is changed, once they have started.
static FILTER: OnceLock<ChangeFilter> = OnceLock::new();

fn keep(
    change: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static,
    has_started: bool,
) {
    if has_started && FILTER.set(Box::new(change)).is_err() {
        tracing::error!("logs have started twice");
    }
}

/// Changes what is logged.
pub fn change_filter(log: &Log) {
    let Ok(filter) = EnvFilter::try_new(&log.filter) else { return };
    if let Some(Err(error)) = FILTER.get().map(|change| change(filter)) {
        tracing::error!(error = %Causes(&error), "log.filter could not be changed");
    }
}

/// The span of a request. Every line of the log that is written within it has the request's name.
#[must_use]
pub fn request_span(id: &RequestId) -> Span {
    tracing::error_span!("request", request_id = id.as_str())
}

/// A future whose lines of the log belong to a span.
pub fn within<F: Future>(span: Span, future: F) -> Instrumented<F> {
    future.instrument(span)
}

/// From now on a panic is logged by its place, and with its backtrace where `RUST_BACKTRACE` asks
/// for one. Its message is not: those of slices and conversions repeat what they failed on, which
/// may be content.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(place, backtrace, "panic");
    }));
}

/// An error with everything that caused it, in one line of the log.
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("what failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let inner = std::io::Error::other("why");
        assert_eq!(Causes(&Outer(inner)).to_string(), "what failed: why");
    }
}
