//! Operators and their tokens: what `hsm probe` finds, and keys that
//! `hsm adopt` takes in, on the simulator as several models, on SoftHSM2 and on kryoptic.
//!
//! Each test starts the built program on tokens that a process of its own has made, because modules read their environment.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod adopt;
mod probe;
mod tokens;
