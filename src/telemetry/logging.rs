//! Log lines: JSON for machines, or text for a person at a terminal.
//!
//! Lines go to standard error, so that what a command prints stays its own. A request's span carries `request`, the same
//! identifier that its audit record and its HTTP answer name; in JSON it stands in `span`.

use std::{fmt, io};

use parking_lot::RwLock;
use serde::Deserialize;
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::Visit,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The logging could not be started.
#[derive(Debug)]
pub struct LoggingError(String);

impl fmt::Display for LoggingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoggingError {}

/// Whether `filter` is one that [`start`] accepts.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), LoggingError> {
    EnvFilter::builder().parse(filter).map(drop).map_err(|error| LoggingError(error.to_string()))
}

/// Starts logging for the process; `filter` is a level or a list such as `info,portcullis::hsm=debug`.
///
/// # Errors
///
/// When the filter does not parse, or logging was started before.
pub fn start(format: Format, filter: &str) -> Result<(), LoggingError> {
    // What the filter says of the same library comes later and counts.
    let filter = EnvFilter::builder().parse(format!("{ERRORS_ALWAYS},{filter}"));
    let filter = filter.map_err(|error| LoggingError(error.to_string()))?;
    let registry = tracing_subscriber::registry().with(filter).with(Told);
    let started = match format {
        Format::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false)
                    .with_writer(io::stderr),
            )
            .try_init(),
        Format::Text => registry
            .with(tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(io::stderr))
            .try_init(),
    };
    started.map_err(|error| LoggingError(error.to_string()))
}

/// The storage engine's errors, whatever is shown of the rest: the store listens to them.
const ERRORS_ALWAYS: &str = "sled=error";

/// Who is told of the error lines of a library, by the first part of its target.
static LISTENERS: RwLock<Vec<Listener>> = RwLock::new(Vec::new());

type Listener = (&'static str, fn(&str));

/// Has `told` called with every error line that a library logs under `target`. It must not log.
pub fn tell_errors(target: &'static str, told: fn(&str)) {
    LISTENERS.write().push((target, told));
}

/// The layer that tells.
struct Told;

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        // Lines of the `log` crate name their target in a field.
        let target = line.target.as_deref().unwrap_or_else(|| event.metadata().target());
        let listeners = LISTENERS.read();
        let listens = |(of, _): &&Listener| target.split("::").next() == Some(*of);
        let told: Vec<_> = listeners.iter().filter(listens).map(|(_, told)| *told).collect();
        drop(listeners);
        told.iter().for_each(|told| told(&line.message));
    }
}

#[derive(Default)]
struct Line {
    target: Option<String>,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn error_lines_of_a_library_are_told_and_no_others() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        tell_errors("some_engine", |line| {
            assert_eq!(line, "it broke: 5");
            TOLD.fetch_add(1, Ordering::SeqCst);
        });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Told), || {
            tracing::error!(target: "some_engine::flusher", "it broke: {}", 5);
            // As the `log` crate's lines arrive.
            tracing::error!(target: "log", { log.target = "some_engine::tree" }, "it broke: 5");
            tracing::warn!(target: "some_engine", "it may break");
            tracing::error!(target: "some_engines", "another one");
            tracing::error!("ours");
        });
        assert_eq!(TOLD.load(Ordering::SeqCst), 2);
    }
}
