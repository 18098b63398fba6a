//! What a crash leaves behind.
//!
//! `stops` ends a gateway between each two of its writes, in memory, for every use case that changes something, and
//! compares what the next one finds with what the client was told. `cases` are those use cases, `world` is what outlives
//! a gateway. `owed` cuts the end of the trail off. `campaign` kills the built program at random moments under load.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

mod campaign;
mod cases;
mod owed;
mod stops;
mod world;
