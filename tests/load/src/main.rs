//! The load program: measures a running gateway over KMIP and REST, and the limits of the same machine beside it.
//!
//! It drives a closed loop (`drive`) of clients (`kmip` with its `work`, `rest`) against the gateway of a `portcullis dev` folder
//! (`target`), and the same against the limits: a TLS echo and bare handshakes (`echo`), a hello-world of axum (`hello`), the
//! calls of the PKCS#11 module (`raw`). It keeps the statistics (`stats`), asks the kernel what it cost (`process`) and prints it (`report`). It is a
//! tool and a test at once: every answer is checked, and a run with a failed request exits with 1.

mod drive;
mod echo;
mod hello;
mod kmip;
mod measure;
mod options;
mod process;
mod raw;
mod report;
mod rest;
mod stats;
mod target;
#[cfg(test)]
mod tests;
mod transport;
mod work;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Instant,
};

use clap::Parser as _;
use serde_json::{Value, json};

use crate::{
    measure::{Done, limits, measure},
    options::{Command, Common, Options, What},
    report::Row,
};

#[tokio::main]
async fn main() -> ExitCode {
    install_provider();
    run(Options::parse()).await.unwrap_or_else(|error| {
        eprintln!("portcullis-load: {error:#}");
        ExitCode::from(2)
    })
}

async fn run(options: Options) -> anyhow::Result<ExitCode> {
    match &options.command {
        Some(Command::Suite { connections, operations }) => {
            suite(&options.common, connections, &options::chosen(operations)?).await
        }
        Some(Command::Fill { count, connections }) => {
            let begun = Instant::now();
            let names = measure::fill(*count, *connections, &options.common).await?;
            let seconds = begun.elapsed().as_secs_f64();
            print(&format!("{}\n", json!({ "objects": count, "names": names, "seconds": seconds })))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let done = measure(&options.what()?, options.connections, &options.common).await?;
            if options.common.json {
                print(&format!("{:#}\n", done.measured.json()))?;
            } else {
                print(&report::block(&done.measured))?;
            }
            Ok(exit_code(done.interrupted, done.measured.failed()))
        }
    }
}

/// Measures everything, each at once followed by its limits, so that all see the same machine.
async fn suite(common: &Common, connections: &[u16], all: &[What]) -> anyhow::Result<ExitCode> {
    let (mut rows, mut failed) = (Vec::new(), 0);
    if !common.json {
        print(&format!("{}\n", report::HEAD))?;
    }
    for what in all {
        for &connections in connections {
            let Done { measured, mut interrupted } = measure(what, connections, common).await?;
            failed += measured.failed();
            for (kind, count) in &measured.errors {
                eprintln!("{} {} x{connections}: {count} x {kind}", measured.protocol, measured.operation);
            }
            let mut row = Row { measured, limits: Vec::new() };
            for limit in limits(what, &row.measured, common) {
                if interrupted {
                    break;
                }
                let done = measure(&limit, connections, common).await?;
                interrupted = done.interrupted;
                row.limits.push(done.measured);
            }
            if interrupted {
                return Ok(exit_code(true, failed));
            }
            if !common.json {
                print(&format!("{}\n", row.markdown()))?;
            }
            rows.push(row.json());
        }
    }
    if common.json {
        print(&format!("{:#}\n", Value::from(rows)))?;
    }
    Ok(exit_code(false, failed))
}

/// 0; 1 when a request failed; 130 as shells have it for Ctrl-C. What cannot be measured at all ends with 2.
fn exit_code(interrupted: bool, failed: u64) -> ExitCode {
    ExitCode::from(match (interrupted, failed) {
        (true, _) => 130,
        (false, 0) => 0,
        (false, _) => 1,
    })
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// rustls takes its cryptography from aws-lc, as the gateway does. A provider that is already there is the same one.
fn install_provider() {
    let _present = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
