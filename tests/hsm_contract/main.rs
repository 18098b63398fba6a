//! The same questions to every PKCS#11 module: does the session pool keep its contract on it?
//!
//! `cargo test --test hsm_contract` runs every case on every module it finds: the simulator beside the test binary, plain and as two models,
//! SoftHSM2,
//! kryoptic under `.tools/`, and what `PORTCULLIS_TEST_MODULES` lists (paths, separated by colons). Each case runs in a process
//! and a folder of its own, because a module belongs to a process for good. Words after `--` choose cases and modules by a
//! part of their name. A token that is there already, on real hardware, is tested with
//! `-- --module PATH --token-label LABEL --pin-file FILE`; cases that would spoil it are left out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "in tests a panic is the answer"
)]

mod cases;
mod differences;
mod harness;
mod modules;
mod pool;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--child") => harness::child(arguments.get(1).map_or("", String::as_str)),
        Some("--prepare") => modules::prepare(&arguments[1..]),
        Some("--list") => ExitCode::SUCCESS,
        _ => harness::parent(&arguments),
    }
}
