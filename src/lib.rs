//! Portcullis: a key-management gateway. KMIP and the Barbican API in front of PKCS#11 HSMs.
//!
//! The modules stand in rank order: a module imports only from ranks below its own, and `tests/layering.rs` proves it.
//! `docs/ARCHITECTURE.md` tells the life of a request.

// rank 0: nothing of ours
pub mod alarm;
pub mod crypto;
pub mod domain;
pub mod mem;
pub mod net;
pub mod telemetry;

// rank 1: who is asking, and may they
pub mod authn;
pub mod authz;

// rank 2: use cases
pub mod engine;

// rank 3: what the engine needs from outside
pub mod audit;
pub mod hsm;
pub mod store;

// rank 4: front ends
pub mod admin;
pub mod barbican;
pub mod kmip;

// rank 5: everything meets
pub mod app;
pub mod config;
pub mod tls;
