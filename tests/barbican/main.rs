//! The Barbican API over an engine in memory: each endpoint's success and its refusals, with their exact texts.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail like tests")]

mod acls;
mod concurrency;
mod consumers;
mod containers;
mod discovery;
mod hostile;
mod kmip_objects;
mod lists;
mod metadata;
mod orders;
mod payload;
mod projects;
mod rows;
mod secrets;
mod support;
mod trail;
