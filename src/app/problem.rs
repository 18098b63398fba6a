//! What went wrong, for the person at the terminal: a stable code, what happened, what to do.

use std::fmt;

use crate::{config::Mistakes, tls::TlsError};

/// A command ends with this.
#[derive(Debug)]
pub struct Problem {
    /// The stable code.
    pub code: &'static str,
    /// What happened.
    pub what: String,
    /// What to do; empty where `what` says it.
    pub remedy: String,
}

impl Problem {
    /// A problem with its remedy.
    #[must_use]
    pub fn new(code: &'static str, what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { code, what: what.to_string(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  what to do: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl From<TlsError> for Problem {
    fn from(error: TlsError) -> Self {
        Self::new(error.code(), &error, error.remedy())
    }
}

impl From<Mistakes> for Problem {
    fn from(mistakes: Mistakes) -> Self {
        let count = mistakes.mistakes.len();
        let plural = if count == 1 { "mistake" } else { "mistakes" };
        Self::new(
            "PC-CONFIG",
            format!("{count} {plural} in the configuration\n{mistakes}"),
            "correct the lines named; config/gateway.toml documents every option",
        )
    }
}

/// Adds code and remedy to an error of the system.
pub(super) trait Explain<T> {
    /// Turns the error into a [`Problem`].
    ///
    /// # Errors
    ///
    /// The problem, where there was an error.
    fn explain(self, code: &'static str, what: impl fmt::Display, remedy: &str) -> Result<T, Problem>;
}

impl<T, E: fmt::Display> Explain<T> for Result<T, E> {
    fn explain(self, code: &'static str, what: impl fmt::Display, remedy: &str) -> Result<T, Problem> {
        self.map_err(|error| Problem::new(code, format!("{what}: {error}"), remedy))
    }
}
