//! The KMIP front end against an engine in memory: what works, and each refusal with its exact reason.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets the unexpected fails")]

mod asynchronous;
mod batches;
mod costs;
mod coverage;
mod dates;
mod headers;
mod https;
mod keys;
mod lifecycle;
mod malformed;
mod malformed_table;
mod pkcs12;
mod profiles;
mod provision;
mod refusal_table;
mod refusals;
mod sessions;
mod states;
mod streams;
mod support;
mod turned;
mod v1_3;
mod v3;
