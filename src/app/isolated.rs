//! The process of an isolated module: how it is started, and what it is before it loads the module.

use std::{collections::BTreeMap, future, path::PathBuf, process::ExitCode, thread};

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use super::problem::{Explain, Problem};
use crate::{
    config::{self, Log},
    hsm::{self, Program},
    mem,
    telemetry::logging,
};

/// How its log lines look: as the gateway's.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// This very program, whatever stands at its path by now, with the hidden command.
pub(super) fn program(log: &Log, environment: BTreeMap<String, String>) -> Program {
    let format = match log.format {
        config::LogFormat::Json => "json",
        config::LogFormat::Text => "text",
    };
    let arguments = ["__module", "--log-format", format, "--log-level", &log.level];
    Program {
        path: PathBuf::from("/proc/self/exe"),
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment,
    }
}

/// Runs it until the gateway lets it go.
pub(super) fn run(format: LogFormat, level: &str) -> Result<ExitCode, Problem> {
    let format = match format {
        LogFormat::Json => logging::Format::Json,
        LogFormat::Text => logging::Format::Text,
    };
    logging::start(format, level).explain("PC-LOG", "log.level", "give a level such as info")?;
    if let Err(error) = mem::harden() {
        tracing::warn!(%error, "core dumps of the module's process could not be switched off");
    }
    if let Err(error) = outlive_signals() {
        tracing::warn!(%error, "a signal to all processes of the service ends the module's process before the gateway has drained");
    }
    Ok(hsm::serve_module())
}

/// Service managers and terminals tell every process of a service to stop; this one is needed until the gateway has drained.
fn outlive_signals() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let inside = runtime.enter();
    // What is handled once is never again left to its default, which is the end.
    let handled = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    drop(inside);
    let handled: Vec<_> = handled.into_iter().collect::<Result<_, _>>()?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let _handled = handled;
        runtime.block_on(future::pending::<()>());
    })?;
    Ok(())
}
