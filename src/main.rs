//! The `portcullis` command.

use std::process::ExitCode;

use clap::Parser;
use portcullis::app::{Arguments, run};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            problem.exit_code()
        }
    }
}
