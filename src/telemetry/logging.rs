//! Log lines: JSON for machines, or text for a person at a terminal.
//!
//! Lines go to standard error, so that what a command prints stays its own. A request's span carries `request`, the same
//! identifier that its audit record and its HTTP answer name; in JSON it stands in `span`.

use std::{fmt, io};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

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
    let filter = EnvFilter::builder().parse(filter).map_err(|error| LoggingError(error.to_string()))?;
    let registry = tracing_subscriber::registry().with(filter);
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
