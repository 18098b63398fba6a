//! What went wrong, for the person at the terminal: a stable code, what happened, what to do.

use std::{fmt, process, process::ExitCode, thread, time::Duration};

use crate::{config::Mistakes, store::sled::OnFatal, tls::TlsError};

/// The store failed while it was open.
const STORE_FAILED: &str = "PC-STORE-FAILED";
/// How long a process whose store has failed may take to end by itself, above the time that it drains.
const LEFT: Duration = Duration::from_secs(20);

/// Sees to it that a process ends whose store has failed: by itself, with an error of its own or after it has drained; and if
/// something in it waits for a thread of the engine that is no more, in spite of that.
pub(super) fn ends_when_it_fails(told: impl Fn(&str) + Send + Sync + 'static) -> OnFatal {
    Box::new(move |reason| {
        let problem = Problem::store_failed(reason);
        tracing::error!(code = problem.code, reason, "the store failed: the process ends");
        told(reason);
        let end = move || {
            thread::sleep(LEFT);
            eprintln!("{problem}");
            process::exit(i32::from(problem.number()))
        };
        if let Err(error) = thread::Builder::new().name("store-end".to_owned()).spawn(end) {
            tracing::error!(%error, "no thread can be started that would end the process");
        }
    })
}

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
    /// The store failed while it was open: nothing more can be read from it or acknowledged.
    pub(super) fn store_failed(reason: &str) -> Self {
        Self::new(
            STORE_FAILED,
            format!("the store failed, and nothing more can be read or acknowledged: {reason}"),
            "look after the disk, then start again. If it fails again, its files are damaged: `portcullis store fsck` says what \
             can be read, and `portcullis restore` puts a backup in its place",
        )
    }

    /// What the process ends with: 74 (`EX_IOERR`) when the store failed, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    fn number(&self) -> u8 {
        if self.code == STORE_FAILED { 74 } else { 1 }
    }

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
