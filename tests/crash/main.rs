//! What a crash leaves behind.
//!
//! `stops` ends a gateway between each two of its writes, in memory, for every use case that changes something, and
//! compares what the next one finds with what the client was told. `cases` are those use cases, `world` is what outlives
//! a gateway.

mod cases;
mod stops;
mod world;
