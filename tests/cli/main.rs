//! The `portcullis` command as a person or an init system meets it: each test starts the built program.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod clients;
mod dev;
mod refusals;
mod serve;
mod support;
