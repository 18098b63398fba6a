//! The Barbican API over an engine in memory: each endpoint's success and its refusals, with their exact texts.

mod discovery;
mod payload;
mod secrets;
mod support;
