//! The KMIP front end against an engine in memory: what works, and each refusal with its exact reason.
#![expect(missing_docs, reason = "tests say what they claim in their names")]

mod batches;
mod lifecycle;
mod malformed;
mod support;
